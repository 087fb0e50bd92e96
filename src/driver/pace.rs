//! What may wait before it gets to the driver, and for how long: storms of reports and crowds of
//! answers are coalesced, so that they cost little.
//!
//! Neither decides anything. Each only delays, by [`WITHIN`] at most; nothing is lost, the gravest goes
//! first, and what is there when a deadline passes is not held back beyond it: answers are looked for
//! whenever a timer is due, and reports that bring a trip nearer do not wait at all.

use core::cmp::Reverse;
use core::time::Duration;

use super::arrival::Reported;
use crate::machine::FailureClass;
use crate::policy::ComponentId;

/// How long anything is held back at most.
pub const WITHIN: Duration = Duration::from_millis(10);

/// Of a stage of up to so many each answer is taken when it comes.
const A_FEW: usize = 64;

/// For how many answers it is worth waking up.
///
/// Of a crowd that is awaited, one more that is up or gone decides nothing: half of them are waited for,
/// then half of the rest, down to the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Answers {
    /// More than a few were awaited, and some still are.
    crowd: bool,
}

impl Answers {
    /// What is worth waking up for while so many are awaited.
    pub fn wake(&mut self, awaited: usize) -> Wake {
        self.crowd = awaited > A_FEW || (self.crowd && awaited > 0);
        let answers = if self.crowd { awaited.div_ceil(2) } else { 1 };
        let within = (answers > 1).then_some(WITHIN);
        Wake { answers, within }
    }
}

/// For how many of so many answers it is worth to make room before they come: for those of a crowd.
pub fn room_for(answers: usize) -> usize {
    if answers > A_FEW { answers } else { 0 }
}

/// What is worth waking up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wake {
    /// How many answers are to be there before they are taken: at least 1.
    pub answers: usize,
    /// If that is more than one: what is there after this is taken in any case, so that status pages are
    /// true.
    pub within: Option<Duration>,
}

/// What belongs to reports and is not the driver's to know: their texts.
pub trait Coalesce {
    /// Takes in what belongs to later reports of the same class from the same sender.
    fn coalesce(&mut self, later: Self);
}

/// Reports on their way to the driver, the gravest first, and of each class in the order in which they
/// came.
///
/// Those of one class, sender and epoch are one entry: there are no more than that, however many are
/// reported. For a few there is room from the begin, so that what the first one asks for waits for no
/// memory.
#[derive(Clone, Debug)]
pub struct Reports<P> {
    /// The gravest, and of these the oldest, is the last.
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

/// For how many reports there is room from the begin.
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
    /// Whether reports may be taken from their senders: not too soon after the last ones, nor while
    /// some wait; but `urgent` ones, which bring a trip nearer, at once.
    ///
    /// There are no more of these than the trip threshold, and a timer would be late where components
    /// keep the workers busy.
    pub fn may_gather(&self, urgent: bool, now: Duration) -> bool {
        urgent || (self.waiting.is_empty() && self.again_at <= now)
    }

    /// When they may be taken again, if nothing is urgent.
    pub fn again_at(&self) -> Duration {
        self.again_at
    }

    /// Takes in what was taken from the senders now: one of each class and epoch from each sender.
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

    /// The gravest that waits.
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

    /// What one component reported and nobody was told of yet, by class: what waits here, and what was
    /// taken from it just now.
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
