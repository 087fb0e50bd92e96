//! What is compared of two runs of one seed.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::lock;

/// Lines, each with its time. Clones are the same trace.
#[derive(Clone, Default)]
pub(super) struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    pub(super) fn add(&self, at: Duration, what: impl fmt::Display) {
        lock(&self.0).push(format!("{at:?} {what}"));
    }

    pub(super) fn lines(&self) -> String {
        lock(&self.0).join("\n")
    }
}
