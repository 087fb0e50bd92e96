//! Components: what the service gives, and what the supervisor makes of it.
//!
//! From the bottom up: a `Run` is what one incarnation has of its own; a `Stage` holds the runs of all its components in
//! blocks; an `Incarnation` is a handle of one of them, a `Context` what the component sees of it; a `MainTask` runs it;
//! a `Starter` begins the main tasks of a stage; and a `StageRun` is what the supervisor has of all that.
//!
//! # Why some of it is not written in the plainest way
//!
//! A service may have a hundred thousand components. What is special here is there for a row of the benches (group
//! `shell`, in BENCHMARKING.md) and explained where it stands. Whoever takes one out runs that row before and after.
//!
//! | what | where | the row that pays for it |
//! | --- | --- | --- |
//! | what an incarnation needs only if it reports, spawns or fails is made when it is needed | `run.rs`, `Extras` | bytes of each |
//! | 32 incarnations share one piece of memory with one count of owners | `stage.rs`, `Block` | bytes of each; start and stop of 10,000 and more: one count for all is fought for, one for each is so many more pieces of memory |
//! | the main task is an enum and not an `async fn`, which keeps what it is given twice | `main_task.rs`, `Main` | bytes of each |
//! | a closure runs without the box that the trait needs, up to 4 KiB | `main_task.rs`, `Body`; `service/builder.rs` | bytes of each; start |
//! | spans are boxed, for those who want them | `main_task.rs`, `WorksWithin` | bytes of each |
//! | what waits for the stop is written without `async fn` | `stage.rs`, `Block::stopping` | bytes of each |
//! | a component that is told to stop wakes one more block | `stage.rs`, `Stage::pass_on` | from a report until the last of 10,000 sees the stop |
//! | the closure is let go of before the work begins | `adapt.rs`, `Body for Task` | stop of 10,000 and more |
//! | a large stage is begun by a worker, and in turns | `starter.rs`, `Starter` | start of 10,000 and more, spawned |
//! | only the supervisor gives back the memory of tasks | `starter.rs`, `Tasks` | stop of 10,000 and more |
//! | an answer without a story is taken without a look at the clock | `supervise/supervisor.rs`, `next_plain` | start and stop of 10,000 and more |
//! | what many cores write to has cache lines of its own | `sync.rs`, `CachePadded` | start and stop of 10,000 and more; one report |

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
