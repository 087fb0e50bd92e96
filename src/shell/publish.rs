//! What is published: who is there, what it does and why, and the log of it.

mod describe;
mod journal;
mod notes;
mod published;
mod roster;
mod status;
mod summary;
pub(crate) mod trace;

pub(crate) use describe::{describe, overdue};
pub use journal::{Lagged, Outage, TransitionEvent, Transitions};
pub(crate) use published::Published;
pub(crate) use roster::Few;
pub use status::{ComponentStatus, DependencyStatus, Status};
pub(crate) use summary::Summary;
