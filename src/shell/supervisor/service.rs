//! What the supervisor sees of the runtime that it guards, and of its own thread.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use super::Supervisor;
use crate::driver::{Arrival, Silence, Source};

impl Supervisor {
    /// A run that has a thread of its own, and whose thread woke up far too late, was not running at all:
    /// the process was stopped, or the machine was. Nobody could see a sign of life meanwhile.
    pub(super) fn excuse(&mut self, asleep_since: Instant) {
        let Some(service) = &mut self.service else {
            return;
        };
        let now = Instant::now();
        if let Some(late) = service.take_lateness(asleep_since, now) {
            let at = self.inbox.now();
            let arrival = Arrival::Late { at, by: late };
            self.inbox.bring(&mut self.decider, arrival, at, Vec::new);
            self.is_published = false;
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
    pub(super) fn look_at_service(&mut self) {
        let Some(service) = &mut self.service else {
            return;
        };
        let Some(seen) = service.look_if_due(Instant::now()) else {
            return;
        };
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
        if seen.froze && self.decider.has_room(Source::Runtime) {
            let now = self.inbox.now();
            self.inbox
                .bring(&mut self.decider, Arrival::Froze, now, Vec::new);
        }
    }

    /// Why the probe is silent. That nobody polls it says nothing of the dependency.
    pub(super) fn why_silent(&mut self, since: Duration) -> Silence {
        let heard_at = self.inbox.at(since);
        let Some(service) = &mut self.service else {
            return Silence::Polled;
        };
        let why = service.why_silent(heard_at, Instant::now());
        self.shared.set_frozen(service.is_frozen());
        if let Silence::Thawed(stuck_for) = why {
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
