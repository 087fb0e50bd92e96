//! Components: what the service gives, and what the supervisor makes of it.
//!
//! From the bottom up: a `Run` is what one incarnation has of its own; a `Stage` holds the runs of all its components in
//! blocks; an `Incarnation` is a handle of one of them, a `Context` what the component sees of it; a `MainTask` runs it;
//! a `Starter` begins the main tasks of a stage; and a `StageRun` is what the supervisor has of all that.

mod adapt;
mod context;
mod incarnation;
mod main_task;
mod reporter;
mod run;
mod stage;
mod stage_run;
mod starter;
mod traits;

pub use adapt::component_fn;
pub(crate) use adapt::{Boxed, StartStopped, Task};
pub use context::{Context, SubTask};
pub use incarnation::Hold;
pub(crate) use incarnation::Incarnation;
pub(crate) use main_task::Begin;
pub use reporter::Reporter;
pub(crate) use run::Ending;
pub(crate) use stage_run::StageRun;
pub use traits::{Component, StartStop};
