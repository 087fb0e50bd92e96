//! What observes the dependency.

use std::borrow::Cow;

/// One look at the dependency, as a [`Probe`] saw it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Observation {
    /// Positive evidence that the dependency does its work. The absence of errors is no evidence.
    Alive {
        /// What was seen, for the log: `linearizable read at revision 42`.
        evidence: Cow<'static, str>,
    },
    /// The dependency does not do its work.
    Failing {
        /// Why, in words an operator understands.
        reason: Cow<'static, str>,
    },
}

impl Observation {
    /// Positive evidence, with a few words on what was seen.
    pub fn alive(evidence: impl Into<Cow<'static, str>>) -> Self {
        Self::Alive {
            evidence: evidence.into(),
        }
    }

    /// A failure, with the reason.
    pub fn failing(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Failing {
            reason: reason.into(),
        }
    }
}

/// Observes the dependency.
///
/// Each session of the supervisor runs one task that calls [`observe`](Probe::observe) in a loop. A
/// session ends by dropping the pending call, so the method must be safe to drop at any await; the
/// next session calls it again on the same value.
#[async_trait::async_trait]
pub trait Probe: Send + Sync + 'static {
    /// The next observation. It paces itself: it returns when there is something new to tell, about
    /// once a second, and never waits longer than the dependency may be silent.
    async fn observe(&self) -> Observation;
}
