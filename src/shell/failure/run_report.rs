//! How a run ended.

use std::fmt;
use std::sync::Arc;

use crate::driver::UncleanEnd;
use crate::machine::RunOutcome;

/// How a run ended. From [`Handle::wait_until_ended`](crate::Handle::wait_until_ended), and in each
/// [`RunError`](crate::RunError).
///
/// It is cheap to clone.
///
/// ```no_run
/// # async fn example(service: overwatch::Overwatch) -> Result<(), overwatch::RunError> {
/// let handle = service.handle();
/// service.run_until_signal().await?;
/// let report = handle.wait_until_ended().await;
/// println!("{}", report.reason());
/// if let Some(signal) = report.signal() {
///     println!("{signal} ended it");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RunReport(Arc<Parts>);

pub(crate) struct Parts {
    /// `None` if the run was dropped.
    pub(crate) outcome: Option<RunOutcome>,
    pub(crate) reason: Arc<str>,
    pub(crate) unclean_stops: Vec<UncleanStop>,
    pub(crate) wedged: Vec<Arc<str>>,
    pub(crate) signal: Option<StopSignal>,
}

/// A component that did not stop well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UncleanStop {
    /// The name of the component.
    pub component: Arc<str>,
    /// What was wrong.
    pub how: UncleanEnd,
    /// The same in words, with the error if there was one.
    pub what: Arc<str>,
}

impl fmt::Display for UncleanStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.component, self.what)
    }
}

/// The signal that ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopSignal {
    /// SIGINT; on other systems than Unix, ctrl-c.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl StopSignal {
    /// The name of the signal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interrupt if cfg!(unix) => "SIGINT",
            Self::Interrupt => "ctrl-c",
            Self::Terminate => "SIGTERM",
        }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl RunReport {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(crate) fn dropped() -> Self {
        Self::new(Parts {
            outcome: None,
            reason: "the run was dropped".into(),
            unclean_stops: Vec::new(),
            wedged: Vec::new(),
            signal: None,
        })
    }

    /// Whether the run was stopped as requested, or halted; `None` if it was dropped.
    pub fn outcome(&self) -> Option<RunOutcome> {
        self.0.outcome
    }

    /// Why everything was stopped, in words.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The components that did not stop well when everything was last stopped.
    ///
    /// They were aborted at their stop deadline, or returned an error, or panicked. If there are very many, these are the
    /// first 1,024. A run that ends while nothing is alive, e.g. in an outage, has none.
    pub fn unclean_stops(&self) -> &[UncleanStop] {
        &self.0.unclean_stops
    }

    /// The components that survived their abort.
    pub fn wedged(&self) -> &[Arc<str>] {
        &self.0.wedged
    }

    /// The signal that asked for the end, if one did.
    pub fn signal(&self) -> Option<StopSignal> {
        self.0.signal
    }

    /// Whether the run was stopped as requested, and each component stopped well.
    pub fn is_clean(&self) -> bool {
        self.outcome() == Some(RunOutcome::Stopped) && self.unclean_stops().is_empty()
    }
}

impl fmt::Debug for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunReport")
            .field("outcome", &self.outcome())
            .field("reason", &self.reason())
            .field("unclean_stops", &self.unclean_stops())
            .field("wedged", &self.wedged())
            .field("signal", &self.signal())
            .finish()
    }
}
