//! Which failures of a repeated request are worth a warning. Pure.

use super::etcd_error::EtcdError;

/// The failures in a row of one kind of request, as far as they were logged.
#[derive(Debug, Default)]
pub(crate) struct FailureLog {
    /// Whether the last attempt failed.
    failing: bool,
    warned: bool,
}

/// How a failure is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loudness {
    Warn,
    Debug,
    /// The failures before it were logged.
    Silent,
}

impl FailureLog {
    /// Notes a success.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Notes a failure. The first of several in a row is a warning.
    ///
    /// A token that has expired is none: the next attempt gets a new one. If that attempt fails as well, that is.
    pub(crate) fn failed(&mut self, cause: &EtcdError) -> Loudness {
        self.failed_by(cause.is_stale_token())
    }

    /// The same, where only this is known of the failure: whether a token has expired.
    pub(crate) fn failed_by(&mut self, is_stale_token: bool) -> Loudness {
        let is_first = !core::mem::replace(&mut self.failing, true);
        if is_first && is_stale_token {
            return Loudness::Debug;
        }
        match core::mem::replace(&mut self.warned, true) {
            true => Loudness::Silent,
            false => Loudness::Warn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::Fault;
    use super::*;

    fn expired() -> EtcdError {
        EtcdError::sure(
            Fault::Unauthenticated,
            "authentication failed: invalid auth token",
        )
    }

    #[test]
    fn the_first_of_several_failures_is_a_warning() {
        let mut log = FailureLog::default();
        for _ in 0..2 {
            assert_eq!(log.failed(&EtcdError::silent()), Loudness::Warn);
            assert_eq!(log.failed(&EtcdError::silent()), Loudness::Silent);
            assert_eq!(log.failed(&expired()), Loudness::Silent);
            log.succeeded();
        }
    }

    #[test]
    fn a_token_that_expires_is_a_warning_only_if_the_next_attempt_fails_too() {
        let mut log = FailureLog::default();
        for _ in 0..3 {
            assert_eq!(log.failed(&expired()), Loudness::Debug);
            log.succeeded();
        }
        for next in [expired(), EtcdError::silent()] {
            assert_eq!(log.failed(&expired()), Loudness::Debug);
            assert_eq!(log.failed(&next), Loudness::Warn);
            assert_eq!(log.failed(&next), Loudness::Silent);
            log.succeeded();
        }
    }

    #[test]
    fn a_wrong_password_is_no_token_that_has_expired() {
        let wrong = EtcdError::sure(
            Fault::Unauthenticated,
            "authentication failed: invalid user ID or password",
        );
        assert_eq!(FailureLog::default().failed(&wrong), Loudness::Warn);
        let old = EtcdError::passing(Fault::Unauthenticated, "revision of auth store is old");
        assert_eq!(FailureLog::default().failed(&old), Loudness::Debug);
        let other = EtcdError::silent();
        let other = EtcdError {
            text: "invalid auth token".to_owned(),
            ..other
        };
        assert_eq!(FailureLog::default().failed(&other), Loudness::Warn);
    }
}
