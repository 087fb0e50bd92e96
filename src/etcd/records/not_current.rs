//! Why a copy of etcd's keys could not be made or confirmed. Pure.

use std::fmt;

use crate::etcd::basics::{EtcdError, Fault};

/// Why one attempt to make a copy, or to confirm it, has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotCurrent {
    /// There is more below the prefix than the copy may hold, so the copy must not be used. With a description.
    TooLarge(String),
    /// etcd did not answer, or refused.
    Etcd(EtcdError),
}

impl NotCurrent {
    /// The class of the failure, if etcd failed.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self {
            Self::TooLarge(_) => None,
            Self::Etcd(cause) => Some(cause.fault),
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::TooLarge(text) => text,
            Self::Etcd(cause) => &cause.text,
        }
    }

    /// Whether another attempt may succeed although nobody does anything.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::TooLarge(_) => false,
            Self::Etcd(cause) => cause.again_in().is_some(),
        }
    }

    /// Whether an authentication token has expired, so that the next attempt gets a new one.
    pub(crate) fn is_stale_token(&self) -> bool {
        match self {
            Self::TooLarge(_) => false,
            Self::Etcd(cause) => cause.is_stale_token(),
        }
    }

    /// Whether the copy has more than it may hold, so that it must not be used.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge(_))
    }
}

impl fmt::Display for NotCurrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault() {
            Some(fault) => write!(f, "{fault}: {}", self.text()),
            None => f.write_str(self.text()),
        }
    }
}

impl From<EtcdError> for NotCurrent {
    fn from(cause: EtcdError) -> Self {
        Self::Etcd(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_passes_and_a_missing_right_does_not() {
        let silent = NotCurrent::from(EtcdError::silent());
        assert_eq!(silent.to_string(), "etcd is unreachable: no answer");
        assert!(silent.passes() && !silent.is_too_large() && !silent.is_stale_token());
        let refused = EtcdError::sure(Fault::Permission, "permission denied");
        let refused = NotCurrent::from(refused);
        assert!(!refused.passes());
        assert_eq!(refused.fault(), Some(Fault::Permission));
    }

    #[test]
    fn too_much_is_no_failure_of_etcd_and_does_not_pass() {
        let too_large = NotCurrent::TooLarge("too much".into());
        assert_eq!(too_large.to_string(), "too much");
        assert_eq!((too_large.text(), too_large.fault()), ("too much", None));
        assert!(!too_large.passes() && too_large.is_too_large() && !too_large.is_stale_token());
    }

    #[test]
    fn a_token_that_has_expired_is_known_from_its_text() {
        let expired = EtcdError::sure(Fault::Unauthenticated, "invalid auth token");
        assert!(NotCurrent::from(expired).is_stale_token());
    }
}
