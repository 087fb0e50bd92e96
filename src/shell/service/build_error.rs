//! Errors of [`Builder::build`](crate::Builder::build).

use std::fmt;

use crate::policy::{Fence, PolicyError};
use crate::shell::component::WiringError;

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
    /// A component owns a lease, but the policy has no fence.
    LeaseOwnerWithoutFence {
        /// The name of the component.
        name: String,
    },
    /// The policy has a fence, but no component owns its lease.
    FenceWithoutLeaseOwner,
    /// Two components were added or named as the owner of the lease.
    SeveralLeaseOwners {
        /// Their names.
        names: [String; 2],
    },
    /// The fence of the policy is not that of the lease holder.
    FenceOfAnotherLease {
        /// The name of the lease holder.
        name: String,
        /// The fence of the policy.
        fence: Box<Fence>,
        /// The fence of the lease holder.
        own: Box<Fence>,
    },
    /// A component cannot work where it was added.
    Wiring {
        /// The name of the component.
        component: String,
        /// What is wrong, and what to do.
        error: WiringError,
    },
    /// [`may_finish`](crate::Builder::may_finish) was called before any component was added.
    NothingMayFinish,
    /// The component that holds the lease may finish, but the lease must be renewed as long as there is work.
    LeaseOwnerMayFinish {
        /// Its name.
        name: String,
    },
    /// The run is to end when all components have finished, but this one may not.
    NeverFinishes {
        /// Its name.
        name: String,
    },
    /// A deadline of the current stage was set behind a lease holder, which is the last component of its stage.
    StageIsComplete {
        /// The method that was called.
        method: &'static str,
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
            Self::LeaseOwnerWithoutFence { name } => {
                write!(
                    f,
                    "component {name:?} owns a lease, but the policy has no fence: set the fence, add \
                     the component with `lease_holder`, which brings the fence along, or name no owner"
                )
            }
            Self::FenceWithoutLeaseOwner => f.write_str(
                "the policy has a fence, but no component owns its lease: add the one that renews it \
                 with `lease_holder`, name it with `lease_owner`, or set no fence",
            ),
            Self::SeveralLeaseOwners { names: [one, other] } => {
                write!(
                    f,
                    "two components own the lease, {one:?} and {other:?}: a service has one lease, so \
                     leave one out, or put it into a service of its own"
                )
            }
            Self::FenceOfAnotherLease { name, fence, own } => {
                write!(
                    f,
                    "the policy's fence is not that of the lease holder {name:?} ({fence} instead of \
                     {own}): set no fence in the policy, the lease holder brings its own"
                )
            }
            Self::Wiring { component, error } => write!(f, "component {component:?}: {error}"),
            Self::StageIsComplete { method } => write!(
                f,
                "`{method}` comes right behind `lease_holder`, whose stage is complete: call it before `lease_holder` \
                 for that stage, or after `next_stage` for the next one"
            ),
            Self::NothingMayFinish => {
                f.write_str("`may_finish` comes before all components: call it after the one that may finish")
            }
            Self::LeaseOwnerMayFinish { name } => write!(
                f,
                "{name:?} holds the lease, which must be renewed as long as there is work: do not let it finish"
            ),
            Self::NeverFinishes { name } => write!(
                f,
                "the run is to end when all have finished, but {name:?} may not finish: call `may_finish` after it, or \
                 set no `end_when_finished`"
            ),
            Self::WatchdogWithoutFence => f.write_str(
                "a fence watchdog without a fence: set the policy's fence, or ask for no watchdog",
            ),
            Self::Policy(error) => error.fmt(f),
        }
    }
}

/// It has no source, because its text contains the whole cause.
impl std::error::Error for BuildError {}
