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
use super::reporter::Reporter;
use crate::machine::Cause;
use crate::policy::MAX_DURATION;
use crate::shell::failure::{Failure, unwinding};
use crate::shell::inbound::RenewedLease;
#[cfg(feature = "etcd")]
use crate::shell::placement::Placement;

/// A component's view of its incarnation. Cheap to clone; clones are the same context.
///
/// | step | call |
/// | --- | --- |
/// | 1. start | [`mark_ready`](Self::mark_ready) once the component is up |
/// | 2. work | [`sleep`](Self::sleep) and [`until_stopping`](Self::until_stopping), which end early when the component is to stop; [`spawn`](Self::spawn), [`spawn_blocking`](Self::spawn_blocking), [`report`](Self::report), [`note`](Self::note) |
/// | 3. stop | [`stopping`](Self::stopping) completes; [`stop_cause`](Self::stop_cause) and [`stop_deadline`](Self::stop_deadline) are known |
///
/// A clone that is kept beyond the incarnation keeps nothing running: [`is_stopping`](Self::is_stopping)
/// returns `true`, its reports are counted as stale, and it spawns nothing. It keeps one or two kilobytes, and four
/// bytes for each component of its stage.
///
/// ```
/// use overwatch::{Classify, Context, Failure};
/// use std::time::Duration;
///
/// # struct Queue; impl Queue {
/// #     async fn connect() -> std::io::Result<Queue> { Ok(Queue) }
/// #     async fn next(&mut self) -> String { String::new() }
/// #     async fn close(self, _within: Option<Duration>) {}
/// # }
/// async fn consumer(ctx: Context) -> Result<(), Failure> {
///     let mut queue = Queue::connect().await.dependency()?;
///     ctx.mark_ready();
///     while let Some(job) = ctx.until_stopping(queue.next()).await {
///         println!("epoch {}: {job}", ctx.epoch());
///     }
///     // Asked to stop: what is left may take until the deadline.
///     let left = ctx.stop_deadline().map(|deadline| deadline.duration_since(tokio::time::Instant::now()));
///     queue.close(left).await;
///     Ok(())
/// }
/// ```
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

    /// Marks the component as up. When all components of its stage are, the next stage is started, or the
    /// service becomes ready. Further calls change nothing.
    pub fn mark_ready(&self) {
        self.0.ready();
    }

    /// Reports a failure without ending the component. This never blocks. See [`Reporter`].
    pub fn report(&self, failure: impl Into<Failure>) {
        self.reporter().report(failure);
    }

    /// A reporter of this incarnation's failures, to hand to callbacks and other threads.
    pub fn reporter(&self) -> Reporter {
        Reporter::new(
            Arc::clone(&self.0.stage().shared),
            Arc::clone(self.0.reports()),
        )
    }

    /// Sets a note for status pages: one line of at most 500 characters, which replaces the last one. An empty
    /// one removes it. Until this incarnation is gone,
    /// [`Handle::components`](crate::Handle::components) and the health endpoints show it.
    ///
    /// ```
    /// # fn example(ctx: overwatch::Context, waiting: usize) {
    /// ctx.note(&format!("{waiting} jobs wait"));
    /// # }
    /// ```
    pub fn note(&self, text: &str) {
        let stage = self.0.stage();
        let notes = &stage.shared.published.notes;
        notes.set(self.0.component(), stage.epoch, text);
    }

    /// Completes when the component is to stop. The future borrows nothing, so it fits where servers
    /// take a shutdown signal, such as axum's and tonic's graceful shutdown.
    ///
    /// ```no_run
    /// # async fn example(ctx: overwatch::Context, listener: tokio::net::TcpListener, app: axum::Router) -> Result<(), overwatch::Failure> {
    /// axum::serve(listener, app).with_graceful_shutdown(ctx.stopping()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        Fused {
            future: Some(self.0.stopping_owned()),
        }
    }

    /// Whether the component was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.0.stage().told().is_some()
    }

    /// Why the component was asked to stop, once it was.
    pub fn stop_cause(&self) -> Option<Cause> {
        self.0.stage().told().map(|stop| stop.cause)
    }

    /// When the rest of the component will be aborted, once it was asked to stop.
    pub fn stop_deadline(&self) -> Option<Instant> {
        self.0.stage().told().map(|stop| stop.deadline)
    }

    /// Sleeps, and ends early when the component is to stop. Returns `true` if it slept to the end, so
    /// that `while ctx.sleep(interval).await { … }` is a loop that stops.
    pub async fn sleep(&self, duration: Duration) -> bool {
        self.until_stopping(tokio::time::sleep(duration))
            .await
            .is_some()
    }

    /// Waits for a future, and drops it when the component is to stop: the result is `None` then.
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
    /// An error that the task returns, or its panic, is reported as the component's. The task should end
    /// when [`stopping`](Self::stopping) completes. After the incarnation is over nothing is spawned.
    ///
    /// ```
    /// # use overwatch::{Context, Failure};
    /// # use std::time::Duration;
    /// async fn pool(ctx: Context) -> Result<(), Failure> {
    ///     for worker in 0..4 {
    ///         let task = ctx.clone();
    ///         ctx.spawn(async move {
    ///             while task.sleep(Duration::from_secs(1)).await {
    ///                 println!("worker {worker}");
    ///             }
    ///             Ok(())
    ///         });
    ///     }
    ///     ctx.mark_ready();
    ///     ctx.stopping().await;
    ///     Ok(())
    /// }
    /// ```
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

    /// The same for work that blocks, on a separate thread. It cannot be aborted: if it goes on
    /// past the abort deadline, the component is wedged. So look at [`is_stopping`](Self::is_stopping) in its loop.
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

    /// Keeps the incarnation from counting as gone until the [`Hold`] is dropped, for what is no sub-task:
    /// a thread, a foreign callback, a child process. `None` if the incarnation is gone already.
    ///
    /// A hold that is never dropped wedges the component.
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
        let work = Placement::of(shared.is_apart()).scope(Box::pin(work));
        let log = shared.log().cloned();
        async move {
            match log {
                Some(log) => log.scope_task(work).await,
                None => work.await,
            }
        }
    }

    /// Reports that the lease of this component was renewed, and so renews the
    /// [fence](crate::Fence). `sent` is when the renewal was *sent*, not when it was answered: the
    /// server may have counted from then. [`Fence`](crate::Fence) has an example.
    ///
    /// Only the [lease owner](crate::Builder::lease_owner) may call this; for other components it changes nothing.
    pub fn lease_renewed(&self, sent: Instant, ttl: Duration) {
        let lease = RenewedLease {
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

/// The result of a sub-task: `None` if the task failed (which was reported), or was aborted. The task runs
/// whether or not this is awaited.
///
/// ```
/// # async fn example(ctx: overwatch::Context) {
/// let lines = ctx.spawn_blocking(|| Ok(std::fs::read_to_string("/etc/hosts")?.lines().count()));
/// if let Some(lines) = lines.await {
///     println!("{lines} lines");
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct SubTask<T>(oneshot::Receiver<T>);

impl<T> Future for SubTask<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}
