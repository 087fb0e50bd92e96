//! The state of the supervisor that is published.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::roster::Roster;
use super::status::{DependencyStatus, Status};
use crate::machine::{ComponentState, Phase};

/// The reason from the moment when readiness goes off until the real reason is known.
const STOPPING: &str = "it is being stopped: the reason follows";

/// The state of the supervisor; [`Status`] is made from it on demand.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) phase: Phase,
    pub(crate) epoch: u64,
    pub(crate) entered: Option<Instant>,
    pub(crate) reason: Arc<str>,
    pub(crate) outage: u64,
    pub(crate) outage_open: bool,
    pub(crate) level: u32,
    pub(crate) dependency: Option<DependencyStatus>,
    pub(crate) hold_off_due: Option<Instant>,
    pub(crate) stage_due: Option<Instant>,
    pub(crate) over: bool,
}

impl Summary {
    pub(crate) fn before_the_run() -> Self {
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

    pub(crate) fn abandon(&mut self) -> bool {
        if self.over {
            return false;
        }
        self.over = true;
        self.phase = Phase::Halted;
        self.entered = None;
        self.reason = "the run was dropped".into();
        true
    }

    /// Makes the status. `flag` and `poll_delay` are published separately, and were read once, because they may change
    /// at any moment.
    pub(crate) fn status(
        &self,
        roster: &Roster,
        flag: bool,
        poll_delay: Option<Duration>,
    ) -> Status {
        Status {
            phase: self.phase,
            ready: self.phase == Phase::Running && flag,
            epoch: self.epoch,
            time_in_phase: self
                .entered
                .map_or(Duration::ZERO, |entered| entered.elapsed()),
            reason: if self.is_stopping(flag) {
                STOPPING.into()
            } else {
                Arc::clone(&self.reason)
            },
            awaited: self.awaited(roster),
            outage: self.outage,
            outage_open: self.outage_open,
            level: self.level,
            dependency: self.dependency.clone(),
            poll_delay,
        }
    }

    /// Whether the service is ready. The flag is read separately, so it counts only in the state Running.
    pub(crate) fn is_ready(&self, flag: bool) -> bool {
        self.phase == Phase::Running && flag
    }

    /// Whether readiness went off, and the reason is not published yet.
    fn is_stopping(&self, flag: bool) -> bool {
        self.phase == Phase::Running && !self.over && !flag
    }

    /// Whether the summary is consistent. It is not from the moment when readiness goes off until the reason is known.
    pub(crate) fn is_settled(&self, flag: bool) -> bool {
        !self.is_stopping(flag)
    }

    fn awaited(&self, roster: &Roster) -> Option<String> {
        // In seconds even if nothing is left, because a zero `Duration` is formatted as nanoseconds.
        let left = |due: Option<Instant>| {
            let left = due.map_or(Duration::ZERO, |due| due.duration_since(Instant::now()));
            format!("{:.1}s", left.as_secs_f64())
        };
        match self.phase {
            Phase::Running | Phase::Stopped | Phase::Halted => None,
            Phase::Drained => Some("an operator's resume".into()),
            Phase::Monitoring => Some(match (&self.dependency, self.hold_off_due) {
                (_, Some(_)) => {
                    format!(
                        "the dependency to stay alive for another {}",
                        left(self.hold_off_due)
                    )
                }
                (Some(seen), None) if !seen.alive => {
                    let reason = &seen.what;
                    format!("the dependency to be seen alive; it is failing: {reason}")
                }
                (_, None) => "the dependency to be seen alive".into(),
            }),
            Phase::Restarting => Some(format!(
                "to be up within {}: {}",
                left(self.stage_due),
                roster.listed(&[ComponentState::Starting])
            )),
            Phase::ShuttingDown => Some(format!(
                "to be gone within {}: {}",
                left(self.stage_due),
                roster.listed(&[ComponentState::Stopping, ComponentState::Aborting])
            )),
        }
    }
}
