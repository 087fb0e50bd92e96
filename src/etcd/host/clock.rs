//! Converts between tokio's clock and the times that the pure modules use.
//!
//! Pure modules have no clock: a time is a duration since an origin. The whole process has one origin, so the times of
//! all its parts can be compared.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

/// The time now.
pub(crate) fn now() -> Duration {
    time_of(Instant::now())
}

/// The time of a moment.
pub(crate) fn time_of(at: Instant) -> Duration {
    let origin = origin();
    // A runtime with a paused clock may be before the origin.
    match at.checked_duration_since(origin) {
        Some(after) => ORIGIN + after,
        None => ORIGIN.saturating_sub(origin.duration_since(at)),
    }
}

/// The moment of a time.
pub(crate) fn moment_of(time: Duration) -> Instant {
    match time.checked_sub(ORIGIN) {
        Some(after) => origin() + after,
        None => origin() - (ORIGIN - time),
    }
}

fn origin() -> Instant {
    static AT: OnceLock<Instant> = OnceLock::new();
    *AT.get_or_init(Instant::now)
}

/// The time of the origin: far from zero, so that there can be times before it.
const ORIGIN: Duration = Duration::from_secs(1 << 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_same_again_whichever_side_of_the_origin_it_is_on() {
        let (origin, hour) = (origin(), Duration::from_secs(3_600));
        for at in [
            origin,
            origin + hour,
            origin + Duration::from_nanos(1),
            origin - hour,
        ] {
            assert_eq!(moment_of(time_of(at)), at);
        }
        assert_eq!(time_of(origin + hour) - time_of(origin - hour), 2 * hour);
    }
}
