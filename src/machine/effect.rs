//! What the machine asks for.

use core::fmt;
use core::time::Duration;

use super::{Cause, ComponentId, RunOutcome};

/// The machine's timers: one slot each. Arming an armed one replaces its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// The deadline of the phase: start, stop or abort of a stage, or the unready delay.
    Stage,
    /// How long a clean run must last.
    HoldOff,
    /// How long the dependency may be silent.
    Silence,
    /// When one unit of suspicion is forgotten.
    Decay,
    /// When the level sinks.
    Stable,
    /// When stopping must begin so that it ends before the lease does.
    Fence,
}

impl Timer {
    /// All timers, in the order of [`index`](Timer::index).
    pub const ALL: [Self; 6] = [
        Self::Stage,
        Self::HoldOff,
        Self::Silence,
        Self::Decay,
        Self::Stable,
        Self::Fence,
    ];

    /// Its place in [`ALL`](Timer::ALL).
    pub fn index(self) -> usize {
        self as usize
    }

    /// The stable name used in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::HoldOff => "hold_off",
            Self::Silence => "silence",
            Self::Decay => "decay",
            Self::Stable => "stable",
            Self::Fence => "fence",
        }
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened in one outage: from its trip to the next Running, or to the end.
///
/// Reports that came since the last record was closed are in the next one, so the sum over all
/// records is the number of all reports ever sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Record {
    /// The number of the outage. Boot is outage 0.
    pub outage: u64,
    /// Reports that counted.
    pub reports: u64,
    /// Reports that came too late or too early to count: of another epoch, or of a component that
    /// was not alive.
    pub stale_reports: u64,
    /// Starts that failed.
    pub failed_starts: u64,
}

impl Record {
    /// Whether there is anything to tell.
    pub fn is_empty(&self) -> bool {
        self.reports == 0 && self.stale_reports == 0 && self.failed_starts == 0
    }

    /// The least record that has the same bearing on what comes next: while an outage is open its
    /// record will be closed whatever it says, and else if it says anything.
    pub(crate) fn relative(&self, open: bool) -> Self {
        Self {
            reports: u64::from(!open && !self.is_empty()),
            ..Self::default()
        }
    }
}

/// One thing that the machine asks the shell to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Turn readiness on or off.
    Ready(bool),
    /// Start all components of a stage.
    StartStage {
        /// Which.
        stage: u16,
        /// The epoch they belong to.
        epoch: u64,
    },
    /// Ask those components of a stage to stop that are not gone.
    StopStage {
        /// Which.
        stage: u16,
        /// The epoch they belong to.
        epoch: u64,
    },
    /// Abort a component that did not stop in time.
    Abort {
        /// Which.
        component: ComponentId,
        /// The epoch it belongs to.
        epoch: u64,
    },
    /// Begin to observe the dependency.
    OpenSession {
        /// The number that the observations must carry.
        session: u64,
    },
    /// Stop observing the dependency.
    CloseSession {
        /// The session.
        session: u64,
    },
    /// Make one more observation now: the hold-off has passed, and what began to be observed before
    /// this does not open the gate.
    Ask {
        /// The number that observations carry which begin from now on.
        round: u64,
    },
    /// Arm a timer, replacing its deadline if it is armed.
    Arm {
        /// Which.
        timer: Timer,
        /// When it is due, from now.
        after: Duration,
    },
    /// Disarm a timer.
    Disarm {
        /// Which.
        timer: Timer,
    },
    /// An outage begins.
    OutageOpened {
        /// Its number.
        outage: u64,
        /// What tripped.
        cause: Cause,
    },
    /// An outage is over.
    OutageClosed(Record),
    /// The run is over.
    Ended(RunOutcome),
}
