//! Why a transition happened.

use core::fmt;

use super::{Command, ComponentId, FailureClass};

/// Why a transition happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The run began.
    Boot,
    /// A component reported a failure, or code outside of any component did.
    Report {
        /// The component that reported; `None` for code outside of any component.
        component: Option<ComponentId>,
        /// The class of the report.
        class: FailureClass,
    },
    /// A component ended without being asked to stop.
    Exited {
        /// The component.
        component: ComponentId,
        /// What was at fault.
        class: FailureClass,
    },
    /// A component ended before it was up.
    StartFailed {
        /// The component.
        component: ComponentId,
        /// What was at fault.
        class: FailureClass,
    },
    /// A stage was not up within the start deadline.
    StartOverdue,
    /// The probe saw the dependency fail.
    Failing,
    /// There was no positive observation for the silence limit.
    Silence,
    /// The lease would have expired before everything could be stopped.
    Fence,
    /// The runtime of the components stopped polling tasks.
    Frozen,
    /// An operator gave a command.
    Command(Command),
    /// A shutdown was requested.
    Shutdown,
    /// The dependency proved itself for the whole hold-off.
    Recovered,
    /// Every component of every stage is up, or has finished.
    AllUp,
    /// Every component is gone.
    AllGone,
    /// Every component has finished, and the policy ends the run then.
    Finished,
    /// A component was not gone within the abort deadline.
    Wedged,
    /// A component has failed as often as the policy's [limit](crate::policy::FailureLimit) says.
    FailedTooOften {
        /// The component.
        component: ComponentId,
    },
    /// Too many starts failed in a row, or a component failed too often.
    GaveUp,
    /// Everything is gone after a failure that a restart cannot fix.
    Fatal,
}

impl Cause {
    /// The stable name used in logs, without details.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Report { .. } => "report",
            Self::Exited { .. } => "exited",
            Self::StartFailed { .. } => "start_failed",
            Self::StartOverdue => "start_overdue",
            Self::Failing => "failing",
            Self::Silence => "silence",
            Self::Fence => "fence",
            Self::Frozen => "frozen",
            Self::Command(command) => command.as_str(),
            Self::Shutdown => "shutdown",
            Self::Recovered => "recovered",
            Self::AllUp => "all_up",
            Self::AllGone => "all_gone",
            Self::Finished => "finished",
            Self::Wedged => "wedged",
            Self::FailedTooOften { .. } => "failed_too_often",
            Self::GaveUp => "gave_up",
            Self::Fatal => "fatal",
        }
    }

    /// The component that this cause is about, if it is about one.
    pub fn component(self) -> Option<ComponentId> {
        match self {
            Self::Report { component, .. } => component,
            Self::Exited { component, .. }
            | Self::StartFailed { component, .. }
            | Self::FailedTooOften { component } => Some(component),
            _ => None,
        }
    }

    /// The class of the failure, if one was reported or a component ended.
    pub fn class(self) -> Option<FailureClass> {
        match self {
            Self::Report { class, .. }
            | Self::Exited { class, .. }
            | Self::StartFailed { class, .. } => Some(class),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
