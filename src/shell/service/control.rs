//! Where a run is supervised: apart, on a separate thread, or in place.
//!
//! **Apart.** A service may keep all threads of its runtime busy, or block them, so that its timers stop.
//! So the supervisor has a separate thread and runtime, with its own timers and signals, and exits the process
//! from there. It spawns the components on the service's runtime. The thread and its runtime are made when the
//! run begins, and nothing moves afterwards: a timer belongs to the runtime in whose context it was made.
//!
//! **In place.** On a current-thread runtime everything stays where the run is awaited: no thread, and no
//! clock but tokio's, so that a paused clock or a simulated network controls everything.
//!
//! No user code runs on the control thread, except wakers that are not tokio's, because publishing calls the wakers of
//! waiting tasks. See [`Log`] for events and drops.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use super::signals::Signals;
use crate::machine::{HaltReason, RunOutcome};
use crate::shell::component::Begin;
use crate::shell::failure::{Failure, ReportParts, ReportedFailure, RunError, RunReport};
use crate::shell::log::{LOGGED_WITHIN, Log, discard};
use crate::shell::probe::Probe;
use crate::shell::process;
use crate::shell::run_state::RunState;
use crate::shell::step_record::Hook;
use crate::shell::supervise::{Parts, Supervisor, Watchdog};

/// How long the drop of a run waits for its thread, which may be in the middle of a step.
const DROPPED_WITHIN: Duration = Duration::from_millis(100);

/// The service to run.
pub(crate) struct Service {
    pub(crate) published: Abandoned,
    pub(crate) components: Vec<Arc<dyn Begin>>,
    pub(crate) probe: Arc<dyn Probe>,
    pub(crate) observe_only: bool,
    pub(crate) watchdog: Option<bool>,
    pub(crate) control_thread: Option<bool>,
    pub(crate) on_step: Option<Hook>,
    pub(crate) unclean_stop_is_error: bool,
}

/// What ends a run, in addition to its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Nothing.
    Shutdown,
    /// A signal.
    Signal,
    /// A signal; and if the run is halted, the process exits.
    SignalOrExit,
}

/// Supervises a service to its end.
pub(crate) async fn supervise(service: Service, until: Until) -> Result<(), RunError> {
    let runtime = Handle::current();
    let by_flavor = runtime.runtime_flavor() != RuntimeFlavor::CurrentThread;
    if service.control_thread.unwrap_or(by_flavor) {
        apart(service, until, runtime).await
    } else {
        in_place(service, until, runtime).await
    }
}

async fn in_place(service: Service, until: Until, runtime: Handle) -> Result<(), RunError> {
    let shared = Arc::clone(&service.published.0);
    let abandoned = Abandoned(Arc::clone(&shared));
    let watchdog = watchdog(&service, true)?;
    let has_hook = service.on_step.is_some();
    let log = Log::direct(service.on_step);
    shared.enter(runtime.clone(), log.clone());
    let mut supervisor = Supervisor::new(Parts {
        shared,
        components: service.components,
        probe: service.probe,
        observe_only: service.observe_only,
        watchdog,
        probe_runtime: runtime.clone(),
        runtime,
        log: log.clone(),
        has_hook,
        unclean_stop_is_error: service.unclean_stop_is_error,
        apart: false,
    });
    let ended = run(&mut supervisor, until).await;
    let ended = leave_if_halted(ended, until, &log);
    drop(abandoned);
    ended
}

async fn apart(service: Service, until: Until, runtime: Handle) -> Result<(), RunError> {
    let shared = Arc::clone(&service.published.0);
    let watchdog = watchdog(&service, false)?;
    let has_hook = service.on_step.is_some();
    // Made here, where the run is awaited, so that it uses the subscriber and the span of this task.
    let log = Log::queued(service.on_step);
    shared.enter(runtime.clone(), log.clone());
    // Weak, because the shared state contains the log.
    let wakes = Arc::downgrade(&shared);
    log.on_hook_panic(move || {
        if let Some(shared) = wakes.upgrade() {
            shared.mailbox.nudge();
        }
    });
    let parts = Parts {
        shared: Arc::clone(&shared),
        components: service.components,
        // Called here, because it may be user code.
        probe_runtime: service.probe.home().unwrap_or_else(|| runtime.clone()),
        probe: service.probe,
        observe_only: service.observe_only,
        watchdog,
        runtime,
        log: log.clone(),
        has_hook,
        unclean_stop_is_error: service.unclean_stop_is_error,
        apart: true,
    };
    let (tell, told) = oneshot::channel();
    let (here, dropped) = oneshot::channel::<()>();
    let (running, over) = mpsc::channel::<()>();
    let awaited = Awaited {
        shared,
        here: Some(here),
        over,
    };
    let runtime = parts.runtime.clone();
    let control = move || {
        log.guard_thread(|| {
            let mut left = control(parts, until, dropped);
            // Lets the drop of the run continue: nothing is supervised any more.
            drop::<mpsc::Sender<()>>(running);
            if let ThreadEnd::Run(ended) = left.ended {
                left.ended = ThreadEnd::Run(leave_if_halted(ended, until, &log));
            }
            if tell.is_closed() {
                // Nothing waits for the last log lines. What is left contains values of the user.
                let left = Foreign(Some(left));
                runtime.spawn(async move { drop(left) });
                return log.close(LOGGED_WITHIN);
            }
            log.close(LOGGED_WITHIN);
            // The hook may have panicked at one of the last steps, which it reads later.
            if let (ThreadEnd::Run(_), Some(panic)) = (&left.ended, log.take_hook_panic()) {
                left.ended = ThreadEnd::Panicked(panic);
            }
            // The awaiting task drops what is left of the run. Without such a task, the runtime does.
            if let Err(left) = tell.send(left) {
                let left = Foreign(Some(left));
                runtime.spawn(async move { drop(left) });
            }
        });
    };
    let thread = thread::Builder::new().name("overwatch".into());
    if let Err(error) = thread.spawn(control) {
        return Err(cannot_run(
            &awaited.shared,
            "the run has no thread of its own",
            error,
        ));
    }
    let Ok(Left { ended, supervisor }) = told.await else {
        // The thread sends its result before it ends.
        let error = io::Error::other("it ended without a word");
        return Err(cannot_run(
            &awaited.shared,
            "the run has lost its thread",
            error,
        ));
    };
    drop(supervisor);
    match ended {
        ThreadEnd::Run(ended) => ended,
        ThreadEnd::Panicked(panic) => resume_unwind(panic),
    }
}

/// Exits the process if this was requested and the run was halted, before anything of the run is dropped.
fn leave_if_halted(ended: Result<(), RunError>, until: Until, log: &Log) -> Result<(), RunError> {
    match ended {
        Err(error) if until == Until::SignalOrExit => {
            let error = Arc::new(error);
            let said = Arc::clone(&error);
            log.last_words(move |at_ms| {
                tracing::error!(target: "overwatch::end", at_ms, "{said}");
            });
            process::halted(error)
        }
        ended => ended,
    }
}

/// How a run with a separate thread ended.
enum ThreadEnd {
    Run(Result<(), RunError>),
    Panicked(Box<dyn Any + Send>),
}

/// What is left of a run. It contains values of the user.
struct Left {
    ended: ThreadEnd,
    supervisor: Supervisor,
}

/// Values of the user, which the control thread must not drop.
struct Foreign<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Drop for Foreign<T> {
    /// If the control thread gets here, because the user's runtime is gone, the log drops the value.
    fn drop(&mut self) {
        discard(self.0.take());
    }
}

/// The whole life of the control thread.
fn control(parts: Parts, until: Until, dropped: oneshot::Receiver<()>) -> Left {
    let mut supervisor = Supervisor::new(parts);
    let runtime = Builder::new_current_thread()
        .enable_all()
        // The only I/O is signals; room for more events would cost memory in each run.
        .max_io_events_per_tick(16)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let shared = supervisor.shared();
            let error = cannot_run(shared, "the run has no runtime of its own", error);
            supervisor.abandon();
            return Left {
                ended: ThreadEnd::Run(Err(error)),
                supervisor,
            };
        }
    };
    let supervised = async {
        tokio::select! {
            biased;
            _ = dropped => None,
            ended = run(&mut supervisor, until) => Some(ended),
        }
    };
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(supervised)));
    // However it ended, it is not ready any more, and everything is aborted.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| supervisor.abandon())) {
        discard(panic);
    }
    runtime.shutdown_background();
    let ended = match ended {
        Ok(Some(ended)) => ThreadEnd::Run(ended),
        // The run was dropped, so no task receives the result.
        Ok(None) => ThreadEnd::Run(Ok(())),
        Err(panic) => ThreadEnd::Panicked(panic),
    };
    Left { ended, supervisor }
}

/// Supervises until the run is over.
async fn run(supervisor: &mut Supervisor, until: Until) -> Result<(), RunError> {
    if until == Until::Shutdown {
        return supervisor.run().await;
    }
    let shared = Arc::clone(supervisor.shared());
    let mut signals = Signals::new()
        .map_err(|error| cannot_run(&shared, "signals cannot be listened for", error))?;
    let mut run = std::pin::pin!(supervisor.run());
    tokio::select! {
        biased;
        ended = &mut run => return ended,
        signal = signals.next() => {
            // Before the request, so that the reason can name it.
            if !shared.mailbox.was_shut_down() {
                shared.published.note_signal(signal);
            }
            shared.mailbox.shut_down();
        }
    }
    tokio::select! {
        biased;
        ended = &mut run => ended,
        never = signals.second() => match never {},
    }
}

/// The fence watchdog, if it is on.
fn watchdog(service: &Service, in_place: bool) -> Result<Option<Watchdog>, RunError> {
    let shared = &service.published.0;
    let switched = service.watchdog;
    if !Watchdog::is_on(switched, &shared.plan, service.observe_only, in_place) {
        return Ok(None);
    }
    let started = Watchdog::start(Arc::clone(shared));
    started
        .map(Some)
        .map_err(|error| cannot_run(shared, "the fence watchdog has no thread", error))
}

/// Publishes "not ready" when it is dropped.
pub(crate) struct Abandoned(pub(crate) Arc<RunState>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// The error of a run that cannot go on. Handles get the same report.
pub(crate) fn cannot_run(shared: &RunState, what: &str, error: std::io::Error) -> RunError {
    let failure = Failure::new(format!("{what}: {error}")).fatal();
    let report = RunReport::new(ReportParts {
        outcome: Some(RunOutcome::Halted(HaltReason::Fatal)),
        reason: what.into(),
        unclean_stops: Vec::new(),
        wedged: Vec::new(),
        signal: None,
    });
    shared.published.end(report.clone());
    RunError {
        report,
        failure: Some((None, ReportedFailure::new(failure))),
    }
}

/// The awaiting side of a run with a separate thread.
struct Awaited {
    shared: Arc<RunState>,
    /// The thread is notified when this is dropped.
    here: Option<oneshot::Sender<()>>,
    /// The thread drops the other end when nothing is supervised any more.
    over: mpsc::Receiver<()>,
}

impl Drop for Awaited {
    /// Turns readiness off at once. Then the thread aborts what still runs, and this waits for that, but not for long.
    fn drop(&mut self) {
        self.shared.published.set_ready(false);
        drop(self.here.take());
        self.shared.abandon();
        let _ = self.over.recv_timeout(DROPPED_WITHIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Overwatch};

    /// Supervisor, log and mailbox know each other, and let go of each other at the end.
    #[test]
    fn nothing_of_a_run_is_left_behind() {
        for apart in [false, true] {
            let runtime = Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build();
            let (feed, probe) = crate::feed();
            feed.alive("once is enough");
            let service = Overwatch::builder(probe)
                .control_thread(apart)
                .on_step(|_| {})
                .task("idle", |ctx: Context| async move {
                    ctx.mark_ready();
                    ctx.stopping().await;
                    Ok(())
                });
            let service = service.build().expect("a valid service");
            let left = Arc::downgrade(&service.0.published.0);
            let handle = service.handle();
            runtime.expect("a runtime").block_on(async move {
                let run = tokio::spawn(service.run());
                handle.wait_until_ready().await.expect("it runs on");
                handle.shutdown();
                run.await.expect("no panic").expect("an orderly end");
            });
            // A thread of it may be about to end.
            for _ in 0..20_000 {
                if left.strong_count() == 0 {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(left.strong_count(), 0, "apart: {apart}");
        }
    }
}
