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
/// [`run`](Component::run) is one incarnation: start, say that you are up, work until told to stop,
/// release everything, return. It is called afresh in every epoch, so the rule is: **captures and
/// fields are shared or reset, locals are per epoch.**
///
/// | what `run` does | what follows |
/// | --- | --- |
/// | returns an error, panics or returns before [`Context::mark_ready`] | the start failed: everything is unwound and tried again after a hold-off |
/// | returns an error, panics or returns before it is told to stop | a component failure: trips |
/// | returns an error or panics after it is told to stop | logged; it counts as stopped |
/// | returns a [fatal](Failure::fatal) failure, at any time | ordered stop; the run ends with that error |
/// | never calls [`Context::mark_ready`] | the start deadline passes, and everything is unwound |
/// | goes on past the stop deadline | it is aborted: its future is dropped at the next await |
/// | blocks its thread past the abort deadline | it is *wedged*: the others are stopped, and the run ends with an error, because only the end of the process ends it |
///
/// A component that is told to stop before `run` was called, as one of many thousands may be, counts
/// as stopped, and `run` is not called in that epoch.
///
/// ```
/// use overwatch::{Component, Context, Failure};
///
/// struct Greeter { name: String }
///
/// #[async_trait::async_trait]
/// impl Component for Greeter {
///     async fn run(&self, ctx: Context) -> Result<(), Failure> {
///         let greeting = format!("hello, {}", self.name); // per epoch
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
    /// What made it impossible to start, or to go on. See the [trait](Component) for what follows.
    async fn run(&self, ctx: Context) -> Result<(), Failure>;
}

/// A component from a closure, which is cloned and called once for each epoch. See
/// [`Builder::task`](super::Builder::task).
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

/// Something that has a start and a stop of its own: an agent, a client, a server with a handle.
///
/// [`Builder::start_stop`](super::Builder::start_stop) adds it as a component: it counts as up when
/// `start` returns. What fails while it runs it tells through [`Context::reporter`].
#[async_trait]
pub trait StartStop: Send + Sync + 'static {
    /// Starts it. If a stop comes first, this call is dropped and [`stop`](StartStop::stop) is called.
    ///
    /// # Errors
    ///
    /// What made it impossible to start; [`stop`](StartStop::stop) is then called all the same.
    async fn start(&self, ctx: &Context) -> Result<(), Failure>;

    /// Stops it, and leaves nothing behind. It is called once for each start, also for one that
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
