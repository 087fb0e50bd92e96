//! What a probe is, and what it reports.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::policy::{Policy, PolicyError};

/// One look at the dependency, as a [`Probe`] saw it.
///
/// ```
/// use overwatch::Observation;
///
/// fn judge(answer: Result<u64, std::io::Error>) -> Observation {
///     match answer {
///         Ok(revision) => Observation::alive(format!("read at revision {revision}")),
///         Err(error) => Observation::failing(format!("no answer: {error}")).classed("unreachable"),
///     }
/// }
/// # assert!(matches!(judge(Ok(7)), Observation::Alive { .. }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Observation {
    /// Positive evidence that the dependency works. The absence of errors is no evidence.
    Alive {
        /// What was seen, for the log: `linearizable read at revision 42`.
        evidence: Cow<'static, str>,
    },
    /// The dependency does not work.
    Failing {
        /// Why, in words an operator understands, and what to do about it.
        reason: Cow<'static, str>,
        /// The kind of failure: a short name that does not change, to grep for and to alert on.
        class: Option<&'static str>,
        /// Whether no restart could mend it. The run then ends after an ordered stop.
        fatal: bool,
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
            class: None,
            fatal: false,
        }
    }

    /// A failure of this class. Changes nothing in an observation that is alive.
    #[must_use]
    pub fn classed(mut self, name: &'static str) -> Self {
        if let Self::Failing { class, .. } = &mut self {
            *class = Some(name);
        }
        self
    }

    /// A failure that no restart could mend. Changes nothing in an observation that is alive.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        if let Self::Failing { fatal, .. } = &mut self {
            *fatal = true;
        }
        self
    }
}

/// What the observations of a probe are used for at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProbeMode {
    /// The service starts or runs: a failure stops it. A probe may forgive what passes by itself, e.g. an
    /// election.
    Watching,
    /// The service is stopped or stopping: its start depends on a clean run. A probe should forgive
    /// nothing, since a clean run has no error.
    Proving,
}

/// Observes the dependency.
///
/// Each session of the supervisor runs one task that calls [`observe`](Probe::observe) in a loop. A
/// session ends by dropping the pending call, so the method must be safe to drop at any `.await`; the
/// next session calls it again on the same value. [`set_mode`](Probe::set_mode) and
/// [`refresh`](Probe::refresh) are called by the same task, between calls or while one is pending.
/// [`polled`](crate::polled) and [`feed`](crate::feed) make a probe without this trait, and [the guide](crate::guide::probes) has a complete one.
///
/// | the probe | consequence |
/// | --- | --- |
/// | returns [`Observation::Alive`] | evidence: it opens the gate, keeps the service ready, lets a hold-off run |
/// | returns [`Observation::Failing`] | adds suspicion (trips, by default); voids a clean run |
/// | the same, and [`fatal`](Observation::fatal) | an ordered stop; the run ends with the reason as its error |
/// | hangs | after the silence limit the dependency counts as failed, and the call is dropped and made anew |
/// | panics | a failing observation that says so; it is called again after a second |
/// | returns at once, again and again | it is called a hundred times a second at most |
/// | blocks its thread | as if it hung; it is not called again until the call has returned. Until then one thread fewer is left to the service: [`isolated`](crate::isolated) gives the probe a separate one |
///
/// ```
/// use overwatch::{Observation, Probe};
///
/// struct Ping;
///
/// #[overwatch::async_trait]
/// impl Probe for Ping {
///     async fn observe(&self) -> Observation {
///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///         match ping().await {
///             Ok(round_trip) => Observation::alive(format!("answered in {round_trip:?}")),
///             Err(error) => Observation::failing(error.to_string()),
///         }
///     }
/// }
/// # async fn ping() -> std::io::Result<std::time::Duration> { Ok(std::time::Duration::ZERO) }
/// ```
#[async_trait::async_trait]
pub trait Probe: Send + Sync + 'static {
    /// The next observation. The probe paces itself: it returns about once a second, and always before the
    /// silence limit.
    async fn observe(&self) -> Observation;

    /// Asks for one more observation now rather than at the next interval. It is called when a hold-off has passed
    /// and nothing else is waited for, before a call of [`observe`](Self::observe)
    /// or while one is pending, by the same task, so it must not block.
    ///
    /// An observation that began before this call does not open the gate. Return `true` if a pending call
    /// observes anew from here on, so that its result counts. If it does not, which is the default, the call
    /// after it counts, and this is called again before that.
    fn refresh(&self) -> bool {
        false
    }

    /// Sets what the observations are used for from now on. It is called whenever that changes, before
    /// a call of [`observe`](Self::observe) or while one is pending, by the same task, so it must not
    /// block. By default it does nothing.
    fn set_mode(&self, mode: ProbeMode) {
        let _ = mode;
    }

    /// The runtime on which this is to be called, if it is not that of the components. Only asked for
    /// where the run has a thread of its own.
    #[doc(hidden)]
    fn home(&self) -> Option<Handle> {
        None
    }

    /// Whether this probe can work under a policy. [`Builder::build`](crate::Builder::build) calls it.
    ///
    /// # Errors
    ///
    /// What must be changed, e.g. an interval that is longer than the silence limit. By default
    /// every policy is accepted.
    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        let _ = policy;
        Ok(())
    }
}

/// A probe in a box or an `Arc` is one.
macro_rules! pointer_to_a_probe {
    ($pointer:ty) => {
        #[async_trait::async_trait]
        impl<P: Probe + ?Sized> Probe for $pointer {
            async fn observe(&self) -> Observation {
                (**self).observe().await
            }

            fn refresh(&self) -> bool {
                (**self).refresh()
            }

            fn set_mode(&self, mode: ProbeMode) {
                (**self).set_mode(mode);
            }

            fn home(&self) -> Option<Handle> {
                (**self).home()
            }

            fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
                (**self).check(policy)
            }
        }
    };
}

pointer_to_a_probe!(Box<P>);
pointer_to_a_probe!(Arc<P>);
