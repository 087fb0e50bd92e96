//! What the service starts and stops.

use std::sync::Arc;

use async_trait::async_trait;

use super::context::Context;
use crate::shell::failure::Failure;

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
/// [`component_fn`](crate::component_fn) and [`Builder::task`](crate::Builder::task) make a component of a closure, [`StartStop`] of
/// something with a start and a stop.
///
/// ```
/// use overwatch::{Component, Context, Failure};
///
/// struct Greeter { name: String }
///
/// #[overwatch::async_trait]
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

/// Something with a start and a stop: an agent, a client, a server with a handle.
///
/// [`Builder::start_stop`](crate::Builder::start_stop) adds it as a component. In each epoch
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
/// #[overwatch::async_trait]
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

/// A component, or something with a start and a stop, in a box or an `Arc` is one.
macro_rules! pointer_to_one {
    ($pointer:ty) => {
        #[async_trait]
        impl<C: Component + ?Sized> Component for $pointer {
            async fn run(&self, ctx: Context) -> Result<(), Failure> {
                (**self).run(ctx).await
            }
        }

        #[async_trait]
        impl<C: StartStop + ?Sized> StartStop for $pointer {
            async fn start(&self, ctx: &Context) -> Result<(), Failure> {
                (**self).start(ctx).await
            }

            async fn stop(&self, ctx: &Context) -> Result<(), Failure> {
                (**self).stop(ctx).await
            }
        }
    };
}

pointer_to_one!(Box<C>);
pointer_to_one!(Arc<C>);
