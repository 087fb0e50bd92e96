//! What is brought to the supervisor by components and by the lease's owner.

use tokio::time::Instant;

use crate::machine::Exit;
use crate::policy::ComponentId;

/// What a component answers.
#[derive(Clone, Copy)]
pub(crate) enum ComponentAnswer {
    Up(IncarnationId),
    /// Its main task ended unasked, and something of it is still held.
    Exited(IncarnationId),
    /// Nothing of it is left; and how its main task ended, if that is all there is to say of it.
    Gone(IncarnationId, Option<Exit>),
}

/// Which incarnation.
#[derive(Clone, Copy)]
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
