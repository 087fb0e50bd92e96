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
    pub mod shell {
        /// Everything is in place here, and logged at once.
        pub mod log {
            #[derive(Clone)]
            pub struct Log;

            impl Log {
                pub fn of_the_process() -> Self {
                    Self
                }

                pub fn guard_thread<T>(&self, work: impl FnOnce() -> T) -> T {
                    work()
                }

                pub async fn scope_task<F: Future>(self, work: F) -> F::Output {
                    work.await
                }
            }

            pub fn current() -> Option<Log> {
                None
            }

            pub fn log(_: tracing::Level, write: impl FnOnce(u64) + Send + 'static) {
                write(0);
            }
        }
        pub mod place;
    }
}
mod fake;
mod judged;
mod net;
mod scenario;

use source::etcd;

pub use judged::{Told, judge};
pub use net::Traffic;
pub use scenario::{Episode, Outcome, Scenario, Scene, simulate};

use overwatch::{Component, Context, Failure, Fence, Observation, Probe, machine};

/// What the sources use of the crate.
mod policy {
    pub(crate) use overwatch::policy::{MAX_DURATION, Policy, PolicyError, Tuning};
}

/// What the sources use of the crate. Only the probe is run here.
mod shell {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use overwatch::Failure;

    pub(crate) use crate::source::shell::{log::log, place};

    pub(crate) async fn unwinding<T>(
        work: impl Future<Output = Result<T, Failure>> + Unpin,
    ) -> Result<T, Failure> {
        work.await
    }

    pub(crate) fn text_of(failure: &Failure) -> String {
        failure.to_string()
    }

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
