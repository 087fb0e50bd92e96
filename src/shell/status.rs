//! What the outside is told: state, since when, why, and what is awaited.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::shared::Shared;
use crate::machine::{ComponentState, Phase};
use crate::policy::ComponentId;

/// The reason between the moment in which readiness goes off and the one in which it is known why.
const STOPPING: &str = "it is being stopped: the reason follows";
/// How many names a text lists before it counts the rest.
const NAMES_LISTED: usize = 3;

/// What the service is doing, and why. From [`Handle::status`](super::Handle::status).
///
/// ```
/// # fn example(handle: overwatch::Handle) {
/// let status = handle.status();
/// if !status.ready {
///     println!("{:?} for {:.0?}: {}", status.phase, status.since, status.reason);
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
    pub since: Duration,
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
    pub(super) fn alive(what: &str) -> Self {
        Self {
            alive: true,
            class: None,
            what: what.into(),
        }
    }

    pub(super) fn failing(class: Option<&'static str>, what: &str) -> Self {
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
    /// The note that it has set, if any: see [`Context::note`](super::Context::note).
    pub note: Option<Arc<str>>,
}

/// What the supervisor publishes; [`Status`] is made of it on demand.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    pub(super) phase: Phase,
    pub(super) epoch: u64,
    pub(super) entered: Option<Instant>,
    pub(super) reason: Arc<str>,
    pub(super) outage: u64,
    pub(super) outage_open: bool,
    pub(super) level: u32,
    pub(super) dependency: Option<DependencyStatus>,
    pub(super) hold_off_due: Option<Instant>,
    pub(super) stage_due: Option<Instant>,
    pub(super) over: bool,
}

impl Summary {
    pub(super) fn before_the_run() -> Self {
        Self {
            phase: Phase::Monitoring,
            epoch: 0,
            entered: None,
            reason: "the run has not begun".into(),
            outage: 0,
            outage_open: true,
            level: 0,
            dependency: None,
            hold_off_due: None,
            stage_due: None,
            over: false,
        }
    }

    pub(super) fn abandon(&mut self) -> bool {
        if self.over {
            return false;
        }
        self.over = true;
        self.phase = Phase::Halted;
        self.entered = None;
        self.reason = "the run was dropped".into();
        true
    }

    pub(super) fn status(&self, shared: &Shared) -> Status {
        // Read once: it may change at any moment.
        let flag = shared.ready.load(Ordering::Acquire);
        Status {
            phase: self.phase,
            ready: self.phase == Phase::Running && flag,
            epoch: self.epoch,
            since: self
                .entered
                .map_or(Duration::ZERO, |entered| entered.elapsed()),
            reason: if self.is_stopping(flag) {
                STOPPING.into()
            } else {
                Arc::clone(&self.reason)
            },
            awaited: self.awaited(shared),
            outage: self.outage,
            outage_open: self.outage_open,
            level: self.level,
            dependency: self.dependency.clone(),
            poll_delay: shared.poll_delay(),
        }
    }

    /// The flag is read apart from the rest, so it is believed only where it fits.
    pub(super) fn is_ready(&self, shared: &Shared) -> bool {
        self.phase == Phase::Running && shared.ready.load(Ordering::Acquire)
    }

    /// Whether it was ready and is not any more, which is told at once, and why is about to be told.
    fn is_stopping(&self, flag: bool) -> bool {
        self.phase == Phase::Running && !self.over && !flag
    }

    /// Whether all that it says fits together: not so between the moment in which readiness goes off and
    /// the one in which it is known why.
    pub(super) fn is_settled(&self, shared: &Shared) -> bool {
        !self.is_stopping(shared.ready.load(Ordering::Acquire))
    }

    fn awaited(&self, shared: &Shared) -> Option<String> {
        let left = |due: Option<Instant>| {
            due.map_or(Duration::ZERO, |due| due.duration_since(Instant::now()))
        };
        match self.phase {
            Phase::Running | Phase::Stopped | Phase::Halted => None,
            Phase::Drained => Some("an operator's resume".into()),
            Phase::Monitoring => Some(match (&self.dependency, self.hold_off_due) {
                (_, Some(_)) => {
                    format!(
                        "the dependency to stay alive for another {:.1?}",
                        left(self.hold_off_due)
                    )
                }
                (Some(sight), None) if !sight.alive => {
                    let reason = &sight.what;
                    format!("the dependency to be seen alive; it is failing: {reason}")
                }
                (_, None) => "the dependency to be seen alive".into(),
            }),
            Phase::Restarting => Some(format!(
                "to be up within {:.1?}: {}",
                left(self.stage_due),
                listed(shared, &[ComponentState::Starting])
            )),
            Phase::ShuttingDown => Some(format!(
                "to be gone within {:.1?}: {}",
                left(self.stage_due),
                listed(
                    shared,
                    &[ComponentState::Stopping, ComponentState::Aborting]
                )
            )),
        }
    }
}

/// The names of the components that are doing any of these, the first few of them.
pub(super) fn listed(shared: &Shared, slots: &[ComponentState]) -> String {
    Few::doing(shared, slots).names(shared)
}

/// Some components: the first few of them, and how many there are. Takes no memory of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Few {
    first: [ComponentId; NAMES_LISTED],
    count: usize,
}

impl Few {
    /// Those that are doing any of these.
    pub(super) fn doing(shared: &Shared, slots: &[ComponentState]) -> Self {
        let mut few = Self {
            first: [ComponentId(0); NAMES_LISTED],
            count: 0,
        };
        let ids = (0..shared.names.len() as u32).map(ComponentId);
        for id in ids.filter(|&id| slots.contains(&shared.slot(id))) {
            if let Some(place) = few.first.get_mut(few.count) {
                *place = id;
            }
            few.count += 1;
        }
        few
    }

    pub(super) fn names(self, shared: &Shared) -> String {
        let first = self.first.iter().take(self.count);
        let names: Vec<&str> = first.map(|&id| &**shared.name(id)).collect();
        match (names.len(), self.count) {
            (0, _) => "nothing".into(),
            (listed, count) if listed < count => {
                format!("{} and {} more", names.join(", "), count - listed)
            }
            _ => names.join(", "),
        }
    }
}
