//! Pauses before another attempt. Pure.

use core::time::Duration;

/// The pause after the `failures`-th failed connection in a row: doubling, and never longer than
/// `longest`.
pub(crate) fn pause(failures: u32, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST.saturating_mul(1 << doublings).min(longest)
}

/// The pause before the next request after etcd failed to answer.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(100);

const FIRST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_interval_and_stays_there() {
        let longest = Duration::from_secs(1);
        let pauses = [1, 2, 3, 4, 5, 6, u32::MAX].map(|n| pause(n, longest).as_millis());
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000, 1000]);
    }
}
