//! The known state of one endpoint. Pure.

use super::answer::Store;
use crate::etcd::basics::{EtcdError, Fault};

/// The state of one endpoint in the health model.
pub(crate) struct EndpointState {
    url: String,
    tls: bool,
    /// Whether a connection is open.
    open: bool,
    /// Whether a read was answered on the current connection, and nothing has failed since.
    works: bool,
    /// Why it does not work.
    cause: Option<EtcdError>,
    /// Whether the member says that it has a leader; `None` if it was not asked or did not answer.
    leader: Option<bool>,
    member_id: Option<u64>,
    /// The cluster of the current connection.
    cluster_id: Option<u64>,
    /// Whether it ever answered a read.
    has_worked: bool,
    /// Whether it refuses proposals of this user, though it answers reads.
    refuses: bool,
    /// The highest term of the current store that it has shown.
    term: u64,
}

impl EndpointState {
    /// An endpoint with this URL, with or without TLS.
    pub(crate) fn new(url: &str, tls: bool) -> Self {
        Self {
            url: url.to_owned(),
            tls,
            open: false,
            works: false,
            cause: None,
            leader: None,
            member_id: None,
            cluster_id: None,
            has_worked: false,
            refuses: false,
            term: 0,
        }
    }

    /// Resets the state, because all connections are opened anew. The identity of the member is kept.
    pub(crate) fn begin(&mut self) {
        *self = Self {
            member_id: self.member_id,
            has_worked: self.has_worked,
            term: self.term,
            ..Self::new(&self.url, self.tls)
        };
    }

    /// Notes an open connection to a member of this cluster.
    pub(crate) fn opened(&mut self, cluster_id: Option<u64>) {
        self.open = true;
        self.cluster_id = cluster_id;
        // An error that a server reported stays until the server answers otherwise.
        if self.fault() == Some(Fault::Unreachable) {
            self.cause = None;
        }
    }

    /// Makes the failure uncertain, so that the member is checked again.
    pub(crate) fn doubt(&mut self) {
        self.cause = self.cause.take().map(EtcdError::unsure);
    }

    pub(crate) fn lost(&mut self, cause: EtcdError) {
        self.open = false;
        self.works = false;
        self.leader = None;
        self.cluster_id = None;
        self.cause = Some(self.guess(cause));
    }

    /// Notes an answer to a read, which showed this term of the current store.
    pub(crate) fn read(&mut self, store: Store, term: Option<u64>) {
        self.works = true;
        self.cause = None;
        self.leader = None;
        self.has_worked = true;
        if self.member_id != Some(store.member_id) {
            self.member_id = Some(store.member_id);
            self.term = 0;
        }
        self.term = self.term.max(term.unwrap_or_default());
        self.cluster_id = Some(store.cluster_id);
    }

    /// Forgets the term, because there is another store with other terms.
    pub(crate) fn forget_term(&mut self) {
        self.term = 0;
    }

    /// Notes whether a proposal was answered or refused.
    pub(crate) fn proposed(&mut self, refused: bool) {
        self.refuses = refused;
    }

    /// Forgets what the member said about its leader.
    pub(crate) fn forget_leader(&mut self) {
        self.leader = None;
    }

    /// Notes the status that the member reported.
    pub(crate) fn told(&mut self, leader: bool) {
        self.leader = Some(leader);
    }

    /// Notes a failed request, but not a failed proposal, which can fail at a healthy member.
    pub(crate) fn failed(&mut self, cause: &EtcdError) {
        self.works = false;
        self.cause = Some(cause.clone());
    }

    pub(crate) fn usable(&self) -> bool {
        self.open && self.works
    }

    /// Whether it is usable, or only waits for a new token because the last one has expired.
    ///
    /// If the server refuses the new token as well, the failure is certain.
    pub(crate) fn is_worth_no_warning(&self) -> bool {
        let expired = |cause: &EtcdError| cause.is_stale_token() && !cause.sure;
        self.usable() || self.cause.as_ref().is_some_and(expired)
    }

    /// Whether the failure is certain: the server reported it, or the connection is lost.
    pub(crate) fn surely_lost(&self) -> bool {
        self.cause.as_ref().is_some_and(|cause| {
            let lost = !self.open || cause.fault != Fault::Unreachable;
            lost && cause.sure
        })
    }

    pub(crate) fn refuses(&self) -> bool {
        self.refuses
    }

    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    /// Whether the member is alive, and knows no leader.
    pub(crate) fn leaderless(&self) -> bool {
        self.leader == Some(false) || self.fault() == Some(Fault::NoLeader)
    }

    /// Whether the member is alive, and knows a leader.
    pub(crate) fn responsive(&self) -> bool {
        self.leader == Some(true)
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.cause.as_ref().map(|cause| cause.fault)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The cluster of the open connection.
    pub(crate) fn cluster_id(&self) -> Option<u64> {
        self.cluster_id.filter(|_| self.open)
    }

    pub(crate) fn member_id(&self) -> Option<u64> {
        self.member_id
    }

    pub(crate) fn name(&self) -> String {
        match self.member_id {
            Some(id) => format!("{} (member {id:x})", self.url()),
            None => self.url().to_owned(),
        }
    }

    /// Why it is not usable, if that is known.
    pub(crate) fn problem(&self) -> Option<&EtcdError> {
        self.cause.as_ref()
    }

    pub(crate) fn complaint(&self) -> Option<String> {
        let url = self.url();
        match (&self.cause, self.leader) {
            (_, Some(false)) => Some(format!("{url}: the member knows no leader")),
            (_, Some(true)) => Some(format!(
                "{url}: the member itself answers, and knows a leader"
            )),
            (Some(cause), None) => Some(format!("{url}: {}", cause.text)),
            (None, None) if !self.usable() => Some(format!("{url}: no answer")),
            (None, None) => None,
        }
    }

    /// Guesses a TLS problem from a closed connection, because both sides close it without an error message.
    ///
    /// The guess is likely only before the endpoint has ever worked. Later it is still possible, e.g. if a certificate
    /// has expired.
    fn guess(&self, mut cause: EtcdError) -> EtcdError {
        if !cause.closed {
            return cause;
        }
        let never_worked = !self.has_worked;
        if self.tls {
            if never_worked {
                cause.fault = Fault::Tls;
            }
            cause.text += "; does the server speak TLS?";
        } else if never_worked {
            cause.text += "; does the server want https?";
        }
        cause
    }
}

/// Describes the endpoints that cannot be used, and why; `None` if all can be used.
pub(crate) fn usable(endpoints: &[EndpointState]) -> Option<String> {
    let unusable = endpoints.iter().filter(|endpoint| !endpoint.usable());
    let says: Vec<String> = unusable.filter_map(EndpointState::complaint).collect();
    if says.is_empty() {
        return None;
    }
    let (of, all) = (endpoints.len() - says.len(), endpoints.len());
    Some(format!(
        "{of} of {all} endpoints usable, not {}",
        says.join(", not ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_expires_is_worth_no_warning_unless_the_next_one_is_refused_too() {
        let mut endpoint = EndpointState::new("http://a:2379", false);
        assert!(!endpoint.is_worth_no_warning(), "it was not reached yet");
        let expired = EtcdError::sure(Fault::Unauthenticated, "invalid auth token");
        // On a connection that has worked before.
        endpoint.lost(expired.clone().unsure());
        assert!(endpoint.is_worth_no_warning());
        endpoint.opened(Some(1));
        assert!(endpoint.is_worth_no_warning(), "nothing was asked yet");
        endpoint.lost(expired);
        assert!(!endpoint.is_worth_no_warning());
        endpoint.lost(EtcdError::silent());
        assert!(!endpoint.is_worth_no_warning());
    }

    #[test]
    fn a_new_begin_forgets_the_connection_but_not_the_member() {
        let mut endpoint = read();
        endpoint.told(false);
        endpoint.proposed(true);
        endpoint.begin();
        assert!(!endpoint.usable() && !endpoint.refuses() && !endpoint.leaderless());
        assert_eq!(endpoint.cluster_id(), None);
        assert_eq!((endpoint.member_id(), endpoint.term()), (Some(0xa), 5));
        // Nothing of the connection before is left to be found again on the next one.
        endpoint.opened(None);
        assert!(!endpoint.usable());
        assert_eq!(endpoint.cluster_id(), None);
        // It has worked before, so a closed connection is no question of https.
        endpoint.lost(EtcdError::closed());
        assert_eq!(text(&endpoint), "the connection was closed");
    }

    #[test]
    fn a_connection_disproves_that_it_is_unreachable_and_nothing_else() {
        for (fault, is_left) in [
            (Fault::Unreachable, false),
            (Fault::Unauthenticated, true),
            (Fault::Tls, true),
        ] {
            let mut endpoint = plain();
            endpoint.lost(EtcdError::sure(fault, "so it is"));
            assert_eq!(endpoint.fault(), Some(fault));
            assert!(endpoint.problem().is_some());
            endpoint.opened(Some(1));
            assert_eq!(endpoint.fault(), is_left.then_some(fault));
            assert_eq!(endpoint.problem().is_some(), is_left, "{fault:?}");
        }
    }

    #[test]
    fn the_highest_term_is_kept_until_there_is_another_member_or_another_store() {
        let mut endpoint = read();
        endpoint.read(store(0xa), Some(3));
        assert_eq!(endpoint.term(), 5);
        endpoint.read(store(0xb), Some(3));
        assert_eq!(endpoint.term(), 3);
        endpoint.forget_term();
        assert_eq!(endpoint.term(), 0);
    }

    #[test]
    fn what_a_member_says_of_its_leader_counts_until_it_is_forgotten() {
        for (leader, said) in [
            (true, "the member itself answers, and knows a leader"),
            (false, "the member knows no leader"),
        ] {
            let forgets: [fn(&mut EndpointState); 3] = [
                |endpoint| endpoint.forget_leader(),
                |endpoint| endpoint.read(store(0xa), None),
                |endpoint| endpoint.lost(EtcdError::silent()),
            ];
            for forget in forgets {
                let mut endpoint = read();
                assert!(!endpoint.responsive() && !endpoint.leaderless());
                endpoint.told(leader);
                let known = (endpoint.responsive(), endpoint.leaderless());
                assert_eq!(known, (leader, !leader));
                let complaint = format!("http://a:2379: {said}");
                assert_eq!(endpoint.complaint(), Some(complaint));
                forget(&mut endpoint);
                assert!(!endpoint.responsive() && !endpoint.leaderless());
            }
        }
        // An error says it as well as a status does.
        let mut endpoint = read();
        endpoint.failed(&EtcdError::passing(Fault::NoLeader, "no leader"));
        assert!(endpoint.leaderless() && !endpoint.responsive());
    }

    #[test]
    fn only_an_endpoint_that_is_not_usable_is_complained_of() {
        let mut endpoint = plain();
        let no_answer = Some("http://a:2379: no answer".to_owned());
        assert_eq!(endpoint.complaint(), no_answer, "not reached yet");
        endpoint.opened(Some(1));
        assert_eq!(endpoint.complaint(), no_answer, "nothing was answered yet");
        endpoint.read(store(0xa), None);
        assert_eq!(endpoint.complaint(), None);
        endpoint.failed(&EtcdError::sure(Fault::Permission, "denied"));
        let denied = "http://a:2379: denied".to_owned();
        assert_eq!(endpoint.complaint(), Some(denied));
    }

    #[test]
    fn a_closed_connection_is_a_question_of_tls_as_long_as_it_never_worked() {
        let closed = "the connection was closed";
        for (tls, has_worked, fault, asks) in [
            (
                false,
                false,
                Fault::Unreachable,
                "; does the server want https?",
            ),
            (false, true, Fault::Unreachable, ""),
            (true, false, Fault::Tls, "; does the server speak TLS?"),
            // A certificate may have expired meanwhile.
            (
                true,
                true,
                Fault::Unreachable,
                "; does the server speak TLS?",
            ),
        ] {
            let mut endpoint = EndpointState::new("http://a:2379", tls);
            if has_worked {
                endpoint.opened(Some(1));
                endpoint.read(store(0xa), None);
            }
            endpoint.lost(EtcdError::closed());
            let case = format!("tls {tls}, has worked {has_worked}");
            assert_eq!(endpoint.fault(), Some(fault), "{case}");
            assert_eq!(text(&endpoint), format!("{closed}{asks}"), "{case}");
            // Nothing is to be guessed of an error that says what it is.
            endpoint.lost(EtcdError::sure(Fault::Unreachable, "refused"));
            assert_eq!(text(&endpoint), "refused", "{case}");
        }
    }

    #[test]
    fn the_endpoints_that_cannot_be_used_are_counted_and_named() {
        assert_eq!(usable(&[read(), read()]), None);
        let one = "1 of 2 endpoints usable, not http://a:2379: no answer";
        assert_eq!(usable(&[plain(), read()]), Some(one.to_owned()));
        let two =
            "1 of 3 endpoints usable, not http://a:2379: no answer, not http://a:2379: no answer";
        assert_eq!(usable(&[plain(), read(), plain()]), Some(two.to_owned()));
    }

    fn plain() -> EndpointState {
        EndpointState::new("http://a:2379", false)
    }

    /// One that is open and has answered a read in term 5.
    fn read() -> EndpointState {
        let mut endpoint = plain();
        endpoint.opened(Some(1));
        endpoint.read(store(0xa), Some(5));
        endpoint
    }

    fn store(member_id: u64) -> Store {
        Store {
            cluster_id: 1,
            revision: 7,
            term: 5,
            member_id,
        }
    }

    fn text(endpoint: &EndpointState) -> &str {
        endpoint.problem().map_or("", |cause| &cause.text)
    }
}
