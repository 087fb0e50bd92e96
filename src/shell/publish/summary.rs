//! What the supervisor publishes of itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::roster::Roster;
use super::status::{DependencyStatus, Status};
use crate::machine::{ComponentState, Phase};

/// The reason between the moment in which readiness goes off and the one in which it is known why.
const STOPPING: &str = "it is being stopped: the reason follows";

/// What the supervisor publishes; [`Status`] is made of it on demand.
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

    /// What is published beside it is given, as read once: it may change at any moment.
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

    /// The flag is read apart from the rest, so it is believed only where it fits.
    pub(crate) fn is_ready(&self, flag: bool) -> bool {
        self.phase == Phase::Running && flag
    }

    /// Whether it was ready and is not any more, which is told at once, and why is about to be told.
    fn is_stopping(&self, flag: bool) -> bool {
        self.phase == Phase::Running && !self.over && !flag
    }

    /// Whether all that it says fits together: not so between the moment in which readiness goes off and
    /// the one in which it is known why.
    pub(crate) fn is_settled(&self, flag: bool) -> bool {
        !self.is_stopping(flag)
    }

    fn awaited(&self, roster: &Roster) -> Option<String> {
        // In seconds also when nothing is left: a `Duration` of nothing would say nanoseconds.
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
