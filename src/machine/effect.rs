//! The effects that the machine requests.

use core::fmt;
use core::time::Duration;

use super::{Cause, ComponentId, RunOutcome};

/// The timers of the machine. Arming an armed timer replaces its deadline.
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
    /// When the level sinks by one.
    Stable,
    /// When stopping must begin, so that everything is stopped before the lease expires.
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

    /// The position of this timer in [`ALL`](Timer::ALL).
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

/// The counts of one outage, from its trip to the next Running, or to the end.
///
/// Reports that came after a record was closed are counted in the next one. So the sum over all records is the number
/// of all reports ever sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Record {
    /// The number of the outage. Boot is outage 0.
    pub outage: u64,
    /// Reports that counted.
    pub reports: u64,
    /// Reports that came too late or too early to count.
    ///
    /// They were from another epoch, or from a component that was not alive.
    pub stale_reports: u64,
    /// Starts that failed.
    pub failed_starts: u64,
}

impl Record {
    /// Whether all counts are zero.
    pub fn is_empty(&self) -> bool {
        self.reports == 0 && self.stale_reports == 0 && self.failed_starts == 0
    }

    /// The smallest record that has the same influence on later steps. The record of an open outage is closed in any
    /// case. Otherwise it only matters whether the record is empty.
    pub(crate) fn relative(&self, open: bool) -> Self {
        Self {
            reports: u64::from(!open && !self.is_empty()),
            ..Self::default()
        }
    }
}

/// One action that the machine requests from the shell. The order of the effects matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Turn readiness on or off.
    Ready(bool),
    /// Start all components of a stage.
    StartStage {
        /// The stage.
        stage: u16,
        /// The epoch of the components.
        epoch: u64,
    },
    /// Ask all components of a stage to stop, except those that are gone.
    StopStage {
        /// The stage.
        stage: u16,
        /// The epoch of the components.
        epoch: u64,
    },
    /// Abort a component that did not stop in time.
    Abort {
        /// The component.
        component: ComponentId,
        /// Its epoch.
        epoch: u64,
    },
    /// Start to observe the dependency.
    OpenSession {
        /// The number of the session, which its observations must carry.
        session: u64,
    },
    /// Stop observing the dependency.
    CloseSession {
        /// The number of the session.
        session: u64,
    },
    /// Make one more observation now, because the hold-off has passed.
    ///
    /// An observation that began before this effect does not allow a start.
    Ask {
        /// The number that observations must carry if they begin from now on.
        round: u64,
    },
    /// Arm a timer. If it is armed already, this replaces its deadline.
    Arm {
        /// The timer.
        timer: Timer,
        /// The time from now until it is due.
        after: Duration,
    },
    /// Disarm a timer.
    Disarm {
        /// The timer.
        timer: Timer,
    },
    /// An outage begins.
    OutageOpened {
        /// The number of the outage.
        outage: u64,
        /// Why it begins.
        cause: Cause,
    },
    /// An outage is over.
    OutageClosed(Record),
    /// The run is over.
    Ended(RunOutcome),
}
