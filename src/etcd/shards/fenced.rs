//! A future that is polled only as long as this node owns the shard.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Poller, Poll};

use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFuture};

use crate::etcd::membership::LeaseSession;
use crate::shell::failure::Failure;

/// Polls the work only while the lease allows it: a process that was frozen stops at its next `.await`.
///
/// Ends, and so drops the work, as soon as the shard is lost or the lease runs out.
pub(crate) struct Fenced<'a, F> {
    /// Dropped first: `Shard::check` then fails in blocking work and tasks that continue elsewhere, so a drop
    /// that waits for them ends.
    pub(crate) _given_up: Option<DropGuard>,
    pub(crate) session: &'a LeaseSession,
    pub(crate) lost: Pin<Box<WaitForCancellationFuture<'a>>>,
    /// The end of the lease when it was last read. Mostly the lease was renewed since.
    pub(crate) end: Pin<Box<Sleep>>,
    pub(crate) work: Pin<Box<F>>,
}

impl<'a, F> Fenced<'a, F> {
    pub(crate) fn new(
        session: &'a LeaseSession,
        lost: &'a CancellationToken,
        given_up: Option<DropGuard>,
        work: F,
    ) -> Self {
        Self {
            _given_up: given_up,
            session,
            lost: Box::pin(lost.cancelled()),
            end: Box::pin(sleep_until(session.until())),
            work: Box::pin(work),
        }
    }
}

impl<T, F: Future<Output = Result<T, Failure>>> Future for Fenced<'_, F> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Self::Output> {
        if self.lost.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Failure::new("the shard is lost")));
        }
        // The timer only wakes this future. The runtime may fire it later than something that wakes the work, so
        // the lease itself is checked first.
        while self.session.allows() {
            if self.end.as_mut().poll(cx).is_pending() {
                return self.work.as_mut().poll(cx);
            }
            let until = self.session.until();
            self.end.as_mut().reset(until);
        }
        Poll::Ready(Err(Failure::new("the lease has run out")))
    }
}
