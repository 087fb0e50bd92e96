//! What the machine is told.

use core::fmt;
use core::time::Duration;

use super::{ComponentId, Timer};

/// Whose trouble a failure is, and how certain. Ordered from the mildest to the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureClass {
    /// The component's own trouble. Adds suspicion.
    Component,
    /// The dependency's trouble. Adds suspicion and lays the blame on the dependency.
    Dependency,
    /// The dependency's trouble and certain, such as a lost lease. Trips at once.
    Critical,
    /// Nothing that a restart could mend. Ends the run after an ordered stop.
    Fatal,
}

impl FailureClass {
    /// All classes, the mildest first.
    pub const ALL: [Self; 4] = [
        Self::Component,
        Self::Dependency,
        Self::Critical,
        Self::Fatal,
    ];

    /// Whether the dependency is to blame.
    pub fn blames_dependency(self) -> bool {
        matches!(self, Self::Dependency | Self::Critical)
    }

    /// The stable name used in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Dependency => "dependency",
            Self::Critical => "critical",
            Self::Fatal => "fatal",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a component came to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It returned without an error. Unasked, that is a failure as well.
    Returned,
    /// It returned an error or panicked.
    Failed(FailureClass),
    /// It was aborted.
    Aborted,
}

impl Exit {
    /// The class of the failure. Returning unasked and being aborted are the component's own.
    pub fn class(self) -> FailureClass {
        match self {
            Self::Failed(class) => class,
            Self::Returned | Self::Aborted => FailureClass::Component,
        }
    }
}

/// One thing that the machine is told. Plain data: a recorded run is a list of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Failures were reported: by a component, or from outside of any (`None`).
    Report {
        /// Who reports.
        component: Option<ComponentId>,
        /// The epoch in which the report was sent.
        epoch: u64,
        /// Whose trouble it is.
        class: FailureClass,
        /// How many reports of this kind; a storm arrives as one input. At least 1.
        count: u32,
    },
    /// The probe saw the dependency do its work.
    Alive {
        /// The session that saw it.
        session: u64,
        /// The last round that was [asked for](super::Effect::Ask) when the observation began; 0 if
        /// none was. It opens the gate only if none was asked for since.
        round: u64,
    },
    /// The probe saw the dependency fail. That counts in whichever round it began.
    Failing {
        /// The session that saw it.
        session: u64,
        /// Whether no restart could mend it.
        fatal: bool,
    },
    /// A component is up.
    Up {
        /// Which.
        component: ComponentId,
        /// Its epoch.
        epoch: u64,
    },
    /// A component ended without being asked, but something of it is still held: it counts as gone
    /// only with [`Gone`](Input::Gone).
    Exited {
        /// Which.
        component: ComponentId,
        /// Its epoch.
        epoch: u64,
        /// How it ended.
        how: Exit,
    },
    /// A component is gone: nothing of this incarnation is left.
    Gone {
        /// Which.
        component: ComponentId,
        /// Its epoch.
        epoch: u64,
        /// How it ended.
        how: Exit,
    },
    /// An armed timer is due.
    Fired(Timer),
    /// The owner of the lease renewed it.
    LeaseRenewed {
        /// The owner's epoch.
        epoch: u64,
        /// How long the lease is still good for, counted from when the renewal was *sent*.
        remaining: Duration,
    },
    /// Stop everything and end.
    Shutdown,
    /// Stop everything and wait for [`Resume`](Input::Resume).
    Drain,
    /// Take back a drain.
    Resume,
    /// An operator's trip.
    Trip,
    /// An operator's pardon: forget suspicion and, in Running, the level.
    Reset,
    /// The runtime that components run on polls nothing any more: whatever runs on it stands still.
    ///
    /// It stops the world, but says nothing of the dependency: the blame stays where it was, the session
    /// stays open, and the backoff is enough. A freeze is no sign of life, either, so nothing is started
    /// on the strength of what was seen before it. A start that it cuts short has failed.
    Frozen,
}
