//! The trait of probes, and their observations.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::policy::{Policy, PolicyError};
use crate::text::redact;

/// One observation of the dependency by a [`Probe`].
///
/// Its text is shown as one line of at most 4,096 bytes, in which secrets are hidden, as those of a
/// [`Failure`](crate::Failure).
///
/// ```
/// use overwatch::Observation;
///
/// fn judge(answer: Result<u64, std::io::Error>) -> Observation {
///     match answer {
///         Ok(revision) => Observation::alive(format!("read at revision {revision}")),
///         Err(error) => Observation::failing(format!("no answer: {error}")).with_class("unreachable"),
///     }
/// }
/// # assert!(matches!(judge(Ok(7)), Observation::Alive { .. }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Observation {
    /// Positive evidence that the dependency works. The absence of errors is not evidence.
    Alive {
        /// What was seen, for the log, e.g. `linearizable read at revision 42`.
        evidence: Cow<'static, str>,
    },
    /// The dependency does not work.
    Failing {
        /// Why, in words an operator understands, and what to do about it.
        reason: Cow<'static, str>,
        /// The kind of failure: a short stable name, for searches in the log and for alerts.
        class: Option<&'static str>,
        /// Whether no restart can repair it. The run then ends after an ordered stop.
        fatal: bool,
    },
}

impl Observation {
    /// Positive evidence, with a short text on what was seen.
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

    /// Sets the class of a failure. An observation that is alive is not changed.
    #[must_use]
    pub fn with_class(mut self, name: &'static str) -> Self {
        if let Self::Failing { class, .. } = &mut self {
            *class = Some(name);
        }
        self
    }

    /// Marks a failure that no restart can repair. An observation that is alive is not changed.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        if let Self::Failing { fatal, .. } = &mut self {
            *fatal = true;
        }
        self
    }

    /// The same with a text that may be shown.
    pub(crate) fn redacted(mut self) -> Self {
        let (Self::Alive { evidence: text } | Self::Failing { reason: text, .. }) = &mut self;
        if let Cow::Owned(shown) = redact(text) {
            *text = shown.into();
        }
        self
    }
}

/// What the observations of a probe are currently used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProbeMode {
    /// The service starts or runs: a failure stops it. A probe may tolerate what passes by itself, e.g. an election.
    Watching,
    /// The service is stopped or stopping: its start depends on a clean run.
    ///
    /// A probe should tolerate nothing, because a clean run has no error.
    Proving,
}

/// Observes the dependency.
///
/// Each session of the supervisor runs one task that calls [`observe`](Probe::observe) in a loop. When a
/// session ends, the pending call is dropped, so the method must be safe to drop at any `.await`. The
/// next session calls it again on the same value. The same task calls [`set_mode`](Probe::set_mode) and
/// [`refresh`](Probe::refresh), between calls of `observe` or while one is pending.
/// [`polled`](crate::polled) and [`feed`](crate::feed) make a probe without an implementation of this trait.
/// [The guide](crate::guide::probes) has a complete probe.
///
/// | the probe | consequence |
/// | --- | --- |
/// | returns [`Observation::Alive`] | evidence: it opens the gate, keeps the service ready, and lets a hold-off run |
/// | returns [`Observation::Failing`] | adds suspicion (by default it trips); ends a clean run |
/// | the same, and [`fatal`](Observation::fatal) | an ordered stop; the run ends with the reason as its error |
/// | hangs | after the silence limit the dependency counts as failed; the call is dropped, and a new one is made |
/// | panics | counts as a failing observation with the panic as its reason; the next call comes after a second |
/// | returns at once, again and again | it is called at most a hundred times a second |
/// | blocks its thread | as if it hung; it is not called again until the call has returned. Until then the service has one thread fewer: [`isolated`](crate::isolated) gives the probe a separate one |
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a probe",
    label = "this is not a probe",
    note = "make one from a closure with `overwatch::polled`, or implement `overwatch::Probe`, with \
            `#[overwatch::async_trait]` on the `impl`; it must be `Send + Sync + 'static`",
    note = "a service that depends on nothing has the probe `overwatch::no_dependency()`"
)]
pub trait Probe: Send + Sync + 'static {
    /// Returns the next observation.
    ///
    /// The probe itself sets the pace: it returns about once a second, and always before the silence limit.
    async fn observe(&self) -> Observation; // The `impl` needs #[overwatch::async_trait]

    /// Requests one more observation now rather than at the next interval.
    ///
    /// This is called when a hold-off has passed and the start waits only for this observation. The task of `observe`
    /// calls it, before a call of [`observe`](Self::observe) or while one is pending, so it must not block.
    ///
    /// An observation that began before this call does not open the gate. Return `true` if a pending call
    /// observes anew from here on, so that its result counts. If the method returns `false`, which is the default, the
    /// call of `observe` after the pending one counts, and this method is called again before it.
    fn refresh(&self) -> bool {
        false
    }

    /// Sets what the observations are used for from now on. By default it does nothing.
    ///
    /// This is called whenever the mode changes. The task of `observe` calls it, before a call of
    /// [`observe`](Self::observe) or while one is pending, so it must not block.
    fn set_mode(&self, mode: ProbeMode) {
        let _ = mode;
    }

    /// The runtime on which the probe must be called, if it is not that of the components.
    ///
    /// This is only called if the run has a separate thread.
    #[doc(hidden)]
    fn home(&self) -> Option<Handle> {
        None
    }

    /// Checks that this probe can work under a policy. [`Builder::build`](crate::Builder::build) calls this.
    ///
    /// # Errors
    ///
    /// What must be changed, e.g. an interval that is longer than the silence limit. By default
    /// every policy is accepted.
    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        let _ = policy;
        Ok(())
    }

    /// For how long the dependency may fail without a report of this probe, because that passes by itself.
    ///
    /// E.g. an election of etcd. A lease cannot be renewed in this time either, so
    /// [`Builder::build`](crate::Builder::build) refuses a [fence](crate::Fence) that leaves less time for work when a
    /// renewal is due: the service would trip for something that its probe tolerates. By default a probe forgives
    /// nothing.
    fn forgives(&self) -> Duration {
        Duration::ZERO
    }
}

/// A `Box` or an `Arc` of a probe is a probe too.
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

            fn forgives(&self) -> Duration {
                (**self).forgives()
            }
        }
    };
}

pointer_to_a_probe!(Box<P>);
pointer_to_a_probe!(Arc<P>);
