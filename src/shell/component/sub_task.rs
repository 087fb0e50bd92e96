//! The results of sub-tasks.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::run::Queued;
use crate::shell::failure::Failure;
use crate::shell::sync::lock;

/// The result of a sub-task: `None` if the task failed, was aborted, or never began.
///
/// The failure was reported as one of the component; that of a task of a shard is one of the shard, and the task is
/// also aborted if the shard is lost.
///
/// The task runs whether or not this is awaited.
///
/// ```
/// # async fn example(ctx: overwatch::Context) {
/// let lines = ctx.spawn_blocking(|| Ok(std::fs::read_to_string("/etc/hosts")?.lines().count()));
/// if let Some(lines) = lines.await {
///     println!("{lines} lines");
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct SubTask<T> {
    told: oneshot::Receiver<T>,
    handle: Option<TaskHandle>,
}

/// The result of a sub-task whose failure goes to whatever awaits it. From
/// [`Context::spawn_caught`](crate::Context::spawn_caught).
///
/// The task runs whether or not this is awaited. If it was aborted, or never began because the component has ended, the
/// result is a failure that says so.
///
/// ```
/// # async fn example(ctx: overwatch::Context) {
/// let task = ctx.spawn_caught(async { Ok("17".parse::<u64>()?) });
/// match task.await {
///     Ok(number) => println!("{number}"),
///     Err(failure) => println!("no number: {failure}"),
/// }
/// # }
/// ```
#[must_use = "its failure goes to whoever awaits it: use `spawn` for work whose failure is one of the component"]
#[derive(Debug)]
pub struct CaughtTask<T> {
    told: oneshot::Receiver<Result<T, Failure>>,
    handle: Option<TaskHandle>,
}

/// Aborts a sub-task, and knows whether it has ended.
pub(crate) struct TaskHandle {
    task: AbortHandle,
    /// For blocking work: what has not begun.
    queued: Option<Arc<Mutex<Option<Queued>>>>,
    /// Whether it was aborted before it began. Its thread may still have to notice that.
    never_begins: AtomicBool,
}

impl TaskHandle {
    pub(crate) fn new(task: AbortHandle, queued: Option<Arc<Mutex<Option<Queued>>>>) -> Self {
        Self {
            task,
            queued,
            never_begins: AtomicBool::new(false),
        }
    }

    /// Whether it has ended, or will never begin.
    fn is_finished(&self) -> bool {
        self.task.is_finished() || self.never_begins.load(Ordering::Acquire)
    }

    fn abort(&self) {
        self.task.abort();
        let never = self.queued.as_ref().and_then(|queued| lock(queued).take());
        if never.is_some() {
            self.never_begins.store(true, Ordering::Release);
        }
        // Not under the lock, because the drop of the work is user code.
        drop(never);
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.fmt(f)
    }
}

/// The methods that both have.
macro_rules! task_methods {
    ($task:ident) => {
        impl<T> $task<T> {
            /// Aborts the task: its future is dropped at the next `.await`.
            ///
            /// Blocking work is aborted only if it has not begun.
            pub fn abort(&self) {
                if let Some(handle) = &self.handle {
                    handle.abort();
                }
            }

            /// Whether the task has ended, or never began.
            pub fn is_finished(&self) -> bool {
                let handle = self.handle.as_ref();
                handle.is_none_or(TaskHandle::is_finished)
            }
        }
    };
}

task_methods!(SubTask);
task_methods!(CaughtTask);

impl<T> SubTask<T> {
    /// `handle` is `None` if the task never began.
    pub(crate) fn new(told: oneshot::Receiver<T>, handle: Option<TaskHandle>) -> Self {
        Self { told, handle }
    }

    /// The result of a task that was never spawned.
    #[cfg(feature = "etcd")]
    pub(crate) fn of_nothing() -> Self {
        Self::new(oneshot::channel().1, None)
    }
}

impl<T> CaughtTask<T> {
    /// `handle` is `None` if the task never began.
    pub(crate) fn new(
        told: oneshot::Receiver<Result<T, Failure>>,
        handle: Option<TaskHandle>,
    ) -> Self {
        Self { told, handle }
    }

    /// The result of a task that was never spawned.
    #[cfg(feature = "etcd")]
    pub(crate) fn of_nothing() -> Self {
        Self::new(oneshot::channel().1, None)
    }

    /// Passes the result on. A failure that nothing awaits any more is passed to `log`, with a message.
    pub(crate) fn tell(
        tell: oneshot::Sender<Result<T, Failure>>,
        result: Result<T, Failure>,
        log: impl FnOnce(&Failure, &'static str),
    ) {
        if let Err(Err(failure)) = tell.send(result) {
            log(&failure, "a sub-task failed, and nothing awaits it");
        }
    }
}

impl<T> Future for SubTask<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.told).poll(cx).map(Result::ok)
    }
}

impl<T> Future for CaughtTask<T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Self::Output> {
        let told = Pin::new(&mut self.told).poll(cx);
        told.map(|told| {
            told.unwrap_or_else(|_| Err(Failure::new("the task was aborted, or never began")))
        })
    }
}

/// Runs work that blocks, and turns a panic into a failure.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Failure::from_panic(panic)))
}
