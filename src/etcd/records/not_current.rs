//! Why a copy of etcd's keys could not be made or confirmed. Pure.

use std::fmt;

use crate::etcd::basics::{EtcdError, Fault};

/// One failed attempt to make a copy, or to confirm it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotCurrent {
    /// The class of the failure, if etcd failed.
    pub(crate) fault: Option<Fault>,
    pub(crate) text: String,
    /// Whether another attempt may succeed although nobody does anything.
    pub(crate) passes: bool,
    /// Whether an authentication token has expired, so that the next attempt gets a new one.
    pub(crate) is_stale_token: bool,
}

impl NotCurrent {
    /// There is more below the prefix than the copy may hold.
    pub(crate) fn too_large(text: String) -> Self {
        Self {
            fault: None,
            text,
            passes: false,
            is_stale_token: false,
        }
    }
}

impl NotCurrent {
    /// Whether the copy has more than it may hold, so that it must not be used.
    pub(crate) fn is_too_large(&self) -> bool {
        self.fault.is_none()
    }
}

impl fmt::Display for NotCurrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Some(fault) => write!(f, "{fault}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl From<EtcdError> for NotCurrent {
    fn from(cause: EtcdError) -> Self {
        Self {
            passes: cause.again_in().is_some(),
            is_stale_token: cause.is_stale_token(),
            fault: Some(cause.fault),
            text: cause.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::basics::Fault;

    #[test]
    fn silence_passes_and_a_missing_right_does_not() {
        let silent = NotCurrent::from(EtcdError::silent());
        assert_eq!(silent.to_string(), "etcd is unreachable: no answer");
        assert!(silent.passes);
        let refused = EtcdError::sure(Fault::Permission, "permission denied");
        assert!(!NotCurrent::from(refused).passes);
        let too_large = NotCurrent::too_large("too much".into());
        assert_eq!(too_large.to_string(), "too much");
        assert!(!too_large.passes && too_large.is_too_large());
        assert!(!NotCurrent::from(EtcdError::silent()).is_too_large());
    }
}
