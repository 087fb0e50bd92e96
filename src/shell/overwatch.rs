//! A service that is ready to be run, and the ways to run it.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::builder::Builder;
use super::component::Begin;
use super::control::{Until, supervise};
use super::shared::Shared;
use super::told::Told;
use super::{Failure, Handle, Probe, RunError, leave};
use crate::driver::Arrival;
use crate::machine::{Effect, HaltReason, Input, Step};
use crate::policy::Plan;

/// A service that is ready to be run.
///
/// 1. [`builder`](Overwatch::builder) takes the probe, the [`Builder`] takes policy and components;
/// 2. [`Builder::build`] checks everything;
/// 3. [`handle`](Overwatch::handle), before the run;
/// 4. [`run_or_exit`](Overwatch::run_or_exit) for a service, or one of the other run methods.
///
/// ```no_run
/// use overwatch::{Overwatch, polled};
/// use std::time::Duration;
///
/// #[tokio::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let second = Duration::from_secs(1);
///     let service = Overwatch::builder(polled(second, second, || async { Ok(()) }))
///         .task("worker", |ctx| async move {
///             ctx.mark_ready();
///             ctx.stopping().await;
///             Ok(())
///         })
///         .build()?;
///     let mut transitions = service.handle().transitions();
///     tokio::spawn(async move {
///         while let Ok(Some(moved)) = transitions.next().await {
///             println!("{:?} -> {:?}: {}", moved.from, moved.to, moved.reason);
///         }
///     });
///     service.run_or_exit().await;
///     Ok(())
/// }
/// ```
///
/// Dropping this, or the future that runs it, publishes "not ready" for good and aborts every task of
/// the service; a panic does the same. Where the run has its own thread, that thread aborts the tasks when it is done
/// with its present step, and the drop waits a tenth of a second at most for that.
#[must_use = "a service does nothing until it is run"]
pub struct Overwatch {
    pub(super) published: Published,
    pub(super) components: Vec<Arc<dyn Begin>>,
    pub(super) probe: Arc<dyn Probe>,
    pub(super) observe_only: bool,
    /// `None`: where there is a fence.
    pub(super) watchdog: Option<bool>,
    /// `None`: by the flavor of the runtime.
    pub(super) control_thread: Option<bool>,
    pub(super) on_step: Option<Hook>,
}

/// What [`Builder::on_step`] calls.
pub(super) type Hook = Box<dyn FnMut(StepRecord<'_>) + Send>;

/// One step of a run, for [`Builder::on_step`]: what had arrived since the step before, the input of the machine, and its
/// effects. A recording of them is enough to replay the run with a [`Decider`](crate::driver::Decider): the same
/// arrivals at the same times give the same steps.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StepRecord<'a> {
    /// The plan of the service.
    pub plan: &'a Arc<Plan>,
    /// When, from the begin of the run.
    pub at: Duration,
    /// What had arrived since the record before, in order.
    pub arrivals: &'a [Arrived],
    /// The input of the machine; `None` at boot, and where what had arrived was too old to be an input.
    pub input: Option<Input>,
    /// How the machine took the input; `None` where there was none.
    pub step: Option<Step>,
    /// The effects, in order.
    pub effects: &'a [Effect],
    /// Whether this is the boot of the machine: its first effects.
    pub is_boot: bool,
    /// Whether it only shows what would be done ([`Builder::observe_only`]): a step of the machine that
    /// is beside that of the service.
    pub observe_only: bool,
    /// How many steps before this one are missing, because the hook was too slow.
    pub missed: u64,
}

/// What arrived at the driver of a run, with the texts that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrived {
    /// When, from the begin of the run.
    pub at: Duration,
    /// What.
    pub arrival: Arrival,
    /// Of an observation, its evidence or reason. Of reports, the first one's text. Of a component that has
    /// ended, the text of its failure, if it failed, and then of its last reports, in their order.
    pub words: Vec<Arc<str>>,
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
    pub fn builder(probe: impl Probe) -> Builder {
        Builder::new(Arc::new(probe))
    }

    /// The handle that follows and steers the run. Get it before the run, which takes the service.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.published.0))
    }

    /// Runs until a shutdown is asked for by a [`Handle`].
    ///
    /// On the multi-thread runtime the run is supervised by its own thread with its own timers,
    /// so that nothing the service does to its threads holds it up. On a runtime of one thread it is
    /// supervised where it is awaited. [`Builder::control_thread`] changes that.
    ///
    /// # Errors
    ///
    /// [`RunError`] if it was halted: a fatal failure, a wedged component, or too many failed starts
    /// in a row where the policy gives up. All components but the wedged ones are stopped by then. Also
    /// if the operating system gives no thread.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its time enabled; and if the hook of [`Builder::on_step`] did.
    pub async fn run(self) -> Result<(), RunError> {
        supervise(self, Until::Shutdown).await
    }

    /// Runs until a future completes, then shuts down in order. See [`run`](Self::run).
    ///
    /// That future is awaited where this is: in a task of workers that components keep busy it is seen to
    /// complete only when that has its turn. [`Handle::shutdown`] does not wait for it.
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

    /// Runs until the process gets a signal to stop (SIGINT or SIGTERM; ctrl-c elsewhere than on Unix), then
    /// shuts down in order.
    ///
    /// A second signal ends the process at once, without a word and without exit handlers: with exit
    /// code 128 + its number, so 143 after SIGTERM and 130 after SIGINT. The signal handler does that, so
    /// it works while every thread is blocked. (Elsewhere than on Unix the second ctrl-c does it, with
    /// exit code 130, as long as the run is polled.)
    ///
    /// From the end of the run on, **also the next signal ends the process like that**: what is left of
    /// the service, a thread that is blocked for good or a runtime whose drop waits for one, cannot keep
    /// it. The signal handlers stay for good, and run beside others that the program may have. A new run
    /// listens again: its first signal is an ordered stop. Of several runs at once a signal stops all, and
    /// the next one ends the process.
    ///
    /// # Errors
    ///
    /// See [`run`](Self::run); also if signals cannot be listened for.
    pub async fn run_until_signal(self) -> Result<(), RunError> {
        supervise(self, Until::Signal).await
    }

    /// As [`run_until_signal`](Self::run_until_signal), but leaves the process, with exit code 1, if
    /// the run was halted: a wedged thread would keep it alive after `main` has returned, and go on with
    /// work that other nodes may do by then. **With a lease use this one.**
    ///
    /// The process is left where the run ends, before anything of it is dropped: neither the task that
    /// awaits this nor the runtime is needed for it. What waits to be logged is written, for 1 s at most;
    /// the error goes to stderr, for 100 ms at most; then exit handlers run and stdout is flushed, for 500 ms
    /// at most.
    ///
    /// After an ordered stop this returns, so `main` goes on and returns in its own way. If that hangs,
    /// the next signal ends the process.
    pub async fn run_or_exit(self) {
        if let Err(error) = supervise(self, Until::SignalOrExit).await {
            // It has not even begun.
            leave::halted(Arc::new(error));
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

pub(super) fn cannot_run(what: &str, error: std::io::Error) -> RunError {
    RunError {
        why: HaltReason::Fatal,
        reason: what.into(),
        failure: Some((
            None,
            Told::new(Failure::new(format!("{what}: {error}")).fatal()),
        )),
        wedged: Vec::new(),
    }
}
