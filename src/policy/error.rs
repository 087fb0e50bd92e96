//! Why a policy or a layout was refused.

use core::fmt;
use core::time::Duration;

use super::{MAX_DURATION, MIN_DURATION};

/// Why a policy, a layout, or the two together cannot work: the knob, its value and the bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    knob: &'static str,
    value: String,
    bound: String,
}

impl PolicyError {
    /// Creates an error for your own code, e.g. in [`Probe::check`](crate::Probe::check).
    ///
    /// Its text is "`knob` is value, but bound".
    pub fn new(knob: &'static str, value: impl Into<String>, bound: impl Into<String>) -> Self {
        Self {
            knob,
            value: value.into(),
            bound: bound.into(),
        }
    }

    /// The name of the knob whose value was refused.
    pub fn knob(&self) -> &'static str {
        self.knob
    }

    /// The value that was refused.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What the value must satisfy.
    pub fn bound(&self) -> &str {
        &self.bound
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}, but {}", self.knob, self.value, self.bound)
    }
}

impl core::error::Error for PolicyError {}

pub(super) fn in_range(knob: &'static str, value: Duration) -> Result<(), PolicyError> {
    in_range_of(knob, "", value)
}

/// The value of something special, which the error shows behind the value, e.g. ` for stage 1`.
pub(super) fn in_range_of(
    knob: &'static str,
    special: &str,
    value: Duration,
) -> Result<(), PolicyError> {
    if (MIN_DURATION..=MAX_DURATION).contains(&value) {
        return Ok(());
    }
    Err(PolicyError::new(
        knob,
        format!("{value:?}{special}"),
        format!("it must lie between {MIN_DURATION:?} and {MAX_DURATION:?}"),
    ))
}

/// For knobs that zero switches off.
pub(super) fn in_range_or_zero(knob: &'static str, value: Duration) -> Result<(), PolicyError> {
    if value.is_zero() {
        return Ok(());
    }
    in_range(knob, value)
}

pub(super) fn in_range_count(knob: &'static str, value: u32, max: u32) -> Result<(), PolicyError> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(PolicyError::new(
        knob,
        format!("{value}"),
        format!("it must lie between 1 and {max}"),
    ))
}
