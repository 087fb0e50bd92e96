//! The main task of an incarnation, from beginning to end.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as Poller, Poll, ready};

use pin_project_lite::pin_project;
use tokio::runtime;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::context::Context;
use super::incarnation::Incarnation;
use super::traits::Component;
use crate::shell::failure::{Failure, Unwinding};
use crate::shell::inbound::ComponentAnswer;

/// A component without the box that the `Component` trait needs.
pub(crate) trait Body: Send + Sync + 'static {
    fn run(self: Arc<Self>, ctx: Context) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The component, unless it is a closure.
    fn component(&self) -> Option<&dyn Component> {
        None
    }
}

/// A component, as the supervisor sees it: it can begin an incarnation.
pub(crate) trait Begin: Send + Sync {
    /// Begins the main task on this runtime, and returns the handle that aborts it.
    fn begin(
        self: Arc<Self>,
        incarnation: Incarnation,
        runtime: &runtime::Handle,
    ) -> JoinHandle<()>;

    /// The component, unless it is a closure, which has nothing to check.
    fn component(&self) -> Option<&dyn Component>;
}

impl<B: Body> Begin for B {
    fn begin(
        self: Arc<Self>,
        incarnation: Incarnation,
        runtime: &runtime::Handle,
    ) -> JoinHandle<()> {
        // If the runtime is gone, the task is dropped, with everything in it.
        runtime.spawn(MainTask(incarnation).run(self))
    }

    fn component(&self) -> Option<&dyn Component> {
        Body::component(self)
    }
}

/// The hold of the main task, which is the first one of an incarnation.
struct MainTask(Incarnation);

impl MainTask {
    /// The whole main task.
    fn run<B: Body>(self, body: Arc<B>) -> impl Future<Output = ()> + Send {
        Main::of(self, body, B::run)
    }

    /// Begins the work, or returns `None` if it must not begin.
    fn begin<B, F, W>(self, body: Arc<B>, run: F) -> Option<Main<B, F, W>>
    where
        F: FnOnce(Arc<B>, Context) -> W,
        W: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        if self.0.stage().shared.is_abandoned() {
            // The run was dropped during the step that starts this.
            return None;
        }
        let ctx = Context::new(self.0.clone());
        // The subscriber is user code, so the span is made here. A closure may panic before it has
        // made its future.
        let begun = catch_unwind(AssertUnwindSafe(|| {
            let span = self.0.main_span();
            let work = span.in_scope(|| run(body, ctx));
            (Unwinding { work: Some(work) }, span)
        }));
        match begun {
            Ok((work, span)) if span.is_disabled() => Some(Main::Works {
                work,
                main: Some(self),
            }),
            Ok((work, span)) => {
                // It ends within its span, so that the end is reported before the subscriber is called on
                // leaving the span.
                let work: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
                    // Captured first, so that it is dropped first, even if the future is never polled.
                    let result = work.await;
                    self.end(result);
                    Ok(())
                });
                let work = Some(work.instrument(span));
                let within = Box::pin(Unwinding { work });
                Some(Main::WorksWithin { within })
            }
            Err(panic) => {
                self.end(Err(Failure::from_panic(panic)));
                None
            }
        }
    }

    /// Notes how the task ended, and reports its end.
    fn end(self, result: Result<(), Failure>) {
        self.0.end(result);
    }
}

pin_project! {
    /// The main task from beginning to end.
    ///
    /// Not an `async fn`, which would store some of this twice, in every component.
    #[project = At]
    enum Main<B, F, W> {
        Begins { main: Option<(MainTask, Arc<B>, F)> },
        // In this order of drops: the incarnation is gone after its work.
        Works { #[pin] work: Unwinding<W>, main: Option<MainTask> },
        // Boxed, so that spans take no memory if they are disabled.
        WorksWithin { within: Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> },
    }
}

impl<B, F, W> Main<B, F, W>
where
    F: FnOnce(Arc<B>, Context) -> W,
{
    fn of(main: MainTask, body: Arc<B>, run: F) -> Self {
        let main = Some((main, body, run));
        Self::Begins { main }
    }
}

impl<B, F, W> Future for Main<B, F, W>
where
    F: FnOnce(Arc<B>, Context) -> W,
    W: Future<Output = Result<(), Failure>> + Send + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<()> {
        loop {
            match self.as_mut().project() {
                At::Begins { main } => {
                    let begun = main.take().map(|(main, body, run)| main.begin(body, run));
                    match begun.flatten() {
                        Some(begun) => self.set(begun),
                        None => return Poll::Ready(()),
                    }
                }
                At::Works { work, main } => {
                    let result = ready!(work.poll(cx));
                    if let Some(main) = main.take() {
                        main.end(result);
                    }
                    return Poll::Ready(());
                }
                At::WorksWithin { within } => return within.as_mut().poll(cx).map(|_| ()),
            }
        }
    }
}

impl Drop for MainTask {
    fn drop(&mut self) {
        let Self(incarnation) = self;
        let run = incarnation.run();
        // Before it is seen what it has provided: what is provided later sees this.
        run.main_is_over.store(true, Ordering::SeqCst);
        // Before it can be gone: what is started then must not find what it had.
        incarnation.provides_no_more();
        let ended = run.ended.get().is_some();
        let failure = run.failure();
        // Other holds must not hide that the main task has ended. The release itself decides whether this was the
        // last one, because a hold may be taken at any moment. After Gone this answer is stale and harmless.
        let was_last = incarnation.let_go();
        if ended && !was_last && incarnation.stage().told().is_none() {
            let exited = ComponentAnswer::Exited(incarnation.who());
            incarnation.stage().shared.mailbox.answer(exited, true);
        }
        // Only now, after the end was reported, because it is user code.
        if let Some(told) = failure {
            incarnation.stage().shared.make_text(&told);
        }
    }
}

#[cfg(test)]
mod tests;
