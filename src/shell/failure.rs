//! Failures of components, errors of runs, and panics as failures.

mod error;
mod error_text;
mod reported;
mod run_error;
mod unwinding;

pub use error::{Classify, Failure};
pub(crate) use reported::ReportedFailure;
pub use run_error::RunError;
pub(crate) use unwinding::{Unwinding, unwinding};
