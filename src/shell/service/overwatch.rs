//! A service that is ready to be run, and the ways to run it.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use super::control::{Service, Until, supervise};
use super::handle::Handle;
use crate::shell::failure::RunError;
use crate::shell::process;

/// A service that is ready to be run.
///
/// 1. [`builder`](Overwatch::builder) takes the probe, the [`Builder`](crate::Builder) takes policy and components;
/// 2. [`Builder::build`](crate::Builder::build) checks everything;
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
pub struct Overwatch(pub(crate) Service);

impl Overwatch {
    /// The handle that follows and steers the run. Get it before the run, which takes the service.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.0.published.0))
    }

    /// Runs until a shutdown is asked for by a [`Handle`].
    ///
    /// On the multi-thread runtime the run is supervised by its own thread with its own timers,
    /// so that nothing the service does to its threads holds it up. On a runtime of one thread it is
    /// supervised where it is awaited. [`Builder::control_thread`](crate::Builder::control_thread) changes that.
    ///
    /// # Errors
    ///
    /// [`RunError`] if it was halted: a fatal failure, a wedged component, or too many failed starts
    /// in a row where the policy gives up. All components but the wedged ones are stopped by then. Also
    /// if the operating system gives no thread.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its time enabled; and if the hook of [`Builder::on_step`](crate::Builder::on_step) did.
    pub async fn run(self) -> Result<(), RunError> {
        supervise(self.0, Until::Shutdown).await
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
        supervise(self.0, Until::Signal).await
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
        if let Err(error) = supervise(self.0, Until::SignalOrExit).await {
            // It has not even begun.
            process::halted(Arc::new(error));
        }
    }
}

impl fmt::Debug for Overwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overwatch")
            .field("components", &self.0.published.0.published.roster.names())
            .finish_non_exhaustive()
    }
}
