//! Failure reports from any thread, which never wait for the supervisor.

use std::fmt;
use std::sync::Arc;

use crate::shell::failure::Failure;
use crate::shell::inbound::ReportSource;
use crate::shell::run_state::RunState;

/// Reports failures, from any thread and any runtime, and never waits for the supervisor.
///
/// It is cheap to clone. Get one from [`Context::reporter`](crate::Context::reporter) for a component, and from
/// [`Handle::reporter`](crate::Handle::reporter) for the rest of the program.
///
/// By default one report trips: see [`trip_threshold`](crate::policy::PolicyBuilder::trip_threshold). Report failures
/// that keep a component from doing its work, and handle all others inside the component.
///
/// ```
/// use overwatch::{Context, Failure};
/// use std::io;
///
/// fn on_connection_lost(ctx: &Context) -> impl Fn(io::Error) + Send + use<> {
///     let reporter = ctx.reporter();
///     // Called by a thread of a client library.
///     move |error| reporter.report(Failure::new(error).dependency())
/// }
/// ```
///
/// The calling thread makes the text of an error (its `Display`), after it has woken the supervisor. In a storm of
/// reports it does not make the text of each one.
///
/// A storm of reports is combined into a count with the first and the last reason, so it takes constant memory. The
/// supervisor handles a report that may trip at once while components run or start; it handles others at most once
/// in 10 ms. A report contains the epoch in which it was sent: a report that arrives after its component is gone is
/// counted as stale and changes nothing.
#[derive(Clone)]
pub struct Reporter {
    shared: Arc<RunState>,
    source: Arc<ReportSource>,
}

impl Reporter {
    pub(crate) fn new(shared: Arc<RunState>, source: Arc<ReportSource>) -> Self {
        Self { shared, source }
    }

    /// Reports a failure: a [`Failure`], or any error or text as a failure of the component itself.
    pub fn report(&self, failure: impl Into<Failure>) {
        // Converted first, because `into` is user code.
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
