#![forbid(unsafe_code)]
//! Stops a service cleanly when the dependency it cannot live without goes away, and starts it
//! afresh once that dependency has proved itself.

#![forbid(unsafe_code)]

pub mod law;
pub mod machine;
pub mod policy;

#[cfg(feature = "shell")]
mod shell;

#[cfg(feature = "test-util")]
pub mod test_util;

#[cfg(feature = "http")]
pub mod http;

#[cfg(feature = "etcd")]
pub mod etcd;

pub use policy::{Fence, Policy, PolicyError, Tuning};

#[cfg(feature = "shell")]
pub use shell::*;
