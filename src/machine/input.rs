//! The inputs of the machine.

use core::fmt;
use core::time::Duration;

use super::{ComponentId, Timer};

/// What is at fault for a failure, and how certain that is. Ordered from the mildest to the gravest class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureClass {
    /// The component itself is at fault. Adds suspicion.
    Component,
    /// The dependency is at fault. Adds suspicion and blames the dependency.
    Dependency,
    /// The dependency is at fault for certain, e.g. a lease was lost. Trips at once.
    Critical,
    /// A restart cannot fix this failure. Ends the run after an ordered stop.
    Fatal,
}

impl FailureClass {
    /// All classes, from the mildest to the gravest.
    pub const ALL: [Self; 4] = [
        Self::Component,
        Self::Dependency,
        Self::Critical,
        Self::Fatal,
    ];

    /// Whether the dependency is at fault.
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

/// How a component ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It returned without an error. Without a request to stop, this is a failure too.
    Returned,
    /// It returned an error or panicked.
    Failed(FailureClass),
    /// It was aborted.
    Aborted,
}

impl Exit {
    /// The class of the failure. A return without an error and an abort are the component's own fault.
    pub fn class(self) -> FailureClass {
        match self {
            Self::Failed(class) => class,
            Self::Returned | Self::Aborted => FailureClass::Component,
        }
    }
}

/// One input of the machine. It is plain data: a recorded run is a list of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A component reported failures, or code outside of any component did.
    Report {
        /// The component that reports; `None` for code outside of any component.
        component: Option<ComponentId>,
        /// The epoch in which the report was sent.
        epoch: u64,
        /// What is at fault.
        class: FailureClass,
        /// How many reports of this kind, at least 1. Any number of reports arrives as one input.
        count: u32,
    },
    /// The probe saw the dependency work.
    Alive {
        /// The session of the observation.
        session: u64,
        /// The last round that was [requested](super::Effect::Ask) when the observation began; 0 if none was.
        ///
        /// The observation allows a start only if no further round was requested since.
        round: u64,
    },
    /// The probe saw the dependency fail. The round in which the observation began does not matter.
    Failing {
        /// The session of the observation.
        session: u64,
        /// Whether a restart cannot fix it.
        fatal: bool,
    },
    /// A component is up.
    Up {
        /// The component.
        component: ComponentId,
        /// Its epoch.
        epoch: u64,
    },
    /// A component ended without being asked to stop, but something still holds it.
    ///
    /// It counts as gone only with [`Gone`](Input::Gone).
    Exited {
        /// The component.
        component: ComponentId,
        /// Its epoch.
        epoch: u64,
        /// How it ended.
        how: Exit,
    },
    /// A component is gone: nothing of its run in this epoch is left.
    Gone {
        /// The component.
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
        /// How long the lease is still valid, counted from the time when the renewal was *sent*.
        remaining: Duration,
    },
    /// Stop everything and end the run.
    Shutdown,
    /// Stop everything and wait for [`Resume`](Input::Resume).
    Drain,
    /// Undo a drain.
    Resume,
    /// An operator's trip: stop everything as if the dependency had failed.
    Trip,
    /// An operator's reset: clear suspicion and level in Running; lower the level to at most 1 in other states.
    Reset,
    /// A component has failed so often after it had come up that the policy's
    /// [limit](crate::policy::FailureLimit) is reached.
    FailedTooOften {
        /// The component.
        component: ComponentId,
    },
    /// The runtime of the components stopped polling tasks: nothing that runs on it makes progress.
    ///
    /// A freeze stops everything, but it is no evidence against the dependency: it does not change the blame. Unless
    /// the dependency is blamed already, the session stays open and the backoff is enough. A freeze is no evidence for
    /// the dependency either: observations from before it do not allow a start. A start that it interrupts has failed.
    Frozen,
}
