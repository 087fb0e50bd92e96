//! Coalesces many reports and many answers before they reach the driver, so that they cost little.
//!
//! This decides nothing. It only delays reports and answers, by [`WITHIN`] at most. Nothing is lost, and the gravest
//! report goes first. Nothing is held back beyond a deadline: answers are collected whenever a timer is due, and
//! reports that bring a trip nearer do not wait at all.

use core::cmp::Reverse;
use core::time::Duration;

use super::arrival::Reported;
use crate::machine::FailureClass;
use crate::policy::ComponentId;

/// The longest time for which anything is held back.
pub const WITHIN: Duration = Duration::from_millis(10);

/// While at most this many answers are awaited, each answer is taken when it comes.
const A_FEW: usize = 64;

/// Decides how many answers are worth a wake-up.
///
/// While many answers are awaited, one more component that is up or gone decides nothing. So this waits for half of
/// the answers, then for half of the rest, down to the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Answers {
    /// Whether more than [`A_FEW`] answers were awaited, and some still are.
    crowd: bool,
}

impl Answers {
    /// What is worth a wake-up while this many answers are awaited.
    pub fn wake(&mut self, awaited: usize) -> Wake {
        self.crowd = awaited > A_FEW || (self.crowd && awaited > 0);
        let answers = if self.crowd { awaited.div_ceil(2) } else { 1 };
        let within = (answers > 1).then_some(WITHIN);
        Wake { answers, within }
    }
}

/// How many of this many answers need reserved room before they come: all if they are many, otherwise none.
pub fn room_for(answers: usize) -> usize {
    if answers > A_FEW { answers } else { 0 }
}

/// What is worth a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wake {
    /// How many answers must be there before they are taken, at least 1.
    pub answers: usize,
    /// After this time, the answers that are there are taken in any case, so that status pages stay true.
    ///
    /// `None` if one answer is enough.
    pub within: Option<Duration>,
}

/// The part of reports that the driver does not need: their texts.
pub trait Coalesce {
    /// Adds this part of later reports of the same class from the same sender.
    fn coalesce(&mut self, later: Self);
}

/// Reports on their way to the driver: the gravest first, and those of one class in the order of arrival.
///
/// Reports of one class, sender and epoch share one entry, so the number of entries does not grow with the number of
/// reports. Room for a few entries is allocated at the start, so that the first reports do not wait for memory.
#[derive(Clone, Debug)]
pub struct Reports<P> {
    /// The last entry is the gravest and, among these, the oldest.
    waiting: Vec<Waiting<P>>,
    /// The number of the next entry.
    next: u64,
    /// When reports may be taken from their senders again.
    again_at: Duration,
}

#[derive(Clone, Debug)]
struct Waiting<P> {
    said: Reported,
    with: P,
    number: u64,
}

/// For how many entries there is room at the start.
const A_FEW_REPORTS: usize = 8;

impl<P> Default for Reports<P> {
    fn default() -> Self {
        Self {
            waiting: Vec::with_capacity(A_FEW_REPORTS),
            next: 0,
            again_at: Duration::ZERO,
        }
    }
}

impl<P: Coalesce> Reports<P> {
    /// Whether reports may be taken from their senders now.
    ///
    /// They may not be taken too soon after the last ones, nor while some wait. `urgent` reports, which bring a trip
    /// nearer, are taken at once: there are no more of them than the trip threshold, and a timer would be late if
    /// components keep the workers busy.
    pub fn may_gather(&self, urgent: bool, now: Duration) -> bool {
        urgent || (self.waiting.is_empty() && self.again_at <= now)
    }

    /// When reports may be taken from their senders again, if none is urgent.
    pub fn again_at(&self) -> Duration {
        self.again_at
    }

    /// Adds the reports that were just taken from the senders: one of each class and epoch from each sender.
    pub fn gather(&mut self, reports: impl IntoIterator<Item = (Reported, P)>, now: Duration) {
        let before = self.waiting.len();
        for (said, with) in reports {
            self.again_at = now.saturating_add(WITHIN);
            let waiting = self.waiting[..before].iter_mut();
            match waiting.into_iter().find(|it| it.is_of_sender_of(&said)) {
                Some(it) => add(&mut it.said, &mut it.with, said, with),
                None => {
                    let number = self.next;
                    self.next += 1;
                    self.waiting.push(Waiting { said, with, number });
                }
            }
        }
        self.waiting
            .sort_unstable_by_key(|it| (it.said.class, Reverse(it.number)));
    }

    /// Removes and returns the gravest report that waits.
    pub fn take(&mut self) -> Option<(Reported, P)> {
        let Waiting { said, with, .. } = self.waiting.pop()?;
        Some((said, with))
    }

    fn take_of(
        &mut self,
        component: ComponentId,
        epoch: u64,
        class: FailureClass,
    ) -> Option<(Reported, P)> {
        let of_it = |it: &Waiting<P>| {
            let sender = (it.said.component, it.said.epoch, it.said.class);
            sender == (Some(component), epoch, class)
        };
        let place = self.waiting.iter().position(of_it)?;
        let Waiting { said, with, .. } = self.waiting.remove(place);
        Some((said, with))
    }

    /// Removes and returns, by class, the reports of one component that have not gone to the driver yet.
    ///
    /// These are the reports that wait here, together with the `newly` taken ones.
    pub fn last_words(
        &mut self,
        component: ComponentId,
        epoch: u64,
        newly: impl IntoIterator<Item = (Reported, P)>,
    ) -> [Option<(Reported, P)>; 4] {
        let mut words = FailureClass::ALL.map(|class| self.take_of(component, epoch, class));
        for (said, with) in newly {
            match &mut words[said.class as usize] {
                Some((before, with_before)) => add(before, with_before, said, with),
                none => *none = Some((said, with)),
            }
        }
        words
    }
}

impl<P> Waiting<P> {
    fn is_of_sender_of(&self, said: &Reported) -> bool {
        (self.said.component, self.said.epoch, self.said.class)
            == (said.component, said.epoch, said.class)
    }
}

fn add<P: Coalesce>(before: &mut Reported, with_before: &mut P, said: Reported, with: P) {
    before.count = before.count.saturating_add(said.count);
    before.stale = before.stale.saturating_add(said.stale);
    with_before.coalesce(with);
}
