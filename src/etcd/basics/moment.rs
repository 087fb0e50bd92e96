//! A moment, by a clock that stands still while the machine is suspended and by one that runs on. Pure.

use core::time::Duration;

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// By the clock that stands still, which all timers go by.
    pub(crate) at: Duration,
    /// How long the machine had been suspended by then.
    pub(crate) suspended: Duration,
}

impl Moment {
    /// How long after an earlier moment this is, by the clock that ran on.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let suspended = self.suspended_since(earlier).unwrap_or_default();
        self.at.saturating_sub(earlier.at) + suspended
    }

    /// For how long the machine was suspended since an earlier moment, if it was. What is too short to be a
    /// suspension is noise: two clocks are read one after the other.
    pub(crate) fn suspended_since(self, earlier: Self) -> Option<Duration> {
        let time = self.suspended.saturating_sub(earlier.suspended);
        (time >= NOTICED).then_some(time)
    }
}

/// More than two clocks differ if they are read one after the other; less than a suspension takes.
const NOTICED: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at: u64, suspended: u64) -> Moment {
        Moment {
            at: Duration::from_millis(at),
            suspended: Duration::from_millis(suspended),
        }
    }

    #[test]
    fn a_suspension_is_time_that_passed_and_noise_is_none() {
        let earlier = moment(1_000, 500);
        for (later, since, suspended) in [
            (moment(3_000, 500), 2_000, None),
            (moment(3_000, 509), 2_000, None),
            (moment(3_000, 510), 2_010, Some(10)),
            (moment(3_000, 9_500), 11_000, Some(9_000)),
            // Two clocks that are read one after the other, the other way round.
            (moment(3_000, 499), 2_000, None),
            (moment(999, 500), 0, None),
        ] {
            assert_eq!(later.since(earlier), Duration::from_millis(since));
            let told = later.suspended_since(earlier);
            assert_eq!(told, suspended.map(Duration::from_millis), "{later:?}");
        }
    }
}
