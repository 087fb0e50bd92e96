//! One session with the dependency: a task that asks the probe again and again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::incarnation::unwinding;
use super::{Failure, Observation, Probe};
use crate::machine::Phase;

/// The shortest time between two calls of a probe, so that one that returns at once is no hot loop.
const PACE: Duration = Duration::from_millis(10);
/// How long a probe that panicked is left alone.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// One observation on its way to the supervisor.
pub(super) struct Seen {
    pub(super) session: u64,
    pub(super) at: Instant,
    pub(super) observation: Observation,
}

/// The probe, and the task of the present session.
pub(super) struct Sessions {
    probe: Arc<dyn Probe>,
    tell: mpsc::Sender<Seen>,
    task: Option<JoinHandle<()>>,
    /// What the probe was last told of a start that depends on it.
    proving: Option<bool>,
    /// Held by the session that calls the probe.
    turn: Arc<Mutex<()>>,
}

impl Sessions {
    pub(super) fn new(probe: Arc<dyn Probe>) -> (Self, mpsc::Receiver<Seen>) {
        // Room for one: a probe is never ahead of the supervisor by more than that.
        let (tell, seen) = mpsc::channel(1);
        let sessions = Self {
            probe,
            tell,
            task: None,
            proving: None,
            turn: Arc::default(),
        };
        (sessions, seen)
    }

    pub(super) fn open(&mut self, session: u64) {
        let (probe, tell, turn) = (
            Arc::clone(&self.probe),
            self.tell.clone(),
            Arc::clone(&self.turn),
        );
        self.task = Some(tokio::spawn(async move {
            // A probe that blocks its thread survives the abort of its session. Another call beside
            // it would block another thread, and in the end them all.
            let _turn = turn.lock().await;
            observe(probe, session, tell).await;
        }));
    }

    /// Asks for one more observation now.
    pub(super) fn hurry(&self) {
        self.tell_probe("hurry", |probe| probe.hurry());
    }

    /// Tells whether a start depends on what is observed in this phase.
    pub(super) fn enter(&mut self, phase: Phase) {
        let proving = !matches!(phase, Phase::Restarting | Phase::Running);
        if self.proving.replace(proving) != Some(proving) {
            self.tell_probe("proving", |probe| probe.proving(proving));
        }
    }

    /// User code: what panics there must not end the supervisor.
    fn tell_probe(&self, what: &str, tell: impl FnOnce(&dyn Probe)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| tell(&*self.probe))) {
            let failure = Failure::from_panic(panic);
            tracing::error!(target: "overwatch::probe", "the probe's {what} {failure}");
        }
    }

    pub(super) fn close(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    /// Waits until the task of the last session is gone, for this long at most.
    pub(super) async fn join(&mut self, at_most: Duration) {
        self.close();
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

async fn observe(probe: Arc<dyn Probe>, session: u64, tell: mpsc::Sender<Seen>) {
    loop {
        let began = Instant::now();
        let observed = unwinding(Box::pin(async { Ok(probe.observe().await) })).await;
        let panicked = observed.is_err();
        let observation =
            observed.unwrap_or_else(|failure| Observation::failing(format!("the probe {failure}")));
        let at = Instant::now();
        let seen = Seen {
            session,
            at,
            observation,
        };
        if tell.send(seen).await.is_err() {
            return;
        }
        if panicked {
            sleep(AFTER_PANIC).await;
        } else {
            sleep_until(began + PACE).await;
        }
    }
}
