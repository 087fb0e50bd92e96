//! An input on its way to the machine, and what there is to say of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::publish::TEXT_WITHIN;
use crate::machine::{How, Input};
use crate::shell::told::Told;
use crate::shell::trace::News;
use crate::shell::{Failure, Observation};

/// An input, and what there is to say of it.
pub(super) struct Event {
    pub(super) input: Input,
    pub(super) detail: Detail,
    /// A fatal failure that came with it.
    pub(super) fatal: Option<Fatal>,
    /// What is to be logged of it.
    pub(super) news: Option<News>,
}

/// Who failed fatally, if it was a component, and how.
pub(super) type Fatal = (Option<Arc<str>>, Arc<Told>);

/// What an input said. Text is made of it only when all is done that the input asks for.
pub(super) enum Detail {
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

    /// Waits until its text is there, for a moment at most; in place it is made now.
    pub(super) fn await_text(&self, in_place: bool) {
        let Some(told) = self.told() else { return };
        if in_place {
            told.text();
            return;
        }
        let until = Instant::now() + TEXT_WITHIN;
        while told.known_text().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_micros(100));
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

impl From<Input> for Event {
    fn from(input: Input) -> Self {
        Self {
            input,
            detail: Detail::Nothing,
            fatal: None,
            news: None,
        }
    }
}

/// An answer without a story, with what there is to say of it.
pub(super) fn plain_event(input: Input) -> Event {
    let returned = matches!(
        input,
        Input::Gone {
            how: How::Returned,
            ..
        }
    );
    Event {
        detail: if returned {
            Detail::Plain(RETURNED)
        } else {
            Detail::Nothing
        },
        ..input.into()
    }
}

/// What a component did that ended without an error.
pub(super) const RETURNED: &str = "it returned";
