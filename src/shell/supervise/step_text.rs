//! What there is to say of what the machine was told.

use std::borrow::Cow;
use std::sync::Arc;

use crate::driver::Tell;
use crate::machine::{Exit, Input};
use crate::shell::failure::{Failure, ReportedFailure};
use crate::shell::probe::Observation;
use crate::shell::publish::trace::Incident;

/// What there is to say of what the machine was told.
#[derive(Default)]
pub(crate) struct StepText {
    pub(crate) detail: Detail,
    /// A fatal failure that came with it.
    pub(crate) fatal: Option<Fatal>,
    /// What is to be logged of it.
    pub(crate) incident: Option<Incident>,
}

/// Which component failed fatally, if one did, and how.
pub(crate) type Fatal = (Option<Arc<str>>, Arc<ReportedFailure>);

/// What an input said. Text is made of it only when all is done that the input asks for.
#[derive(Default)]
pub(crate) enum Detail {
    #[default]
    Nothing,
    Plain(&'static str),
    Failure(Arc<ReportedFailure>),
    /// What the probe saw in the present session.
    Observed(Observation),
    /// Nothing was seen of the dependency for too long.
    Silence,
}

impl Detail {
    pub(crate) fn told(&self) -> Option<&Arc<ReportedFailure>> {
        match self {
            Self::Failure(told) => Some(told),
            _ => None,
        }
    }

    /// What the probe saw, if no restart could mend it.
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
        // It is plain text.
        told.text();
        Some((None, told))
    }

    /// Its text; `None` if that takes a piece of user code that is not done yet.
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

/// What a component did that ended without an error.
pub(crate) const RETURNED: &str = "it returned";

/// Whether there is nothing to say of it: a component is up, or has ended without an error.
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
