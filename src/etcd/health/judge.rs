//! What the answers amount to. Pure: it is told the time and does no I/O.

use core::time::Duration;
use std::fmt;

use super::answer::{Answer, Store};
use super::layer::{Kind, Layer};
use super::memory::{Finding, Mark, Memory};
use super::seat::Seat;
use crate::etcd::basics::{Cause, Fault, Verdict, Verdicts};
use crate::etcd::client::Timing;
use crate::policy::{Policy, Tuning};

/// Judges what the answers of all members amount to.
pub(crate) struct Judge {
    pub(super) timing: Timing,
    pub(super) verdicts: Verdicts,
    pub(super) seats: Vec<Seat>,
    pub(super) layers: [Layer; 3],
    pub(super) memory: Memory,
    /// Whether proposals cannot be made by this user, so that the write path is not checked.
    pub(super) unchecked: bool,
    /// Whether that was logged.
    pub(super) unchecked_said: bool,
    /// How many proposals were answered, for their jitter.
    pub(super) writes: u64,
    pub(super) jitter: Tuning,
    pub(super) told: Told,
    /// Whether a start depends on what is told: then no layer may fail even for a moment.
    pub(super) proving: bool,
    /// Whether it was told alive since it was last told failing: a clean run.
    pub(super) clean: bool,
    /// Whether a good answer came since the last observation.
    pub(super) news: bool,
    /// How long this process did not run in all.
    pub(super) excused: Duration,
    pub(super) pending: Option<Said>,
    /// What is to be logged.
    pub(super) notices: Vec<Notice>,
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
pub(crate) enum Said {
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
pub(crate) enum Notice {
    /// Another cluster is taken for the one that is meant.
    Accepted { cluster: u64, before: u64 },
    /// The store was reset, which is tolerated: why that is known.
    Reset(String),
    /// Proposals cannot be made by this user.
    Unchecked { url: String, why: String },
}

/// For an operator.
impl fmt::Display for Notice {
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
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    pub(crate) at: Duration,
    pub(crate) mark: Mark,
    /// How long this process had not run in all by then.
    pub(crate) excused: Duration,
    /// Only to look at that member.
    pub(crate) look: bool,
}

/// A single member answers a proposal before its disk has it, in versions before 3.4.21 and 3.5.5
/// (etcd#14370): only the second proposal waits for the first.
const PROPOSALS: u32 = 2;

impl Judge {
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
            seats: endpoints.map(|(url, tls)| Seat::new(url, tls)).collect(),
            layers: [progress, read, write].map(|timing| Layer::new(timing, now)),
            memory: Memory::default(),
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
            notices: Vec::new(),
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
        for seat in &mut self.seats {
            seat.begin();
        }
    }

    /// Asks all layers now; it is alive only when each has answered.
    pub(crate) fn demand(&mut self, now: Duration) {
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
    pub(crate) fn excuse(&mut self, time: Duration, now: Duration) {
        self.excused += time;
        for layer in &mut self.layers {
            layer.excuse(time, now);
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
            self.layers.iter_mut().for_each(Layer::forgive);
        }
        if self.proving && !proving {
            self.accept();
        }
        self.proving = proving;
    }

    /// A start was proved: the cluster that it was proved of is the one that is meant.
    pub(super) fn accept(&mut self) {
        let Some(cluster) = self.memory.cluster_id() else {
            return;
        };
        if let Some(before) = self.accepted.replace(cluster).filter(|&it| it != cluster) {
            self.notices.push(Notice::Accepted { cluster, before });
        }
    }

    /// What is to be logged by now.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        core::mem::take(&mut self.notices)
    }

    /// On a clean run that a start depends on nothing is forgiven.
    pub(super) fn is_strict(&self) -> bool {
        self.proving && self.clean
    }

    /// How many questions it takes until every layer had a fair try: where there are several members,
    /// a second one has its turn, or one that is slow would be an outage for all.
    pub(super) fn turns(&self) -> u32 {
        if self.seats.len() > 1 { 2 } else { 1 }
    }

    /// When a layer has owed an answer for so long that a clean run is void.
    pub(super) fn overdue_at(&self, kind: Kind) -> Option<Duration> {
        let budget = self.timing.latency_budget * self.turns();
        let since = self.layer(kind).owed_since;
        since
            .map(|since| since + budget)
            .filter(|_| self.is_strict())
    }

    /// What is known of the store as the member at `index` is asked.
    pub(super) fn mark(&self, index: usize) -> Mark {
        let seat = &self.seats[index];
        self.memory.mark(seat.member_id(), seat.term())
    }

    /// What the member at `index` is asked now.
    pub(crate) fn question(&self, index: usize, kind: Kind, look: bool, now: Duration) -> Asked {
        Asked {
            kind,
            at: now,
            mark: self.mark(index),
            excused: self.excused,
            look,
        }
    }

    pub(crate) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// The layers that are to be asked.
    pub(crate) fn due(&self, now: Duration) -> impl Iterator<Item = Kind> + use<> {
        let due = Kind::ALL.map(|kind| {
            now >= self.layer(kind).due_at || kind == Kind::Read && self.wants_to_know_more(now)
        });
        Kind::ALL
            .into_iter()
            .filter(move |&kind| due[kind as usize])
    }

    /// Another layer owes an answer for long, and no read was asked for since, which tells more of why.
    pub(super) fn wants_to_know_more(&self, now: Duration) -> bool {
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
    pub(crate) fn asked(&mut self, kind: Kind, now: Duration) {
        let Timing {
            latency_budget,
            recheck,
            ..
        } = self.timing;
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
    pub(crate) fn in_doubt(&self, kind: Kind, now: Duration) -> bool {
        let budget = self.timing.latency_budget;
        self.layer(kind)
            .owed_since
            .is_some_and(|since| now >= since + budget)
    }

    /// A member of this cluster was reached.
    pub(crate) fn opened(&mut self, index: usize, cluster_id: Option<u64>, now: Duration) {
        self.seats[index].opened(cluster_id);
        self.ask_debtors(now);
    }

    /// What is open goes on leading to a cluster: each endpoint that is to be held against what all others show, now and
    /// then.
    pub(crate) fn shows(&mut self, now: Duration) -> Vec<(usize, u64)> {
        if self.pending.is_some() || now < self.shown_at + self.timing.lately() / 4 {
            return Vec::new();
        }
        self.shown_at = now;
        let seats = self.seats.iter().enumerate();
        seats
            .filter_map(|(index, seat)| Some((index, seat.cluster_id()?)))
            .collect()
    }

    /// A member is lost.
    pub(crate) fn lost(&mut self, index: usize, cause: Cause, now: Duration) {
        self.doubt_others(index);
        self.seats[index].lost(cause);
        self.ask_debtors(now);
    }

    /// A member that worked fails. Those that were lost before may be back by now: what is known of
    /// them is to be looked at again before all count as lost.
    pub(super) fn doubt_others(&mut self, index: usize) {
        if self.seats[index].usable() {
            self.seats.iter_mut().for_each(Seat::doubt);
        }
    }

    /// A member is looked at by a read: that is asked for, if it is owed.
    pub(crate) fn looked(&mut self, now: Duration) {
        if self.layer(Kind::Read).owed_since.is_some() {
            self.asked(Kind::Read, now);
        }
    }

    /// Etcd is alive: whoever is not reached can wait.
    pub(crate) fn is_calm(&self, now: Duration) -> bool {
        let alive = matches!(self.told, Told::Alive(_));
        alive && !self.owes(now) && self.seats.iter().any(Seat::usable)
    }

    /// What is owed may be had now, or must be had from somebody else.
    pub(super) fn ask_debtors(&mut self, now: Duration) {
        for layer in &mut self.layers {
            if layer.owed_since.is_some() {
                layer.due_at = now;
            }
        }
    }

    /// Takes an answer of the member at `index`. `split` if the endpoints are not of one cluster by now.
    pub(crate) fn answered(
        &mut self,
        index: usize,
        asked: Asked,
        answer: Answer,
        split: bool,
        now: Duration,
    ) {
        let (mark, asked_at) = (asked.mark, asked.at);
        let kind = match answer {
            Answer::Status { leader } => return self.seats[index].told(leader),
            Answer::Read(store) => {
                if !self.remember(index, mark, store, split, now) {
                    return;
                }
                Kind::Read
            }
            // Of two clusters nobody knows which one this is evidence of.
            _ if split => return,
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
        let excused = self.excused.saturating_sub(asked.excused);
        let took = now.saturating_sub(asked_at).saturating_sub(excused);
        let late = took > self.timing.latency_budget;
        if late && asked.look && self.layer(kind).owed_since.is_none() {
            // Nobody depends on that member.
            return;
        }
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
    pub(crate) fn failed(&mut self, index: usize, asked: Asked, cause: Cause, now: Duration) {
        let Asked {
            kind,
            at: asked_at,
            look,
            ..
        } = asked;
        let recheck = self.timing.recheck;
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
        // Nobody could listen for a part of that time.
        let excused = self.excused.saturating_sub(asked.excused);
        let since = now.min(asked_at + excused);
        self.layer_mut(kind)
            .failed(asked_at, since, cause, recheck, now);
    }

    /// When the next layer is due, or [`next`](Self::next) may have something to say though nothing
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
        let layers = self.layers.iter().flat_map(|layer| {
            let in_doubt_at = layer.owed_since.map(|since| since + latency_budget);
            [Some(layer.due_at), layer.fails_at(), in_doubt_at]
        });
        let layers = layers.chain(Kind::ALL.map(|kind| self.overdue_at(kind)));
        let wakes = layers.chain([told]).flatten().filter(|&at| at > now);
        wakes.min().unwrap_or(now + every).min(now + every)
    }

    /// Some layer owes a good answer for longer than one may take.
    pub(super) fn owes(&self, now: Duration) -> bool {
        Kind::ALL.iter().any(|&kind| self.in_doubt(kind, now))
    }

    /// Holds a read against what is remembered. `false` if it is no evidence.
    pub(super) fn remember(
        &mut self,
        index: usize,
        mark: Mark,
        store: Store,
        split: bool,
        now: Duration,
    ) -> bool {
        if split {
            self.seats[index].read(store, None);
            return false;
        }
        match self.memory.read(mark, store) {
            Finding::Same => {
                let term = self.memory.is_current(mark).then_some(store.term);
                self.seats[index].read(store, term);
                true
            }
            Finding::Reset(why) => {
                self.seats.iter_mut().for_each(Seat::forget_term);
                self.seats[index].read(store, Some(store.term));
                let why = format!("{}: {why}", self.seats[index].url());
                if self.verdicts.of(Fault::StoreReset) == Verdict::Transient {
                    self.notices.push(Notice::Reset(why));
                    return true;
                }
                // Said once, and then every layer must prove itself anew.
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
        cause: &Cause,
        now: Duration,
    ) {
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
            let (url, why) = (self.seats[index].url().to_owned(), cause.text.clone());
            self.notices.push(Notice::Unchecked { url, why });
        }
        self.unchecked = true;
        self.unchecked_said = true;
        let every = self.every(Kind::Write).max(self.timing.refused);
        let layer = self.layer_mut(Kind::Write);
        layer.by = None;
        layer.answered(asked_at, every, now);
    }

    pub(super) fn every(&self, kind: Kind) -> Duration {
        let every = self.layer(kind).timing.every;
        match kind {
            Kind::Progress | Kind::Read => every,
            Kind::Write => every - self.jitter.jitter_of(self.writes),
        }
    }

    pub(super) fn layer(&self, kind: Kind) -> &Layer {
        &self.layers[kind as usize]
    }

    pub(super) fn layer_mut(&mut self, kind: Kind) -> &mut Layer {
        &mut self.layers[kind as usize]
    }
}

/// The server knows what was asked for, and does not let this user have it.
fn is_refusal(cause: &Cause) -> bool {
    cause.fault == Fault::Permission && cause.sure
}

#[cfg(test)]
mod tests;
