//! The settings of a service, and the checks that refuse settings which cannot work.
//!
//! [`Policy`] holds the numbers, and [`Layout`] holds the components and their stages. A [`Plan`] is a pair of both
//! that was checked together. A number that cannot work is refused when the policy or the plan is built. The error
//! names the knob, its value and the bound.

mod error;
mod failure_limit;
mod fence;
mod layout;
mod plan;
mod room;
mod tuning;

use core::time::Duration;

pub use error::PolicyError;
pub use failure_limit::FailureLimit;
pub use fence::Fence;
pub use layout::{ComponentId, Layout};
pub use plan::Plan;
pub use room::Need;
pub use tuning::Tuning;

use error::{in_range, in_range_count};

/// The shortest duration that a knob accepts, unless its documentation says that zero switches it off.
pub const MIN_DURATION: Duration = Duration::from_millis(1);
/// The longest duration that a knob accepts.
pub const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest count that a knob accepts.
pub const MAX_COUNT: u32 = 1_000_000;

/// What is at fault for an outage. It decides how long the dependency must prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(
    clippy::exhaustive_enums,
    reason = "recovery depends on which of the two it is"
)]
pub enum Blame {
    /// Only components failed, or their runtime froze; the probe saw nothing wrong.
    Component,
    /// The dependency was involved: a failing observation, a silence, or a report that says so.
    Dependency,
}

/// The numbers that drive every decision, checked when the policy is built.
///
/// [`Tuning`] has the numbers that are seldom changed. [The guide](crate::guide::tuning) explains how to choose them.
///
/// ```
/// use std::time::Duration;
/// use overwatch::Policy;
///
/// let policy = Policy::builder()
///     .window(Duration::from_secs(10))
///     .stop_deadline(Duration::from_secs(5))
///     .build()?;
/// assert_eq!(policy.window(), Duration::from_secs(10));
///
/// let error = Policy::builder().window(Duration::ZERO).build().unwrap_err();
/// assert!(error.to_string().contains("window"));
/// # Ok::<(), overwatch::PolicyError>(())
/// ```
///
/// Durations lie between [`MIN_DURATION`] and [`MAX_DURATION`], counts between 1 and [`MAX_COUNT`]; a
/// [`FailureLimit`] has its own bounds.
///
/// | knob | default | what it sets |
/// | --- | --- | --- |
/// | [`window`](PolicyBuilder::window) | 30 s | how long the dependency must prove itself after an outage that it caused |
/// | [`silence_limit`](PolicyBuilder::silence_limit) | 5 s | how long without a positive observation before the dependency counts as failed |
/// | [`trip_threshold`](PolicyBuilder::trip_threshold) | 1 | how much suspicion causes a trip |
/// | [`start_deadline`](PolicyBuilder::start_deadline) | 30 s | how long a stage may take to be up |
/// | [`stop_deadline`](PolicyBuilder::stop_deadline) | 10 s | how long a stage may take to stop before it is aborted |
/// | [`abort_deadline`](PolicyBuilder::abort_deadline) | 2 s | how long an aborted component may take to be gone before it counts as wedged |
/// | [`fence`](PolicyBuilder::fence) | none | the lease that work depends on |
/// | [`give_up_after`](PolicyBuilder::give_up_after) | never | how many failed starts in a row end the run |
/// | [`failure_limit`](PolicyBuilder::failure_limit) | none | how many failures of one component within a time are too many |
/// | [`end_when_finished`](PolicyBuilder::end_when_finished) | no | whether the run ends when every component has finished |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    window: Duration,
    silence_limit: Duration,
    trip_threshold: u32,
    start_deadline: Duration,
    stop_deadline: Duration,
    abort_deadline: Duration,
    fence: Option<Fence>,
    give_up_after: Option<u32>,
    failure_limit: Option<FailureLimit>,
    end_when_finished: bool,
    tuning: Tuning,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            silence_limit: Duration::from_secs(5),
            trip_threshold: 1,
            start_deadline: Duration::from_secs(30),
            stop_deadline: Duration::from_secs(10),
            abort_deadline: Duration::from_secs(2),
            fence: None,
            give_up_after: None,
            failure_limit: None,
            end_when_finished: false,
            tuning: Tuning::default(),
        }
    }
}

impl Policy {
    /// Creates a builder that starts with the defaults.
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder(Self::default())
    }

    /// How long the dependency must prove itself after an outage that it caused.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// How long the service may be without a positive observation before the dependency counts as failed.
    pub fn silence_limit(&self) -> Duration {
        self.silence_limit
    }

    /// How much suspicion causes a trip.
    pub fn trip_threshold(&self) -> u32 {
        self.trip_threshold
    }

    /// How long one stage may take to be up.
    pub fn start_deadline(&self) -> Duration {
        self.start_deadline
    }

    /// How long one stage may take to stop before what is left of it is aborted.
    pub fn stop_deadline(&self) -> Duration {
        self.stop_deadline
    }

    /// How long an aborted component may take to be gone before it counts as wedged.
    pub fn abort_deadline(&self) -> Duration {
        self.abort_deadline
    }

    /// The lease that work depends on, if any.
    pub fn fence(&self) -> Option<&Fence> {
        self.fence.as_ref()
    }

    /// How many failed starts in a row end the run, if any number does.
    pub fn give_up_after(&self) -> Option<u32> {
        self.give_up_after
    }

    /// How many failures of one component within a time are too many, if there is a limit.
    pub fn failure_limit(&self) -> Option<&FailureLimit> {
        self.failure_limit.as_ref()
    }

    /// Whether the run ends when every component has finished.
    pub fn end_when_finished(&self) -> bool {
        self.end_when_finished
    }

    /// The knobs that are seldom changed.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// The same policy with this fence.
    ///
    /// # Errors
    ///
    /// If a time of the fence is out of its bounds.
    pub fn with_fence(mut self, fence: Fence) -> Result<Self, PolicyError> {
        fence.check()?;
        self.fence = Some(fence);
        Ok(self)
    }

    pub(crate) fn without_jitter(mut self) -> Self {
        self.tuning = self.tuning.with_jitter(Duration::ZERO);
        self
    }

    /// The hold-off at a level, before jitter: how long a clean run must last before components are started.
    ///
    /// It is zero at level 0, where one positive observation is enough. At level 1 it is the window or the backoff,
    /// depending on the [blame](Blame). Each further level multiplies it by the growth. It is never above
    /// [`Tuning::with_max_hold_off`].
    pub fn hold_off(&self, level: u32, blame: Blame) -> Duration {
        if level == 0 {
            return Duration::ZERO;
        }
        let base = match blame {
            Blame::Component => self.tuning.backoff,
            Blame::Dependency => self.window,
        };
        let factor = self.tuning.growth.saturating_pow(level - 1);
        base.saturating_mul(factor).min(self.longest_hold_off())
    }

    /// The longest hold-off, before jitter.
    pub fn longest_hold_off(&self) -> Duration {
        self.tuning.longest_hold_off(self.window)
    }

    /// How many alive observations a clean run needs besides its length.
    pub fn needed_evidence(&self, level: u32, blame: Blame) -> u32 {
        match blame {
            Blame::Dependency if level > 0 => self.tuning.min_evidence,
            _ => 1,
        }
    }

    /// The largest value that [`needed_evidence`](Policy::needed_evidence) can return.
    pub(crate) fn most_evidence(&self) -> u32 {
        self.tuning.min_evidence.max(1)
    }

    /// The longest time that it can take to stop this many stages: for each, its stop and its abort deadline.
    pub fn stop_budget(&self, stages: usize) -> Duration {
        let stages = u32::try_from(stages).unwrap_or(u32::MAX);
        (self.stop_deadline + self.abort_deadline).saturating_mul(stages)
    }
}

/// Builds a [`Policy`]: set the numbers in any order; [`build`](PolicyBuilder::build) then checks all of them.
///
/// ```
/// use overwatch::{Policy, Tuning};
/// use std::time::Duration;
///
/// let policy = Policy::builder()
///     .window(Duration::from_secs(60))
///     .stop_deadline(Duration::from_secs(20)) // the longest request
///     .tuning(Tuning::default().with_unready_delay(Duration::from_secs(5)))
///     .build()?;
/// // The longest shutdown of two stages: less than the grace period of the orchestrator.
/// let longest = policy.tuning().unready_delay() + policy.stop_budget(2);
/// assert_eq!(longest, Duration::from_secs(49));
/// # Ok::<(), overwatch::PolicyError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct PolicyBuilder(Policy);

impl PolicyBuilder {
    /// How long the dependency must prove itself after an outage that it caused. Default 30 s.
    ///
    /// It proves itself by positive evidence, no error and no silence for the whole window.
    pub fn window(mut self, window: Duration) -> Self {
        self.0.window = window;
        self
    }

    /// How long the service may be without a positive observation before the dependency counts as failed. Default 5 s.
    ///
    /// This also limits how long the service can stay ready while the dependency hangs.
    pub fn silence_limit(mut self, limit: Duration) -> Self {
        self.0.silence_limit = limit;
        self
    }

    /// How much suspicion causes a trip. Default 1: the first report or failing observation trips.
    ///
    /// A report or a failing observation adds one. Each [`Tuning::with_decay`] that passes takes one away.
    pub fn trip_threshold(mut self, threshold: u32) -> Self {
        self.0.trip_threshold = threshold;
        self
    }

    /// How long one stage may take until all its components are up. Default 30 s.
    pub fn start_deadline(mut self, deadline: Duration) -> Self {
        self.0.start_deadline = deadline;
        self
    }

    /// How long one stage may take to stop before what is left of it is aborted. Default 10 s.
    pub fn stop_deadline(mut self, deadline: Duration) -> Self {
        self.0.stop_deadline = deadline;
        self
    }

    /// How long aborted components may take to be gone before they count as wedged. Default 2 s.
    ///
    /// If a component is wedged, the process must exit.
    pub fn abort_deadline(mut self, deadline: Duration) -> Self {
        self.0.abort_deadline = deadline;
        self
    }

    /// The lease that work depends on. Default none.
    pub fn fence(mut self, fence: Fence) -> Self {
        self.0.fence = Some(fence);
        self
    }

    /// How many failed starts in a row end the run, so that an orchestrator takes over. Default never.
    ///
    /// Starts that the dependency or an operator undid do not count. With the default, the service tries forever, at
    /// the longest hold-off.
    pub fn give_up_after(mut self, failed_starts: u32) -> Self {
        self.0.give_up_after = Some(failed_starts);
        self
    }

    /// How many failures of one component within a time are too many. Default: no number of them is.
    pub fn failure_limit(mut self, limit: FailureLimit) -> Self {
        self.0.failure_limit = Some(limit);
        self
    }

    /// Whether the run ends, as `Stopped` and without an error, when every component has finished. Default: no.
    ///
    /// Only components that [may finish](Layout::with_one_shot) do. Without this the service stays ready, with nothing
    /// left to do.
    pub fn end_when_finished(mut self, end: bool) -> Self {
        self.0.end_when_finished = end;
        self
    }

    /// The knobs that are seldom changed.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.0.tuning = tuning;
        self
    }

    /// Checks every number.
    ///
    /// # Errors
    ///
    /// Returns the first knob that is out of bounds, or that another knob contradicts. What a
    /// [`fence`](PolicyBuilder::fence) needs also depends on the stages, so [`Plan::new`] checks it.
    pub fn build(self) -> Result<Policy, PolicyError> {
        let policy = self.0;
        in_range("window", policy.window)?;
        in_range("silence_limit", policy.silence_limit)?;
        in_range_count("trip_threshold", policy.trip_threshold, MAX_COUNT)?;
        in_range("start_deadline", policy.start_deadline)?;
        in_range("stop_deadline", policy.stop_deadline)?;
        in_range("abort_deadline", policy.abort_deadline)?;
        if let Some(failed_starts) = policy.give_up_after {
            in_range_count("give_up_after", failed_starts, MAX_COUNT)?;
        }
        if let Some(limit) = &policy.failure_limit {
            limit.check()?;
        }
        if let Some(fence) = &policy.fence {
            fence.check()?;
        }
        policy.tuning.check(policy.window)?;
        Ok(policy)
    }
}
