//! How long the machine was suspended: in this time leases continue, but the timers of this process do not.
//!
//! On Linux `CLOCK_BOOTTIME` continues while the machine is suspended, and `CLOCK_MONOTONIC`, which all timers
//! use, does not (clock_gettime(2)). Their difference is how long the machine was suspended since it was booted.
//! On other systems this cannot be measured.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::clock;
use super::uncompared::Uncompared;
use crate::etcd::basics::Moment;

/// Returns how long the machine was suspended in total, up to a constant.
pub(crate) type Suspended = Uncompared<Arc<dyn Fn() -> Duration + Send + Sync>>;

/// The clock of the operating system.
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
    // In this order, so that the time between the two calls does not look like a suspension.
    let with = clock(ClockId::Boottime);
    // In a time namespace each clock may have an offset, so the difference alone means nothing, and may be
    // negative. But it grows with each suspension.
    (with + FAR).saturating_sub(clock(ClockId::Monotonic))
}

/// Longer than any offset of a clock: 272 years.
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

/// Waits until the machine was suspended since this moment, and returns for how long.
///
/// No timer can detect this. It is checked whenever the task is polled, for any reason, and at this interval.
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
