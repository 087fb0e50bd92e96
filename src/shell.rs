//! The async shell: one loop brings to the [driver](crate::driver) what arrives, asks it what is next, and
//! carries out the effects.
//!
//! It uses tokio's clock only, so it runs unchanged under `tokio::time::pause`.

mod builder;
mod component;
mod context;
mod control;
mod describe;
mod end;
mod failure;
mod handle;
mod incarnation;
mod journal;
mod leave;
mod log;
mod mailbox;
mod notes;
mod overwatch;
pub(crate) mod place;
mod probe;
mod reporter;
mod service_watch;
mod session;
mod shared;
mod signals;
mod stage;
mod status;
mod supervisor;
mod tasks;
mod told;
mod trace;
mod unwind;
mod watchdog;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use builder::{BuildError, Builder};
pub use component::{Component, StartStop, component_fn};
pub use context::{Context, SubTask};
pub use end::RunError;
pub use failure::{Classify, Failure};
pub use handle::{CommandError, Handle, RunEnded};
pub use incarnation::Hold;
pub use journal::{Lagged, Outage, TransitionEvent, Transitions};
pub use overwatch::{Arrived, Overwatch, StepRecord};
pub use probe::{
    All, Feed, FeedProbe, Isolated, Observation, Polled, Probe, ProbeMode, all, feed, isolated,
    polled,
};
pub use reporter::Reporter;
pub use status::{ComponentStatus, DependencyStatus, Status};

#[cfg(feature = "http")]
pub(crate) use handle::News;
#[cfg(feature = "test-util")]
pub(crate) use {
    incarnation::Incarnation, log::Log, reporter::Batch, shared::Shared, stage::StageRun,
};
#[cfg(feature = "etcd")]
pub(crate) use {log::log, unwind::unwinding};

/// What a failure says, for adapters.
#[cfg(feature = "etcd")]
pub(crate) fn text_of(failure: &Failure) -> String {
    failure.text()
}

/// Locks, also after a panic elsewhere: what is behind our locks is valid after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
