//! A failure on its way to the supervisor.

use std::sync::{Arc, OnceLock};

use super::error::Failure;
use crate::machine::FailureClass;

/// A failure that was told, and its text.
///
/// The text is made by the user's code, which may take long or block. So the supervisor never makes it:
/// whoever tells of a failure does, as soon as it has told of it.
pub(crate) struct ReportedFailure {
    failure: Failure,
    text: OnceLock<Arc<str>>,
}

impl ReportedFailure {
    pub(crate) fn new(failure: Failure) -> Arc<Self> {
        Arc::new(Self {
            failure,
            text: OnceLock::new(),
        })
    }

    pub(crate) fn class(&self) -> FailureClass {
        self.failure.class()
    }

    pub(crate) fn failure(&self) -> &Failure {
        &self.failure
    }

    /// The text, which is made now if nobody has made it; if somebody is about to, that is waited for.
    pub(crate) fn text(&self) -> &Arc<str> {
        self.text.get_or_init(|| self.failure.text().into())
    }

    /// The text, if it is made.
    pub(crate) fn known_text(&self) -> Option<&Arc<str>> {
        self.text.get()
    }
}

impl std::fmt::Debug for ReportedFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.failure.fmt(f)
    }
}
