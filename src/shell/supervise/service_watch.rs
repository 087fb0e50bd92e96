//! Measures whether the service's runtime polls its tasks.
//!
//! If a component blocks the thread of the runtime that drives its timers, every sleeping task
//! sleeps for ever. So the supervisor, which has a separate thread, spawns a task on that runtime at
//! intervals, and checks whether it is polled. This also wakes a worker, which continues with the timers.
//!
//! No task is spawned if a worker has parked since the last check: a worker that parks had nothing
//! more to poll.
//!
//! [`Pulse`] decides what follows from the measurements.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::driver::Silence;
use crate::pulse::{Look, Metrics, Pulse};

/// Watches the runtime of the components.
pub(crate) struct ServiceWatch {
    runtime: Handle,
    pulse: Pulse,
    answer: Arc<PollAnswer>,
    /// Whether another runtime polls the probe.
    probe_is_apart: bool,
}

/// When the last spawned task was polled, or dropped with its runtime.
struct PollAnswer {
    /// The beginning of the watch, which is the zero of all times.
    began: Instant,
    /// In nanoseconds after that; 0 while the task waits.
    at: AtomicU64,
}

/// Notes the time when it is dropped: after it was polled, or with its runtime.
struct PollTask(Arc<PollAnswer>);

impl Drop for PollTask {
    fn drop(&mut self) {
        let after = self.0.began.elapsed().as_nanos();
        let after = u64::try_from(after).unwrap_or(u64::MAX).max(1);
        self.0.at.store(after, Ordering::Release);
    }
}

impl PollAnswer {
    fn get(&self) -> Option<Duration> {
        let after = self.at.load(Ordering::Acquire);
        (after != 0).then(|| Duration::from_nanos(after))
    }
}

impl ServiceWatch {
    pub(crate) fn new(runtime: Handle, silence_limit: Duration, probe_is_apart: bool) -> Self {
        Self {
            pulse: Pulse::new(silence_limit, Duration::ZERO, metrics(&runtime)),
            runtime,
            answer: Arc::new(PollAnswer {
                began: Instant::now(),
                at: AtomicU64::new(0),
            }),
            probe_is_apart,
        }
    }

    fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.answer.began)
    }

    /// When the next check is due at the latest.
    pub(crate) fn look_at(&self) -> Instant {
        self.answer.began + self.pulse.look_at
    }

    /// How much too late this thread woke up, if this is longer than normal scheduling explains.
    pub(crate) fn take_lateness(
        &mut self,
        asleep_since: Instant,
        now: Instant,
    ) -> Option<Duration> {
        let (asleep_since, now) = (self.since(asleep_since), self.since(now));
        self.pulse.take_lateness(asleep_since, now)
    }

    /// Checks, if this is due.
    pub(crate) fn look_if_due(&mut self, now: Instant) -> Option<Look> {
        let now = self.since(now);
        self.pulse.is_due(now).then(|| self.look(now))
    }

    fn look(&mut self, now: Duration) -> Look {
        let look = self
            .pulse
            .look(now, metrics(&self.runtime), self.answer.get());
        if look.asks {
            self.answer.at.store(0, Ordering::Release);
            let question = PollTask(Arc::clone(&self.answer));
            self.runtime.spawn(async move { drop(question) });
        }
        look
    }

    /// Why the probe is silent, whose last observation was at `heard_at`.
    pub(crate) fn why_silent(&mut self, heard_at: Instant, now: Instant) -> Silence {
        if self.probe_is_apart {
            return Silence::Polled;
        }
        let (heard_at, now) = (self.since(heard_at), self.since(now));
        let (seen, answered_at) = (metrics(&self.runtime), self.answer.get());
        self.pulse.why_silent(heard_at, now, seen, answered_at)
    }

    /// Whether the runtime is known to be frozen.
    pub(crate) fn is_frozen(&self) -> bool {
        self.pulse.is_frozen()
    }
}

fn metrics(runtime: &Handle) -> Metrics {
    let metrics = runtime.metrics();
    let workers = 0..metrics.num_workers();
    workers.fold(Metrics::default(), |sum, worker| Metrics {
        parks: sum.parks.wrapping_add(metrics.worker_park_count(worker)),
        busy: sum.busy + metrics.worker_total_busy_duration(worker),
    })
}
