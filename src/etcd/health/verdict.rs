//! The conclusions of the health model: alive or failing, the class and the reason.

use core::time::Duration;

use super::check::CheckKind;
use super::endpoint_state::{EndpointState, usable};
use super::model::{Conclusion, HealthModel, LastConclusion};
use crate::etcd::basics::{Fault, Verdict};

impl HealthModel {
    /// The conclusion that is due, if any. `split` describes the problem if the endpoints belong to several clusters.
    pub(crate) fn next(&mut self, split: Option<&str>, now: Duration) -> Option<Conclusion> {
        if let Some(said) = self.pending.take() {
            return Some(said);
        }
        let every = self.timing.shortest_every();
        self.split_since = self.split_since.filter(|_| split.is_some());
        if split.is_some() {
            self.split_since.get_or_insert(now);
            self.split_until = Some(now);
            // It is unknown for which cluster earlier answers are evidence.
            for check in self.checks.iter_mut().filter(|check| check.proved) {
                check.proved = false;
                check.due_at = check.due_at.min(now);
            }
        }
        let failing = self
            .misdirected(split, now)
            .or_else(|| self.was_misdirected(now))
            .or_else(|| self.failing(now));
        if let LastConclusion::Failing(at) = self.told
            && now < at + every
            && (failing.is_some() || !self.proved())
        {
            return None;
        }
        if let Some((fault, why)) = failing {
            return Some(self.fail(fault, &why, now));
        }
        // Each check of each member gives evidence. This limits the rate of observations.
        let recent =
            matches!(self.told, LastConclusion::Alive(at) if now < at + every.mul_f32(0.5));
        let alive = self.news && self.proved() && !self.owes(now) && split.is_none();
        (alive && !recent).then(|| {
            self.told = LastConclusion::Alive(now);
            self.clean = true;
            self.news = false;
            self.accepted = self.accepted.or(self.store_identity.cluster_id());
            Conclusion::Alive {
                evidence: self.evidence(),
            }
        })
    }

    /// The failure if the endpoints belong to more than one cluster.
    fn misdirected(&self, split: Option<&str>, now: Duration) -> Option<(Fault, String)> {
        let grace_period = match self.verdicts.of(Fault::Misdirected) {
            Verdict::Transient => self.timing.read.grace_period,
            Verdict::Certain | Verdict::Fatal => Duration::ZERO,
        };
        let is_told = self
            .split_since
            .is_some_and(|since| now >= since + grace_period);
        let told = split.filter(|_| is_told);
        told.map(|why| (Fault::Misdirected, why.to_owned()))
    }

    /// The failure at boot if the endpoints belonged to more than one cluster within the last window.
    ///
    /// If some endpoints no longer answer, it is still unknown which cluster is the intended one. At boot the first
    /// good observation is enough for the supervisor; after an outage the supervisor itself enforces the window.
    fn was_misdirected(&self, now: Duration) -> Option<(Fault, String)> {
        let until = self.split_until? + self.window;
        let is_boot = self.accepted.is_none();
        (is_boot && now < until).then(|| {
            let why = format!(
                "the endpoints were of more than one cluster, and those that answer have not agreed for {:?} yet",
                self.window
            );
            (Fault::Misdirected, why)
        })
    }

    /// Whether every check was answered well since the start or since the last failure.
    fn proved(&self) -> bool {
        CheckKind::ALL.iter().all(|&kind| self.check(kind).proved)
    }

    /// The failure and its reason, if etcd is failing.
    fn failing(&self, now: Duration) -> Option<(Fault, String)> {
        let verdict = |fault| self.verdicts.of(fault);
        let strict = self.is_strict();
        let lasts = |kind: CheckKind| {
            let check = self.check(kind);
            let fails = check.fails_at().is_some_and(|at| now >= at);
            let overdue = || self.overdue_at(kind).is_some_and(|at| now >= at);
            fails || strict && (check.failures >= self.turns() || overdue())
        };
        for kind in [CheckKind::Write, CheckKind::Read, CheckKind::Progress] {
            let check = self.check(kind);
            if let Some(cause) = &check.cause
                && cause.of_cluster()
                && (verdict(cause.fault) != Verdict::Transient || lasts(kind))
            {
                return Some((cause.fault, cause.text.clone()));
            }
        }
        if self.endpoints.iter().all(EndpointState::surely_lost) {
            let fault = self.worst_endpoint();
            let long = CheckKind::ALL.into_iter().any(lasts);
            if verdict(fault) != Verdict::Transient || long {
                return Some((fault, self.endpoints_say()));
            }
            return None;
        }
        if let Some(kind) = [CheckKind::Read, CheckKind::Progress, CheckKind::Write]
            .into_iter()
            .find(|&kind| lasts(kind))
        {
            return Some(self.overdue(kind, now));
        }
        let slow_answers = if strict {
            self.turns().min(self.timing.slow_answers)
        } else {
            self.timing.slow_answers
        };
        let slow = |kind: &CheckKind| self.check(*kind).slow >= slow_answers;
        if let Some(slow) = CheckKind::ALL.into_iter().find(slow) {
            return Some((Fault::TooSlow, self.slowness(slow)));
        }
        // Missing answers that overlap, each within its grace period: there must be no longer silence than promised.
        let gap = self.timing.longest_gap();
        let silent = matches!(self.told, LastConclusion::Alive(at) if now >= at + gap);
        let in_doubt = CheckKind::ALL
            .into_iter()
            .filter(|&kind| self.in_doubt(kind, now));
        let longest = in_doubt.min_by_key(|&kind| self.check(kind).owed_since);
        longest
            .filter(|_| silent)
            .map(|kind| self.overdue(kind, now))
    }

    /// The class and the reason of a check that was not answered in time.
    fn overdue(&self, kind: CheckKind, now: Duration) -> (Fault, String) {
        let check = self.check(kind);
        let grace_period = check.timing.grace_period;
        let owed_for = check
            .owed_since
            .map_or(grace_period, |since| now.saturating_sub(since));
        let late_of_late = check.late_at.is_some_and(|at| now < at + grace_period);
        // A cluster that confirms no read commits nothing either: then the read shows the cause.
        let reads_late = self.in_doubt(CheckKind::Read, now);
        let telling = if reads_late { CheckKind::Read } else { kind };
        let fault = match &check.cause {
            Some(cause) if cause.fault != Fault::Unreachable => cause.fault,
            // Answers came, but each after its request was given up.
            _ if late_of_late => return (Fault::TooSlow, self.slowness(kind)),
            _ => match telling {
                CheckKind::Read if self.endpoints.iter().any(EndpointState::leaderless) => {
                    Fault::NoLeader
                }
                CheckKind::Read if self.endpoints.iter().any(EndpointState::responsive) => {
                    Fault::WritePath
                }
                CheckKind::Write if self.endpoints.iter().any(EndpointState::usable) => {
                    Fault::WritePath
                }
                _ => self.worst_endpoint(),
            },
        };
        let what = match kind {
            CheckKind::Progress => "no watch told its progress",
            CheckKind::Read => "no read was confirmed by a quorum",
            CheckKind::Write => "nothing was committed",
        };
        let mut text = format!("{what} for {:.2?}", owed_for.min(grace_period));
        if let Some(cause) = &check.cause {
            text = format!("{text} ({})", cause.text);
        }
        for endpoint in &self.endpoints {
            let otherwise = match kind {
                _ if reads_late => "no answer",
                CheckKind::Progress => "its watch is silent",
                CheckKind::Read | CheckKind::Write => "reads are answered",
            };
            let says = endpoint.complaint();
            text += "; ";
            text += &says.unwrap_or_else(|| format!("{}: {otherwise}", endpoint.url()));
        }
        (fault, text)
    }

    fn slowness(&self, kind: CheckKind) -> String {
        let budget = self.timing.latency_budget;
        let latency = self.check(kind).latency.unwrap_or_default();
        let what = match kind {
            CheckKind::Progress => "watch progress",
            CheckKind::Read => "a linearizable read",
            CheckKind::Write => "a proposal",
        };
        format!("{what} took {latency:.1?}, and {budget:?} is the budget")
    }

    /// The most frequent fault among the members. Of two equally frequent ones, the graver one.
    fn worst_endpoint(&self) -> Fault {
        let faults: Vec<Fault> = self
            .endpoints
            .iter()
            .filter_map(EndpointState::fault)
            .collect();
        let count = |fault| faults.iter().filter(|&&other| other == fault).count();
        let worst = faults
            .iter()
            .copied()
            .max_by_key(|&fault| (count(fault), fault.gravity()));
        worst.unwrap_or(Fault::Unreachable)
    }

    fn endpoints_say(&self) -> String {
        let says: Vec<String> = self
            .endpoints
            .iter()
            .filter_map(EndpointState::complaint)
            .collect();
        says.join("; ")
    }

    fn fail(&mut self, fault: Fault, why: &str, now: Duration) -> Conclusion {
        let newly = !matches!(self.told, LastConclusion::Failing(_));
        self.told = LastConclusion::Failing(now);
        self.clean = false;
        if newly {
            for check in &mut self.checks {
                check.proved = false;
                check.due_at = check.due_at.min(now);
            }
            self.news = false;
        }
        self.says(fault, why)
    }

    pub(crate) fn says(&self, fault: Fault, why: &str) -> Conclusion {
        let stop = if why.ends_with(['.', '?']) { "" } else { "." };
        let reason = format!("{fault}: {why}{stop} To do: {}", fault.advice());
        let fatal = self.verdicts.of(fault) == Verdict::Fatal;
        Conclusion::Failing {
            fault,
            fatal,
            reason,
        }
    }

    fn evidence(&self) -> String {
        let revision = self.store_identity.revision();
        let mut text = String::new();
        let mut speaker = None;
        for kind in [CheckKind::Read, CheckKind::Progress, CheckKind::Write] {
            let check = self.check(kind);
            let latency = check.latency.unwrap_or_default();
            let says = match kind {
                CheckKind::Read => format!("read at revision {revision} in {latency:.1?}"),
                CheckKind::Progress => format!("watch progress in {latency:.1?}"),
                CheckKind::Write if self.unchecked => "write path not checked".to_owned(),
                CheckKind::Write => format!("proposal in {latency:.1?}"),
            };
            if let Some(index) = check.by.filter(|by| speaker != Some(*by)) {
                let separator = if speaker.is_some() { "; " } else { "" };
                speaker = Some(index);
                text += &format!("{separator}{}: {says}", self.endpoints[index].name());
            } else {
                text += &format!(", {says}");
            }
        }
        if let Some(unusable) = usable(&self.endpoints) {
            text = format!("{text}; {unusable}");
        }
        text
    }
}
