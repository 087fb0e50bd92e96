//! The etcd probe, as it is in the crate, on a simulated network and with simulated members: for what
//! signals and proxies cannot do one and the same way twice.
//!
//! [`Scenario::of`] makes a scenario of a seed, and [`simulate`] judges what the probe told: the same
//! seed gives the same trace.

// The probe's own tests are run with the crate.
#![cfg(not(test))]

// The probe's own sources, because its seam is private to the crate.
#[allow(dead_code, missing_docs)]
#[path = "../../src"]
pub mod source {
    pub mod etcd;
}
mod fake;
mod judged;
mod net;
mod scenario;

use source::etcd;

pub use judged::{Told, judge};
pub use net::Traffic;
pub use scenario::{Episode, Outcome, Scenario, Scene, simulate};

use overwatch::{Observation, Probe};

/// What the probe uses of the crate.
mod policy {
    pub(crate) use overwatch::policy::{Policy, PolicyError, Tuning};
}

/// What the probe uses of the crate.
mod shell {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
