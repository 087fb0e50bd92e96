//! Why the machine moved.

use core::fmt;

use super::{Command, ComponentId, FailureClass};

/// Why the machine moved from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The run began.
    Boot,
    /// A failure was reported by a component, or from outside of any.
    Report {
        /// Who reported.
        component: Option<ComponentId>,
        /// The class of the report.
        class: FailureClass,
    },
    /// A component ended without being asked.
    Exited {
        /// Which.
        component: ComponentId,
        /// Whose trouble it was.
        class: FailureClass,
    },
    /// A component ended before it was up.
    StartFailed {
        /// Which.
        component: ComponentId,
        /// Whose trouble it was.
        class: FailureClass,
    },
    /// A stage was not up within the start deadline.
    StartOverdue,
    /// The probe saw the dependency fail.
    Failing,
    /// The dependency gave no sign of life for the silence limit.
    Silence,
    /// The lease would run out before everything could be stopped.
    Fence,
    /// The runtime that components run on polled nothing any more.
    Frozen,
    /// An operator asked for it.
    Command(Command),
    /// A shutdown was asked for.
    Shutdown,
    /// The dependency proved itself for the whole hold-off.
    Recovered,
    /// Every component of every stage is up.
    AllUp,
    /// Every component is gone.
    AllGone,
    /// Components survived their abort.
    Wedged,
    /// Too many starts failed in a row.
    GaveUp,
    /// Everything is gone after a failure that no restart could mend.
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
            Self::Wedged => "wedged",
            Self::GaveUp => "gave_up",
            Self::Fatal => "fatal",
        }
    }

    /// The component it was about, if it was about one.
    pub fn component(self) -> Option<ComponentId> {
        match self {
            Self::Report { component, .. } => component,
            Self::Exited { component, .. } | Self::StartFailed { component, .. } => Some(component),
            _ => None,
        }
    }

    /// The class of the failure, if it was a component's.
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
