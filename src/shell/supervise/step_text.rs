//! The texts that belong to an input of the machine.

use std::borrow::Cow;
use std::sync::Arc;

use crate::driver::Tell;
use crate::machine::{Exit, Input};
use crate::shell::failure::{Failure, ReportedFailure};
use crate::shell::probe::Observation;
use crate::shell::publish::trace::Incident;

/// The texts that belong to an input of the machine.
#[derive(Default)]
pub(crate) struct StepText {
    pub(crate) detail: Detail,
    /// The fatal failure of the input, if it has one.
    pub(crate) fatal: Option<Fatal>,
    /// The event to log, if any.
    pub(crate) incident: Option<Incident>,
}

/// A fatal failure, and the component that failed, if it was one.
pub(crate) type Fatal = (Option<Arc<str>>, Arc<ReportedFailure>);

/// The detail of an input. It is formatted only after the effects of the input were carried out.
#[derive(Default)]
pub(crate) enum Detail {
    #[default]
    Nothing,
    Plain(&'static str),
    Failure(Arc<ReportedFailure>),
    /// An observation of the current session.
    Observed(Observation),
    /// There was no observation for too long.
    Silence,
}

impl Detail {
    pub(crate) fn told(&self) -> Option<&Arc<ReportedFailure>> {
        match self {
            Self::Failure(told) => Some(told),
            _ => None,
        }
    }

    /// The failure of the observation, if it is fatal.
    pub(crate) fn fatal_observation(&self) -> Option<Fatal> {
        let Self::Observed(Observation::Failing {
            reason,
            fatal: true,
            ..
        }) = self
        else {
            return None;
        };
        let told = ReportedFailure::new(Failure::new(reason.to_string()).fatal());
        // Made here, because it is plain text and not user code.
        told.text();
        Some((None, told))
    }

    /// The text; `None` if user code has not made it yet.
    pub(crate) fn known_text(&self) -> Option<Option<Cow<'_, str>>> {
        Some(match self {
            Self::Nothing | Self::Silence => None,
            Self::Plain(text) => Some((*text).into()),
            Self::Failure(told) => Some((&**told.known_text()?).into()),
            Self::Observed(
                Observation::Alive { evidence: text } | Observation::Failing { reason: text, .. },
            ) => Some((&**text).into()),
        })
    }
}

/// The text for a component that ended without an error.
pub(crate) const RETURNED: &str = "it returned";

/// Whether the input has no texts: a component is up, or has ended without an error.
pub(crate) fn is_plain(tell: &Tell) -> bool {
    matches!(
        tell.input,
        Input::Up { .. }
            | Input::Gone {
                how: Exit::Returned,
                ..
            }
    )
}
