//! The error of a run.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::error::Failure;
use super::reported::ReportedFailure;
use super::run_report::{RunReport, UncleanStop};
use crate::machine::{HaltReason, RunOutcome};

/// The run could not continue safely, or it did not stop well. The process should exit with an exit code other than 0.
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
    pub(crate) report: RunReport,
    pub(crate) failure: Option<(Option<Arc<str>>, Arc<ReportedFailure>)>,
}

impl RunError {
    /// Why the run was halted. `None` if it was stopped as requested, but some components did not stop well.
    pub fn why(&self) -> Option<HaltReason> {
        match self.report.outcome() {
            Some(RunOutcome::Halted(why)) => Some(why),
            _ => None,
        }
    }

    /// How the run ended.
    pub fn report(&self) -> &RunReport {
        &self.report
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
        self.report.wedged()
    }

    /// The components that did not stop well. See [`RunReport::unclean_stops`].
    pub fn unclean_stops(&self) -> &[UncleanStop] {
        self.report.unclean_stops()
    }
}

/// The most components that a message names.
const NAMED: usize = 8;

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.failure, self.why()) {
            (_, None) => f.write_str("stopped, but not well")?,
            (Some((Some(name), told)), _) => {
                write!(f, "halted: {name:?} failed fatally: {}", told.text())?;
            }
            (Some((None, told)), _) => write!(f, "halted: {}", told.text())?,
            (None, _) => write!(f, "halted: {}", self.report.reason())?,
        }
        let wedged = self.wedged();
        // The reason of a run that was halted because of them names them.
        let are_named = self.failure.is_none() && self.why() == Some(HaltReason::Wedged);
        if !wedged.is_empty() && !are_named {
            let named: Vec<&str> = wedged.iter().take(NAMED).map(|name| &**name).collect();
            write!(f, "; wedged: {}", named.join(", "))?;
            if let more @ 1.. = wedged.len().saturating_sub(NAMED) {
                write!(f, " and {more} more")?;
            }
        }
        // What is wedged was aborted before.
        let unclean = self.unclean_stops().iter();
        let wedged: BTreeSet<&str> = wedged.iter().map(|name| &**name).collect();
        let unclean = unclean.filter(|stop| !wedged.contains(&*stop.component));
        let unclean: Vec<_> = unclean.collect();
        for (place, stop) in unclean.iter().take(NAMED).enumerate() {
            let before = if place == 0 && self.why().is_none() {
                ": "
            } else {
                "; "
            };
            write!(f, "{before}{stop}")?;
        }
        match unclean.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more did not stop well"),
        }
    }
}

impl std::error::Error for RunError {}
