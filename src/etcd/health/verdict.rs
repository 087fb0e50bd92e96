//! What is told: alive or failing, of which class, and why.

use core::time::Duration;

use super::judge::{Judge, Said, Told};
use super::layer::Kind;
use super::seat::{Seat, usable};
use crate::etcd::basics::{Fault, Verdict};

impl Judge {
    /// What is due to be told, if anything. `split` says in words that the endpoints are not of one cluster, if so.
    pub(crate) fn next(&mut self, split: Option<&str>, now: Duration) -> Option<Said> {
        if let Some(said) = self.pending.take() {
            return Some(said);
        }
        let every = self.timing.shortest_every();
        self.split_since = self.split_since.filter(|_| split.is_some());
        if split.is_some() {
            self.split_since.get_or_insert(now);
            self.split_until = Some(now);
            // Whatever was heard is evidence of nobody knows which of them.
            for layer in self.layers.iter_mut().filter(|layer| layer.proved) {
                layer.proved = false;
                layer.due_at = layer.due_at.min(now);
            }
        }
        let failing = self
            .misdirected(split, now)
            .or_else(|| self.was_misdirected(now))
            .or_else(|| self.failing(now));
        if let Told::Failing(at) = self.told
            && now < at + every
            && (failing.is_some() || !self.proved())
        {
            return None;
        }
        if let Some((fault, why)) = failing {
            return Some(self.fail(fault, &why, now));
        }
        // Each layer, and each of several members, gives evidence; so many observations are enough.
        let recent = matches!(self.told, Told::Alive(at) if now < at + every.mul_f32(0.5));
        let alive = self.news && self.proved() && !self.owes(now) && split.is_none();
        (alive && !recent).then(|| {
            self.told = Told::Alive(now);
            self.clean = true;
            self.news = false;
            self.accepted = self.accepted.or(self.memory.cluster_id());
            Said::Alive {
                evidence: self.evidence(),
            }
        })
    }

    /// The endpoints are of more than one cluster.
    fn misdirected(&self, split: Option<&str>, now: Duration) -> Option<(Fault, String)> {
        let patience = match self.verdicts.of(Fault::Misdirected) {
            Verdict::Transient => self.timing.read.patience,
            Verdict::Certain | Verdict::Fatal => Duration::ZERO,
        };
        let is_told = self
            .split_since
            .is_some_and(|since| now >= since + patience);
        let told = split.filter(|_| is_told);
        told.map(|why| (Fault::Misdirected, why.to_owned()))
    }

    /// They were, and that some of them do not answer any more tells nobody which one is meant. At boot the
    /// supervisor lets the first good observation do; after an outage it sees to the window itself.
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

    /// Every layer has given a good answer since judging began or since it failed.
    fn proved(&self) -> bool {
        Kind::ALL.iter().all(|&kind| self.layer(kind).proved)
    }

    /// What fails, and why.
    fn failing(&self, now: Duration) -> Option<(Fault, String)> {
        let verdict = |fault| self.verdicts.of(fault);
        let strict = self.is_strict();
        let lasts = |kind: Kind| {
            let layer = self.layer(kind);
            let fails = layer.fails_at().is_some_and(|at| now >= at);
            let overdue = || self.overdue_at(kind).is_some_and(|at| now >= at);
            fails || strict && (layer.failures >= self.turns() || overdue())
        };
        for kind in [Kind::Write, Kind::Read, Kind::Progress] {
            let layer = self.layer(kind);
            if let Some(cause) = &layer.cause
                && cause.of_cluster()
                && (verdict(cause.fault) != Verdict::Transient || lasts(kind))
            {
                return Some((cause.fault, cause.text.clone()));
            }
        }
        if self.seats.iter().all(Seat::surely_lost) {
            let fault = self.worst_seat();
            let long = Kind::ALL.into_iter().any(lasts);
            if verdict(fault) != Verdict::Transient || long {
                return Some((fault, self.seats_say()));
            }
            return None;
        }
        if let Some(kind) = [Kind::Read, Kind::Progress, Kind::Write]
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
        let slow = |kind: &Kind| self.layer(*kind).slow >= slow_answers;
        if let Some(slow) = Kind::ALL.into_iter().find(slow) {
            return Some((Fault::TooSlow, self.slowness(slow)));
        }
        // Debts that overlap, each within its patience: no more may be silent than is promised.
        let gap = self.timing.longest_gap();
        let silent = matches!(self.told, Told::Alive(at) if now >= at + gap);
        let in_doubt = Kind::ALL
            .into_iter()
            .filter(|&kind| self.in_doubt(kind, now));
        let longest = in_doubt.min_by_key(|&kind| self.layer(kind).owed_since);
        longest
            .filter(|_| silent)
            .map(|kind| self.overdue(kind, now))
    }

    /// The class of a layer that was not answered in time.
    fn overdue(&self, kind: Kind, now: Duration) -> (Fault, String) {
        let layer = self.layer(kind);
        let patience = layer.timing.patience;
        let owed_for = layer
            .owed_since
            .map_or(patience, |since| now.saturating_sub(since));
        let late_of_late = layer.late_at.is_some_and(|at| now < at + patience);
        // Whoever confirms no read commits nothing either: then the read tells what is wrong.
        let reads_late = self.in_doubt(Kind::Read, now);
        let telling = if reads_late { Kind::Read } else { kind };
        let fault = match &layer.cause {
            Some(cause) if cause.fault != Fault::Unreachable => cause.fault,
            // Answers come, but each so late that it was given up.
            _ if late_of_late => return (Fault::TooSlow, self.slowness(kind)),
            _ => match telling {
                Kind::Read if self.seats.iter().any(Seat::leaderless) => Fault::NoLeader,
                Kind::Read if self.seats.iter().any(Seat::responsive) => Fault::WritePath,
                Kind::Write if self.seats.iter().any(Seat::usable) => Fault::WritePath,
                _ => self.worst_seat(),
            },
        };
        let what = match kind {
            Kind::Progress => "no watch told its progress",
            Kind::Read => "no read was confirmed by a quorum",
            Kind::Write => "nothing was committed",
        };
        let mut text = format!("{what} for {:.2?}", owed_for.min(patience));
        if let Some(cause) = &layer.cause {
            text = format!("{text} ({})", cause.text);
        }
        for seat in &self.seats {
            let otherwise = match kind {
                _ if reads_late => "no answer",
                Kind::Progress => "its watch is silent",
                Kind::Read | Kind::Write => "reads are answered",
            };
            let says = seat.complaint();
            text += "; ";
            text += &says.unwrap_or_else(|| format!("{}: {otherwise}", seat.url()));
        }
        (fault, text)
    }

    fn slowness(&self, kind: Kind) -> String {
        let budget = self.timing.latency_budget;
        let latency = self.layer(kind).latency.unwrap_or_default();
        let what = match kind {
            Kind::Progress => "watch progress",
            Kind::Read => "a linearizable read",
            Kind::Write => "a proposal",
        };
        format!("{what} took {latency:.1?}, and {budget:?} is the budget")
    }

    /// What is wrong with most members; of two that are as frequent, the one that a server told goes
    /// before silence.
    fn worst_seat(&self) -> Fault {
        let faults: Vec<Fault> = self.seats.iter().filter_map(Seat::fault).collect();
        let count = |fault| faults.iter().filter(|&&other| other == fault).count();
        let worst = faults
            .iter()
            .copied()
            .max_by_key(|&fault| (count(fault), fault.gravity()));
        worst.unwrap_or(Fault::Unreachable)
    }

    fn seats_say(&self) -> String {
        let says: Vec<String> = self.seats.iter().filter_map(Seat::complaint).collect();
        says.join("; ")
    }

    fn fail(&mut self, fault: Fault, why: &str, now: Duration) -> Said {
        let newly = !matches!(self.told, Told::Failing(_));
        self.told = Told::Failing(now);
        self.clean = false;
        if newly {
            for layer in &mut self.layers {
                layer.proved = false;
                layer.due_at = layer.due_at.min(now);
            }
            self.news = false;
        }
        self.says(fault, why)
    }

    pub(crate) fn says(&self, fault: Fault, why: &str) -> Said {
        let stop = if why.ends_with(['.', '?']) { "" } else { "." };
        let reason = format!("{fault}: {why}{stop} To do: {}", fault.advice());
        let fatal = self.verdicts.of(fault) == Verdict::Fatal;
        Said::Failing {
            fault,
            fatal,
            reason,
        }
    }

    fn evidence(&self) -> String {
        let revision = self.memory.revision();
        let mut text = String::new();
        let mut speaker = None;
        for kind in [Kind::Read, Kind::Progress, Kind::Write] {
            let layer = self.layer(kind);
            let latency = layer.latency.unwrap_or_default();
            let says = match kind {
                Kind::Read => format!("read at revision {revision} in {latency:.1?}"),
                Kind::Progress => format!("watch progress in {latency:.1?}"),
                Kind::Write if self.unchecked => "write path not checked".to_owned(),
                Kind::Write => format!("proposal in {latency:.1?}"),
            };
            if let Some(index) = layer.by.filter(|by| speaker != Some(*by)) {
                let separator = if speaker.is_some() { "; " } else { "" };
                speaker = Some(index);
                text += &format!("{separator}{}: {says}", self.seats[index].name());
            } else {
                text += &format!(", {says}");
            }
        }
        if let Some(unusable) = usable(&self.seats) {
            text = format!("{text}; {unusable}");
        }
        text
    }
}
