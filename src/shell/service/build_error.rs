//! Errors of [`Builder::build`](crate::Builder::build).

use std::fmt;

use crate::policy::PolicyError;

/// Why a service could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// No component was added.
    NoComponents,
    /// A component has no name.
    EmptyName {
        /// Its position in the order of addition, from 0.
        place: usize,
    },
    /// Two components have the same name.
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A stage has no components.
    EmptyStage {
        /// The number of the stage, from 0.
        stage: usize,
    },
    /// No component has the name that was set as the lease owner.
    UnknownLeaseOwner {
        /// The name.
        name: String,
    },
    /// The fence watchdog was switched on, but the policy has no fence.
    WatchdogWithoutFence,
    /// The policy cannot work at all, or not with these components or this probe.
    Policy(PolicyError),
}

impl From<PolicyError> for BuildError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoComponents => f.write_str("there are no components: add at least one"),
            Self::EmptyName { place } => {
                write!(f, "component number {place} has an empty name: give it one")
            }
            Self::DuplicateName { name } => {
                write!(
                    f,
                    "two components are named {name:?}: give each a name of its own"
                )
            }
            Self::EmptyStage { stage } => {
                write!(
                    f,
                    "stage {stage} has no components: leave out a `next_stage`, or add one"
                )
            }
            Self::UnknownLeaseOwner { name } => {
                write!(
                    f,
                    "the lease owner {name:?} is no component: name one that was added"
                )
            }
            Self::WatchdogWithoutFence => f.write_str(
                "a fence watchdog without a fence: set the policy's fence, or ask for no watchdog",
            ),
            Self::Policy(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Policy(error) => Some(error),
            _ => None,
        }
    }
}
