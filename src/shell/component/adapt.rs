//! Adapters that make components from closures and from `StartStop`.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use super::context::Context;
use super::main_task::Body;
use super::traits::{Component, ComponentResult, StartStop};
use super::wiring::{Wiring, WiringError};
use crate::shell::failure::{Failure, unwinding};

/// Makes a component from a closure. See [`Builder::task`](crate::Builder::task).
///
/// The closure is cloned and called once for each epoch.
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
    Fut::Output: ComponentResult,
{
    Task(run)
}

pub(crate) struct Task<F>(pub(crate) F);

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

pub(crate) struct StartStopped<S>(pub(crate) S);

#[async_trait]
impl<S: StartStop> Component for StartStopped<S> {
    async fn run(&self, ctx: Context) -> Result<(), Failure> {
        let started = ctx.until_stopping(unwinding(self.0.start(&ctx))).await;
        if let Some(Ok(())) = started {
            ctx.mark_ready();
            ctx.stopping().await;
        }
        let stopped = self.0.stop(&ctx).await;
        match (started.unwrap_or(Ok(())), stopped) {
            (Err(started), stopped) => {
                // The first failure counts. The other one must not be lost.
                if let Err(stopped) = stopped {
                    ctx.log_failure(&stopped, "the stop after a failed start failed too");
                }
                Err(started)
            }
            (Ok(()), stopped) => stopped,
        }
    }

    fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
        self.0.check(wiring)
    }

    fn as_any(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.0.as_any()
    }
}

impl<F, Fut> Body for Task<F>
where
    F: FnOnce(Context) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    fn run(self: Arc<Self>, ctx: Context) -> impl Future<Output = Result<(), Failure>> + Send {
        // Dropped before the work begins: at the stop, which all wait for, the access to its reference count would
        // be a cache miss.
        let run = self.0.clone();
        drop(self);
        run(ctx)
    }
}

/// Any component as a [`Body`].
pub(crate) struct Boxed<C>(pub(crate) C);

impl<C: Component> Body for Boxed<C> {
    async fn run(self: Arc<Self>, ctx: Context) -> Result<(), Failure> {
        self.0.run(ctx).await
    }

    fn component(&self) -> Option<&dyn Component> {
        Some(&self.0)
    }
}
