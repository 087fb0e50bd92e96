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
    /// Why the service is not ready now, and with what the outage began. If it is ready: the cause of the current phase.
    pub reason: Arc<str>,
    /// What must happen before the service is ready again. `None` while it is ready, and after the end.
    ///
    /// For a hold-off this says how long it is and why it has grown.
    pub awaited: Option<String>,
    /// The number of the current outage, or of the last one. Boot is outage 0.
    pub outage: u64,
    /// Whether that outage is still open.
    pub outage_open: bool,
    /// How often the service relapsed lately; the hold-off grows with this level.
    pub level: u32,
    /// How long the dependency must stay alive before the next start.
    ///
    /// It follows from the level and from [what is at fault](crate::policy::Blame). At level 0 it is zero: one observation
    /// is enough. Jitter is added when the hold-off begins; from then on this is how long it lasts in all. `None` if no start
    /// follows: in the state Running, before and after the run, and in a stop that ends the run.
    pub hold_off: Option<Duration>,
    /// The last observation of the dependency.
    pub dependency: Option<DependencyStatus>,
    /// In [observe-only](crate::Builder::observe_only): the state in which the service would be. Otherwise `None`.
    pub would_be: Option<Phase>,
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
    /// Whether it is alive, as far as was seen since the supervisor last began to observe it.
    ///
    /// Silence beyond its limit counts as not alive. A stop that the dependency caused, a drain and a shutdown end the
    /// observation: if the dependency was alive before that, this is `None` until it is seen again.
    pub alive: Option<bool>,
    /// The class of the failure, if it fails and the probe returned one.
    pub class: Option<&'static str>,
    /// The evidence, or the reason of the failure and what to do.
    pub what: Arc<str>,
    /// How long ago this was observed. For a silence: how long ago it was noticed.
    pub seen_ago: Duration,
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
