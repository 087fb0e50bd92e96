//! The context that a component gets in each incarnation.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Level;

use super::incarnation::{Hold, Incarnation};
use super::reporter::Reporter;
use super::sub_task::{CaughtTask, SubTask, caught};
use crate::machine::Cause;
#[cfg(feature = "etcd")]
use crate::policy::{ComponentId, Plan};
use crate::policy::{Fence, MAX_DURATION};
use crate::shell::failure::{Failure, unwinding};
use crate::shell::inbound::RenewedLease;
#[cfg(feature = "etcd")]
use crate::shell::placement::Placement;

/// A component's view of its incarnation. It is cheap to clone; clones are the same context.
///
/// | step | call |
/// | --- | --- |
/// | 1. start | [`resource`](Self::resource) and [`provide`](Self::provide); [`mark_ready`](Self::mark_ready) once the component is up |
/// | 2. work | [`sleep`](Self::sleep) and [`until_stopping`](Self::until_stopping), which end early when the component should stop; [`spawn`](Self::spawn), [`spawn_caught`](Self::spawn_caught), [`spawn_blocking`](Self::spawn_blocking), [`hold`](Self::hold), [`report`](Self::report), [`note`](Self::note), [`shutdown`](Self::shutdown) |
/// | 3. stop | [`stopping`](Self::stopping) completes; [`stop_cause`](Self::stop_cause) and [`stop_deadline`](Self::stop_deadline) are known |
///
/// A clone that is kept after the end of the incarnation keeps nothing running: [`is_stopping`](Self::is_stopping)
/// returns `true`, its reports are counted as stale, and it spawns nothing. It keeps one or two kilobytes of memory,
/// and four bytes for each component of its stage.
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

    /// The epoch: 1 for the first start, and one more for each further start.
    pub fn epoch(&self) -> u64 {
        self.0.stage().epoch
    }

    /// Marks the component as up.
    ///
    /// When all components of its stage are up, the next stage is started, or the service becomes ready. Further calls
    /// change nothing.
    pub fn mark_ready(&self) {
        self.0.ready();
    }

    /// Reports a failure without ending the component. This never blocks. See [`Reporter`].
    pub fn report(&self, failure: impl Into<Failure>) {
        self.reporter().report(failure);
    }

    /// Logs a failure that has no other effect.
    pub(crate) fn log_failure(&self, failure: &Failure, message: &'static str) {
        self.0.log_failure(failure, message);
    }

    /// A reporter for failures of this incarnation, for callbacks and other threads.
    pub fn reporter(&self) -> Reporter {
        self.0.reporter()
    }

    /// Provides a value for the stages above, e.g. a connection pool. They get it with [`resource`](Self::resource).
    ///
    /// There is one value of each type: a later one replaces it. Call this before [`mark_ready`](Self::mark_ready), so
    /// that the value is there when the next stage starts. It belongs to this epoch: the run drops its reference when the
    /// component's main task ends; if the component has [finished](crate::Builder::may_finish), when everything is stopped.
    ///
    /// ```
    /// use overwatch::{Context, Failure, Overwatch, feed};
    ///
    /// # struct Pool; impl Pool {
    /// #     async fn connect() -> std::io::Result<Pool> { Ok(Pool) }
    /// #     async fn close(&self) {}
    /// # }
    /// async fn pool(ctx: Context) -> Result<(), Failure> {
    ///     let pool = ctx.provide(Pool::connect().await?);
    ///     ctx.mark_ready();
    ///     ctx.stopping().await; // completes when everything above is gone
    ///     pool.close().await;
    ///     Ok(())
    /// }
    ///
    /// async fn api(ctx: Context) -> Result<(), Failure> {
    ///     let pool = ctx.resource::<Pool>()?;
    ///     ctx.mark_ready();
    ///     ctx.stopping().await;
    /// #   drop(pool);
    ///     Ok(())
    /// }
    ///
    /// let (_feed, probe) = feed();
    /// let service = Overwatch::builder(probe).task("pool", pool).next_stage().task("api", api);
    /// ```
    pub fn provide<T: Send + Sync + 'static>(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.0.provide(&value);
        value
    }

    /// The value of this type that a component of a lower stage has [provided](Self::provide) in this epoch.
    ///
    /// # Errors
    ///
    /// If none was provided, a failure that says what to do.
    pub fn resource<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, Failure> {
        let found = self.0.stage().shared.resources.get(self.epoch());
        found.ok_or_else(|| {
            Failure::new(format!(
                "{:?} needs a {}, and no component has provided one in this epoch: call `ctx.provide(..)` before \
                 `ctx.mark_ready()` in a component of a lower stage",
                self.name(),
                std::any::type_name::<T>()
            ))
        })
    }

    /// Sets a note for status pages: one line of at most 500 characters, which replaces the last note.
    ///
    /// An empty text removes the note. [`Handle::components`](crate::Handle::components) and the health endpoints show
    /// the note until this incarnation is gone.
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

    /// Requests an ordered stop of the whole service and the end of the run, as
    /// [`Handle::shutdown`](crate::Handle::shutdown) does.
    pub fn shutdown(&self) {
        self.0.stage().shared.mailbox.shut_down();
    }

    /// Completes when the component should stop.
    ///
    /// The future borrows nothing, so it can be used as the shutdown signal of a server, e.g. for the graceful shutdown
    /// of axum and tonic.
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

    /// When what is left of the component will be aborted, once it was asked to stop.
    pub fn stop_deadline(&self) -> Option<Instant> {
        self.0.stage().told().map(|stop| stop.deadline)
    }

    /// Sleeps, and ends early when the component should stop. Returns `true` if it slept to the end.
    ///
    /// So `while ctx.sleep(interval).await { … }` is a loop that stops.
    pub async fn sleep(&self, duration: Duration) -> bool {
        self.until_stopping(tokio::time::sleep(duration))
            .await
            .is_some()
    }

    /// Waits for a future. When the component should stop, drops the future and returns `None`.
    pub async fn until_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.stopping() => None,
            done = work => Some(done),
        }
    }

    /// Spawns a task that belongs to the incarnation.
    ///
    /// The component counts as gone only when the task has ended, and the task is aborted together with the component.
    /// An error or a panic of the task is reported as a failure of the component; after the component was asked to stop, it
    /// means that the component has not [stopped well](crate::UncleanStop). The task should end when
    /// [`stopping`](Self::stopping) completes. After the end of the incarnation nothing is spawned.
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
        self.spawn_in(Incarnation::span, work)
    }

    /// As [`spawn`](Self::spawn), for a task that an adapter spawns from within the component's span.
    ///
    /// So its span is not nested in the span of the same component.
    #[cfg(feature = "etcd")]
    pub(crate) fn spawn_part<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> SubTask<T> {
        self.spawn_in(Incarnation::main_span, work)
    }

    fn spawn_in<T: Send + 'static>(
        &self,
        span: fn(&Incarnation) -> tracing::Span,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> SubTask<T> {
        let (tell, told) = oneshot::channel();
        let incarnation = self.0.clone();
        let handle = self.0.spawn(span, async move {
            match unwinding(Box::pin(work)).await {
                Ok(value) => drop(tell.send(value)),
                Err(failure) => incarnation.sub_task_failed(failure),
            }
        });
        SubTask::new(told, handle)
    }

    /// As [`spawn`](Self::spawn), but a failure goes to whatever awaits the task, and is not reported.
    ///
    /// For work that may fail without the component, e.g. one of many connections. If the task fails after its
    /// [`CaughtTask`] was dropped, the failure is a warning in the log.
    ///
    /// ```
    /// # use overwatch::{Context, Failure};
    /// # struct Connection; impl Connection { async fn serve(self) -> std::io::Result<u64> { Ok(0) } }
    /// # async fn accept() -> std::io::Result<Connection> { Ok(Connection) }
    /// async fn server(ctx: Context) -> Result<(), Failure> {
    ///     ctx.mark_ready();
    ///     while let Some(connection) = ctx.until_stopping(accept()).await {
    ///         let connection = connection?; // the listener broke: a failure of the component
    ///         let task = ctx.clone();
    ///         // Without `until_stopping` an open connection would be aborted at the stop deadline.
    ///         let served = ctx.spawn_caught(async move {
    ///             task.until_stopping(connection.serve()).await.transpose()?;
    ///             Ok(())
    ///         });
    ///         let log = ctx.clone();
    ///         ctx.spawn(async move {
    ///             if let Err(failure) = served.await {
    ///                 log.note(&format!("a connection broke: {failure}")); // the others go on
    ///             }
    ///             Ok(())
    ///         });
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn spawn_caught<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> CaughtTask<T> {
        let (tell, told) = oneshot::channel();
        let incarnation = self.0.clone();
        let handle = self.0.spawn(Incarnation::span, async move {
            let result = unwinding(Box::pin(work)).await;
            let log = |failure: &Failure, message| incarnation.log_failure(failure, message);
            CaughtTask::tell(tell, result, log);
        });
        CaughtTask::new(told, handle)
    }

    /// As [`spawn_part`](Self::spawn_part), for work that handles its failures itself.
    #[cfg(feature = "etcd")]
    pub(crate) fn spawn_unreported<T: Send + 'static>(
        &self,
        work: impl Future<Output = Option<T>> + Send + 'static,
    ) -> SubTask<T> {
        let (tell, told) = oneshot::channel();
        let handle = self.0.spawn(Incarnation::main_span, async move {
            if let Some(value) = work.await {
                drop(tell.send(value));
            }
        });
        SubTask::new(told, handle)
    }

    /// As [`spawn_caught`](Self::spawn_caught), for a task of an adapter. `is_logged` says of a failure that nothing
    /// awaits whether it is logged.
    #[cfg(feature = "etcd")]
    pub(crate) fn spawn_caught_part<T: Send + 'static>(
        &self,
        is_logged: impl FnOnce(&Failure) -> bool + Send + 'static,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> CaughtTask<T> {
        let (tell, told) = oneshot::channel();
        let ctx = self.clone();
        let handle = self.0.spawn(Incarnation::main_span, async move {
            let result = work.await;
            ctx.tell_caught(tell, result, is_logged);
        });
        CaughtTask::new(told, handle)
    }

    /// As [`spawn_unreported`](Self::spawn_unreported), for work that blocks.
    #[cfg(feature = "etcd")]
    pub(crate) fn spawn_blocking_unreported<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Option<T> + Send + 'static,
    ) -> SubTask<T> {
        let (tell, told) = oneshot::channel();
        let handle = self.0.spawn_blocking(Incarnation::main_span, move || {
            if let Some(value) = work() {
                drop(tell.send(value));
            }
        });
        SubTask::new(told, handle)
    }

    /// As [`spawn_caught_part`](Self::spawn_caught_part), for work that blocks.
    #[cfg(feature = "etcd")]
    pub(crate) fn spawn_blocking_caught_part<T: Send + 'static>(
        &self,
        is_logged: impl FnOnce(&Failure) -> bool + Send + 'static,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> CaughtTask<T> {
        let (tell, told) = oneshot::channel();
        let ctx = self.clone();
        let handle = self.0.spawn_blocking(Incarnation::main_span, move || {
            ctx.tell_caught(tell, work(), is_logged);
        });
        CaughtTask::new(told, handle)
    }

    #[cfg(feature = "etcd")]
    fn tell_caught<T>(
        &self,
        tell: oneshot::Sender<Result<T, Failure>>,
        result: Result<T, Failure>,
        is_logged: impl FnOnce(&Failure) -> bool,
    ) {
        CaughtTask::tell(tell, result, |failure, message| {
            if is_logged(failure) {
                self.log_failure(failure, message);
            }
        });
    }

    /// As [`spawn`](Self::spawn), for work that blocks, on a separate thread.
    ///
    /// Blocking work cannot be aborted: if it continues past the abort deadline, the component is wedged. So check
    /// [`is_stopping`](Self::is_stopping) in its loop.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> SubTask<T> {
        let (tell, told) = oneshot::channel();
        let incarnation = self.0.clone();
        let handle = self
            .0
            .spawn_blocking(Incarnation::span, move || match caught(work) {
                Ok(value) => drop(tell.send(value)),
                Err(failure) => incarnation.sub_task_failed(failure),
            });
        SubTask::new(told, handle)
    }

    /// As [`spawn_caught`](Self::spawn_caught), for work that blocks, on a separate thread.
    ///
    /// See [`spawn_blocking`](Self::spawn_blocking).
    pub fn spawn_blocking_caught<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> CaughtTask<T> {
        let (tell, told) = oneshot::channel();
        let incarnation = self.0.clone();
        let handle = self.0.spawn_blocking(Incarnation::span, move || {
            let log = |failure: &Failure, message| incarnation.log_failure(failure, message);
            CaughtTask::tell(tell, caught(work), log);
        });
        CaughtTask::new(told, handle)
    }

    /// Keeps the incarnation from counting as gone until the [`Hold`] is dropped.
    ///
    /// This is for what is not a sub-task, e.g. a thread, a foreign callback or a child process. The result is `None`
    /// if the incarnation is gone already. A hold that is never dropped wedges the component.
    pub fn hold(&self) -> Option<Hold> {
        Hold::of(&self.0)
    }

    /// Makes the work of an adapter a part of the run: the placement and the log of the run apply to it.
    #[cfg(feature = "etcd")]
    pub(crate) fn as_part_of_run<F: Future>(
        &self,
        work: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let shared = &self.0.stage().shared;
        // Boxed at once: it may be large, and would be stored several times.
        let work = Placement::of(shared.is_apart()).scope(Box::pin(work));
        let log = shared.log().cloned();
        async move {
            match log {
                Some(log) => log.scope_task(work).await,
                None => work.await,
            }
        }
    }

    /// The plan of the run, and the number of this component in it. `None` if nothing supervises it.
    #[cfg(feature = "etcd")]
    pub(crate) fn plan(&self) -> Option<(&Plan, ComponentId)> {
        let shared = &self.0.stage().shared;
        (!shared.is_detached()).then(|| (&*shared.plan, self.0.component()))
    }

    /// The name of a component of the run.
    #[cfg(feature = "etcd")]
    pub(crate) fn name_of(&self, component: ComponentId) -> &str {
        self.0.stage().shared.name(component)
    }

    /// Reports that the lease of this component was renewed. This renews the [fence](crate::Fence).
    ///
    /// `sent` is when the renewal was *sent*, not when it was answered, because the server may count from then. `lease` is
    /// how long the lease lasts from then on: not longer than [`Fence::lease`](crate::Fence::lease), since that is what the
    /// policy promises. A longer one counts as that long. [`Fence`](crate::Fence) has an example. Only calls of the
    /// [lease owner](crate::Builder::lease_owner) have an effect. The first call of another component in each epoch is a
    /// warning in the log.
    pub fn lease_renewed(&self, sent: Instant, lease: Duration) {
        let fence = self.0.stage().shared.plan.policy().fence();
        let lease = RenewedLease {
            epoch: self.0.stage().epoch,
            sent,
            expires: sent + lease.min(fence.map_or(MAX_DURATION, Fence::lease)),
        };
        if !self
            .0
            .stage()
            .shared
            .lease_renewed(self.0.component(), lease)
        {
            self.warn_of_renewal();
        }
    }

    /// Logs once for each incarnation that its renewals renew nothing.
    fn warn_of_renewal(&self) {
        let shared = &self.0.stage().shared;
        let Some(log) = shared.log().filter(|_| self.0.first_useless_renewal()) else {
            return;
        };
        let component = self.name().to_owned();
        log.event(Level::WARN, move |at_ms| {
            tracing::warn!(target: "overwatch::component", component, at_ms,
                "a renewal of the lease has no effect, because this component is not the lease owner: add it with \
                 `lease_holder`, or name it with `lease_owner`"
            );
        });
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
    /// Completes at every poll after its completion, because loops with `select!` poll it again.
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
