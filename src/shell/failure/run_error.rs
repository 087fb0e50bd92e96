//! The error of a run that was halted.

use std::fmt;
use std::sync::Arc;

use super::error::Failure;
use super::reported::ReportedFailure;
use crate::machine::HaltReason;

/// The run could not continue safely. The process should exit, so that an orchestrator can restart it.
///
/// The [`Failure`] that ended the run, if there was one, is [`failure`](Self::failure) and not the source.
///
/// ```no_run
/// # async fn example(service: overwatch::Overwatch) {
/// if let Err(error) = service.run_until_signal().await {
///     eprintln!("{error}");
///     if !error.wedged().is_empty() {
///         // The drop of the runtime would wait for their threads.
///         std::process::exit(1);
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct RunError {
    pub(crate) why: HaltReason,
    pub(crate) reason: Arc<str>,
    pub(crate) failure: Option<(Option<Arc<str>>, Arc<ReportedFailure>)>,
    pub(crate) wedged: Vec<Arc<str>>,
}

impl RunError {
    /// Why the run was halted.
    pub fn why(&self) -> HaltReason {
        self.why
    }

    /// The fatal failure that ended the run, if one did.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref().map(|(_, told)| told.failure())
    }

    /// The name of the component that failed fatally, if one did.
    pub fn component(&self) -> Option<&str> {
        self.failure.as_ref()?.0.as_deref()
    }

    /// The components that survived their abort.
    ///
    /// Their threads keep the process alive and continue their work, so exit the process.
    /// [`Overwatch::run_or_exit`](crate::Overwatch::run_or_exit) does this.
    pub fn wedged(&self) -> &[Arc<str>] {
        &self.wedged
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            Some((Some(name), told)) => {
                write!(f, "halted: {name:?} failed fatally: {}", told.text())?;
            }
            Some((None, told)) => write!(f, "halted: {}", told.text())?,
            None => write!(f, "halted: {}", self.reason)?,
        }
        if !self.wedged.is_empty() {
            write!(f, "; wedged: {}", self.wedged.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for RunError {}
