//! The traits of components.
//!
//! If an `impl` lacks `#[async_trait]`, the compiler only says that lifetimes do not match (E0195), and no attribute changes
//! that text. But it shows the line of the trait's method, so that line says what to do.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;

use super::context::Context;
use super::wiring::{Wiring, WiringError};
use crate::policy::Fence;
use crate::shell::failure::Failure;

/// Something that the service starts and stops, e.g. a scheduler, a pool or a cluster membership.
///
/// One call of [`run`](Component::run) is one incarnation, from start to stop:
///
/// 1. acquire its resources;
/// 2. call [`Context::mark_ready`];
/// 3. work until [`Context::stopping`] completes;
/// 4. release everything, and return.
///
/// `run` is called again in every epoch. **Fields, and state captured by a closure, survive a restart.
/// Local variables do not.** What is shared over epochs needs a lock, e.g. the receiver of a channel a
/// `tokio::sync::Mutex`: [the guide](crate::guide::components#a-receiver-that-outlives-epochs) has an example.
///
/// **A task that `run` starts with `tokio::spawn`, or that a library starts, cannot be seen**: if it outlives its epoch, it
/// works on beside its successor. Start tasks with [`Context::spawn`], which awaits and aborts them with the component, or
/// keep a [`Context::hold`] in them, which the next epoch waits for.
///
/// | `run` | consequence |
/// | --- | --- |
/// | returns without an error, and [may finish](crate::Builder::may_finish) | it has done its work, and counts as up |
/// | returns an error, panics or returns before [`Context::mark_ready`] | the start failed: everything is stopped and tried again after a hold-off |
/// | returns an error, panics or returns before it was asked to stop | a component failure: the service trips |
/// | returns an error or panics after it was asked to stop | this is logged, and the component counts as stopped. At the end of the run it is an [unclean stop](crate::UncleanStop) |
/// | returns a [fatal](Failure::fatal) failure, at any time | an ordered stop; the run ends with that error |
/// | never calls [`Context::mark_ready`] | the start deadline passes, and everything is stopped |
/// | continues past the stop deadline | it is aborted: its future is dropped at the next `.await` |
/// | blocks its thread past the abort deadline | it is *wedged*: the others are stopped, and the run ends with an error, because only the end of the process can stop it |
///
/// A failure of one component restarts all of them. [The guide](crate::guide::components#one-component-that-may-fail-alone)
/// shows how a component that runs its parts as a separate service fails alone.
///
/// If a stop begins before `run` was called, which can happen with many thousands of components, the component counts
/// as stopped, and `run` is not called in that epoch.
///
/// [`component_fn`](crate::component_fn) and [`Builder::task`](crate::Builder::task) make a component from a closure,
/// [`Builder::start_stop`](crate::Builder::start_stop) from a [`StartStop`].
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a component",
    label = "this is not a component",
    note = "implement `overwatch::Component` for it, with `#[overwatch::async_trait]` on the `impl`; it must be \
            `Send + Sync + 'static`",
    note = "a closure is added with `Builder::task`, and made a component by `component_fn`"
)]
pub trait Component: Send + Sync + 'static {
    /// Runs one incarnation, from start to stop.
    ///
    /// # Errors
    ///
    /// The reason why the component cannot start, or cannot continue. The [trait](Component) lists the consequences.
    async fn run(&self, ctx: Context) -> Result<(), Failure>; // The `impl` needs #[overwatch::async_trait]

    /// Checks that this can work where it was added. [`Builder::build`](crate::Builder::build) calls this.
    ///
    /// A type that runs another component inside forwards this and [`as_any`](Self::as_any) to it.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to do. By default every place is accepted.
    fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
        let _ = wiring;
        Ok(())
    }

    /// What other components find with [`Wiring::find`]. By default nothing.
    fn as_any(&self) -> Option<&(dyn Any + Send + Sync)> {
        None
    }
}

/// What the closure of a component, or the function of a shard, returns: a `Result<(), Failure>`, and nothing else.
///
/// This is only here so that the compiler says what to write where a closure or an async function returns something else.
#[diagnostic::on_unimplemented(
    message = "a component or a shard returns `Result<(), overwatch::Failure>`, and not `{Self}`",
    label = "this returns `{Self}`",
    note = "`?` makes a `Failure` from any error: let it return `Result<(), overwatch::Failure>`, and end it with `Ok(())`"
)]
pub trait ComponentResult: sealed::Sealed {}

impl ComponentResult for Result<(), Failure> {}

mod sealed {
    pub trait Sealed {}

    impl Sealed for Result<(), super::Failure> {}
}

/// A component that holds the lease which the work of the service depends on.
///
/// [`Builder::lease_holder`](crate::Builder::lease_holder) adds it. It renews its lease, and reports each renewal with
/// [`Context::lease_renewed`]. `etcd::Membership` is one.
pub trait LeaseHolder: Component {
    /// The fence of its lease.
    fn fence(&self) -> Fence;
}

/// Something with a start and a stop, e.g. an agent, a client or a server with a handle.
///
/// [`Builder::start_stop`](crate::Builder::start_stop) adds it as a component. In each epoch
/// [`start`](StartStop::start) is called. The component is ready when `start` returns. After that
/// [`stop`](StartStop::stop) is called exactly once. Report failures between the two with [`Context::reporter`].
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no start and stop",
    label = "this is no `StartStop`",
    note = "implement `overwatch::StartStop` for it, with `#[overwatch::async_trait]` on the `impl`; it must be \
            `Send + Sync + 'static`"
)]
pub trait StartStop: Send + Sync + 'static {
    /// Starts it.
    ///
    /// If it must stop before this call has returned, the call is dropped and [`stop`](StartStop::stop) is called.
    ///
    /// # Errors
    ///
    /// The reason why it cannot start. [`stop`](StartStop::stop) is called in this case too.
    async fn start(&self, ctx: &Context) -> Result<(), Failure>; // The `impl` needs #[overwatch::async_trait]

    /// Stops it, and releases everything.
    ///
    /// This is called once for each start, also for a start that failed, panicked or was dropped, so that nothing stays
    /// half started.
    ///
    /// # Errors
    ///
    /// What could not be released. The error is logged, and at the end of the run it is an
    /// [unclean stop](crate::UncleanStop).
    async fn stop(&self, ctx: &Context) -> Result<(), Failure>; // The `impl` needs #[overwatch::async_trait]

    /// Checks that this can work where it was added. [`Builder::build`](crate::Builder::build) calls this.
    ///
    /// A type that runs another component inside forwards this and [`as_any`](Self::as_any) to it.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to do. By default every place is accepted.
    fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
        let _ = wiring;
        Ok(())
    }

    /// What other components find with [`Wiring::find`]. By default nothing.
    fn as_any(&self) -> Option<&(dyn Any + Send + Sync)> {
        None
    }
}

/// A `Box` or an `Arc` of a component is a component too, likewise for `LeaseHolder` and `StartStop`.
macro_rules! pointer_to_one {
    ($pointer:ty) => {
        #[async_trait]
        impl<C: Component + ?Sized> Component for $pointer {
            async fn run(&self, ctx: Context) -> Result<(), Failure> {
                (**self).run(ctx).await
            }

            fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
                (**self).check(wiring)
            }

            fn as_any(&self) -> Option<&(dyn Any + Send + Sync)> {
                (**self).as_any()
            }
        }

        impl<C: LeaseHolder + ?Sized> LeaseHolder for $pointer {
            fn fence(&self) -> Fence {
                (**self).fence()
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

            fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
                (**self).check(wiring)
            }

            fn as_any(&self) -> Option<&(dyn Any + Send + Sync)> {
                (**self).as_any()
            }
        }
    };
}

pointer_to_one!(Box<C>);
pointer_to_one!(Arc<C>);
