//! How long the machine was suspended: time in which leases ran on and the clocks of this process did not.
//!
//! On Linux `CLOCK_BOOTTIME` goes on while the machine is suspended, and `CLOCK_MONOTONIC`, which all timers
//! go by, does not (clock_gettime(2)). What they are apart is how long it was suspended since it was booted.
//! Elsewhere nothing tells it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::clock;
use super::uncompared::Uncompared;
use crate::etcd::basics::Moment;

/// Tells how long the machine was suspended in all, up to a constant.
pub(crate) type Suspended = Uncompared<Arc<dyn Fn() -> Duration + Send + Sync>>;

/// As the operating system tells it.
pub(crate) fn by_the_system() -> Suspended {
    Uncompared(Arc::new(system))
}

#[cfg(target_os = "linux")]
fn system() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let clock = |id| {
        let time = clock_gettime(id);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    // In this order: what passes in between is not taken for a suspension.
    let with = clock(ClockId::Boottime);
    // In a time namespace either of them may have been set, so the difference alone tells nothing, and may be
    // negative; but it grows by each suspension.
    (with + FAR).saturating_sub(clock(ClockId::Monotonic))
}

/// Longer than any clock is set back: 272 years.
#[cfg(target_os = "linux")]
const FAR: Duration = Duration::from_secs(1 << 33);

#[cfg(not(target_os = "linux"))]
fn system() -> Duration {
    Duration::ZERO
}

/// Now, by both clocks.
pub(crate) fn moment(suspended: &Suspended) -> Moment {
    Moment {
        at: clock::now(),
        suspended: suspended(),
    }
}

/// Waits until the machine was suspended since this moment, and tells for how long.
///
/// No timer can tell it. It is looked at whenever the task is polled, for whatever reason, and this often.
pub(crate) async fn suspended_since(
    before: Moment,
    suspended: &Suspended,
    every: Duration,
) -> Duration {
    loop {
        let look = poll_fn(|_| match self::moment(suspended).suspended_since(before) {
            Some(time) => Poll::Ready(time),
            None => Poll::Pending,
        });
        if let Ok(time) = timeout(every, look).await {
            return time;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    /// The kernel tells the clock that runs on in another way, too, if only to a hundredth of a second.
    #[test]
    fn the_system_tells_what_the_clock_that_runs_on_is_ahead() {
        let text = std::fs::read_to_string("/proc/uptime").expect("Linux has it");
        let uptime: f64 = text
            .split(' ')
            .next()
            .and_then(|it| it.parse().ok())
            .expect("seconds");
        let monotonic = clock_gettime(ClockId::Monotonic).tv_sec as f64;
        let ahead = system().as_secs_f64() - FAR.as_secs_f64();
        assert!(
            (ahead - (uptime - monotonic)).abs() < 60.0,
            "{ahead} {uptime} {monotonic}"
        );
    }

    #[test]
    fn what_was_not_suspended_is_not_taken_for_it() {
        let suspended = by_the_system();
        let before = moment(&suspended);
        for _ in 0..100_000 {
            assert_eq!(moment(&suspended).suspended_since(before), None);
        }
    }
}
