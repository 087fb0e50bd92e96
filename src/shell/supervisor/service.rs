//! What the supervisor sees of the runtime that it guards, and of its own thread.

use tokio::time::Instant;
use tracing::Level;

use super::{Event, Supervisor};
use crate::machine::Input;
use crate::shell::service_watch::Silent;

impl Supervisor {
    /// A run that has a thread of its own, and whose thread woke up far too late, was not running at all:
    /// the process was stopped, or the machine was. Nobody could see a sign of life meanwhile.
    pub(super) fn excuse(&mut self, asleep_since: Instant) {
        let Some(service) = &mut self.service else {
            return;
        };
        let now = Instant::now();
        if let Some(late) = service.take_lateness(asleep_since, now) {
            self.timers.excuse(late, now);
            self.hold_off_due = self.hold_off_due.map(|due| due + late);
            if let Some(observed) = &mut self.observed {
                observed.timers.excuse(late, now);
            }
            let ms = late.as_millis() as u64;
            self.log.event(Level::WARN, move |at_ms| {
                tracing::warn!(
                    target: "overwatch::runtime", at_ms, stopped_ms = ms,
                    "this process, or its machine, did not run for {ms} ms: that is no silence of the dependency"
                );
            });
        }
    }

    /// Looks whether the service's runtime polls what it is given, if it is time for that.
    pub(super) fn look_at_service(&mut self) -> Option<Event> {
        let service = self.service.as_mut()?;
        let seen = service.look_if_due(Instant::now())?;
        if let Some(delay) = seen.delay {
            self.shared.set_poll_delay(delay);
        }
        self.shared.set_frozen(seen.is_frozen);
        // That it is frozen is told later, and first acted upon.
        if let Some(busy) = seen.busy_since_now.filter(|_| !seen.froze) {
            let delay_ms = busy.as_millis() as u64;
            self.log.event(Level::WARN, move |at_ms| {
                tracing::warn!(
                    target: "overwatch::runtime", at_ms, delay_ms,
                    "the service's runtime is busy: a new task waited {delay_ms} ms before it was polled"
                );
            });
        }
        if seen.has_thawed {
            self.log.event(Level::WARN, |at_ms| {
                tracing::warn!(target: "overwatch::runtime", at_ms, "the service's runtime goes on");
            });
        }
        seen.froze.then(|| Input::Frozen.into())
    }

    /// Why the probe is silent. That nobody polls it says nothing of the dependency.
    pub(super) fn why_silent(&mut self, due: Instant) -> Silent {
        let limit = self.shared.plan.policy().silence_limit();
        let Some(service) = &mut self.service else {
            return Silent::Polled;
        };
        let now = Instant::now();
        let heard_at = due.checked_sub(limit).unwrap_or(due);
        let why = service.why_silent(heard_at, now);
        self.shared.set_frozen(service.is_frozen());
        if let Silent::Thawed(stuck_for) = why {
            let ms = stuck_for.as_millis() as u64;
            self.log.event(Level::WARN, move |at_ms| {
                tracing::warn!(
                    target: "overwatch::runtime", at_ms, delay_ms = ms,
                    "the service's runtime did not poll the probe for {ms} ms: it has as much more time"
                );
            });
        }
        why
    }
}
