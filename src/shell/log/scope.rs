//! The subscriber and the span of a thread.

use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Span, dispatcher};

/// The default subscriber of a thread, and its current span.
pub(crate) struct Scope {
    subscriber: Option<Dispatch>,
    span: Span,
}

impl Scope {
    /// The scope of the current thread and task.
    pub(crate) fn here() -> Self {
        let subscriber = dispatcher::get_default(Dispatch::clone);
        Self {
            // Without a subscriber here, a global one may be set later.
            subscriber: (!subscriber.is::<NoSubscriber>()).then_some(subscriber),
            span: Span::current(),
        }
    }

    /// Whether the drop may call user code.
    pub(crate) fn is_users(&self) -> bool {
        self.subscriber.is_some() || !self.span.is_none()
    }

    pub(crate) fn enter<T>(&self, write: impl FnOnce() -> T) -> T {
        self.in_subscriber(|| self.span.in_scope(write))
    }

    /// As `enter`, without the span.
    pub(crate) fn in_subscriber<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.subscriber {
            Some(subscriber) => dispatcher::with_default(subscriber, write),
            None => write(),
        }
    }
}
