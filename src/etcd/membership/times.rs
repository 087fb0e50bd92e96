//! The times of a membership: their bounds, and the times derived from them. Pure.

use core::cmp::Ordering;
use core::time::Duration;

use crate::etcd::basics::{EtcdConfigError, named};
use crate::policy::MAX_DURATION;

/// How long the next owner of a shard waits if the claim has disappeared without a release.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// All times that are derived from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// The time to live of the lease in etcd.
    pub(crate) lease: Duration,
    pub(crate) margin: Duration,
    pub(crate) renew_every: Duration,
    pub(crate) rejoin_jitter: Duration,
}

impl Times {
    /// Checks the values and derives all times. Other nodes take over `grace` after the lease has run out.
    ///
    /// # Errors
    ///
    /// If a value is out of its bounds.
    pub(crate) fn checked(
        ttl: Duration,
        margin: Option<Duration>,
        rejoin_jitter: Duration,
        grace: Duration,
    ) -> Result<Self, EtcdConfigError> {
        let out_of_bounds = |knob, value, bound: &str| {
            let bound = bound.to_owned();
            Err(EtcdConfigError::OutOfBounds { knob, value, bound })
        };
        if !(SHORTEST_TTL..=MAX_DURATION).contains(&ttl) || ttl.subsec_nanos() != 0 {
            return out_of_bounds(
                "ttl",
                ttl,
                "whole seconds from 4 s to a day: etcd counts in seconds, and lets no lease run out \
                 before an election could be over",
            );
        }
        let lease = ttl - grace;
        let margin = margin.unwrap_or(lease / 10);
        if margin < SHORTEST_MARGIN || margin > lease / 2 {
            return out_of_bounds(
                "margin",
                margin,
                "at least 100 ms, and at most half of what the ttl leaves to the lease in etcd",
            );
        }
        if rejoin_jitter > ttl {
            return out_of_bounds("rejoin_jitter", rejoin_jitter, "the ttl at most");
        }
        Ok(Self::new(lease, margin, rejoin_jitter))
    }

    /// The times of a lease with this time to live.
    pub(crate) fn new(lease: Duration, margin: Duration, rejoin_jitter: Duration) -> Self {
        Self {
            lease,
            margin,
            renew_every: lease / RENEWALS,
            rejoin_jitter,
        }
    }

    /// How long one request may take, so that a second one fits between two renewals.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.renew_every.mul_f32(0.5).min(LONGEST_PATIENCE)
    }

    /// The time to live that etcd is asked for, in whole seconds.
    pub(crate) fn seconds(&self) -> i64 {
        self.lease.as_secs() as i64
    }

    /// How long after its request a lease allows work.
    pub(crate) fn allowed(&self) -> Duration {
        self.lease - self.margin
    }

    /// When the lease runs out after a renewal was sent, by the clock that stops during a suspension.
    ///
    /// `suspended` is how long the machine was suspended since then.
    pub(crate) fn fence(&self, suspended: Option<Duration>) -> Duration {
        self.lease.saturating_sub(suspended.unwrap_or_default())
    }

    /// How often to check whether the machine was suspended.
    pub(crate) fn look_every(&self) -> Duration {
        (self.renew_every / 4).min(LONGEST_UNNOTICED)
    }

    /// How long the node waits before it joins again, so that a fleet does not come back all at once after an outage.
    ///
    /// There is no pause in the first epoch.
    pub(crate) fn rejoin_pause(&self, id: &str, epoch: u64) -> Option<Duration> {
        if epoch <= 1 {
            return None;
        }
        let share = (named(id, &epoch.to_string()) >> 32) as u32;
        let part = f64::from(share) / f64::from(u32::MAX);
        Some(self.rejoin_jitter.mul_f64(part))
    }

    /// Checks that the lease was granted for as many seconds as requested. The error says what to do.
    ///
    /// Other nodes take over `grace` after the lease has run out.
    pub(crate) fn check_granted(&self, granted: i64, grace: Duration) -> Result<(), String> {
        let asked = self.seconds();
        let ttl = self.lease + grace;
        let differs = format!(
            "a ttl of {ttl:?} needs a lease of {asked} s, but etcd grants one of {granted} s"
        );
        match granted.cmp(&asked) {
            Ordering::Equal => Ok(()),
            Ordering::Less => Err(differs),
            // No other node would work in the meantime, but others would take over later than promised.
            Ordering::Greater => {
                let longer = Duration::from_secs(granted.unsigned_abs()) + grace;
                Err(format!(
                    "{differs} (by its election timeout): give the membership a ttl of {longer:?}, or etcd a \
                     shorter --election-timeout"
                ))
            }
        }
    }
}

/// The longest time until a suspension of the machine is noticed.
const LONGEST_UNNOTICED: Duration = Duration::from_secs(1);
const LONGEST_PATIENCE: Duration = Duration::from_secs(3);
/// The renewals in the lifetime of one lease. If one is lost, and there is an election, there is still time to stop.
const RENEWALS: u32 = 5;
/// The lease in etcd is a second shorter, and the fence needs room for deadlines.
const SHORTEST_TTL: Duration = Duration::from_secs(4);
const SHORTEST_MARGIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn times() -> Times {
        Times::new(14 * SECOND, 1_400 * MS, SECOND)
    }

    /// The knob that is refused, if one is.
    fn refused(ttl: Duration, margin: Option<Duration>, jitter: Duration) -> Option<&'static str> {
        match Times::checked(ttl, margin, jitter, SECOND) {
            Ok(_) => None,
            Err(EtcdConfigError::OutOfBounds { knob, value, .. }) => {
                let given = match knob {
                    "ttl" => ttl,
                    "margin" => margin.expect("that by default is fine"),
                    _ => jitter,
                };
                assert_eq!(value, given);
                Some(knob)
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_time_to_live_is_of_whole_seconds_from_four_to_a_day() {
        let day = 24 * 3_600 * SECOND;
        let nano = Duration::from_nanos(1);
        for (ttl, is_taken) in [
            (3 * SECOND, false),
            (4 * SECOND - nano, false),
            (4 * SECOND, true),
            (4 * SECOND + nano, false),
            (day - nano, false),
            (day, true),
            (day + SECOND, false),
            (Duration::ZERO, false),
        ] {
            let told = refused(ttl, None, Duration::ZERO);
            assert_eq!(told, (!is_taken).then_some("ttl"), "{ttl:?}");
        }
    }

    #[test]
    fn the_lease_is_the_grace_shorter_than_the_time_to_live() {
        for grace in [SECOND, 2 * SECOND] {
            let times = Times::checked(15 * SECOND, None, SECOND, grace);
            let lease = 15 * SECOND - grace;
            // A tenth of it is the margin, unless another one is given.
            assert_eq!(times, Ok(Times::new(lease, lease / 10, SECOND)));
            let times = Times::checked(15 * SECOND, Some(3 * SECOND), SECOND, grace);
            assert_eq!(times, Ok(Times::new(lease, 3 * SECOND, SECOND)));
        }
    }

    #[test]
    fn a_margin_is_of_a_tenth_of_a_second_to_half_of_the_lease() {
        let nano = Duration::from_nanos(1);
        for (margin, is_taken) in [
            (100 * MS - nano, false),
            (100 * MS, true),
            (7 * SECOND, true),
            (7 * SECOND + nano, false),
        ] {
            let told = refused(15 * SECOND, Some(margin), Duration::ZERO);
            assert_eq!(told, (!is_taken).then_some("margin"), "{margin:?}");
        }
        assert_eq!(refused(4 * SECOND, None, Duration::ZERO), None);
    }

    #[test]
    fn nobody_puts_off_its_return_for_longer_than_the_time_to_live() {
        let jitter = |jitter| refused(15 * SECOND, None, jitter);
        assert_eq!(jitter(Duration::ZERO), None);
        assert_eq!(jitter(15 * SECOND), None);
        assert_eq!(jitter(15 * SECOND + MS), Some("rejoin_jitter"));
    }

    #[test]
    fn what_is_refused_is_said_with_its_bound() {
        let said = |ttl, margin, jitter| {
            let checked = Times::checked(ttl, margin, jitter, SECOND);
            checked.expect_err("refused").to_string()
        };
        assert_eq!(
            said(3 * SECOND, None, SECOND),
            "ttl is 3s, but must be whole seconds from 4 s to a day: etcd counts in seconds, and \
             lets no lease run out before an election could be over"
        );
        assert_eq!(
            said(5 * SECOND, Some(3 * SECOND), SECOND),
            "margin is 3s, but must be at least 100 ms, and at most half of what the ttl leaves to \
             the lease in etcd"
        );
        assert_eq!(
            said(5 * SECOND, None, 6 * SECOND),
            "rejoin_jitter is 6s, but must be the ttl at most"
        );
    }

    #[test]
    fn the_times_follow_from_the_lease() {
        let times = times();
        assert_eq!(times.renew_every, 2_800 * MS);
        assert!(times.request_timeout().abs_diff(1_400 * MS) < MS);
        assert_eq!(times.seconds(), 14);
        assert_eq!(times.allowed(), 12_600 * MS);
        assert_eq!(times.look_every(), 700 * MS);
        assert_eq!(times.fence(None), 14 * SECOND);
        assert_eq!(times.fence(Some(3 * SECOND)), 11 * SECOND);
        assert_eq!(times.fence(Some(20 * SECOND)), Duration::ZERO);
        let long = Times::new(100 * SECOND, SECOND, SECOND);
        assert_eq!(
            (long.request_timeout(), long.look_every()),
            (3 * SECOND, SECOND)
        );
    }

    #[test]
    fn a_fleet_comes_back_spread_over_the_jitter() {
        let times = times();
        let pause = |number: u32, epoch| {
            let pause = times.rejoin_pause(&format!("node-{number}"), epoch);
            pause.expect("it comes back")
        };
        assert_eq!(times.rejoin_pause("node-1", 1), None, "it has lost nothing");
        let mut tenths = [0; 10];
        for number in 0..200 {
            let pause = pause(number, 2);
            assert!(pause <= times.rejoin_jitter);
            tenths[(pause.as_secs_f64() * 9.999) as usize] += 1;
        }
        assert!(tenths.iter().all(|&count| count >= 8), "{tenths:?}");
        assert_ne!(pause(1, 2), pause(1, 3), "another time each time");
    }

    #[test]
    fn a_lease_of_another_length_is_not_taken() {
        let check = |granted| times().check_granted(granted, SECOND);
        assert_eq!(check(14), Ok(()));
        let shorter = "a ttl of 15s needs a lease of 14 s, but etcd grants one of 13 s";
        assert_eq!(check(13), Err(shorter.to_owned()));
        let longer = "a ttl of 15s needs a lease of 14 s, but etcd grants one of 15 s (by its \
                      election timeout): give the membership a ttl of 16s, or etcd a shorter \
                      --election-timeout";
        assert_eq!(check(15), Err(longer.to_owned()));
    }
}
