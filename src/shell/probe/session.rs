//! A session: a task that calls the probe in a loop.

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

/// The shortest time between two calls of a probe, so that a probe that returns at once causes no busy loop.
const PACE: Duration = Duration::from_millis(10);
/// How long to wait for the end of a session that is not on the service's runtime.
const ISOLATED: Duration = Duration::from_millis(100);
/// The pause after a panic of the probe.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// One observation on its way to the supervisor.
pub(crate) struct SessionObservation {
    pub(crate) session: u64,
    pub(crate) at: Instant,
    /// The last requested round when the observation began.
    pub(crate) round: u64,
    pub(crate) observation: Observation,
}

/// The probe, and the task of the current session.
pub(crate) struct Sessions {
    probe: Arc<dyn Probe>,
    /// Where the probe is called.
    runtime: runtime::Handle,
    /// Whether the run has a separate thread.
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

/// What the probe must be called with. The probe is user code, so the session's task calls it, not the supervisor.
#[derive(Default)]
struct Wishes {
    /// Whether a start depends on what is observed.
    proving: AtomicBool,
    /// The last requested round of observations.
    round: AtomicU64,
    changed: Notify,
}

/// What the probe was last called with.
#[derive(Default)]
struct LastTold {
    proving: Option<bool>,
    /// The round of the current observation.
    round: u64,
    /// The last round for which a pending call was refreshed.
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
        // Room for one: a probe is at most one observation ahead of the supervisor.
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
            // A probe that blocks its thread survives the abort of its session. A second call would block another
            // thread, and in the end all threads would be blocked.
            let mut told = turn.lock().await;
            calls.observe(&mut told).await;
        };
        let work = Placement::of(self.apart).scope(work);
        self.task = Some(self.runtime.spawn(self.log.clone().scope_task(work)));
    }

    /// Requests one more observation now. Observations that begin from here on belong to this round.
    pub(crate) fn ask(&self, round: u64) {
        self.wishes.round.store(round, Ordering::Release);
        self.wishes.changed.notify_one();
    }

    /// Sets whether a start depends on the observations from here on.
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

    /// Waits until the task of the last session is gone, for at most this long.
    pub(crate) async fn join(&mut self, at_most: Duration) {
        self.close();
        // On a separate runtime it holds nothing of the service, and may be blocked.
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
                observation: observation.redacted(),
            };
            if self.tell.send(seen).await.is_err() {
                return;
            }
            if panic.is_some() {
                // Dropped only now, because the payload is a value of the user.
                drop(panic);
                sleep(AFTER_PANIC).await;
            } else {
                sleep_until(began + PACE).await;
            }
        }
    }

    /// Calls `observe` once. Mode and refresh are passed to the probe before the call and during it.
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

    /// Refreshes a pending call. It began before the requested round, unless the probe says that it observes anew.
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

    /// Calls a method of the probe. A panic in it must not end the session.
    fn tell_probe<T>(&self, what: &'static str, tell: impl FnOnce(&dyn Probe) -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(|| tell(&*self.probe))) {
            Ok(answer) => Some(answer),
            Err(panic) => {
                let failure = Failure::from_panic(panic).text();
                log(Level::ERROR, move |at_ms| {
                    tracing::error!(target: "overwatch::probe", at_ms, method = what, failure, "a method of the probe panicked");
                });
                None
            }
        }
    }
}
