//! The fence watchdog: a thread without a runtime.
//!
//! A blocked runtime freezes both components and timers, and a thread that is blocked for good ends only
//! with the process. This thread depends on neither the runtime nor the run.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::policy::{Fence, Plan};
use crate::shell::process;
use crate::shell::run_state::RunState;
use crate::shell::sync::lock;

/// Aborts the process when the deadline passes and components are still alive.
///
/// The clock is the system's monotonic one. On Linux it continues while the process is stopped, so after a
/// SIGSTOP that lasted beyond the deadline the process is aborted at once: by then the lease is
/// gone, and the work is alive.
pub(crate) struct Watchdog(Arc<WatchdogShared>);

struct WatchdogShared {
    shared: Arc<RunState>,
    margin: Duration,
    state: Mutex<WatchdogState>,
    changed: Condvar,
}

#[derive(Default)]
struct WatchdogState {
    deadline: Option<Instant>,
    /// Whether the run is over, so that the deadline will not change any more.
    over: bool,
}

/// The next action of the watchdog.
#[derive(Debug, PartialEq)]
enum Now {
    Abort,
    /// Check again when something changes, or after this time if there is one.
    Wait(Option<Duration>),
    /// Nothing is left to watch.
    Return,
}

impl Watchdog {
    /// Whether a run needs a watchdog.
    ///
    /// By default a run that enforces a fence does, unless it is in place, where the clock may be paused.
    pub(crate) fn is_on(
        switched: Option<bool>,
        plan: &Plan,
        observe_only: bool,
        in_place: bool,
    ) -> bool {
        let enforced = plan.policy().fence().is_some() && !observe_only;
        enforced && switched.unwrap_or(!in_place)
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the operating system provides no thread.
    pub(crate) fn start(shared: Arc<RunState>) -> std::io::Result<Self> {
        let margin = shared.plan.policy().fence().map(Fence::margin);
        let watched = Arc::new(WatchdogShared {
            margin: margin.unwrap_or_default(),
            shared,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&watched);
        thread::Builder::new()
            .name("overwatch-fence".into())
            .spawn(move || own.watch())?;
        Ok(Self(watched))
    }

    /// Sets when the lease expires; `None` if all components are gone, and no lease is held.
    pub(crate) fn set(&self, expires: Option<Instant>) {
        // Everything must be gone a margin before the lease expires. Half of the margin is left for the
        // confirmation, the other half for the abort. If the subtraction fails, the lease expired long ago.
        let due = |expires: Instant| {
            let due = expires.checked_sub(self.0.margin / 2);
            due.unwrap_or(expires)
        };
        let now = Instant::now();
        let alive = || self.0.shared.published.roster.any_alive();
        lock(&self.0.state).set(expires.map(due), now, alive);
        self.0.changed.notify_one();
    }

    /// Until when everything must be gone, if a lease is held.
    #[cfg(test)]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        lock(&self.0.state).deadline
    }
}

impl Drop for Watchdog {
    /// The thread ends, at once or, if components may still be alive, after its deadline.
    fn drop(&mut self) {
        lock(&self.0.state).over = true;
        self.0.changed.notify_one();
    }
}

impl WatchdogShared {
    fn watch(&self) {
        let mut state = lock(&self.state);
        loop {
            // The time is read first. Otherwise, if this thread was stopped in between, components that were alive
            // before may be gone at the time that is read.
            let now = Instant::now();
            state = match state.next(now, self.shared.published.roster.any_alive()) {
                Now::Return => return,
                Now::Abort => {
                    drop(state);
                    self.abort()
                }
                Now::Wait(Some(time)) => {
                    let waited = self.changed.wait_timeout(state, time);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Now::Wait(None) => {
                    let waited = self.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    fn abort(&self) -> ! {
        // Half of the margin is left for the abort, and half of that for the message.
        process::abort(
            "overwatch: the fence has passed and components are still alive: aborting the process",
            self.margin / 4,
        )
    }
}

impl WatchdogState {
    /// Sets the deadline.
    ///
    /// No renewal comes in time for a deadline that has passed: after a process stood still, the thread that renews the
    /// lease may be awake before the watchdog.
    fn set(&mut self, deadline: Option<Instant>, now: Instant, alive: impl FnOnce() -> bool) {
        let is_missed = self.deadline.is_some_and(|before| before <= now) && alive();
        if deadline.is_none() || !is_missed {
            self.deadline = deadline;
        }
    }

    fn next(&self, now: Instant, alive: bool) -> Now {
        match self.deadline {
            Some(deadline) if deadline <= now && alive => Now::Abort,
            Some(deadline) if deadline > now && (alive || !self.over) => {
                Now::Wait(Some(deadline - now))
            }
            _ if self.over => Now::Return,
            // Nothing is alive, or no lease was ever taken: wait for the next one.
            _ => Now::Wait(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_cannot_be_renewed() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let (past, ahead, later) = (
            now.checked_sub(second),
            Some(now + second),
            Some(now + 2 * second),
        );
        assert!(past.is_some());
        for (before, alive, deadline, after) in [
            (past, true, later, past),
            (Some(now), true, later, Some(now)),
            // Nothing works under that lease any more.
            (past, false, later, later),
            (past, true, None, None),
            (ahead, true, later, later),
            (ahead, true, None, None),
            (None, true, later, later),
        ] {
            let mut state = WatchdogState {
                deadline: before,
                over: false,
            };
            state.set(deadline, now, || alive);
            assert_eq!(state.deadline, after, "{before:?} {alive} {deadline:?}");
        }
    }

    #[test]
    fn it_aborts_what_is_alive_after_the_deadline_and_nothing_else() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let (past, ahead) = (now.checked_sub(second), Some(now + second));
        assert!(past.is_some());
        for (deadline, alive, over, next) in [
            (past, true, false, Now::Abort),
            (past, true, true, Now::Abort),
            (Some(now), true, false, Now::Abort),
            (past, false, false, Now::Wait(None)),
            (past, false, true, Now::Return),
            (ahead, true, false, Now::Wait(Some(second))),
            (ahead, true, true, Now::Wait(Some(second))),
            (ahead, false, false, Now::Wait(Some(second))),
            (ahead, false, true, Now::Return),
            (None, true, false, Now::Wait(None)),
            (None, false, false, Now::Wait(None)),
            (None, true, true, Now::Return),
        ] {
            let state = WatchdogState { deadline, over };
            assert_eq!(state.next(now, alive), next, "{deadline:?} {alive} {over}");
        }
    }
}
