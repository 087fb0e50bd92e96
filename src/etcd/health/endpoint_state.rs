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
}
