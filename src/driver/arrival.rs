//! What arrives at the driver: plain data, without texts.

use core::time::Duration;

use crate::machine::{Command, Exit, FailureClass};
use crate::policy::ComponentId;

/// One thing that arrives. A recorded run is a list of these, each with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// The runtime that components run on polls nothing any more.
    Froze,
    /// A component is up.
    Up {
        /// Which.
        component: ComponentId,
        /// Its epoch.
        epoch: u64,
    },
    /// A component has ended, or nothing of it is left.
    Ended(Ended),
    /// The owner of the lease renewed it.
    Renewed(Renewed),
    /// A shutdown was asked for.
    Shutdown,
    /// An operator asks for something.
    Command(Command),
    /// The probe saw something.
    Observed(Observed),
    /// Failures were reported.
    Reported(Reported),
    /// Why nothing is seen of the dependency: the answer to
    /// [`Next::WhySilent`](super::Next::WhySilent), brought once, and only when that was asked.
    Silent(Silence),
    /// The thread that drives was not running for so long: nobody could see a sign of life meanwhile.
    Late {
        /// When it went on.
        at: Duration,
        /// How long it was not running.
        by: Duration,
    },
}

/// The slot that something arrives in, and by which the driver's caller finds what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// What is seen of the runtime that components run on.
    Runtime,
    /// What components answer.
    Answer,
    /// The reports of this class that a component left when it ended.
    LastWords(FailureClass),
    /// The machine's timers.
    Timer,
    /// Who asks for the end.
    Shutdown,
    /// The owner of the lease.
    Lease,
    /// Operators.
    Command,
    /// The probe.
    Observation,
    /// Whoever reports.
    Report,
    /// In a dry run: what all components and the dependency are taken to answer.
    Assumed,
}

/// How a component ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ended {
    /// Which.
    pub component: ComponentId,
    /// Its epoch.
    pub epoch: u64,
    /// How its main task ended.
    pub how: Exit,
    /// Whether nothing of it is left. Else its main task has ended, and something of it is still held.
    pub gone: bool,
    /// What it had reported by then and nobody was told of yet.
    pub last_words: LastWords,
}

/// What a component had reported when it ended and nobody was told of yet: how many reports of each
/// class. It is collected from [reports](Reported) of that component and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct LastWords([Tally; 4]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Tally {
    count: u64,
    stale: u64,
}

/// The lease, as it was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Renewed {
    /// The owner's epoch.
    pub epoch: u64,
    /// When it runs out, since the begin of the run.
    pub expires: Duration,
}

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Observed {
    /// The session that made it.
    pub session: u64,
    /// The last round that was asked for when it began.
    pub round: u64,
    /// When it was made, since the begin of the run.
    pub at: Duration,
    /// What was seen.
    pub seen: Seen,
}

/// What the probe saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// The dependency does its work.
    Alive,
    /// It does not.
    Failing {
        /// Whether no restart could mend it.
        fatal: bool,
    },
}

/// Reports of one class from one sender: at least one, stale or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reported {
    /// Who reports; `None` from outside of any component.
    pub component: Option<ComponentId>,
    /// The epoch in which they were sent.
    pub epoch: u64,
    /// Whose trouble it is.
    pub class: FailureClass,
    /// How many.
    pub count: u64,
    /// How many more waited so long that their epoch was over. They are told first.
    pub stale: u64,
}

impl LastWords {
    /// None.
    pub const NONE: Self = Self([Tally { count: 0, stale: 0 }; 4]);

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// The class of the gravest.
    pub fn gravest(&self) -> Option<FailureClass> {
        FailureClass::ALL
            .into_iter()
            .rfind(|&class| self.0[class as usize] != Tally::default())
    }

    fn keep(&mut self, said: Reported) {
        self.0[said.class as usize] = Tally {
            count: said.count,
            stale: said.stale,
        };
    }
}

impl FromIterator<Reported> for LastWords {
    /// Of each class the last one counts.
    fn from_iter<I: IntoIterator<Item = Reported>>(said: I) -> Self {
        let mut words = Self::NONE;
        for said in said {
            words.keep(said);
        }
        words
    }
}

impl Ended {
    /// What it had reported of this class by then and nobody was told of yet.
    pub fn last_word(&self, class: FailureClass) -> Option<Reported> {
        let Tally { count, stale } = self.last_words.0[class as usize];
        let said = Reported {
            component: Some(self.component),
            epoch: self.epoch,
            class,
            count,
            stale,
        };
        (count > 0 || stale > 0).then_some(said)
    }

    /// What is left of a class, when some of it is told.
    pub(super) fn keep_word(&mut self, left: Reported) {
        self.last_words.keep(left);
    }
}

/// Why nothing was seen of the dependency for the silence limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Silence {
    /// The probe was polled: there was nothing to be seen.
    Polled,
    /// Nobody polls the probe, since the runtime is frozen.
    Frozen,
    /// It is polled again, and was not for so long.
    Thawed(Duration),
}
