//! A service: its builder, its run methods, and its handle.

mod build_error;
mod builder;
mod control;
mod handle;
mod overwatch;
mod signals;

pub use build_error::BuildError;
pub use builder::Builder;
#[cfg(feature = "http")]
pub(crate) use handle::Summaries;
pub use handle::{CommandError, Handle, RunEnded};
pub use overwatch::Overwatch;
