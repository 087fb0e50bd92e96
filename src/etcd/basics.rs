//! Types that all other modules use: errors, classes of failures, pauses, moments. Pure.

mod backoff;
mod config_error;
mod etcd_error;
mod failure_log;
mod fault;
mod hash;
mod moment;
#[cfg(feature = "etcd")]
mod target;

pub(crate) use backoff::{RETRY_AFTER, pause};
pub use config_error::EtcdConfigError;
pub(crate) use etcd_error::{EtcdError, shorten};
#[cfg(feature = "etcd")]
pub(crate) use etcd_error::{of_status, tls};
pub(crate) use failure_log::{FailureLog, Loudness};
pub(crate) use fault::Verdicts;
pub use fault::{Fault, Verdict};
pub(crate) use hash::{mix, named, of_bytes};
pub(crate) use moment::Moment;
#[cfg(feature = "etcd")]
pub(crate) use target::TARGET;
