//! The state of the supervisor that is published.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::describe::seconds;
use super::last_seen::LastSeen;
use super::roster::{Few, Roster};
use super::status::Status;
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
    /// The reason with which the outage began, unless that was the boot.
    pub(crate) outage_reason: Option<Arc<str>>,
    /// Why the last start failed, if one has failed since the service was last ready.
    pub(crate) failed_start: Option<Arc<str>>,
    pub(crate) level: u32,
    /// The hold-off of the level.
    pub(crate) hold_off: Option<Duration>,
    pub(crate) dependency: Option<LastSeen>,
    /// The session with the dependency, while it is open.
    pub(crate) session: Option<u64>,
    pub(crate) would_be: Option<Phase>,
    /// The hold-off that runs.
    pub(crate) holds_off: Option<HoldOff>,
    /// Whether the hold-off is over, so that one more observation is enough.
    pub(crate) is_proved: bool,
    pub(crate) stage_due: Option<Instant>,
    /// Whether this is the unready delay, in which components are not stopped yet.
    pub(crate) is_delaying: bool,
    pub(crate) over: bool,
}

/// A hold-off that runs.
#[derive(Clone, Debug)]
pub(crate) struct HoldOff {
    pub(crate) due: Instant,
    pub(crate) lasts: Duration,
    /// Why it is longer than at the first failure, if it is.
    pub(crate) grown: Option<Arc<str>>,
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
            outage_reason: None,
            failed_start: None,
            level: 0,
            hold_off: None,
            dependency: None,
            session: None,
            would_be: None,
            holds_off: None,
            is_proved: false,
            stage_due: None,
            is_delaying: false,
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
                self.reason_now()
            },
            awaited: self.awaited(roster),
            outage: self.outage,
            outage_open: self.outage_open,
            level: self.level,
            hold_off: self
                .holds_off
                .as_ref()
                .map_or(self.hold_off, |it| Some(it.lasts)),
            dependency: self
                .dependency
                .as_ref()
                .map(|seen| seen.status(self.session)),
            would_be: self.would_be,
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

    /// Why it is not ready now. What caused the outage may be over by then.
    fn reason_now(&self) -> Arc<str> {
        let has_begun = self.entered.is_some() && !self.over;
        let mut now = match self.phase {
            Phase::Monitoring if has_begun => match &self.dependency {
                Some(seen) if seen.is_failing() => {
                    format!("the dependency is failing: {}", seen.what())
                }
                Some(seen) if seen.is_alive(self.session) => {
                    "everything is stopped, and the dependency must first stay alive for a while"
                        .into()
                }
                _ => "the dependency was not seen alive yet".into(),
            },
            Phase::Restarting if has_begun => "components are being started".to_owned(),
            _ => return Arc::clone(&self.reason),
        };
        // The first failure of an outage may be over, and the last one is not always its consequence.
        let began = self
            .outage_reason
            .as_ref()
            .filter(|began| self.outage_open && ***began != *now);
        let failed = self
            .failed_start
            .as_ref()
            .filter(|failed| Some(*failed) != began);
        for (what, text) in [
            ("the last start failed", failed),
            ("the outage began with", began),
        ] {
            if let Some(text) = text {
                now.push_str(&format!("; {what}: {text}"));
            }
        }
        now.into()
    }

    fn awaited(&self, roster: &Roster) -> Option<String> {
        let left = |due: Option<Instant>| {
            let left = due.map_or(Duration::ZERO, |due| due.duration_since(Instant::now()));
            seconds(left)
        };
        let then = self.hold_off.filter(|hold_off| !hold_off.is_zero());
        let then = then
            .map(|hold_off| format!(", and then to stay alive for about {}", seconds(hold_off)));
        let then = then.unwrap_or_default();
        match self.phase {
            Phase::Running | Phase::Stopped | Phase::Halted => None,
            Phase::Drained => Some("an operator's resume".into()),
            Phase::Monitoring => Some(match (&self.dependency, &self.holds_off) {
                (_, Some(hold_off)) => {
                    let (due, lasts) = (left(Some(hold_off.due)), seconds(hold_off.lasts));
                    let grown = hold_off.grown.as_ref();
                    let grown = grown.map_or_else(String::new, |grown| format!(" ({grown})"));
                    // After that it must be seen once more.
                    format!(
                        "the dependency to stay alive for at least another {due} of {lasts}{grown}"
                    )
                }
                (Some(seen), None) if seen.is_failing() => {
                    let reason = seen.what();
                    format!("the dependency to be seen alive{then}; it is failing: {reason}")
                }
                (Some(seen), None) if seen.is_alive(self.session) => {
                    let then = if self.is_proved { "" } else { &then };
                    format!("the dependency to be seen alive once more{then}")
                }
                (_, None) => format!("the dependency to be seen alive{then}"),
            }),
            Phase::Restarting => Some(format!(
                "to be up within {}: {}",
                left(self.stage_due),
                roster.listed(&[ComponentState::Starting])
            )),
            Phase::ShuttingDown if self.is_delaying => {
                let serving = Few::doing(roster, &[ComponentState::Up]);
                Some(format!(
                    "the unready delay to end within {}; components that still work ({}): {}",
                    left(self.stage_due),
                    serving.count(),
                    serving.names(roster)
                ))
            }
            Phase::ShuttingDown => Some(format!(
                "to be gone within {}: {}",
                left(self.stage_due),
                roster.listed(&[ComponentState::Stopping, ComponentState::Aborting])
            )),
        }
    }
}
