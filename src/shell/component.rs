//! Components: the traits that users implement, and how the supervisor runs them.
//!
//! From the bottom up: a `Run` is the state of one incarnation; a `Stage` has the runs of all its components in
//! blocks; an `Incarnation` is a handle of one run, and a `Context` is the component's view of it; a `MainTask` runs
//! the component; a `Starter` begins the main tasks of a stage; and a `StageRun` is the supervisor's view of a stage.
//!
//! # Optimizations
//!
//! A service may have a hundred thousand components. Each optimization here improves a row of the benchmarks (groups
//! `shell` and `trip`, in BENCHMARKING.md), and is explained in its place. Run that row before and after you change one.
//! The figures are ratios to bare tasks: without the optimization, and in brackets with it. Both were measured on one
//! machine on one day, in turns, so they differ from the figures of the benchmarks. Bytes do not vary, times vary by a
//! fifth.
//!
//! | what | where | the row, without it (with it) |
//! | --- | --- | --- |
//! | state that an incarnation needs only if it reports, spawns or fails is made on demand | `run.rs`, `Extras` | bytes of each 2.7 (1.36); stop of 100,000 2.3 (1.1) |
//! | 32 incarnations share one allocation with one reference count | `stage.rs`, `Block` | one for each: bytes of each 2.1 (1.36), stop of 10,000 1.9 (1.5); one for all: stop of 10,000, spawned 1.6 (1.2) |
//! | the main task is an enum and not an `async fn`, which stores its arguments twice | `main_task.rs`, `Main` | bytes of each 2.2 (1.36) |
//! | a closure runs without the box that the trait needs, up to 4 KiB | `main_task.rs`, `Body`; `service/builder.rs` | bytes of each 1.8 (1.36); stop of 100,000 1.6 (1.1) |
//! | spans are boxed, so only a service that enables them pays | `main_task.rs`, `WorksWithin` | bytes of each 1.8 (1.36) |
//! | the closure is dropped before the work begins | `adapt.rs`, `Body for Task` | bytes of each 1.8 (1.36); stop of 10,000, spawned 1.7 (1.2) |
//! | a component that is asked to stop wakes one more block | `stage.rs`, `Stage::pass_on` | from an operator's trip until the last of 10,000 sees the stop 1.12, spawned 1.25 (0.91 in the same hour; up to 1.5 in others, so this one is not certain) |
//! | a plain answer is taken without reading the clock | `supervise/supervisor.rs`, `next_plain` | stop of 10,000 1.8 (1.5), spawned 1.7 (1.2) |
//!
//! Two more look like optimizations for these rows and are there for another reason: a worker begins a large stage and
//! yields in between, so that the supervisor can react meanwhile (`starter.rs`; a start of 10,000 takes 1.5 with it and
//! 1.1 without it); and the supervisor frees the memory of a task when its component is gone, and not only when the
//! whole stage is (no row shows a difference).

mod adapt;
mod context;
mod incarnation;
mod main_task;
mod push_live;
mod reporter;
mod run;
mod stage;
mod stage_run;
mod starter;
mod sub_task;
mod traits;
mod wiring;

pub use adapt::component_fn;
pub(crate) use adapt::{Boxed, StartStopped, Task};
pub use context::Context;
pub use incarnation::Hold;
pub(crate) use incarnation::Incarnation;
pub(crate) use main_task::Begin;
pub use reporter::Reporter;
pub(crate) use run::{Ending, Left};
pub(crate) use stage_run::StageRun;
#[cfg(feature = "etcd")]
pub(crate) use sub_task::caught;
pub use sub_task::{CaughtTask, SubTask};
pub use traits::{Component, ComponentResult, LeaseHolder, StartStop};
pub(crate) use wiring::Added;
pub use wiring::{Wiring, WiringError};
