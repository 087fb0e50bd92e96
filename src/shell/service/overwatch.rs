//! A service that is ready to run, and the methods that run it.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use super::control::{Service, Until, supervise};
use super::handle::Handle;
use crate::shell::failure::RunError;
use crate::shell::process;

/// A service that is ready to run.
///
/// 1. [`builder`](Overwatch::builder) takes the probe, the [`Builder`](crate::Builder) takes policy and components;
/// 2. [`Builder::build`](crate::Builder::build) checks everything;
/// 3. get a [`handle`](Overwatch::handle) before the run;
/// 4. call [`run_or_exit`](Overwatch::run_or_exit), or one of the other run methods.
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
/// the service; a panic does the same. If the run has a separate thread, that thread aborts the tasks when it has
/// finished its current step, and the drop waits for that, a tenth of a second at most.
#[must_use = "a service does nothing until it is run"]
pub struct Overwatch(pub(crate) Service);

impl Overwatch {
    /// The handle that follows and controls the run. Get it before the run, which consumes the service.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.0.published.0))
    }

    /// Runs until a [`Handle`] requests a shutdown.
    ///
    /// On a multi-thread runtime a separate thread with its own timers supervises the run, so a service that blocks its
    /// threads does not delay the supervisor. On a current-thread runtime the run is supervised where it is awaited.
    /// [`Builder::control_thread`](crate::Builder::control_thread) changes this.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the run was halted: by a fatal failure, by a wedged component, or because of too many failed starts in
    /// a row or a component that failed too often, if the policy has such a limit. All components except the wedged ones
    /// are stopped by then. Also if the run ended as requested, but a component
    /// [did not stop well](crate::Builder::unclean_stop_is_error); and if the operating system provides no thread.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its time enabled, and if the hook of
    /// [`Builder::on_step`](crate::Builder::on_step) panicked.
    pub async fn run(self) -> Result<(), RunError> {
        supervise(self.0, Until::Shutdown).await
    }

    /// Runs until a future completes, then shuts down in order. See [`run`](Self::run).
    ///
    /// The future is polled by the task that awaits this. If components keep all workers busy, its completion is
    /// noticed only when that task is polled. [`Handle::shutdown`] has no such delay.
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

    /// Runs until the process gets SIGINT or SIGTERM, then shuts down in order. On other systems than Unix: ctrl-c.
    ///
    /// A second signal ends the process at once, without a message and without exit handlers. The exit code is 128 +
    /// the number of the signal: 143 after SIGTERM and 130 after SIGINT. The signal handler does this, so it works
    /// while every thread is blocked. (On other systems than Unix the second ctrl-c ends the process, with exit code
    /// 130, as long as the run is polled.)
    ///
    /// **After the end of the run, the next signal also ends the process in this way.** So a blocked thread of the
    /// service, or a runtime whose drop waits for such a thread, cannot keep the process alive. The signal handlers
    /// stay for good, and run beside other handlers of the program. A new run listens again: its first signal is an
    /// ordered stop. If there are several runs at the same time, a signal stops all of them, and the next one ends the
    /// process.
    ///
    /// # Errors
    ///
    /// See [`run`](Self::run); also if the signal handlers cannot be installed.
    pub async fn run_until_signal(self) -> Result<(), RunError> {
        supervise(self.0, Until::Signal).await
    }

    /// As [`run_until_signal`](Self::run_until_signal), but exits the process with exit code 1 if the run ended with an
    /// [error](Self::run): it was halted, or a component did not stop well.
    ///
    /// Otherwise a wedged thread would keep the process alive after `main` has returned, and continue with work that
    /// other nodes may already do. **With a lease use this method.**
    ///
    /// The process exits where the run ends, before anything of the run is dropped. This needs neither the task that
    /// awaits this method nor the runtime. Pending log lines are written, for 1 s at most; the error goes to stderr,
    /// for 100 ms at most; then exit handlers run and stdout is flushed, for 500 ms at most.
    ///
    /// After an ordered stop in which each component stopped well, this method returns, and `main` continues. If the rest of `main` hangs, the next signal
    /// ends the process.
    pub async fn run_or_exit(self) {
        if let Err(error) = supervise(self.0, Until::SignalOrExit).await {
            // Only if the run could not begin: otherwise the process has exited before.
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
