//! A context without a supervisor.

use std::sync::Arc;

use crate::machine::{Cause, FailureClass};
use crate::policy::{ComponentId, Layout, Plan, Policy};
use crate::shell::component::{Context, Incarnation, StageRun};
use crate::shell::inbound::Batch;
use crate::shell::log::Log;
use crate::shell::run_state::RunState;

/// A context without a supervisor, to test one component alone. The test does what the supervisor would do.
///
/// ```
/// use overwatch::test_util::TestContext;
/// use overwatch::{Component, Context, Failure, component_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let component = component_fn(|ctx: Context| async move {
///     ctx.mark_ready();
///     ctx.report(Failure::new("a hiccup"));
///     ctx.stopping().await;
///     Ok(())
/// });
/// let detached = TestContext::new("worker");
/// let run = tokio::spawn({
///     let ctx = detached.context();
///     async move { component.run(ctx).await }
/// });
/// detached.wait_until_ready().await;
/// detached.stop();
/// run.await.unwrap().unwrap();
/// assert_eq!(detached.reports()[0].first, "a hiccup");
/// # }
/// ```
#[derive(Debug)]
pub struct TestContext {
    context: Context,
    inner: Inner,
}

struct Inner {
    incarnation: Incarnation,
    shared: Arc<RunState>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner")
    }
}

impl TestContext {
    /// A context with this name, in epoch 1.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(name: &str) -> Self {
        let layout = Layout::new(&[1]).expect("one component makes a layout");
        let plan = Plan::new(Policy::default(), layout).expect("the default policy works");
        let name: Arc<str> = name.into();
        let shared = Arc::new(RunState::detached(Arc::new(plan), vec![name]));
        shared.enter(tokio::runtime::Handle::current(), Log::direct(None));
        let incarnation = StageRun::new(1, 0..1, Arc::clone(&shared)).incarnation(ComponentId(0));
        Self {
            context: Context::new(incarnation.clone()),
            inner: Inner {
                incarnation,
                shared,
            },
        }
    }

    /// The context to pass to the component.
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// Asks the component to stop, as a shutdown would.
    pub fn stop(&self) {
        let deadline = Policy::default().stop_deadline();
        self.inner
            .incarnation
            .stage()
            .stop(Cause::Shutdown, deadline);
    }

    /// Waits until the component has called [`mark_ready`](Context::mark_ready).
    pub async fn wait_until_ready(&self) {
        while !self.inner.incarnation.is_up() {
            self.inner.shared.mailbox.woken().await;
        }
        // Wakes other tasks that wait for the same.
        self.inner.shared.mailbox.nudge();
    }

    /// The reports of the component and its sub-tasks since the last call.
    pub fn reports(&self) -> Vec<Reported> {
        self.inner
            .incarnation
            .reports()
            .take()
            .map(Into::into)
            .collect()
    }
}

/// The pending reports of one class: a storm of reports is combined into one value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reported {
    /// The class of the reports.
    pub class: FailureClass,
    /// The number of reports.
    pub count: u64,
    /// The reason of the first report.
    pub first: String,
    /// The reason of the last report, if there was more than one.
    pub last: Option<String>,
}

impl From<Batch> for Reported {
    fn from(batch: Batch) -> Self {
        Self {
            class: batch.class,
            count: batch.count,
            first: batch.first.failure().to_string(),
            last: batch.last.map(|last| last.to_string()),
        }
    }
}
