//! After how many failures of a component the service gives up on it.

use core::time::Duration;

use super::error::{PolicyError, in_range, in_range_count};

/// How many failures of one component within a time are too many.
///
/// A service that starts well and fails again a few minutes later is restarted again and again: the hold-off sinks while
/// it runs, and [`give_up_after`](super::PolicyBuilder::give_up_after) counts only starts. This limit ends that.
///
/// A failure counts if all of this holds:
///
/// - it is a report of a component, or its end after it had called `mark_ready`;
/// - it stopped the service, which was ready or starting;
/// - its class is `component`: it blames neither the dependency nor is it fatal.
///
/// So a component that crashes right after each start counts as well. Each component is counted by itself.
///
/// ```
/// use overwatch::policy::FailureLimit;
/// use overwatch::Policy;
/// use std::time::Duration;
///
/// let hour = Duration::from_secs(3600);
/// // The fifth failure of one component within an hour ends the run.
/// let policy = Policy::builder().failure_limit(FailureLimit::new(5, hour)).build()?;
/// // The fifth one stops everything until an operator resumes.
/// let policy = Policy::builder().failure_limit(FailureLimit::new(5, hour).with_drain(true)).build()?;
/// # Ok::<(), overwatch::PolicyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailureLimit {
    failures: u32,
    within: Duration,
    drains: bool,
}

impl FailureLimit {
    /// The highest number of failures that can be counted.
    pub const MAX_FAILURES: u32 = 1_000;

    /// Ends the run when one component has failed this often within this time: 1 to 1,000 times within 1 ms to 24 h. The run
    /// is then halted. [`PolicyBuilder::build`](super::PolicyBuilder::build) checks the bounds.
    pub fn new(failures: u32, within: Duration) -> Self {
        Self {
            failures,
            within,
            drains: false,
        }
    }

    /// Sets whether everything is stopped until an operator resumes, and the run does not end. Default: no.
    #[must_use]
    pub fn with_drain(mut self, drains: bool) -> Self {
        self.drains = drains;
        self
    }

    /// The number of failures that reach the limit.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The time within which they are counted.
    pub fn within(&self) -> Duration {
        self.within
    }

    /// Whether the service drains when the limit is reached. If not, the run ends.
    pub fn drains(&self) -> bool {
        self.drains
    }

    pub(super) fn check(&self) -> Result<(), PolicyError> {
        in_range_count("failure_limit.failures", self.failures, Self::MAX_FAILURES)?;
        in_range("failure_limit.within", self.within)
    }
}
