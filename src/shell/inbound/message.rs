//! Messages to the supervisor from components and from the lease owner.

use tokio::time::Instant;

use crate::machine::Exit;
use crate::policy::ComponentId;

/// An answer of a component.
#[derive(Clone, Copy)]
pub(crate) enum ComponentAnswer {
    Up(IncarnationId),
    /// Its main task ended by itself, and there are still holds.
    Exited(IncarnationId),
    /// Nothing of it is left. With how its main task ended, if there is nothing else to report about it.
    Gone(IncarnationId, Option<Exit>),
}

/// Identifies an incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IncarnationId {
    pub(crate) component: ComponentId,
    pub(crate) epoch: u64,
}

/// A lease that was renewed.
#[derive(Clone, Copy)]
pub(crate) struct RenewedLease {
    pub(crate) epoch: u64,
    /// When the renewal was sent.
    pub(crate) sent: Instant,
    pub(crate) expires: Instant,
}
