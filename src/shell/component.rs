//! Components: the traits that users implement, and how the supervisor runs them.
//!
//! From the bottom up: a `Run` is the state of one incarnation; a `Stage` has the runs of all its components in
//! blocks; an `Incarnation` is a handle of one run, and a `Context` is the component's view of it; a `MainTask` runs
//! the component; a `Starter` begins the main tasks of a stage; and a `StageRun` is the supervisor's view of a stage.
//!
//! # Optimizations
//!
//! A service may have a hundred thousand components. Each optimization here improves a row of the benchmarks (group
//! `shell`, in BENCHMARKING.md), and is explained in its place. Run that row before and after you remove one.
//!
//! | what | where | the row that it improves |
//! | --- | --- | --- |
//! | state that an incarnation needs only if it reports, spawns or fails is made on demand | `run.rs`, `Extras` | bytes of each |
//! | 32 incarnations share one allocation with one reference count | `stage.rs`, `Block` | bytes of each; start and stop of 10,000 and more: one count for all would be contended, one for each would be many more allocations |
//! | the main task is an enum and not an `async fn`, which stores its arguments twice | `main_task.rs`, `Main` | bytes of each |
//! | a closure runs without the box that the trait needs, up to 4 KiB | `main_task.rs`, `Body`; `service/builder.rs` | bytes of each; start |
//! | spans are boxed, so only those who enable them pay | `main_task.rs`, `WorksWithin` | bytes of each |
//! | the future that waits for the stop is written without `async fn` | `stage.rs`, `Block::stopping` | bytes of each |
//! | a component that is asked to stop wakes one more block | `stage.rs`, `Stage::pass_on` | from a report until the last of 10,000 sees the stop |
//! | the closure is dropped before the work begins | `adapt.rs`, `Body for Task` | stop of 10,000 and more |
//! | a worker begins a large stage, and yields in between | `starter.rs`, `Starter` | start of 10,000 and more, spawned |
//! | only the supervisor frees the memory of tasks | `starter.rs`, `Tasks` | stop of 10,000 and more |
//! | a plain answer is taken without reading the clock | `supervise/supervisor.rs`, `next_plain` | start and stop of 10,000 and more |
//! | data that many cores write to has separate cache lines | `sync.rs`, `CachePadded` | start and stop of 10,000 and more; one report |

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
