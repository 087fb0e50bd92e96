//! What the outside is told: state, since when, why, and what is awaited.

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
    /// Where the supervisor is.
    pub phase: Phase,
    /// Whether it is ready, as health endpoints answer.
    pub ready: bool,
    /// The number of the current incarnation, or of the last one; 0 before the first start.
    pub epoch: u64,
    /// How long it has been in this phase.
    pub time_in_phase: Duration,
    /// Why it is not ready, while it is not; else why it is in this phase.
    pub reason: Arc<str>,
    /// What must happen for it to be ready again. `None` while it is, and after the end.
    pub awaited: Option<String>,
    /// The number of the present outage, or of the last one. Boot is outage 0.
    pub outage: u64,
    /// Whether that outage is still open.
    pub outage_open: bool,
    /// How often it relapsed lately; the hold-off grows with it.
    pub level: u32,
    /// The last observation of the dependency.
    pub dependency: Option<DependencyStatus>,
    /// How long the service's runtime lately let a new task wait before it polled it; of one that still
    /// waits, how long it has waited so far. `None` before it was first measured, and where the run has
    /// no separate thread. More than some milliseconds: its workers are busy or blocked.
    pub poll_delay: Option<Duration>,
}

/// The last observation of the dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DependencyStatus {
    /// Whether it was alive. Silence beyond its limit counts as not alive.
    pub alive: bool,
    /// The kind of failure, if it fails and the probe returned one.
    pub class: Option<&'static str>,
    /// The evidence, or why it fails and what to do.
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
    pub slot: ComponentState,
    /// The note that it has set, if any: see [`Context::note`](crate::Context::note).
    pub note: Option<Arc<str>>,
}
