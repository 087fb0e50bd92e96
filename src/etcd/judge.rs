//! What the answers amount to. Pure: it is told the time and does no I/O.

use std::time::Duration;

use tokio::time::Instant;

use super::cause::Cause;
use super::config::{EtcdConfig, Pace};
use super::connection::{Answer, Store};
use super::fault::{Fault, Verdict};
use super::layer::{Kind, Layer};
use super::memory::{Finding, Mark, Memory};
use super::seat::{Seat, usable};
use crate::Observation;
use crate::policy::Tuning;

/// Judges what the answers of all members amount to.
pub(super) struct Judge {
    config: std::sync::Arc<EtcdConfig>,
    seats: Vec<Seat>,
    layers: [Layer; 3],
    memory: Memory,
    /// Whether proposals cannot be made by this user, so that the write path is not checked.
    unchecked: bool,
    /// Whether that was logged.
    unchecked_said: bool,
    /// How many proposals were answered, for their jitter.
    writes: u64,
    jitter: Tuning,
    told: Told,
    /// Whether a start depends on what is told: then no layer may fail even for a moment.
    proving: bool,
    /// Whether it was told alive since it was last told failing: a clean run.
    clean: bool,
    /// Whether a good answer came since the last observation.
    news: bool,
    pending: Option<Observation>,
}

/// The last observation that was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Alive(Instant),
    Failing(Instant),
}

/// What was asked, when, and what was known of the store then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) kind: Kind,
    pub(super) at: Instant,
    pub(super) mark: Mark,
    /// Only to look at that member.
    pub(super) look: bool,
}

/// A single member answers a proposal before its disk has it, in versions before 3.4.21 and 3.5.5
/// (etcd#14370): only the second proposal waits for the first.
const PROPOSALS: u32 = 2;

impl Judge {
    pub(super) fn new(config: std::sync::Arc<EtcdConfig>, jitter_seed: u64, now: Instant) -> Self {
        let Pace {
            progress,
            read,
            write,
            ..
        } = config.pace;
        Self {
            seats: config.endpoints.iter().map(Seat::new).collect(),
            layers: [progress, read, write].map(|pace| Layer::new(pace, now)),
            memory: Memory::default(),
            unchecked: false,
            unchecked_said: false,
            writes: 0,
            jitter: Tuning::default()
                .jitter(write.every / 8)
                .jitter_seed(jitter_seed),
            told: Told::Nothing,
            proving: false,
            clean: false,
            news: false,
            pending: None,
            config,
        }
    }

    /// Judges anew, as nothing was observed for a while. The store is not forgotten, or one that is
    /// wiped in between would go unnoticed.
    pub(super) fn restart(&mut self, now: Instant) {
        self.told = Told::Nothing;
        self.clean = false;
        self.pending = None;
        self.demand(now);
        for seat in &mut self.seats {
            seat.begin();
        }
    }

    /// Asks all layers now; it is alive only when each has answered.
    pub(super) fn demand(&mut self, now: Instant) {
        if let Told::Alive(_) = self.told {
            self.told = Told::Nothing;
        }
        for layer in &mut self.layers {
            layer.demand(now);
        }
        if self.seats.len() == 1 {
            self.layer_mut(Kind::Write).wanted = PROPOSALS;
        }
        self.news = false;
    }

    /// Leaves a time out of account in which this process did not run, so that nobody listened.
    pub(super) fn excuse(&mut self, time: Duration, now: Instant) {
        for layer in &mut self.layers {
            layer.excuse(time, now);
        }
        if let Told::Alive(at) = &mut self.told {
            *at = now.min(*at + time);
        }
    }

    /// From now on a start depends on what is told, or does not.
    pub(super) fn prove(&mut self, proving: bool) {
        self.proving = proving;
    }

    /// What is known of the store as the member at `index` is asked.
    pub(super) fn mark(&self, index: usize) -> Mark {
        let seat = &self.seats[index];
        self.memory.mark(seat.member_id(), seat.term())
    }

    pub(super) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// The layers that are to be asked.
    pub(super) fn due(&self, now: Instant) -> impl Iterator<Item = Kind> + use<> {
        let due = Kind::ALL.map(|kind| {
            now >= self.layer(kind).due_at || kind == Kind::Read && self.wants_to_know_more(now)
        });
        Kind::ALL
            .into_iter()
            .filter(move |&kind| due[kind as usize])
    }

    /// Another layer owes an answer for long, and no read was asked for since, which tells more of why.
    fn wants_to_know_more(&self, now: Instant) -> bool {
        let in_doubt = [Kind::Progress, Kind::Write]
            .into_iter()
            .filter(|&kind| self.in_doubt(kind, now));
        let since = in_doubt
            .filter_map(|kind| self.layer(kind).owed_since)
            .max();
        let read = self.layer(Kind::Read);
        since.is_some_and(|since| read.owed_since.is_none() && !read.is_settled(since))
    }

    /// A layer is asked, or would be if anybody could be reached.
    pub(super) fn asked(&mut self, kind: Kind, now: Instant) {
        let Pace {
            latency_budget,
            recheck,
            ..
        } = self.config.pace;
        if self.layer(kind).owed_since.is_none() && kind == Kind::Read {
            self.seats.iter_mut().for_each(Seat::forget_leader);
        }
        let layer = self.layer(kind);
        // A good answer is given its time; doubt is looked into more often.
        let in_doubt = !layer.proved || layer.owed_since.is_some();
        let again_in = if in_doubt { recheck } else { latency_budget };
        self.layer_mut(kind).asked(now, again_in);
    }

    /// Whether a layer has owed an answer for so long that the member is asked what it thinks.
    pub(super) fn in_doubt(&self, kind: Kind, now: Instant) -> bool {
        let budget = self.config.pace.latency_budget;
        self.layer(kind)
            .owed_since
            .is_some_and(|since| now >= since + budget)
    }

    /// A member was reached, or lost.
    pub(super) fn opened(&mut self, index: usize, now: Instant) {
        self.seats[index].opened();
        self.ask_debtors(now);
    }

    pub(super) fn lost(&mut self, index: usize, cause: Cause, now: Instant) {
        self.doubt_others(index);
        self.seats[index].lost(cause);
        self.ask_debtors(now);
    }

    /// A member that worked fails. Those that were lost before may be back by now: what is known of
    /// them is to be looked at again before all count as lost.
    fn doubt_others(&mut self, index: usize) {
        if self.seats[index].usable() {
            self.seats.iter_mut().for_each(Seat::doubt);
        }
    }

    /// A member is looked at by a read: that is asked for, if it is owed.
    pub(super) fn looked(&mut self, now: Instant) {
        if self.layer(Kind::Read).owed_since.is_some() {
            self.asked(Kind::Read, now);
        }
    }

    /// Etcd is alive: whoever is not reached can wait.
    pub(super) fn is_calm(&self, now: Instant) -> bool {
        let alive = matches!(self.told, Told::Alive(_));
        alive && !self.owes(now) && self.seats.iter().any(Seat::usable)
    }

    /// What is owed may be had now, or must be had from somebody else.
    fn ask_debtors(&mut self, now: Instant) {
        for layer in &mut self.layers {
            if layer.owed_since.is_some() {
                layer.due_at = now;
            }
        }
    }

    /// Takes an answer of the member at `index`.
    pub(super) fn answered(&mut self, index: usize, asked: Asked, answer: Answer, now: Instant) {
        let (mark, asked_at) = (asked.mark, asked.at);
        let kind = match answer {
            Answer::Status { leader } => return self.seats[index].told(leader),
            Answer::Read(store) => {
                if !self.remember(index, mark, store, now) {
                    return;
                }
                Kind::Read
            }
            // Another cluster is no evidence for this one.
            _ if self.seats[index].foreign() => return,
            Answer::Progress => Kind::Progress,
            Answer::Write => {
                self.writes += 1;
                if self.seats.len() == 1 {
                    // See PROPOSALS: with no second proposal soon, a read tells whether it hangs now.
                    self.layer_mut(Kind::Read).due_at = now;
                }
                self.unchecked = false;
                self.seats[index].proposed(false);
                Kind::Write
            }
        };
        let (every, was_in_doubt) = (self.every(kind), self.in_doubt(kind, now));
        let late = now - asked_at > self.config.pace.latency_budget;
        let layer = self.layer_mut(kind);
        layer.by = Some(index);
        if late {
            layer.answered_late(asked_at, every, now);
        } else {
            layer.answered(asked_at, every, now);
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
    pub(super) fn failed(&mut self, index: usize, asked: Asked, cause: Cause, now: Instant) {
        let Asked {
            kind,
            at: asked_at,
            look,
            ..
        } = asked;
        let recheck = self.config.pace.recheck;
        if kind == Kind::Write && self.seats[index].foreign() {
            return;
        }
        if kind == Kind::Write && self.seats[index].usable() && is_refusal(&cause) {
            return self.refused(index, asked_at, &cause, now);
        }
        if kind != Kind::Write {
            self.doubt_others(index);
            self.seats[index].failed(&cause);
        }
        if look && self.layer(kind).owed_since.is_none() {
            return;
        }
        self.layer_mut(kind).failed(asked_at, cause, recheck, now);
    }

    /// The observation that is due, if any.
    pub(super) fn next(&mut self, now: Instant) -> Option<Observation> {
        if let Some(observation) = self.pending.take() {
            return Some(observation);
        }
        let every = self.config.pace.shortest_every();
        let failing = self.failing(now);
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
        let alive = self.news && self.proved() && !self.owes(now);
        (alive && !recent).then(|| {
            self.told = Told::Alive(now);
            self.clean = true;
            self.news = false;
            Observation::alive(self.evidence())
        })
    }

    /// When the next layer is due, or [`next`](Self::next) may have something to say though nothing
    /// is answered. At least once in the shortest period, so that lateness tells how long the process
    /// did not run.
    pub(super) fn wake_at(&self, now: Instant) -> Instant {
        let Pace { latency_budget, .. } = self.config.pace;
        let every = self.config.pace.shortest_every();
        let told = match self.told {
            Told::Failing(at) => Some(at + every),
            Told::Alive(at) => Some(at + self.config.pace.longest_gap()),
            Told::Nothing => None,
        };
        let layers = self.layers.iter().flat_map(|layer| {
            let in_doubt_at = layer.owed_since.map(|since| since + latency_budget);
            [Some(layer.due_at), layer.fails_at(), in_doubt_at]
        });
        let wakes = layers.chain([told]).flatten().filter(|&at| at > now);
        wakes.min().unwrap_or(now + every).min(now + every)
    }

    /// Every layer has given a good answer since judging began or since it failed.
    fn proved(&self) -> bool {
        Kind::ALL.iter().all(|&kind| self.layer(kind).proved)
    }

    /// Some layer owes a good answer for longer than one may take.
    fn owes(&self, now: Instant) -> bool {
        Kind::ALL.iter().any(|&kind| self.in_doubt(kind, now))
    }

    /// What fails, and why.
    fn failing(&self, now: Instant) -> Option<(Fault, String)> {
        let verdict = |fault| self.config.verdict_of(fault);
        // On a clean run that a start depends on, nothing is forgiven.
        let strict = self.proving && self.clean;
        let lasts = |kind: Kind| {
            let layer = self.layer(kind);
            let fails = layer.fails_at().is_some_and(|at| now >= at);
            fails || strict && (layer.failures > 0 || self.in_doubt(kind, now))
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
            1
        } else {
            self.config.pace.slow_answers
        };
        let slow = |kind: &Kind| self.layer(*kind).slow >= slow_answers;
        if let Some(slow) = Kind::ALL.into_iter().find(slow) {
            return Some((Fault::TooSlow, self.slowness(slow)));
        }
        // Debts that overlap, each within its patience: no more may be silent than is promised.
        let gap = self.config.pace.longest_gap();
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
    fn overdue(&self, kind: Kind, now: Instant) -> (Fault, String) {
        let layer = self.layer(kind);
        let patience = layer.pace.patience;
        let owed_for = layer.owed_since.map_or(patience, |since| now - since);
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
        let budget = self.config.pace.latency_budget;
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
            .max_by_key(|&fault| (count(fault), fault));
        worst.unwrap_or(Fault::Unreachable)
    }

    fn seats_say(&self) -> String {
        let says: Vec<String> = self.seats.iter().filter_map(Seat::complaint).collect();
        says.join("; ")
    }

    fn fail(&mut self, fault: Fault, why: &str, now: Instant) -> Observation {
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
        self.observation(fault, why)
    }

    fn observation(&self, fault: Fault, why: &str) -> Observation {
        let text = format!("{fault}: {why}. To do: {}", fault.advice());
        let observation = Observation::failing(text).classed(fault.as_str());
        match self.config.verdict_of(fault) {
            Verdict::Fatal => observation.fatal(),
            Verdict::Transient | Verdict::Certain => observation,
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

    /// Holds a read against what is remembered. `false` if it is no evidence.
    fn remember(&mut self, index: usize, mark: Mark, store: Store, now: Instant) -> bool {
        let belonged = self.seats[index].cluster_id();
        match self.memory.read(mark, store, belonged) {
            Finding::Same => {
                self.seats[index].read(store);
                true
            }
            Finding::Foreign(why) => {
                self.seats[index].turned_away(Cause::sure(Fault::Misdirected, why));
                false
            }
            Finding::Reset(why) => {
                self.seats.iter_mut().for_each(Seat::forget_term);
                self.seats[index].read(store);
                let why = format!("{}: {why}", self.seats[index].url());
                if self.config.verdict_of(Fault::StoreReset) == Verdict::Transient {
                    tracing::warn!(target: "overwatch::etcd", "{}: {why}", Fault::StoreReset);
                    return true;
                }
                // Said once, and then every layer must prove itself anew.
                self.told = Told::Nothing;
                self.clean = false;
                self.demand(now);
                self.pending = Some(self.observation(Fault::StoreReset, &why));
                false
            }
        }
    }

    /// The user may not make proposals there, though it may read: another member is asked. If none
    /// lets it, the write path is left unchecked, and that is said once.
    fn refused(&mut self, index: usize, asked_at: Instant, cause: &Cause, now: Instant) {
        self.seats[index].proposed(true);
        if self
            .seats
            .iter()
            .any(|seat| seat.usable() && !seat.refuses())
        {
            self.layer_mut(Kind::Write).due_at = now;
            return;
        }
        if !self.unchecked_said {
            tracing::warn!(
                target: "overwatch::etcd",
                "{}: this user may not ask for etcd's alarms ({}), so the write path, the space and \
                 corruption are not checked",
                self.seats[index].url(),
                cause.text
            );
        }
        self.unchecked = true;
        self.unchecked_said = true;
        let every = self.every(Kind::Write).max(self.config.pace.refused);
        let layer = self.layer_mut(Kind::Write);
        layer.by = None;
        layer.answered(asked_at, every, now);
    }

    fn every(&self, kind: Kind) -> Duration {
        let every = self.layer(kind).pace.every;
        match kind {
            Kind::Progress | Kind::Read => every,
            Kind::Write => every - self.jitter.jitter_of(self.writes),
        }
    }

    fn layer(&self, kind: Kind) -> &Layer {
        &self.layers[kind as usize]
    }

    fn layer_mut(&mut self, kind: Kind) -> &mut Layer {
        &mut self.layers[kind as usize]
    }
}

/// The server knows what was asked for, and does not let this user have it.
fn is_refusal(cause: &Cause) -> bool {
    cause.fault == Fault::Permission && cause.sure
}

#[cfg(test)]
mod tests;
