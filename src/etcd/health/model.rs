//! The health model. Pure: the time is a parameter, and there is no I/O.

use core::time::Duration;

use super::answer::{Answer, Store};
use super::check::{Check, CheckKind};
use super::endpoint_state::EndpointState;
use super::store_identity::{Baseline, Comparison, StoreIdentity};
use crate::etcd::basics::{EtcdError, Fault, Verdict, Verdicts};
use crate::etcd::client::Timing;
use crate::policy::{Policy, Tuning};

/// Derives the health of etcd from the answers of all members.
pub(crate) struct HealthModel {
    pub(super) timing: Timing,
    pub(super) verdicts: Verdicts,
    pub(super) endpoints: Vec<EndpointState>,
    pub(super) checks: [Check; 3],
    pub(super) store_identity: StoreIdentity,
    /// Whether all members refuse proposals of this user, so the write path is not checked.
    pub(super) unchecked: bool,
    /// Whether that was logged.
    pub(super) unchecked_said: bool,
    /// How many proposals were answered, for their jitter.
    pub(super) writes: u64,
    pub(super) jitter: Tuning,
    pub(super) told: LastConclusion,
    /// Whether a start depends on the observations: then no check may fail even for a moment.
    pub(super) proving: bool,
    /// Whether etcd was reported alive since it was last reported failing: a clean run.
    pub(super) clean: bool,
    /// Whether a good answer came since the last observation.
    pub(super) news: bool,
    /// How long this process did not run, in total.
    pub(super) excused: Duration,
    pub(super) pending: Option<Conclusion>,
    /// The warnings to log.
    pub(super) warnings: Vec<HealthWarning>,
    /// Since when the endpoints belong to more than one cluster, and until when they did.
    pub(super) split_since: Option<Duration>,
    pub(super) split_until: Option<Duration>,
    /// The window for which etcd must stay alive after an outage. The supervisor enforces it.
    pub(super) window: Duration,
    /// When the clusters of all open connections were last shown.
    pub(super) shown_at: Duration,
    /// The cluster that was accepted at the last start.
    pub(super) accepted: Option<u64>,
}

/// A conclusion about etcd, which becomes an observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    Alive {
        evidence: String,
    },
    Failing {
        fault: Fault,
        /// Whether no restart can repair it.
        fatal: bool,
        reason: String,
    },
}

/// A warning to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HealthWarning {
    /// Another cluster than before is accepted.
    Accepted { cluster: u64, before: u64 },
    /// The store was reset, which is tolerated; where and how this was seen.
    Reset { endpoint: String, why: String },
    /// All members refuse proposals of this user.
    Unchecked { endpoint: String, why: String },
}

/// The last conclusion, and when it was returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastConclusion {
    Nothing,
    Alive(Duration),
    Failing(Duration),
}

/// One request of a check, with the knowledge about the store when it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckRequest {
    pub(crate) kind: CheckKind,
    pub(crate) at: Duration,
    pub(crate) baseline: Baseline,
    /// How long this process had not run by then, in total.
    pub(crate) excused: Duration,
    /// Whether it only checks that member, and not the cluster.
    pub(crate) look: bool,
}

/// A single member answers a proposal before it is on its disk, in versions before 3.4.21 and 3.5.5
/// (etcd#14370): only the second proposal waits for the first.
const PROPOSALS: u32 = 2;

impl HealthModel {
    /// A model of the endpoints with these URLs, each with or without TLS.
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
            told: LastConclusion::Nothing,
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

    /// Starts anew, because nothing was observed for a while.
    ///
    /// The store is not forgotten. Otherwise a store that is wiped in between would go unnoticed.
    pub(crate) fn restart(&mut self, now: Duration) {
        self.told = LastConclusion::Nothing;
        self.clean = false;
        self.pending = None;
        self.demand(now);
        for endpoint in &mut self.endpoints {
            endpoint.begin();
        }
    }

    /// Makes all checks due now. etcd is alive only when each of them was answered.
    pub(crate) fn demand(&mut self, now: Duration) {
        if let LastConclusion::Alive(_) = self.told {
            self.told = LastConclusion::Nothing;
        }
        for check in &mut self.checks {
            check.demand(now);
        }
        if self.endpoints.len() == 1 {
            self.check_mut(CheckKind::Write).wanted = PROPOSALS;
        }
        self.news = false;
    }

    /// Excludes a time in which this process did not run.
    pub(crate) fn excuse(&mut self, time: Duration, now: Duration) {
        self.excused += time;
        for check in &mut self.checks {
            check.excuse(time, now);
        }
        if let LastConclusion::Alive(at) = &mut self.told {
            *at = now.min(*at + time);
        }
    }

    /// Sets for how long etcd must stay alive after an outage.
    pub(crate) fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// Sets whether a start depends on the observations from now on.
    pub(crate) fn prove(&mut self, proving: bool) {
        if proving && !self.proving {
            // Past failures stay forgiven.
            self.checks.iter_mut().for_each(Check::forgive);
        }
        if self.proving && !proving {
            self.accept();
        }
        self.proving = proving;
    }

    /// Accepts the cluster for which the start was proved.
    pub(super) fn accept(&mut self) {
        let Some(cluster) = self.store_identity.cluster_id() else {
            return;
        };
        if let Some(before) = self.accepted.replace(cluster).filter(|&it| it != cluster) {
            self.warnings
                .push(HealthWarning::Accepted { cluster, before });
        }
    }

    /// Takes the warnings to log.
    pub(crate) fn take_warnings(&mut self) -> Vec<HealthWarning> {
        core::mem::take(&mut self.warnings)
    }

    /// Whether no failure is tolerated: a start depends on this clean run.
    pub(super) fn is_strict(&self) -> bool {
        self.proving && self.clean
    }

    /// How many failed requests of a check end a clean run.
    ///
    /// If there are several members, a second one is asked before. Otherwise one slow member would be an outage for
    /// all.
    pub(super) fn turns(&self) -> u32 {
        if self.endpoints.len() > 1 { 2 } else { 1 }
    }

    /// When a missing answer of a check ends a clean run.
    pub(super) fn overdue_at(&self, kind: CheckKind) -> Option<Duration> {
        let budget = self.timing.latency_budget * self.turns();
        let since = self.check(kind).owed_since;
        since
            .map(|since| since + budget)
            .filter(|_| self.is_strict())
    }

    /// What is known of the store when a request is sent to the member at `index`.
    pub(super) fn baseline(&self, index: usize) -> Baseline {
        let endpoint = &self.endpoints[index];
        self.store_identity
            .baseline(endpoint.member_id(), endpoint.term())
    }

    /// A request to the member at `index` now.
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

    /// The checks that are due.
    pub(crate) fn due(&self, now: Duration) -> impl Iterator<Item = CheckKind> + use<> {
        let due = CheckKind::ALL.map(|kind| {
            now >= self.check(kind).due_at
                || kind == CheckKind::Read && self.wants_to_know_more(now)
        });
        CheckKind::ALL
            .into_iter()
            .filter(move |&kind| due[kind as usize])
    }

    /// Whether another check misses an answer for long, and no read, which shows more of the cause, was sent since.
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

    /// Notes that the request of a check is sent, or would be if a member could be reached.
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
        // A good answer may take the latency budget; in doubt the request is repeated sooner.
        let in_doubt = !check.proved || check.owed_since.is_some();
        let again_in = if in_doubt { recheck } else { latency_budget };
        self.check_mut(kind).asked(now, again_in);
    }

    /// Whether the answer of a check is missing for so long that the members are asked for their status.
    pub(crate) fn in_doubt(&self, kind: CheckKind, now: Duration) -> bool {
        let budget = self.timing.latency_budget;
        self.check(kind)
            .owed_since
            .is_some_and(|since| now >= since + budget)
    }

    /// Notes a new connection to a member of this cluster.
    pub(crate) fn opened(&mut self, index: usize, cluster_id: Option<u64>, now: Duration) {
        self.endpoints[index].opened(cluster_id);
        self.ask_debtors(now);
    }

    /// The clusters of all open connections, at intervals, so that they stay comparable with those of others.
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

    /// Notes that the connection to a member is lost.
    pub(crate) fn lost(&mut self, index: usize, cause: EtcdError, now: Duration) {
        self.doubt_others(index);
        self.endpoints[index].lost(cause);
        self.ask_debtors(now);
    }

    /// If a member that worked fails, makes the failures of the others uncertain.
    ///
    /// Members that were lost before may be back by now, so they are checked again before all count as lost.
    pub(super) fn doubt_others(&mut self, index: usize) {
        if self.endpoints[index].usable() {
            self.endpoints.iter_mut().for_each(EndpointState::doubt);
        }
    }

    /// Notes a read that checks a member. If a read was missing, it counts as sent.
    pub(crate) fn looked(&mut self, now: Duration) {
        if self.check(CheckKind::Read).owed_since.is_some() {
            self.asked(CheckKind::Read, now);
        }
    }

    /// Whether etcd is alive, so that members that are not reached can wait.
    pub(crate) fn is_calm(&self, now: Duration) -> bool {
        let alive = matches!(self.told, LastConclusion::Alive(_));
        alive && !self.owes(now) && self.endpoints.iter().any(EndpointState::usable)
    }

    /// Makes all checks with a missing answer due now: a member may have come back, or another one must be asked.
    pub(super) fn ask_debtors(&mut self, now: Duration) {
        for check in &mut self.checks {
            if check.owed_since.is_some() {
                check.due_at = now;
            }
        }
    }

    /// Takes an answer of the member at `index`. `split` if the endpoints no longer belong to one cluster.
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
            // With two clusters it is unknown for which one this is evidence.
            _ if split => return,
            Answer::Progress => CheckKind::Progress,
            Answer::Write => {
                self.writes += 1;
                if self.endpoints.len() == 1 {
                    // See PROPOSALS: without a second proposal soon, a read shows whether the member hangs now.
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
            // No check depends on that member.
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
            // The cause of the delay may have delayed the other checks too, and is over.
            self.ask_debtors(now);
        }
        // A late answer is also a sign of life if a good one came before.
        self.news = true;
    }

    /// Takes the failure of a request to the member at `index`.
    ///
    /// A request that only checked that member says nothing about the cluster.
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
        // The process did not run for a part of that time.
        let excused = self.excused.saturating_sub(asked.excused);
        let since = now.min(asked_at + excused);
        self.check_mut(kind)
            .failed(asked_at, since, cause, recheck, now);
    }

    /// When the next check is due, or [`next`](Self::next) may return a conclusion without a new answer.
    ///
    /// At least once per shortest interval, so that a late wake-up shows how long the process did not run.
    pub(crate) fn wake_at(&self, now: Duration) -> Duration {
        let Timing { latency_budget, .. } = self.timing;
        let every = self.timing.shortest_every();
        let told = match self.told {
            LastConclusion::Failing(at) => Some(at + every),
            LastConclusion::Alive(at) => Some(at + self.timing.longest_gap()),
            LastConclusion::Nothing => None,
        };
        let checks = self.checks.iter().flat_map(|check| {
            let in_doubt_at = check.owed_since.map(|since| since + latency_budget);
            [Some(check.due_at), check.fails_at(), in_doubt_at]
        });
        let checks = checks.chain(CheckKind::ALL.map(|kind| self.overdue_at(kind)));
        let wakes = checks.chain([told]).flatten().filter(|&at| at > now);
        wakes.fold(now + every, Duration::min)
    }

    /// Whether the answer of some check is missing for longer than the latency budget.
    pub(super) fn owes(&self, now: Duration) -> bool {
        CheckKind::ALL.iter().any(|&kind| self.in_doubt(kind, now))
    }

    /// Compares a read with the known store. Returns `false` if the read is no evidence.
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
                let endpoint = self.endpoints[index].url().to_owned();
                if self.verdicts.of(Fault::StoreReset) == Verdict::Transient {
                    self.warnings.push(HealthWarning::Reset { endpoint, why });
                    return true;
                }
                // Reported once. After that every check needs a new answer.
                self.told = LastConclusion::Nothing;
                self.clean = false;
                self.demand(now);
                let why = format!("{endpoint}: {why}");
                self.pending = Some(self.says(Fault::StoreReset, &why));
                false
            }
        }
    }

    /// Handles a member that refuses proposals of this user: another member is asked.
    ///
    /// If all members refuse, the write path is not checked, and this is logged once.
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
            let (endpoint, why) = (self.endpoints[index].url().to_owned(), cause.text.clone());
            self.warnings
                .push(HealthWarning::Unchecked { endpoint, why });
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

/// Whether the server refuses the request because this user lacks the right.
fn is_refusal(cause: &EtcdError) -> bool {
    cause.fault == Fault::Permission && cause.sure
}

#[cfg(test)]
mod tests;
