//! The published state of a run: components, status, transitions, outages, and their log events.

mod describe;
mod journal;
mod last_failures;
mod notes;
mod published;
mod roster;
mod status;
mod summary;
pub(crate) mod trace;

pub(crate) use describe::{describe, overdue};
pub use journal::{Lagged, Outage, TransitionEvent, Transitions};
pub(crate) use last_failures::LastFailures;
pub(crate) use published::Published;
pub(crate) use roster::Few;
pub use status::{ComponentStatus, DependencyStatus, Status};
pub(crate) use summary::Summary;
