//! Where code runs: *in place*, on the runtime that awaits it, or *apart*, on a thread of this crate.
//!
//! On a current-thread runtime everything is in place: its clock may be paused, its network simulated,
//! and its tasks expect no other thread. On a multi-thread runtime the service's tasks may keep all
//! workers busy, or block them; work that must continue in this case is apart.

use std::future::Future;
use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, NoSubscriber};
use tracing::{Dispatch, Event, Metadata, Subscriber, dispatcher};

use crate::shell::log::{Log, current};

/// A thread with a current-thread runtime, whose tasks share no thread with any other runtime.
///
/// The runtime is made and dropped on that thread. The thread ends when this is dropped. Nothing waits for its end,
/// nor for blocking work on it, e.g. a name look-up.
#[derive(Debug)]
pub(crate) struct OwnRuntime {
    handle: Handle,
    /// Whether the thread has its own subscriber.
    subscribes: AtomicBool,
    /// The thread ends when this is dropped.
    _alive: oneshot::Sender<()>,
}

/// What a thread of this crate logs directly.
#[cfg_attr(
    not(feature = "etcd"),
    allow(dead_code, reason = "the clients of adapters log nothing")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logs {
    /// Everything, to the subscriber of the thread that starts it.
    Everything,
    /// Nothing, once there is a subscriber, because a subscriber is user code and may block. The thread's own
    /// events are passed to [`log::log`]; the events of libraries are lost.
    Nothing,
}

/// The subscriber of the current thread, if it has one.
fn subscriber_here() -> Option<Dispatch> {
    Some(dispatcher::get_default(Dispatch::clone))
        .filter(|subscriber| !subscriber.is::<NoSubscriber>())
}

/// A subscriber that ignores everything.
///
/// tracing's own `NoSubscriber` does not work here: tracing may ask only the subscriber of the current thread whether
/// an event is enabled anywhere in the process, and caches the answer for all threads. It asks all subscribers if it
/// knows several, and it knows this one.
struct Quiet;

impl Subscriber for Quiet {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::never()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl OwnRuntime {
    /// Starts the thread. Returns when its runtime has been made.
    ///
    /// # Errors
    ///
    /// If the operating system provides no thread or no event queue.
    pub(crate) fn start(name: &str, logs: Logs) -> io::Result<Self> {
        let (made, is_made) = sync_channel(1);
        let (alive, over) = oneshot::channel();
        let blocking = format!("{name}-b");
        let subscriber = match logs {
            // Set by `hush` below.
            Logs::Nothing => None,
            Logs::Everything => subscriber_here(),
        };
        let serve = move || {
            let _logging = subscriber.as_ref().map(dispatcher::set_default);
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING_THREADS)
                .thread_name(blocking)
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(made.send(Err(error))),
            };
            let _ = made.send(Ok(runtime.handle().clone()));
            // Nothing is sent; it completes when the other end is dropped.
            let _ = runtime.block_on(over);
            runtime.shutdown_background();
        };
        // Values of the user that are released on this thread are dropped on another one.
        let run = move || match logs {
            Logs::Nothing => Log::of_the_process().guard_thread(serve),
            Logs::Everything => serve(),
        };
        thread::Builder::new().name(name.into()).spawn(run)?;
        let handle = is_made.recv().map_err(io::Error::other)??;
        let own = Self {
            handle,
            subscribes: AtomicBool::new(logs == Logs::Everything),
            _alive: alive,
        };
        own.hush();
        Ok(own)
    }

    /// Gives the thread a subscriber that ignores everything, if there is a subscriber here.
    ///
    /// It must not be set before: as long as the process has no subscriber, tracing may pass its events to the crate
    /// `log`, which it stops doing once any thread has one.
    pub(crate) fn hush(&self) {
        if self.subscribes.load(Ordering::Relaxed)
            || subscriber_here().is_none()
            || self.subscribes.swap(true, Ordering::Relaxed)
        {
            return;
        }
        // Made here, because tracing then asks all subscribers about all events.
        let quiet = Dispatch::new(Quiet);
        self.handle.spawn(async move {
            // For the life of the thread, which polls all tasks of this runtime.
            std::mem::forget(dispatcher::set_default(&quiet));
        });
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// Whether a run may use separate threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    Apart,
    InPlace,
}

impl Placement {
    pub(crate) fn of(apart: bool) -> Self {
        if apart { Self::Apart } else { Self::InPlace }
    }

    /// The placement of the current task, or else the one that follows from the current runtime.
    pub(crate) fn current() -> Self {
        if let Ok(mode) = PLACEMENT.try_with(|mode| *mode) {
            return mode;
        }
        match Handle::try_current() {
            Ok(runtime) if runtime.runtime_flavor() != RuntimeFlavor::CurrentThread => Self::Apart,
            _ => Self::InPlace,
        }
    }

    /// Runs a future with this placement, whatever runtime polls it.
    pub(crate) async fn scope<F: Future>(self, future: F) -> F::Output {
        PLACEMENT.scope(self, future).await
    }
}

tokio::task_local! {
    static PLACEMENT: Placement;
}

/// The other runtime has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeGone;

/// Awaits a future on another runtime.
///
/// The future's timers, its I/O and the tasks that it spawns belong to that runtime. It is aborted when this is
/// dropped, and a panic in it is resumed here. Its [events](log::log) go to the log of the current task, and so not
/// through a subscriber that may block.
///
/// Without another runtime, in place, and if this is already that runtime, the future is awaited here.
///
/// # Errors
///
/// The other runtime has ended.
pub(crate) async fn relocate<F>(home: Option<&Handle>, future: F) -> Result<F::Output, RuntimeGone>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let here = |home: &Handle| Handle::try_current().is_ok_and(|here| here.id() == home.id());
    let Some(home) = home.filter(|home| Placement::current() == Placement::Apart && !here(home))
    else {
        return Ok(future.await);
    };
    let log = current().unwrap_or_else(Log::of_the_process);
    let mut task = Aborted(home.spawn(log.scope_task(Placement::Apart.scope(future))));
    ended((&mut task.0).await)
}

fn ended<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, RuntimeGone> {
    match result.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(output) => Ok(output),
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_aborted)) => Err(RuntimeGone),
    }
}

/// Aborts a task when it is dropped.
struct Aborted<T>(JoinHandle<T>);

impl<T> Drop for Aborted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Mostly for name look-ups, each of which may hang.
const BLOCKING_THREADS: usize = 8;

#[cfg(test)]
mod tests;
