//! What a component knows of its incarnation, and what it can ask for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::incarnation::{Hold, Incarnation};
use super::mailbox::Lease;
#[cfg(feature = "etcd")]
use super::place::Mode;
use super::unwind::unwinding;
use super::{Failure, Reporter};
use crate::machine::Cause;
use crate::policy::MAX_DURATION;

/// A component's view of its own incarnation. Cheap to clone; clones are the same context.
///
/// A clone that is kept beyond the incarnation keeps nothing running: it says that it is stopping, its
/// reports are counted as stale, and it can spawn nothing. It keeps one or two kilobytes, and four bytes
/// for each component of its stage.
#[derive(Clone)]
pub struct Context(Incarnation);

impl Context {
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        Self(incarnation)
    }

    /// The name under which the component was added.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The epoch: 1 for the first start, and one more for each further one.
    pub fn epoch(&self) -> u64 {
        self.0.stage().epoch
    }

    /// Says that the component is up. The next stage is started, or the service becomes ready, when
    /// all of its stage are. Further calls change nothing.
    pub fn mark_ready(&self) {
        self.0.ready();
    }

    /// Reports a failure without ending. It never blocks. See [`Reporter`].
    pub fn report(&self, failure: impl Into<Failure>) {
        self.reporter().report(failure);
    }

    /// What reports failures of this incarnation, to hand to callbacks and other threads.
    pub fn reporter(&self) -> Reporter {
        Reporter::new(
            Arc::clone(&self.0.stage().shared),
            Arc::clone(self.0.reports()),
        )
    }

    /// What is worth knowing of the component, for status pages: one line of at most 500 characters, which
    /// replaces the last one. An empty one takes it back. It is told as long as this incarnation is not gone:
    /// in [`Handle::components`](super::Handle::components), and by the health endpoints.
    ///
    /// ```
    /// # fn example(ctx: overwatch::Context, waiting: usize) {
    /// ctx.note(&format!("{waiting} jobs wait"));
    /// # }
    /// ```
    pub fn note(&self, text: &str) {
        let stage = self.0.stage();
        let notes = &stage.shared.notes;
        notes.set(self.0.component(), stage.epoch, text);
    }

    /// Completes when the component is told to stop. It borrows nothing, so it fits where servers
    /// take a shutdown signal, such as axum's and tonic's graceful shutdown.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        Fused {
            future: Some(self.0.stopping_owned()),
        }
    }

    /// Whether the component was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.0.stage().told().is_some()
    }

    /// Why the component was told to stop, once it was.
    pub fn stop_cause(&self) -> Option<Cause> {
        self.0.stage().told().map(|stop| stop.cause)
    }

    /// When what is left of the component will be aborted, once it was told to stop.
    pub fn stop_deadline(&self) -> Option<Instant> {
        self.0.stage().told().map(|stop| stop.deadline)
    }

    /// Sleeps, and ends early when the component is told to stop. `true` if it slept to the end, so
    /// that `while ctx.sleep(interval).await { … }` is a loop that stops.
    pub async fn sleep(&self, duration: Duration) -> bool {
        self.until_stopping(tokio::time::sleep(duration))
            .await
            .is_some()
    }

    /// Waits for a future, and drops it when the component is told to stop: `None` then.
    pub async fn until_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.stopping() => None,
            done = work => Some(done),
        }
    }

    /// Spawns a task that belongs to the incarnation: the component counts as gone only when the
    /// task has ended, and the task is aborted with it.
    ///
    /// An error that it returns, or a panic, is reported as the component's. The task should end
    /// when [`stopping`](Self::stopping) completes. After the incarnation is over nothing is spawned.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> SubTask<T> {
        let (tell, told) = oneshot::channel();
        let reporter = self.reporter();
        self.0.spawn(async move {
            match unwinding(Box::pin(work)).await {
                Ok(value) => drop(tell.send(value)),
                Err(failure) => reporter.report(failure),
            }
        });
        SubTask(told)
    }

    /// The same for work that blocks, on a thread of its own. It cannot be aborted: if it goes on
    /// past the abort deadline, the component is wedged.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> SubTask<T> {
        let (tell, told) = oneshot::channel();
        let reporter = self.reporter();
        self.0.spawn_blocking(move || {
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
                Ok(Ok(value)) => drop(tell.send(value)),
                Ok(Err(failure)) => reporter.report(failure),
                Err(panic) => reporter.report(Failure::from_panic(panic)),
            }
        });
        SubTask(told)
    }

    /// Keeps the incarnation from counting as gone until it is dropped, for whatever is no sub-task:
    /// a thread, a foreign callback, a child process. `None` if it is gone already.
    ///
    /// One that is never dropped wedges the component.
    pub fn hold(&self) -> Option<Hold> {
        Hold::of(&self.0)
    }

    /// Work of an adapter as part of the run: it knows whether it may use threads that are not the
    /// service's, and logs where the run logs.
    #[cfg(feature = "etcd")]
    pub(crate) fn as_part_of_run<F: Future>(
        &self,
        work: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let shared = &self.0.stage().shared;
        // Boxed at once: it may be large, and would be kept several times.
        let work = Mode::of(shared.is_apart()).scope(Box::pin(work));
        let log = shared.log().cloned();
        async move {
            match log {
                Some(log) => log.scope_task(work).await,
                None => work.await,
            }
        }
    }

    /// Tells that the lease which this component owns was renewed, and renews the
    /// [fence](crate::Fence). `sent` is when the renewal was *sent*, not when it was answered: the
    /// server may have counted from then.
    ///
    /// Only the component that was named as
    /// [lease owner](super::Builder::lease_owner) may call it; for others it changes nothing.
    pub fn lease_renewed(&self, sent: Instant, ttl: Duration) {
        let lease = Lease {
            epoch: self.0.stage().epoch,
            sent,
            // A lease of more than a day needs no fence before that day is over.
            expires: sent + ttl.min(MAX_DURATION),
        };
        self.0
            .stage()
            .shared
            .lease_renewed(self.0.component(), lease);
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.name())
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Completes whenever it is polled, once it has completed: loops that select ask again.
    struct Fused<F> {
        #[pin]
        future: Option<F>,
    }
}

impl<F: Future<Output = ()>> Future for Fused<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<()> {
        let mut future = self.project().future;
        if let Some(running) = future.as_mut().as_pin_mut() {
            ready!(running.poll(cx));
            future.set(None);
        }
        Poll::Ready(())
    }
}

/// The result of a sub-task: `None` if it failed (which was reported), or was aborted. It runs
/// whether or not anybody awaits it.
#[derive(Debug)]
pub struct SubTask<T>(oneshot::Receiver<T>);

impl<T> Future for SubTask<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}
