//! The published state of a run: components, status, transitions, outages, and their log events.

mod describe;
mod journal;
mod last_failures;
mod last_seen;
mod notes;
mod published;
mod roster;
mod status;
mod summary;
pub(crate) mod trace;

pub(crate) use describe::{LeaseNews, describe, fence, grown, overdue};
pub use journal::{Lagged, Outage, TransitionEvent, Transitions};
pub(crate) use last_failures::LastFailures;
pub(crate) use last_seen::LastSeen;
pub(crate) use published::Published;
pub(crate) use roster::{Few, NAMES_LISTED, Roster};
pub use status::{ComponentStatus, DependencyStatus, Status};
pub(crate) use summary::{HoldOff, Summary};
