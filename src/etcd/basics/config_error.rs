//! Errors in a configuration.

use core::error::Error;
use core::time::Duration;
use std::fmt;

/// Why an [`EtcdConfig`](crate::etcd::EtcdConfig) or a membership was refused.
///
/// The text contains the value and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EtcdConfigError {
    /// No endpoint was given.
    NoEndpoints,
    /// More endpoints were given than an etcd cluster has members.
    TooManyEndpoints {
        /// The largest number that is accepted.
        max: usize,
    },
    /// An endpoint is not a URL that can be used.
    BadEndpoint {
        /// The endpoint as it was given, without the credentials in it.
        endpoint: String,
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// The same endpoint was given twice.
    DuplicateEndpoint {
        /// The endpoint, in its normal form.
        endpoint: String,
    },
    /// A setting other than a time is not valid, e.g. the user, TLS, the sentinel key or the number of slow answers.
    BadSetting {
        /// The method of the configuration that sets it.
        knob: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A time is out of its bounds.
    OutOfBounds {
        /// The method of the configuration that sets it.
        knob: &'static str,
        /// The value that was given.
        value: Duration,
        /// The bound that it violates, and why there is one.
        bound: String,
    },
}

impl fmt::Display for EtcdConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoints => f.write_str(
                "no etcd endpoint was given: name at least one, like http://127.0.0.1:2379",
            ),
            Self::TooManyEndpoints { max } => write!(
                f,
                "more than {max} etcd endpoints were given: name the members of one cluster only"
            ),
            Self::BadEndpoint { endpoint, problem } => {
                write!(f, "etcd endpoint {endpoint:?}: {problem}")
            }
            Self::DuplicateEndpoint { endpoint } => write!(
                f,
                "etcd endpoint {endpoint} was given twice: name each member once"
            ),
            Self::BadSetting { knob, problem } => write!(f, "{knob}: {problem}"),
            Self::OutOfBounds { knob, value, bound } => {
                write!(f, "{knob} is {value:?}, but must be {bound}")
            }
        }
    }
}

impl Error for EtcdConfigError {}
