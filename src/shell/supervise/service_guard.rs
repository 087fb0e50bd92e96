//! Watches the service's runtime, and the supervisor's own thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use super::service_watch::ServiceWatch;
use crate::driver::Silence;
use crate::shell::log::Log;
use crate::shell::run_state::RunState;

/// Watches the service's runtime, and publishes and logs its state.
///
/// It exists only if the run has a separate thread: a task cannot watch the runtime that polls it.
pub(crate) struct ServiceGuard {
    watch: ServiceWatch,
    shared: Arc<RunState>,
    log: Log,
}

impl ServiceGuard {
    pub(crate) fn new(watch: ServiceWatch, shared: Arc<RunState>, log: Log) -> Self {
        Self { watch, shared, log }
    }

    /// When the next check is due.
    pub(crate) fn look_at(&self) -> Instant {
        self.watch.look_at()
    }

    /// How much too late this thread woke up, if it was far too late.
    ///
    /// Then the thread did not run at all, because the process or the machine was stopped, and no sign of life could be
    /// seen in that time.
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

    /// Checks, if this is due, whether the service's runtime polls its tasks. Returns whether it has just frozen.
    pub(crate) fn look_if_due(&mut self) -> bool {
        let Some(seen) = self.watch.look_if_due(Instant::now()) else {
            return false;
        };
        if let Some(delay) = seen.delay {
            self.shared.published.set_poll_delay(delay);
        }
        self.shared.published.set_frozen(seen.is_frozen);
        // A frozen runtime is acted upon first, and logged later.
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

    /// Why the probe is silent, whose last observation was at this moment.
    ///
    /// If its runtime does not poll it, the silence says nothing about the dependency.
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
