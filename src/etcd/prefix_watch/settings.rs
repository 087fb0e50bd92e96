//! The settings of a watched prefix, and their checks. Pure.

use core::time::Duration;

use crate::etcd::basics::EtcdConfigError;
use crate::etcd::client::Timing;
use crate::etcd::records::{LONGEST_UNCHECKED, SizeLimit};
use crate::policy::MAX_DURATION;

/// The limit if none is set.
pub(crate) const DEFAULT_LIMIT: SizeLimit = SizeLimit {
    keys: 10_000,
    bytes: 4 << 20,
};

/// Checks the largest number of keys.
pub(crate) fn check_max_keys(keys: usize) -> Result<usize, EtcdConfigError> {
    if (1..=MOST_KEYS).contains(&keys) {
        return Ok(keys);
    }
    Err(EtcdConfigError::BadSetting {
        knob: "max_keys",
        problem: format!("is {keys}, but must be 1 to {MOST_KEYS}: each node holds all of them"),
    })
}

/// Checks the largest size of all keys and values.
pub(crate) fn check_max_bytes(bytes: usize) -> Result<usize, EtcdConfigError> {
    if (1..=MOST_BYTES).contains(&bytes) {
        return Ok(bytes);
    }
    Err(EtcdConfigError::BadSetting {
        knob: "max_bytes",
        problem: format!("is {bytes}, but must be 1 to {MOST_BYTES}: each node holds all of them"),
    })
}

/// Checks how old the values may become. What passes by itself must be over before.
pub(crate) fn check_max_age(age: Duration, timing: &Timing) -> Result<Duration, EtcdConfigError> {
    let Timing {
        request_timeout,
        connect_timeout,
        ..
    } = *timing;
    let election = timing.longest_election();
    let shortest = LONGEST_UNCHECKED + request_timeout + connect_timeout + election;
    if (shortest..=MAX_DURATION).contains(&age) {
        return Ok(age);
    }
    Err(EtcdConfigError::OutOfBounds {
        knob: "max_age",
        value: age,
        bound: format!(
            "{shortest:?} to a day: {LONGEST_UNCHECKED:?} between two checks, {request_timeout:?} until a member that \
             died is given up, {connect_timeout:?} to connect to another one, and {election:?} for an election"
        ),
    })
}

const MOST_KEYS: usize = 100_000;
/// In use are several times as many. And one thread clones them, and ends lost work of the shards as well.
const MOST_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_passes_by_itself_must_fit_into_the_age() {
        let check = |age| check_max_age(age, &Timing::DEFAULT);
        assert_eq!(check(10 * SECOND), Ok(10 * SECOND));
        assert_eq!(check(86_400 * SECOND), Ok(86_400 * SECOND));
        let error = check(10 * SECOND - MS).expect_err("too short").to_string();
        assert_eq!(
            error,
            "max_age is 9.999s, but must be 10s to a day: 2s between two checks, 3s until a member that died is given \
             up, 2s to connect to another one, and 3s for an election"
        );
        assert!(check(86_400 * SECOND + MS).is_err());
        assert!(check(Duration::MAX).is_err());
        assert_eq!(check_max_age(8 * SECOND, &Timing::FAST), Ok(8 * SECOND));
        assert!(check_max_age(8 * SECOND - MS, &Timing::FAST).is_err());
        // An election takes as long here as everywhere.
        let slow = Timing {
            election_timeout: 5 * SECOND,
            ..Timing::DEFAULT
        };
        let shortest = 7 * SECOND + slow.longest_election();
        assert_eq!(check_max_age(shortest, &slow), Ok(shortest));
        assert!(check_max_age(shortest - MS, &slow).is_err());
    }

    #[test]
    fn nothing_is_unbounded() {
        for keys in [1, 100_000] {
            assert_eq!(check_max_keys(keys), Ok(keys));
        }
        for keys in [0, 100_001, usize::MAX] {
            let error = check_max_keys(keys).expect_err("refused").to_string();
            assert!(
                error.starts_with(&format!("max_keys: is {keys}, but must be 1 to 100000")),
                "{error}"
            );
        }
        for bytes in [1, 64 << 20] {
            assert_eq!(check_max_bytes(bytes), Ok(bytes));
        }
        for bytes in [0, (64 << 20) + 1, usize::MAX] {
            assert!(check_max_bytes(bytes).is_err(), "{bytes}");
        }
        assert!(check_max_keys(DEFAULT_LIMIT.keys).is_ok());
        assert!(check_max_bytes(DEFAULT_LIMIT.bytes).is_ok());
    }
}
