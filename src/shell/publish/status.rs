//! The public status: the state, since when, why, and what is awaited.

use std::sync::Arc;
use std::time::Duration;

use crate::machine::{ComponentState, Phase};

/// What the service is doing, and why. From [`Handle::status`](crate::Handle::status).
///
/// ```
/// # fn example(handle: overwatch::Handle) {
/// let status = handle.status();
/// if !status.ready {
///     println!("{:?} for {:.0?}: {}", status.phase, status.time_in_phase, status.reason);
///     if let Some(awaited) = status.awaited {
///         println!("it waits for {awaited}");
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The state of the supervisor.
    pub phase: Phase,
    /// Whether the service is ready, as the health endpoints report it.
    pub ready: bool,
    /// The number of the current epoch, or of the last one; 0 before the first start.
    pub epoch: u64,
    /// How long the supervisor has been in this phase.
    pub time_in_phase: Duration,
    /// Why the service is not ready. If it is ready: the cause of the current phase.
    pub reason: Arc<str>,
    /// What must happen before the service is ready again. `None` while it is ready, and after the end.
    pub awaited: Option<String>,
    /// The number of the current outage, or of the last one. Boot is outage 0.
    pub outage: u64,
    /// Whether that outage is still open.
    pub outage_open: bool,
    /// How often the service relapsed lately; the hold-off grows with this level.
    pub level: u32,
    /// The last observation of the dependency.
    pub dependency: Option<DependencyStatus>,
    /// How long a new task on the service's runtime lately waited before it was polled.
    ///
    /// For a task that still waits, this is the time so far. More than some milliseconds mean that the workers are busy
    /// or blocked. `None` before the first measurement, and if the run has no separate thread.
    pub poll_delay: Option<Duration>,
}

/// The last observation of the dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DependencyStatus {
    /// Whether it was alive. Silence beyond its limit counts as not alive.
    pub alive: bool,
    /// The class of the failure, if it fails and the probe returned one.
    pub class: Option<&'static str>,
    /// The evidence, or the reason of the failure and what to do.
    pub what: Arc<str>,
}

impl DependencyStatus {
    pub(crate) fn alive(what: &str) -> Self {
        Self {
            alive: true,
            class: None,
            what: what.into(),
        }
    }

    pub(crate) fn failing(class: Option<&'static str>, what: &str) -> Self {
        Self {
            alive: false,
            class,
            what: what.into(),
        }
    }
}

/// What one component is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentStatus {
    /// The name under which it was added.
    pub name: Arc<str>,
    /// The stage it belongs to, from 0.
    pub stage: usize,
    /// What it is doing.
    pub state: ComponentState,
    /// The note that it has set, if any: see [`Context::note`](crate::Context::note).
    pub note: Option<Arc<str>>,
}
