//! Stops a service cleanly when the dependency it cannot live without goes away, and starts it
//! afresh once that dependency has proved itself.

#[cfg(feature = "shell")]
mod shell;

#[cfg(feature = "etcd")]
pub mod etcd;

#[cfg(feature = "shell")]
pub use shell::*;
