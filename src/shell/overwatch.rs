//! A service that is ready to be run, and the ways to run it.

use std::fmt;
use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::builder::Builder;
use super::component::Begin;
use super::own_thread::own_thread;
use super::shared::Shared;
use super::supervisor::Supervisor;
use super::watchdog::Watchdog;
use super::{Failure, Handle, Probe, RunError};
use crate::machine::{Effect, Input, Step, Why};

/// How a process ends that was interrupted twice: 128 + SIGINT.
const INTERRUPTED: i32 = 130;
/// How a process ends whose run was halted.
const HALTED: i32 = 1;

/// A service that is ready to be run: built by [`watching`](Overwatch::watching) a dependency.
///
/// Dropping it, or the future that runs it, in any way, a panic included, publishes "not ready" for
/// good and aborts every task of it. Where the run has a thread of its own that does the latter, once
/// it is done with the step that it may be in; a tenth of a second is waited for that.
#[must_use = "a service does nothing until it is run"]
pub struct Overwatch {
    pub(super) published: Published,
    pub(super) components: Vec<Arc<dyn Begin>>,
    pub(super) probe: Arc<dyn Probe>,
    pub(super) observe_only: bool,
    pub(super) watchdog: bool,
    pub(super) on_step: Option<Hook>,
}

/// What [`Builder::on_step`] calls.
pub(super) type Hook = Box<dyn FnMut(StepRecord<'_>) + Send>;

/// One step of the machine, as it is taken. Written down, these are enough to replay the run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StepRecord<'a> {
    /// When, from the begin of the run.
    pub at: Duration,
    /// What the machine was told; `None` for the first record, which is the boot.
    pub input: Option<Input>,
    /// What became of it; `None` for the boot.
    pub step: Option<Step>,
    /// What it asked for, in order.
    pub effects: &'a [Effect],
}

/// Publishes "not ready" when it is dropped.
pub(super) struct Published(pub(super) Arc<Shared>);

impl Drop for Published {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Overwatch {
    /// Begins to build a service that cannot live without the dependency that this probe observes.
    pub fn watching(probe: impl Probe) -> Builder {
        Builder::new(Arc::new(probe))
    }

    /// What follows and steers the run. Ask for it before you run.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.published.0))
    }

    /// Runs until a shutdown is asked for by a [`Handle`].
    ///
    /// Await it in `main`. Spawned as a task of the multi-thread runtime it takes a thread of its own,
    /// since in the queue of the workers it would wait behind components that keep these busy. Until
    /// that thread has begun it goes on in the task.
    ///
    /// # Errors
    ///
    /// [`RunError`] if it was halted: a fatal failure, a wedged component, or too many failed starts
    /// in a row where the policy gives up. All components but the wedged ones are stopped by then.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its time enabled.
    pub async fn run(self) -> Result<(), RunError> {
        self.apart(Self::supervise).await
    }

    /// Runs it, on a thread of its own if need be.
    async fn apart<F>(self, run: impl FnOnce(Self) -> F) -> Result<(), RunError>
    where
        F: Future<Output = Result<(), RunError>> + Send + 'static,
    {
        let shared = Arc::clone(&self.published.0);
        let run = pin!(own_thread(run(self)));
        // Below the run, so that "not ready" is published before that is dropped, which may have to
        // wait for its thread.
        let _published = Published(shared);
        match run.await {
            Ok(ended) => ended,
            Err(error) => Err(cannot_run("the run has no thread of its own", error)),
        }
    }

    async fn supervise(self) -> Result<(), RunError> {
        let Self {
            published,
            components,
            probe,
            observe_only,
            watchdog,
            on_step,
        } = self;
        let shared = Arc::clone(&published.0);
        let watchdog = if watchdog {
            let started = Watchdog::start(Arc::clone(&shared));
            Some(started.map_err(|error| cannot_run("the fence watchdog has no thread", error))?)
        } else {
            None
        };
        let supervisor =
            Supervisor::new(shared, components, probe, observe_only, watchdog, on_step);
        supervisor.run().await
    }

    /// Runs until a future completes, then shuts down in order. See [`run`](Self::run).
    ///
    /// That future is awaited where this is, also where the run has a thread of its own: in a task of
    /// workers that components keep busy it is seen to complete only when that has its turn.
    /// [`Handle::shutdown`] does not wait for it.
    ///
    /// # Errors
    ///
    /// See [`run`](Self::run).
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let handle = self.handle();
        let mut run = pin!(self.run());
        tokio::select! {
            biased;
            ended = &mut run => return ended,
            () = stop => handle.shutdown(),
        }
        run.await
    }

    /// Runs until the process is told to stop (SIGINT or SIGTERM; ctrl-c elsewhere than on Unix), then
    /// shuts down in order. A second signal ends the process at once, with exit code 130.
    ///
    /// # Errors
    ///
    /// See [`run`](Self::run); also if signals cannot be listened for.
    pub async fn run_until_signal(self) -> Result<(), RunError> {
        self.apart(Self::supervise_until_signal).await
    }

    async fn supervise_until_signal(self) -> Result<(), RunError> {
        let mut signals =
            Signals::new().map_err(|error| cannot_run("signals cannot be listened for", error))?;
        let handle = self.handle();
        let mut run = pin!(self.supervise());
        tokio::select! {
            biased;
            ended = &mut run => return ended,
            () = signals.next() => handle.shutdown(),
        }
        tokio::select! {
            biased;
            ended = &mut run => ended,
            () = signals.next() => {
                tracing::error!(target: "overwatch::end", "told to stop twice: leaving at once");
                std::process::exit(INTERRUPTED)
            }
        }
    }

    /// As [`run_until_signal`](Self::run_until_signal), but leaves the process, with exit code 1, if
    /// the run was halted: a wedged thread would keep it alive after `main` has returned.
    pub async fn run_or_exit(self) {
        if let Err(error) = self.run_until_signal().await {
            tracing::error!(target: "overwatch::end", "{error}");
            // Also where nobody listens to the log. A reader that has left is no reason to stay.
            let _ = writeln!(std::io::stderr(), "{error}");
            std::process::exit(HALTED);
        }
    }
}

impl fmt::Debug for Overwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overwatch")
            .field("components", &self.published.0.names)
            .finish_non_exhaustive()
    }
}

fn cannot_run(what: &str, error: std::io::Error) -> RunError {
    RunError {
        why: Why::Fatal,
        reason: what.into(),
        failure: Some((None, Failure::new(format!("{what}: {error}")).fatal())),
        wedged: Vec::new(),
    }
}

/// What tells a process to stop.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nobody can tell any more: wait for the handle.
            std::future::pending::<()>().await;
        }
    }
}
