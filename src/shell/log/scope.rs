//! Where a thread logs to.

use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Span, dispatcher};

/// Where a thread logs to: the subscriber that is its default, and the span it is in.
pub(crate) struct Scope {
    subscriber: Option<Dispatch>,
    span: Span,
}

impl Scope {
    /// That of the present thread and task.
    pub(crate) fn here() -> Self {
        let subscriber = dispatcher::get_default(Dispatch::clone);
        Self {
            // Where nobody listens, somebody may later, to all threads.
            subscriber: (!subscriber.is::<NoSubscriber>()).then_some(subscriber),
            span: Span::current(),
        }
    }

    /// Whether the user's code may be called when it is dropped.
    pub(crate) fn is_users(&self) -> bool {
        self.subscriber.is_some() || !self.span.is_none()
    }

    pub(crate) fn enter<T>(&self, write: impl FnOnce() -> T) -> T {
        self.in_subscriber(|| self.span.in_scope(write))
    }

    /// The same without the span.
    pub(crate) fn in_subscriber<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.subscriber {
            Some(subscriber) => dispatcher::with_default(subscriber, write),
            None => write(),
        }
    }
}
