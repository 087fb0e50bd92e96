//! Failures of components, errors of runs, and panics as failures.

mod error;
mod error_text;
mod reported;
mod run_error;
mod run_report;
mod unwinding;

pub use error::{Classify, Failure};
pub(crate) use reported::ReportedFailure;
pub use run_error::RunError;
pub(crate) use run_report::Parts as ReportParts;
pub use run_report::{RunReport, StopSignal, UncleanStop};
pub(crate) use unwinding::{Unwinding, unwinding};
