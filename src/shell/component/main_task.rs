//! The main task of an incarnation, from its begin to its end.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};

use pin_project_lite::pin_project;
use tokio::runtime;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::context::Context;
use super::incarnation::Incarnation;
use crate::shell::failure::{Failure, Unwinding};
use crate::shell::inbound::ComponentAnswer;

/// What an incarnation runs a closure without the box that the trait needs.
pub(crate) trait Body: Send + Sync + 'static {
    fn run(self: Arc<Self>, ctx: Context) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What the supervisor has of a component: it can begin an incarnation of it.
pub(crate) trait Begin: Send + Sync {
    /// Begins the main task on this runtime. What it returns aborts that.
    fn begin(
        self: Arc<Self>,
        incarnation: Incarnation,
        runtime: &runtime::Handle,
    ) -> JoinHandle<()>;
}

impl<B: Body> Begin for B {
    fn begin(
        self: Arc<Self>,
        incarnation: Incarnation,
        runtime: &runtime::Handle,
    ) -> JoinHandle<()> {
        // If the runtime is gone, so is the task, and what it has is let go of.
        runtime.spawn(MainTask(incarnation).run(self))
    }
}

/// The first hold of an incarnation: that of its main task.
struct MainTask(Incarnation);

impl MainTask {
    /// The whole of the main task.
    fn run<B: Body>(self, body: Arc<B>) -> impl Future<Output = ()> + Send {
        Main::of(self, body, B::run)
    }

    /// Begins the work, or ends if that is not to be.
    fn begin<B, F, W>(self, body: Arc<B>, run: F) -> Option<Main<B, F, W>>
    where
        F: FnOnce(Arc<B>, Context) -> W,
        W: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        if self.0.stage().shared.is_abandoned() {
            // The run was dropped amid the step that starts this.
            return None;
        }
        let ctx = Context::new(self.0.clone());
        // The subscriber is the user's code, so the span is made here. A closure may panic before it has
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
                // It ends within its span: what the subscriber does when that is left comes after the
                // news.
                let work: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
                    // Mentioned first, so that it is dropped first, also if it never begins.
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

    /// Notes how it ended, and says that it has.
    fn end(self, result: Result<(), Failure>) {
        self.0.end(result);
    }
}

pin_project! {
    /// The main task from its begin to its end.
    ///
    /// No `async fn`, which would keep some of this twice, in every component.
    #[project = At]
    enum Main<B, F, W> {
        Begins { main: Option<(MainTask, Arc<B>, F)> },
        // In this order, in which they are dropped: it is gone when its work is.
        Works { #[pin] work: Unwinding<W>, main: Option<MainTask> },
        // Boxed, so that whoever wants no spans does not pay for their room.
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
        let ended = incarnation.run().ended.get().is_some();
        let failure = incarnation.run().failure();
        // What it leaves behind must not hide that it is no longer at work. Decided by the release
        // itself: a hold may be taken at any moment. After Gone this is stale and harmless.
        let was_last = incarnation.let_go();
        if ended && !was_last && incarnation.stage().told().is_none() {
            let exited = ComponentAnswer::Exited(incarnation.who());
            incarnation.stage().shared.mailbox.answer(exited, true);
        }
        // Only now, when the end is told: it is the user's code.
        if let Some(told) = failure {
            incarnation.stage().shared.make_text(&told);
        }
    }
}

#[cfg(test)]
mod tests;
