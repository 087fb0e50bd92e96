//! What arrives at the driver: plain data without texts.

use core::time::Duration;

use crate::machine::{Command, Exit, FailureClass};
use crate::policy::ComponentId;

/// One event that arrives at the driver. A recorded run is a list of arrivals, each with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// The runtime of the components stopped polling tasks.
    Froze,
    /// A component is up.
    Up {
        /// The component.
        component: ComponentId,
        /// Its epoch.
        epoch: u64,
    },
    /// A component has ended, or it is gone.
    Ended(Ended),
    /// The owner of the lease renewed it.
    Renewed(Renewed),
    /// A shutdown was requested.
    Shutdown,
    /// An operator gave a command.
    Command(Command),
    /// The probe made an observation.
    Observed(Observed),
    /// Failures were reported.
    Reported(Reported),
    /// Why there is no observation of the dependency.
    ///
    /// This is the answer to [`Next::WhySilent`](super::Next::WhySilent). Pass it once for each such question, and only
    /// then.
    Silent(Silence),
    /// The thread of the driver did not run for some time, so it could not see any sign of life.
    Late {
        /// When the thread continued.
        at: Duration,
        /// How long it did not run.
        by: Duration,
    },
}

/// The slot that an arrival goes to. The caller of the driver uses it to find the data that belongs to the arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Observations of the runtime of the components.
    Runtime,
    /// Answers of components.
    Answer,
    /// The reports of this class that were still pending when their component ended.
    LastWords(FailureClass),
    /// The timers of the machine.
    Timer,
    /// Requests for shutdown.
    Shutdown,
    /// Renewals of the lease.
    Lease,
    /// Commands of operators.
    Command,
    /// Observations of the probe.
    Observation,
    /// Reports of failures.
    Report,
    /// Components that failed too often.
    Failures,
    /// In a dry run: the assumed answers of all components and of the dependency.
    Assumed,
}

/// How a component ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ended {
    /// The component.
    pub component: ComponentId,
    /// Its epoch.
    pub epoch: u64,
    /// How its main task ended.
    pub how: Exit,
    /// Whether nothing of it is left. If `false`, its main task has ended, but something still holds it.
    pub gone: bool,
    /// Its reports that had not reached the machine by then.
    pub last_words: LastWords,
}

/// The reports that had not reached the machine when their component ended: how many of each class.
///
/// It is collected from [reports](Reported) of that component and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct LastWords([Tally; 4]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Tally {
    count: u64,
    stale: u64,
}

/// A renewal of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Renewed {
    /// The epoch of the owner.
    pub epoch: u64,
    /// When the lease expires, counted from the start of the run.
    pub expires: Duration,
}

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Observed {
    /// The session that made the observation.
    pub session: u64,
    /// The last round that was requested when the observation began.
    pub round: u64,
    /// When the observation was made, counted from the start of the run.
    pub at: Duration,
    /// What the probe saw.
    pub seen: Seen,
}

/// What the probe saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// The dependency works.
    Alive,
    /// The dependency fails.
    Failing {
        /// Whether a restart cannot fix it.
        fatal: bool,
    },
}

/// Reports of one class from one sender: at least one, stale or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reported {
    /// The component that reports; `None` for code outside of any component.
    pub component: Option<ComponentId>,
    /// The epoch in which the reports were sent.
    pub epoch: u64,
    /// What is at fault.
    pub class: FailureClass,
    /// How many reports are not stale.
    pub count: u64,
    /// How many further reports waited so long that their epoch was over. They go to the machine first.
    pub stale: u64,
}

impl LastWords {
    /// No reports.
    pub const NONE: Self = Self([Tally { count: 0, stale: 0 }; 4]);

    /// Whether there are no reports.
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// The class of the gravest report.
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
    /// If there are several items of one class, only the last one counts.
    fn from_iter<I: IntoIterator<Item = Reported>>(said: I) -> Self {
        let mut words = Self::NONE;
        for said in said {
            words.keep(said);
        }
        words
    }
}

impl Ended {
    /// Its reports of this class that had not reached the machine by then, if there are any.
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

    /// Stores what is left of a class after a part of it went to the machine.
    pub(super) fn keep_word(&mut self, left: Reported) {
        self.last_words.keep(left);
    }
}

/// Why there was no positive observation for the silence limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Silence {
    /// The probe was polled, but there was nothing to see.
    Polled,
    /// The probe is not polled, because the runtime is frozen.
    Frozen,
    /// The probe is polled again, after it was not polled for this long.
    Thawed(Duration),
}
