//! What the service starts and stops.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::incarnation::Incarnation;
use super::unwind::unwinding;
use super::{Context, Failure};

/// Something that the service starts and stops: a scheduler, a pool, a cluster membership.
///
/// One call of [`run`](Component::run) is one incarnation, from start to stop:
///
/// 1. acquire what it needs;
/// 2. call [`Context::mark_ready`];
/// 3. work until [`Context::stopping`] completes;
/// 4. release everything, and return.
///
/// `run` is called again in every epoch. **Fields, and state captured by a closure, survive a restart.
/// Local variables do not.**
///
/// | `run` | consequence |
/// | --- | --- |
/// | returns an error, panics or returns before [`Context::mark_ready`] | the start failed: everything is stopped and tried again after a hold-off |
/// | returns an error, panics or returns before it was asked to stop | a component failure: trips |
/// | returns an error or panics after it was asked to stop | logged; it counts as stopped |
/// | returns a [fatal](Failure::fatal) failure, at any time | an ordered stop; the run ends with that error |
/// | never calls [`Context::mark_ready`] | the start deadline passes, and everything is stopped |
/// | continues past the stop deadline | it is aborted: its future is dropped at the next `.await` |
/// | blocks its thread past the abort deadline | it is *wedged*: the others are stopped, and the run ends with an error, because only the end of the process ends it |
///
/// If a component is to be stopped before `run` was called, as may happen to one of many thousands, it counts
/// as stopped, and `run` is not called in that epoch.
///
/// [`component_fn`] and [`Builder::task`](super::Builder::task) make a component of a closure, [`StartStop`] of
/// something with a start and a stop.
///
/// ```
/// use overwatch::{Component, Context, Failure};
///
/// struct Greeter { name: String }
///
/// #[async_trait::async_trait]
/// impl Component for Greeter {
///     async fn run(&self, ctx: Context) -> Result<(), Failure> {
///         let greeting = format!("hello, {}", self.name); // made anew in each epoch
///         ctx.mark_ready();
///         while ctx.sleep(std::time::Duration::from_secs(1)).await {
///             println!("{greeting}");
///         }
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait Component: Send + Sync + 'static {
    /// One incarnation, from start to stop.
    ///
    /// # Errors
    ///
    /// What made it impossible to start, or to go on. The [trait](Component) lists the consequences.
    async fn run(&self, ctx: Context) -> Result<(), Failure>;
}

/// Makes a component of a closure, which is cloned and called once for each epoch. See
/// [`Builder::task`](super::Builder::task).
///
/// ```
/// use overwatch::{Component, Context, component_fn};
///
/// fn ticker() -> impl Component {
///     component_fn(|ctx: Context| async move {
///         ctx.mark_ready();
///         while ctx.sleep(std::time::Duration::from_secs(1)).await {
///             println!("tick");
///         }
///         Ok(())
///     })
/// }
/// ```
pub fn component_fn<F, Fut>(run: F) -> impl Component
where
    F: FnOnce(Context) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    Task(run)
}

pub(super) struct Task<F>(pub(super) F);

#[async_trait]
impl<F, Fut> Component for Task<F>
where
    F: FnOnce(Context) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    async fn run(&self, ctx: Context) -> Result<(), Failure> {
        (self.0.clone())(ctx).await
    }
}

/// Something with a start and a stop: an agent, a client, a server with a handle.
///
/// [`Builder::start_stop`](super::Builder::start_stop) adds it as a component. In each epoch
/// [`start`](StartStop::start) is called, the component is ready when that returns, and
/// [`stop`](StartStop::stop) is called exactly once after it. Failures between the two are reported
/// through [`Context::reporter`].
///
/// ```
/// use overwatch::{Context, Failure, Overwatch, StartStop, feed};
/// use std::sync::Mutex;
///
/// # struct Server; impl Server {
/// #     async fn listen(_: &str, _on_error: impl Fn(std::io::Error)) -> std::io::Result<Server> { Ok(Server) }
/// #     async fn close(self) -> std::io::Result<()> { Ok(()) }
/// # }
/// struct Api { running: Mutex<Option<Server>> }
///
/// #[async_trait::async_trait]
/// impl StartStop for Api {
///     async fn start(&self, ctx: &Context) -> Result<(), Failure> {
///         let reporter = ctx.reporter();
///         let server = Server::listen("127.0.0.1:0", move |error| reporter.report(error)).await?;
///         *self.running.lock().unwrap() = Some(server);
///         Ok(())
///     }
///
///     async fn stop(&self, _: &Context) -> Result<(), Failure> {
///         let running = self.running.lock().unwrap().take(); // `None` if the start failed
///         if let Some(server) = running {
///             server.close().await?;
///         }
///         Ok(())
///     }
/// }
///
/// let (_feed, probe) = feed();
/// let service = Overwatch::builder(probe).start_stop("api", Api { running: Mutex::new(None) });
/// ```
#[async_trait]
pub trait StartStop: Send + Sync + 'static {
    /// Starts it. If it is to stop before this has returned, this call is dropped and
    /// [`stop`](StartStop::stop) is called.
    ///
    /// # Errors
    ///
    /// What made it impossible to start; [`stop`](StartStop::stop) is then called all the same.
    async fn start(&self, ctx: &Context) -> Result<(), Failure>;

    /// Stops it, and leaves nothing behind. This is called once for each start, also for one that
    /// failed, panicked or was cut short, so that nothing stays half started.
    ///
    /// # Errors
    ///
    /// What could not be released; it is logged.
    async fn stop(&self, ctx: &Context) -> Result<(), Failure>;
}

pub(super) struct StartStopped<S>(pub(super) S);

#[async_trait]
impl<S: StartStop> Component for StartStopped<S> {
    async fn run(&self, ctx: Context) -> Result<(), Failure> {
        let started = ctx.until_stopping(unwinding(self.0.start(&ctx))).await;
        if let Some(Ok(())) = started {
            ctx.mark_ready();
            ctx.stopping().await;
        }
        let stopped = self.0.stop(&ctx).await;
        // The first thing that went wrong is the one to tell.
        started.unwrap_or(Ok(())).and(stopped)
    }
}

/// What an incarnation runs: a [`Component`], or a closure without the box that the trait needs.
pub(super) trait Body: Send + Sync + 'static {
    fn run(self: Arc<Self>, ctx: Context) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl<F, Fut> Body for Task<F>
where
    F: FnOnce(Context) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    fn run(self: Arc<Self>, ctx: Context) -> impl Future<Output = Result<(), Failure>> + Send {
        // Let go of before the work begins: at the stop, when all wait for it, the count of its
        // owners would have to be fetched from far away in memory.
        let run = self.0.clone();
        drop(self);
        run(ctx)
    }
}

/// Any component as a [`Body`].
pub(super) struct Boxed<C>(pub(super) C);

impl<C: Component> Body for Boxed<C> {
    async fn run(self: Arc<Self>, ctx: Context) -> Result<(), Failure> {
        self.0.run(ctx).await
    }
}

/// What the supervisor has of a component: it can begin an incarnation of it.
pub(super) trait Begin: Send + Sync {
    /// Begins the main task on this runtime. What it returns aborts that.
    fn begin(self: Arc<Self>, incarnation: Incarnation, runtime: &Handle) -> JoinHandle<()>;
}

impl<B: Body> Begin for B {
    fn begin(self: Arc<Self>, incarnation: Incarnation, runtime: &Handle) -> JoinHandle<()> {
        incarnation.begin(self, runtime)
    }
}
