//! Failure reports, from any thread, without ever blocking on the supervisor.

use std::fmt;
use std::sync::Arc;

use crate::shell::failure::Failure;
use crate::shell::inbound::Source;
use crate::shell::run_state::RunState;

/// Reports failures. Cheap to clone; works from any thread and any runtime, and never waits for the
/// supervisor.
///
/// The text of an error (its `Display`) is made by who reports it, once the supervisor was told; of a storm
/// not that of each.
///
/// A storm of reports is coalesced into a count with the first and the last reason, so it takes
/// constant memory. While components run or start, where it brings a trip nearer, a report is taken
/// at once; else they are taken once in 10 ms at most. A report carries the epoch in which it was
/// sent: one that arrives after its component is gone is counted as stale and changes nothing.
#[derive(Clone)]
pub struct Reporter {
    shared: Arc<RunState>,
    source: Arc<Source>,
}

impl Reporter {
    pub(crate) fn new(shared: Arc<RunState>, source: Arc<Source>) -> Self {
        Self { shared, source }
    }

    /// Reports a failure.
    pub fn report(&self, failure: impl Into<Failure>) {
        // Converted first: it is the user's code.
        let Some(added) = self
            .source
            .add(&self.shared.published.epoch, failure.into())
        else {
            return;
        };
        if added.is_first {
            let present = self.source.is_of(&self.shared.published.epoch);
            let source = Arc::clone(&self.source);
            self.shared.mailbox.reported(source, present);
        }
        self.shared.make_text(&added.told);
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("of", &self.source.of)
            .finish_non_exhaustive()
    }
}
