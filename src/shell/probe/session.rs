//! One session with the dependency: a task that asks the probe again and again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::Level;

use super::traits::{Observation, Probe, ProbeMode};
use crate::shell::failure::{Failure, unwinding};
use crate::shell::log::{Log, log};
use crate::shell::placement::Placement;

/// The shortest time between two calls of a probe, so that one that returns at once is no hot loop.
const PACE: Duration = Duration::from_millis(10);
/// How long the end of a session is waited for that is not on the service's runtime.
const ISOLATED: Duration = Duration::from_millis(100);
/// How long a probe that panicked is left alone.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// One observation on its way to the supervisor.
pub(crate) struct SessionObservation {
    pub(crate) session: u64,
    pub(crate) at: Instant,
    /// The last round that was asked for when it began.
    pub(crate) round: u64,
    pub(crate) observation: Observation,
}

/// The probe, and the task of the present session.
pub(crate) struct Sessions {
    probe: Arc<dyn Probe>,
    /// Where the probe is called.
    runtime: runtime::Handle,
    /// Whether the run has a thread of its own.
    apart: bool,
    /// Whether the probe is called on another runtime than that of the components.
    is_isolated: bool,
    log: Log,
    tell: mpsc::Sender<SessionObservation>,
    task: Option<JoinHandle<()>>,
    wishes: Arc<Wishes>,
    /// Held by the session that calls the probe.
    turn: Arc<Mutex<LastTold>>,
}

/// What the probe is to be told. It is the user's code, so the session's task tells it, and not the
/// supervisor.
#[derive(Default)]
struct Wishes {
    /// Whether a start depends on what is observed.
    proving: AtomicBool,
    /// The last round of observations that was asked for.
    round: AtomicU64,
    changed: Notify,
}

/// What the probe was told so far.
#[derive(Default)]
struct LastTold {
    proving: Option<bool>,
    /// The round of what is observed now.
    round: u64,
    /// The last round that a call was told of while it was pending.
    hurried: u64,
}

impl Sessions {
    pub(crate) fn new(
        probe: Arc<dyn Probe>,
        runtime: runtime::Handle,
        apart: bool,
        is_isolated: bool,
        log: Log,
    ) -> (Self, mpsc::Receiver<SessionObservation>) {
        // Room for one: a probe is never ahead of the supervisor by more than that.
        let (tell, seen) = mpsc::channel(1);
        let sessions = Self {
            probe,
            runtime,
            apart,
            is_isolated,
            log,
            tell,
            task: None,
            wishes: Arc::default(),
            turn: Arc::default(),
        };
        (sessions, seen)
    }

    pub(crate) fn open(&mut self, session: u64) {
        let calls = Calls {
            probe: Arc::clone(&self.probe),
            wishes: Arc::clone(&self.wishes),
            session,
            tell: self.tell.clone(),
        };
        let turn = Arc::clone(&self.turn);
        let work = async move {
            // A probe that blocks its thread survives the abort of its session. Another call beside
            // it would block another thread, and in the end them all.
            let mut told = turn.lock().await;
            calls.observe(&mut told).await;
        };
        let work = Placement::of(self.apart).scope(work);
        self.task = Some(self.runtime.spawn(self.log.clone().scope_task(work)));
    }

    /// Asks for one more observation now: what begins to be observed from here on is of this round.
    pub(crate) fn ask(&self, round: u64) {
        self.wishes.round.store(round, Ordering::Release);
        self.wishes.changed.notify_one();
    }

    /// Tells whether a start depends on what is observed from here on.
    pub(crate) fn prove(&mut self, proving: bool) {
        if self.wishes.proving.swap(proving, Ordering::AcqRel) != proving {
            self.wishes.changed.notify_one();
        }
    }

    pub(crate) fn close(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    /// Waits until the task of the last session is gone, for this long at most.
    pub(crate) async fn join(&mut self, at_most: Duration) {
        self.close();
        // On a runtime of its own it holds nothing of the service's, and may be blocked.
        let at_most = if self.is_isolated {
            at_most.min(ISOLATED)
        } else {
            at_most
        };
        if let Some(task) = self.task.take() {
            let _ = tokio::time::timeout(at_most, task).await;
        }
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.close();
    }
}

/// How a session calls the probe.
struct Calls {
    probe: Arc<dyn Probe>,
    wishes: Arc<Wishes>,
    session: u64,
    tell: mpsc::Sender<SessionObservation>,
}

impl Calls {
    async fn observe(self, told: &mut LastTold) {
        loop {
            let began = Instant::now();
            let call = Box::pin(async { Ok(self.call(told).await) });
            let observed = unwinding(call).await;
            let (observation, panic) = match observed {
                Ok(observation) => (observation, None),
                Err(panic) => (
                    Observation::failing(format!("the probe {panic}")),
                    Some(panic),
                ),
            };
            let seen = SessionObservation {
                session: self.session,
                at: Instant::now(),
                round: told.round,
                observation,
            };
            if self.tell.send(seen).await.is_err() {
                return;
            }
            if panic.is_some() {
                // What was thrown is the user's, so it is dropped only now.
                drop(panic);
                sleep(AFTER_PANIC).await;
            } else {
                sleep_until(began + PACE).await;
            }
        }
    }

    /// One call. The probe is told what there is to tell before it and during it.
    async fn call(&self, told: &mut LastTold) -> Observation {
        self.tell_mode(told);
        let round = self.wishes.round.load(Ordering::Acquire);
        if told.round != round {
            self.refresh();
            told.round = round;
        }
        let mut observation = self.probe.observe();
        loop {
            tokio::select! {
                biased;
                seen = &mut observation => return seen,
                () = self.wishes.changed.notified() => {
                    self.tell_mode(told);
                    self.hurry_pending(told);
                }
            }
        }
    }

    /// A call that is pending began before what is asked for now, unless the probe knows better.
    fn hurry_pending(&self, told: &mut LastTold) {
        let round = self.wishes.round.load(Ordering::Acquire);
        if told.round == round || told.hurried == round {
            return;
        }
        told.hurried = round;
        if self.refresh() {
            told.round = round;
        }
    }

    fn tell_mode(&self, told: &mut LastTold) {
        let proving = self.wishes.proving.load(Ordering::Acquire);
        if told.proving.replace(proving) != Some(proving) {
            let mode = match proving {
                true => ProbeMode::Proving,
                false => ProbeMode::Watching,
            };
            let _ = self.tell_probe("set_mode", |probe| probe.set_mode(mode));
        }
    }

    fn refresh(&self) -> bool {
        let fresh = self.tell_probe("refresh", |probe| probe.refresh());
        fresh.unwrap_or(false)
    }

    /// What panics there must not end the session.
    fn tell_probe<T>(&self, what: &'static str, tell: impl FnOnce(&dyn Probe) -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(|| tell(&*self.probe))) {
            Ok(answer) => Some(answer),
            Err(panic) => {
                let failure = Failure::from_panic(panic);
                log(Level::ERROR, move |at_ms| {
                    tracing::error!(target: "overwatch::probe", at_ms, "the probe's {what} {failure}");
                });
                None
            }
        }
    }
}
