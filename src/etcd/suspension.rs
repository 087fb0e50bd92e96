//! How long the machine was suspended: time in which leases ran on and the clocks of this process did not.
//!
//! On Linux `CLOCK_BOOTTIME` goes on while the machine is suspended, and `CLOCK_MONOTONIC`, which all timers
//! go by, does not (clock_gettime(2)). What they are apart is how long it was suspended since it was booted.
//! Elsewhere nothing tells it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::aside::Aside;

/// Tells how long the machine was suspended in all.
pub(super) type Suspended = Aside<Arc<dyn Fn() -> Duration + Send + Sync>>;

/// As the operating system tells it.
pub(super) fn by_the_system() -> Suspended {
    Aside(Arc::new(system))
}

#[cfg(target_os = "linux")]
fn system() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let since_boot = |clock| {
        let time = clock_gettime(clock);
        // Both count from the boot of the machine, so neither part is negative.
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    // In this order: what passes in between is not taken for a suspension.
    let with = since_boot(ClockId::Boottime);
    with.saturating_sub(since_boot(ClockId::Monotonic))
}

#[cfg(not(target_os = "linux"))]
fn system() -> Duration {
    Duration::ZERO
}

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Instant,
    /// How long the machine had been suspended by then.
    pub(super) suspended: Duration,
}

impl Moment {
    pub(super) fn now(suspended: &Suspended) -> Self {
        Self {
            at: Instant::now(),
            suspended: suspended(),
        }
    }

    /// For how long the machine was suspended since, if it was.
    pub(super) fn suspended_for(self, suspended: &Suspended) -> Option<Duration> {
        let time = suspended().saturating_sub(self.suspended);
        (time >= NOTICED).then_some(time)
    }

    /// How long ago that was, by the clock that ran on.
    pub(super) fn elapsed(self, suspended: &Suspended) -> Duration {
        self.at.elapsed() + suspended().saturating_sub(self.suspended)
    }
}

/// Waits until the machine was suspended since this moment, and tells for how long.
///
/// No timer can tell it. It is looked at whenever the task is polled, for whatever reason, and this often.
pub(super) async fn suspended_since(
    moment: Moment,
    suspended: &Suspended,
    every: Duration,
) -> Duration {
    loop {
        let look = poll_fn(|_| match moment.suspended_for(suspended) {
            Some(time) => Poll::Ready(time),
            None => Poll::Pending,
        });
        if let Ok(time) = timeout(every, look).await {
            return time;
        }
    }
}

/// More than two clocks differ if they are read one after the other; less than a suspension takes.
const NOTICED: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// It can be told of a machine that was suspended, too: it is less than what it was told before by no
    /// more than the two clocks are read apart.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_clocks_of_the_system_go_on_together_while_it_is_not_suspended() {
        let (first, begun) = (system(), std::time::Instant::now());
        let mut last = first;
        while begun.elapsed() < Duration::from_millis(50) {
            last = system();
        }
        let apart = last.abs_diff(first);
        assert!(apart < begun.elapsed(), "{first:?} {last:?}");
        let uptime = std::fs::read_to_string("/proc/uptime").expect("Linux has it");
        let uptime: f64 = uptime
            .split(' ')
            .next()
            .and_then(|it| it.parse().ok())
            .expect("seconds");
        assert!(
            first.as_secs_f64() <= uptime,
            "it is no longer than the machine is up"
        );
    }
}
