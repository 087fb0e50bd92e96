//! A moment, by a clock that stops while the machine is suspended and by one that continues. Pure.

use core::time::Duration;

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// By the clock that stops during a suspension. All timers use this clock.
    pub(crate) at: Duration,
    /// How long the machine had been suspended in total until then.
    pub(crate) suspended: Duration,
}

impl Moment {
    /// The time since an earlier moment, by the clock that continues during a suspension.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let suspended = self.suspended_since(earlier).unwrap_or_default();
        self.at.saturating_sub(earlier.at) + suspended
    }

    /// How long the machine was suspended since an earlier moment, if it was.
    ///
    /// Shorter differences are noise, because the two clocks are read one after the other.
    pub(crate) fn suspended_since(self, earlier: Self) -> Option<Duration> {
        let time = self.suspended.saturating_sub(earlier.suspended);
        (time >= NOTICED).then_some(time)
    }
}

/// More than the noise between two clocks that are read one after the other, and less than any suspension.
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
