//! etcd's clients of the crate on a simulated network and with simulated members: for what signals and
//! proxies cannot do one and the same way twice.
//!
//! [`Scenario::of`] makes a scenario of a seed, and [`simulate`] judges what the probe told: the same seed
//! gives the same trace. [`nodes`] does the same for nodes that share work, where it mostly does.

mod etcd;
mod judged;
mod net;
pub mod nodes;
mod scenario;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use judged::{Told, judge};
pub use net::Traffic;
pub use scenario::{Episode, Outcome, Scenario, Scene, simulate};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
