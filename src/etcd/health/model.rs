//! What the answers amount to. Pure: it is told the time and does no I/O.

use core::time::Duration;
use std::fmt;

use super::answer::{Answer, Store};
use super::check::{Check, CheckKind};
use super::endpoint_state::EndpointState;
use super::store_identity::{Baseline, Comparison, StoreIdentity};
use crate::etcd::basics::{EtcdError, Fault, Verdict, Verdicts};
use crate::etcd::client::Timing;
use crate::policy::{Policy, Tuning};

/// Judges what the answers of all members amount to.
pub(crate) struct HealthModel {
    pub(super) timing: Timing,
    pub(super) verdicts: Verdicts,
    pub(super) endpoints: Vec<EndpointState>,
    pub(super) checks: [Check; 3],
    pub(super) store_identity: StoreIdentity,
    /// Whether proposals cannot be made by this user, so that the write path is not checked.
    pub(super) unchecked: bool,
    /// Whether that was logged.
    pub(super) unchecked_said: bool,
    /// How many proposals were answered, for their jitter.
    pub(super) writes: u64,
    pub(super) jitter: Tuning,
    pub(super) told: Told,
    /// Whether a start depends on what is told: then no check may fail even for a moment.
    pub(super) proving: bool,
    /// Whether it was told alive since it was last told failing: a clean run.
    pub(super) clean: bool,
    /// Whether a good answer came since the last observation.
    pub(super) news: bool,
    /// How long this process did not run in all.
    pub(super) excused: Duration,
    pub(super) pending: Option<Conclusion>,
    /// What is to be logged.
    pub(super) warnings: Vec<HealthWarning>,
    /// Since when the endpoints are of more than one cluster, and until when they were.
    pub(super) split_since: Option<Duration>,
    pub(super) split_until: Option<Duration>,
    /// For how long etcd must prove itself after an outage, which it is the supervisor's business to see to.
    pub(super) window: Duration,
    /// When all that is open was last shown.
    pub(super) shown_at: Duration,
    /// The cluster under which a start was proved last.
    pub(super) accepted: Option<u64>,
}

/// What is to be told of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    Alive {
        evidence: String,
    },
    Failing {
        fault: Fault,
        /// Whether no restart could mend it.
        fatal: bool,
        reason: String,
    },
}

/// What is to be logged: a warning each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HealthWarning {
    /// Another cluster is taken for the one that is meant.
    Accepted { cluster: u64, before: u64 },
    /// The store was reset, which is tolerated: why that is known.
    Reset(String),
    /// Proposals cannot be made by this user.
    Unchecked { url: String, why: String },
}

/// For an operator.
impl fmt::Display for HealthWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { .. } => f.write_str(
                "another cluster is there in the place of the one before, and is taken for the one \
                 that is meant, since all endpoints that answer agree on it",
            ),
            Self::Reset(why) => write!(f, "{}: {why}", Fault::StoreReset),
            Self::Unchecked { url, why } => write!(
                f,
                "{url}: this user may not ask for etcd's alarms ({why}), so the write path, the \
                 space and corruption are not checked"
            ),
        }
    }
}

/// What was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    Alive(Duration),
    Failing(Duration),
}

/// What was asked, when, and what was known of the store then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckRequest {
    pub(crate) kind: CheckKind,
    pub(crate) at: Duration,
    pub(crate) baseline: Baseline,
    /// How long this process had not run in all by then.
    pub(crate) excused: Duration,
    /// Only to look at that member.
    pub(crate) look: bool,
}

/// A single member answers a proposal before its disk has it, in versions before 3.4.21 and 3.5.5
/// (etcd#14370): only the second proposal waits for the first.
const PROPOSALS: u32 = 2;

impl HealthModel {
    /// Of the endpoints of these URLs, each with or without TLS.
    pub(crate) fn new<'a>(
        endpoints: impl IntoIterator<Item = (&'a str, bool)>,
        timing: Timing,
        verdicts: Verdicts,
        jitter_seed: u64,
        now: Duration,
    ) -> Self {
        let Timing {
            progress,
            read,
            write,
            ..
        } = timing;
        let endpoints = endpoints.into_iter();
        Self {
            timing,
            verdicts,
            endpoints: endpoints
                .map(|(url, tls)| EndpointState::new(url, tls))
                .collect(),
            checks: [progress, read, write].map(|timing| Check::new(timing, now)),
            store_identity: StoreIdentity::default(),
            unchecked: false,
            unchecked_said: false,
            writes: 0,
            jitter: Tuning::default()
                .with_jitter(write.every / 8)
                .with_jitter_seed(jitter_seed),
            told: Told::Nothing,
            proving: false,
            clean: false,
            news: false,
            excused: Duration::ZERO,
            pending: None,
            warnings: Vec::new(),
            split_since: None,
            split_until: None,
            window: Policy::default().window(),
            shown_at: now,
            accepted: None,
        }
    }

    /// Judges anew, as nothing was observed for a while. The store is not forgotten, or one that is
    /// wiped in between would go unnoticed.
    pub(crate) fn restart(&mut self, now: Duration) {
        self.told = Told::Nothing;
        self.clean = false;
        self.pending = None;
        self.demand(now);
        for endpoint in &mut self.endpoints {
            endpoint.begin();
        }
    }

    /// Asks all checks now; it is alive only when each has answered.
    pub(crate) fn demand(&mut self, now: Duration) {
        if let Told::Alive(_) = self.told {
            self.told = Told::Nothing;
        }
        for check in &mut self.checks {
            check.demand(now);
        }
        if self.endpoints.len() == 1 {
            self.check_mut(CheckKind::Write).wanted = PROPOSALS;
        }
        self.news = false;
    }

    /// Leaves a time out of account in which this process did not run, so that nobody listened.
    pub(crate) fn excuse(&mut self, time: Duration, now: Duration) {
        self.excused += time;
        for check in &mut self.checks {
            check.excuse(time, now);
        }
        if let Told::Alive(at) = &mut self.told {
            *at = now.min(*at + time);
        }
    }

    /// For how long etcd must prove itself after an outage.
    pub(crate) fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// From now on a start depends on what is told, or does not.
    pub(crate) fn prove(&mut self, proving: bool) {
        if proving && !self.proving {
            // What was forgiven before stays so.
            self.checks.iter_mut().for_each(Check::forgive);
        }
        if self.proving && !proving {
            self.accept();
        }
        self.proving = proving;
    }

    /// A start was proved: the cluster that it was proved of is the one that is meant.
    pub(super) fn accept(&mut self) {
        let Some(cluster) = self.store_identity.cluster_id() else {
            return;
        };
        if let Some(before) = self.accepted.replace(cluster).filter(|&it| it != cluster) {
            self.warnings
                .push(HealthWarning::Accepted { cluster, before });
        }
    }

    /// What is to be logged by now.
    pub(crate) fn take_warnings(&mut self) -> Vec<HealthWarning> {
        core::mem::take(&mut self.warnings)
    }

    /// On a clean run that a start depends on nothing is forgiven.
    pub(super) fn is_strict(&self) -> bool {
        self.proving && self.clean
    }

    /// How many questions it takes until every check had a fair try: where there are several members,
    /// a second one has its turn, or one that is slow would be an outage for all.
    pub(super) fn turns(&self) -> u32 {
        if self.endpoints.len() > 1 { 2 } else { 1 }
    }

    /// When a check has owed an answer for so long that a clean run is void.
    pub(super) fn overdue_at(&self, kind: CheckKind) -> Option<Duration> {
        let budget = self.timing.latency_budget * self.turns();
        let since = self.check(kind).owed_since;
        since
            .map(|since| since + budget)
            .filter(|_| self.is_strict())
    }

    /// What is known of the store as the member at `index` is asked.
    pub(super) fn baseline(&self, index: usize) -> Baseline {
        let endpoint = &self.endpoints[index];
        self.store_identity
            .baseline(endpoint.member_id(), endpoint.term())
    }

    /// What the member at `index` is asked now.
    pub(crate) fn question(
        &self,
        index: usize,
        kind: CheckKind,
        look: bool,
        now: Duration,
    ) -> CheckRequest {
        CheckRequest {
            kind,
            at: now,
            baseline: self.baseline(index),
            excused: self.excused,
            look,
        }
    }

    pub(crate) fn endpoints(&self) -> &[EndpointState] {
        &self.endpoints
    }

    /// The checks that are to be asked.
    pub(crate) fn due(&self, now: Duration) -> impl Iterator<Item = CheckKind> + use<> {
        let due = CheckKind::ALL.map(|kind| {
            now >= self.check(kind).due_at
                || kind == CheckKind::Read && self.wants_to_know_more(now)
        });
        CheckKind::ALL
            .into_iter()
            .filter(move |&kind| due[kind as usize])
    }

    /// Another check owes an answer for long, and no read was asked for since, which tells more of why.
    pub(super) fn wants_to_know_more(&self, now: Duration) -> bool {
        let in_doubt = [CheckKind::Progress, CheckKind::Write]
            .into_iter()
            .filter(|&kind| self.in_doubt(kind, now));
        let since = in_doubt
            .filter_map(|kind| self.check(kind).owed_since)
            .max();
        let read = self.check(CheckKind::Read);
        since.is_some_and(|since| read.owed_since.is_none() && !read.is_settled(since))
    }

    /// A check is asked, or would be if anybody could be reached.
    pub(crate) fn asked(&mut self, kind: CheckKind, now: Duration) {
        let Timing {
            latency_budget,
            recheck,
            ..
        } = self.timing;
        if self.check(kind).owed_since.is_none() && kind == CheckKind::Read {
            self.endpoints
                .iter_mut()
                .for_each(EndpointState::forget_leader);
        }
        let check = self.check(kind);
        // A good answer is given its time; doubt is looked into more often.
        let in_doubt = !check.proved || check.owed_since.is_some();
        let again_in = if in_doubt { recheck } else { latency_budget };
        self.check_mut(kind).asked(now, again_in);
    }

    /// Whether a check has owed an answer for so long that the member is asked what it thinks.
    pub(crate) fn in_doubt(&self, kind: CheckKind, now: Duration) -> bool {
        let budget = self.timing.latency_budget;
        self.check(kind)
            .owed_since
            .is_some_and(|since| now >= since + budget)
    }

    /// A member of this cluster was reached.
    pub(crate) fn opened(&mut self, index: usize, cluster_id: Option<u64>, now: Duration) {
        self.endpoints[index].opened(cluster_id);
        self.ask_debtors(now);
    }

    /// What is open goes on leading to a cluster: each endpoint that is to be held against what all others show, now and
    /// then.
    pub(crate) fn shows(&mut self, now: Duration) -> Vec<(usize, u64)> {
        if self.pending.is_some() || now < self.shown_at + self.timing.lately() / 4 {
            return Vec::new();
        }
        self.shown_at = now;
        let endpoints = self.endpoints.iter().enumerate();
        endpoints
            .filter_map(|(index, endpoint)| Some((index, endpoint.cluster_id()?)))
            .collect()
    }

    /// A member is lost.
    pub(crate) fn lost(&mut self, index: usize, cause: EtcdError, now: Duration) {
        self.doubt_others(index);
        self.endpoints[index].lost(cause);
        self.ask_debtors(now);
    }

    /// A member that worked fails. Those that were lost before may be back by now: what is known of
    /// them is to be looked at again before all count as lost.
    pub(super) fn doubt_others(&mut self, index: usize) {
        if self.endpoints[index].usable() {
            self.endpoints.iter_mut().for_each(EndpointState::doubt);
        }
    }

    /// A member is looked at by a read: that is asked for, if it is owed.
    pub(crate) fn looked(&mut self, now: Duration) {
        if self.check(CheckKind::Read).owed_since.is_some() {
            self.asked(CheckKind::Read, now);
        }
    }

    /// Etcd is alive: whoever is not reached can wait.
    pub(crate) fn is_calm(&self, now: Duration) -> bool {
        let alive = matches!(self.told, Told::Alive(_));
        alive && !self.owes(now) && self.endpoints.iter().any(EndpointState::usable)
    }

    /// What is owed may be had now, or must be had from somebody else.
    pub(super) fn ask_debtors(&mut self, now: Duration) {
        for check in &mut self.checks {
            if check.owed_since.is_some() {
                check.due_at = now;
            }
        }
    }

    /// Takes an answer of the member at `index`. `split` if the endpoints are not of one cluster by now.
    pub(crate) fn answered(
        &mut self,
        index: usize,
        asked: CheckRequest,
        answer: Answer,
        split: bool,
        now: Duration,
    ) {
        let (baseline, asked_at) = (asked.baseline, asked.at);
        let kind = match answer {
            Answer::Status { leader } => return self.endpoints[index].told(leader),
            Answer::Read(store) => {
                if !self.remember(index, baseline, store, split, now) {
                    return;
                }
                CheckKind::Read
            }
            // Of two clusters nobody knows which one this is evidence of.
            _ if split => return,
            Answer::Progress => CheckKind::Progress,
            Answer::Write => {
                self.writes += 1;
                if self.endpoints.len() == 1 {
                    // See PROPOSALS: with no second proposal soon, a read tells whether it hangs now.
                    self.check_mut(CheckKind::Read).due_at = now;
                }
                self.unchecked = false;
                self.endpoints[index].proposed(false);
                CheckKind::Write
            }
        };
        let (every, was_in_doubt) = (self.every(kind), self.in_doubt(kind, now));
        let excused = self.excused.saturating_sub(asked.excused);
        let took = now.saturating_sub(asked_at).saturating_sub(excused);
        let late = took > self.timing.latency_budget;
        if late && asked.look && self.check(kind).owed_since.is_none() {
            // Nobody depends on that member.
            return;
        }
        let check = self.check_mut(kind);
        check.by = Some(index);
        if late {
            check.answered_late(asked_at, every, now);
        } else {
            check.answered(asked_at, every, now);
        }
        if was_in_doubt {
            // What held this one up may have held up the others, and is over.
            self.ask_debtors(now);
        }
        // A late answer is a sign of life, too, where a good one was given before.
        self.news = true;
    }

    /// A question to the member at `index` failed. One that only looked at that member casts no doubt
    /// on the cluster.
    pub(crate) fn failed(
        &mut self,
        index: usize,
        asked: CheckRequest,
        cause: EtcdError,
        now: Duration,
    ) {
        let CheckRequest {
            kind,
            at: asked_at,
            look,
            ..
        } = asked;
        let recheck = self.timing.recheck;
        if kind == CheckKind::Write && self.endpoints[index].usable() && is_refusal(&cause) {
            return self.refused(index, asked_at, &cause, now);
        }
        if kind != CheckKind::Write {
            self.doubt_others(index);
            self.endpoints[index].failed(&cause);
        }
        if look && self.check(kind).owed_since.is_none() {
            return;
        }
        // Nobody could listen for a part of that time.
        let excused = self.excused.saturating_sub(asked.excused);
        let since = now.min(asked_at + excused);
        self.check_mut(kind)
            .failed(asked_at, since, cause, recheck, now);
    }

    /// When the next check is due, or [`next`](Self::next) may have something to say though nothing
    /// is answered. At least once in the shortest period, so that lateness tells how long the process
    /// did not run.
    pub(crate) fn wake_at(&self, now: Duration) -> Duration {
        let Timing { latency_budget, .. } = self.timing;
        let every = self.timing.shortest_every();
        let told = match self.told {
            Told::Failing(at) => Some(at + every),
            Told::Alive(at) => Some(at + self.timing.longest_gap()),
            Told::Nothing => None,
        };
        let checks = self.checks.iter().flat_map(|check| {
            let in_doubt_at = check.owed_since.map(|since| since + latency_budget);
            [Some(check.due_at), check.fails_at(), in_doubt_at]
        });
        let checks = checks.chain(CheckKind::ALL.map(|kind| self.overdue_at(kind)));
        let wakes = checks.chain([told]).flatten().filter(|&at| at > now);
        wakes.min().unwrap_or(now + every).min(now + every)
    }

    /// Some check owes a good answer for longer than one may take.
    pub(super) fn owes(&self, now: Duration) -> bool {
        CheckKind::ALL.iter().any(|&kind| self.in_doubt(kind, now))
    }

    /// Holds a read against what is remembered. `false` if it is no evidence.
    pub(super) fn remember(
        &mut self,
        index: usize,
        baseline: Baseline,
        store: Store,
        split: bool,
        now: Duration,
    ) -> bool {
        if split {
            self.endpoints[index].read(store, None);
            return false;
        }
        match self.store_identity.read(baseline, store) {
            Comparison::Same => {
                let term = self
                    .store_identity
                    .is_current(baseline)
                    .then_some(store.term);
                self.endpoints[index].read(store, term);
                true
            }
            Comparison::Reset(why) => {
                self.endpoints
                    .iter_mut()
                    .for_each(EndpointState::forget_term);
                self.endpoints[index].read(store, Some(store.term));
                let why = format!("{}: {why}", self.endpoints[index].url());
                if self.verdicts.of(Fault::StoreReset) == Verdict::Transient {
                    self.warnings.push(HealthWarning::Reset(why));
                    return true;
                }
                // Conclusion once, and then every check must prove itself anew.
                self.told = Told::Nothing;
                self.clean = false;
                self.demand(now);
                self.pending = Some(self.says(Fault::StoreReset, &why));
                false
            }
        }
    }

    /// The user may not make proposals there, though it may read: another member is asked. If none
    /// lets it, the write path is left unchecked, and that is said once.
    pub(super) fn refused(
        &mut self,
        index: usize,
        asked_at: Duration,
        cause: &EtcdError,
        now: Duration,
    ) {
        self.endpoints[index].proposed(true);
        if self
            .endpoints
            .iter()
            .any(|endpoint| endpoint.usable() && !endpoint.refuses())
        {
            self.check_mut(CheckKind::Write).due_at = now;
            return;
        }
        if !self.unchecked_said {
            let (url, why) = (self.endpoints[index].url().to_owned(), cause.text.clone());
            self.warnings.push(HealthWarning::Unchecked { url, why });
        }
        self.unchecked = true;
        self.unchecked_said = true;
        let every = self.every(CheckKind::Write).max(self.timing.refused);
        let check = self.check_mut(CheckKind::Write);
        check.by = None;
        check.answered(asked_at, every, now);
    }

    pub(super) fn every(&self, kind: CheckKind) -> Duration {
        let every = self.check(kind).timing.every;
        match kind {
            CheckKind::Progress | CheckKind::Read => every,
            CheckKind::Write => every - self.jitter.jitter_of(self.writes),
        }
    }

    pub(super) fn check(&self, kind: CheckKind) -> &Check {
        &self.checks[kind as usize]
    }

    pub(super) fn check_mut(&mut self, kind: CheckKind) -> &mut Check {
        &mut self.checks[kind as usize]
    }
}

/// The server knows what was asked for, and does not let this user have it.
fn is_refusal(cause: &EtcdError) -> bool {
    cause.fault == Fault::Permission && cause.sure
}

#[cfg(test)]
mod tests;
