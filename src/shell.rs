//! The async shell.

mod probe;

pub use probe::{Observation, Probe};
