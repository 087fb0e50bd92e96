//! What there is to say of what the machine was told.

use std::borrow::Cow;
use std::sync::Arc;

use crate::shell::told::Told;
use crate::shell::trace::News;
use crate::shell::{Failure, Observation};

/// What there is to say of what the machine was told.
#[derive(Default)]
pub(super) struct Event {
    pub(super) detail: Detail,
    /// A fatal failure that came with it.
    pub(super) fatal: Option<Fatal>,
    /// What is to be logged of it.
    pub(super) news: Option<News>,
}

/// Who failed fatally, if it was a component, and how.
pub(super) type Fatal = (Option<Arc<str>>, Arc<Told>);

/// What an input said. Text is made of it only when all is done that the input asks for.
#[derive(Default)]
pub(super) enum Detail {
    #[default]
    Nothing,
    Plain(&'static str),
    Told(Arc<Told>),
    /// What the probe saw in the present session.
    Observed(Observation),
    /// Nothing was seen of the dependency for too long.
    Silence,
}

impl Detail {
    pub(super) fn told(&self) -> Option<&Arc<Told>> {
        match self {
            Self::Told(told) => Some(told),
            _ => None,
        }
    }

    /// What the probe saw, if no restart could mend it.
    pub(super) fn fatal_observation(&self) -> Option<Fatal> {
        let Self::Observed(Observation::Failing {
            reason,
            fatal: true,
            ..
        }) = self
        else {
            return None;
        };
        let told = Told::new(Failure::new(reason.to_string()).fatal());
        // It is plain text.
        told.text();
        Some((None, told))
    }

    /// Its text; `None` if that takes a piece of user code that is not done yet.
    pub(super) fn known_text(&self) -> Option<Option<Cow<'_, str>>> {
        Some(match self {
            Self::Nothing | Self::Silence => None,
            Self::Plain(text) => Some((*text).into()),
            Self::Told(told) => Some((&**told.known_text()?).into()),
            Self::Observed(
                Observation::Alive { evidence: text } | Observation::Failing { reason: text, .. },
            ) => Some((&**text).into()),
        })
    }
}

/// What a component did that ended without an error.
pub(super) const RETURNED: &str = "it returned";
