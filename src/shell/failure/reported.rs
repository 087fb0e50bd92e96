//! A failure on its way to the supervisor.

use std::sync::{Arc, OnceLock};

use super::error::Failure;
use crate::machine::FailureClass;

/// A reported failure and its text.
///
/// User code makes the text, and may take long or block. So the supervisor never makes it: the reporting thread does,
/// right after it has reported the failure.
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

    /// The text. It is made now if it does not exist yet; if another thread is making it, this waits.
    pub(crate) fn text(&self) -> &Arc<str> {
        self.text.get_or_init(|| self.failure.text().into())
    }

    /// The text, if it exists already.
    pub(crate) fn known_text(&self) -> Option<&Arc<str>> {
        self.text.get()
    }
}

impl std::fmt::Debug for ReportedFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.failure.fmt(f)
    }
}
