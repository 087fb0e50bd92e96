//! What the supervisor sees of the runtime that it guards, and of its own thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use super::service_watch::ServiceWatch;
use crate::driver::Silence;
use crate::shell::log::Log;
use crate::shell::run_state::RunState;

/// Looks at the service's runtime, and says what it sees.
///
/// There is one where the run has a thread of its own. Nobody could look at a runtime that polls him.
pub(crate) struct ServiceGuard {
    watch: ServiceWatch,
    shared: Arc<RunState>,
    log: Log,
}

impl ServiceGuard {
    pub(crate) fn new(watch: ServiceWatch, shared: Arc<RunState>, log: Log) -> Self {
        Self { watch, shared, log }
    }

    /// When to look next.
    pub(crate) fn look_at(&self) -> Instant {
        self.watch.look_at()
    }

    /// By how much this woke up too late, if it did by far: then it was not running at all. The process was stopped, or
    /// the machine was, and nobody could see a sign of life meanwhile.
    pub(crate) fn take_lateness(&mut self, asleep_since: Instant) -> Option<Duration> {
        let late = self.watch.take_lateness(asleep_since, Instant::now())?;
        let ms = late.as_millis() as u64;
        self.log.event(Level::WARN, move |at_ms| {
            tracing::warn!(
                target: "overwatch::runtime", at_ms, stopped_ms = ms,
                "this process, or its machine, did not run for {ms} ms: that is no silence of the dependency"
            );
        });
        Some(late)
    }

    /// Looks whether the service's runtime polls what it is given, if it is time for that. Whether it has just
    /// turned out to be frozen.
    pub(crate) fn look_if_due(&mut self) -> bool {
        let Some(seen) = self.watch.look_if_due(Instant::now()) else {
            return false;
        };
        if let Some(delay) = seen.delay {
            self.shared.published.set_poll_delay(delay);
        }
        self.shared.published.set_frozen(seen.is_frozen);
        // That it is frozen is logged later, and first acted upon.
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
        seen.froze
    }

    /// Why the probe is silent, which was heard last at this moment. That nobody polls it says nothing of the
    /// dependency.
    pub(crate) fn why_silent(&mut self, heard_at: Instant) -> Silence {
        let why = self.watch.why_silent(heard_at, Instant::now());
        self.shared.published.set_frozen(self.watch.is_frozen());
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
