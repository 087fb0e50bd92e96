//! What the service starts and stops.

use async_trait::async_trait;

use super::context::Context;
use crate::shell::failure::Failure;

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
