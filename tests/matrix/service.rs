//! A service under watch, and what its probe told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe};
use overwatch::{Handle, Observation, Overwatch, Policy, PolicyError, Probe, ProbeMode, RunError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Whatever is waited for must come within that.
const PATIENCE: Duration = Duration::from_secs(60);

/// A failing observation: when, its class, its reason.
pub(crate) type Failing = (Instant, &'static str, String);

/// When it became ready, or not ready any more.
pub(crate) type Turn = (Instant, bool);

/// A service of one component, which runs.
pub(crate) struct Service {
    pub(crate) handle: Handle,
    failing: Arc<Mutex<Vec<Failing>>>,
    turns: Arc<Mutex<Vec<Turn>>>,
    run: JoinHandle<Result<(), RunError>>,
}

impl Service {
    /// Begins to run it, on default settings but for the window.
    pub(crate) fn start(config: EtcdConfig, window: Duration) -> Self {
        let failing = Arc::default();
        let probe = Recorded {
            probe: EtcdProbe::new(config).expect("valid numbers"),
            failing: Arc::clone(&failing),
        };
        let policy = Policy::builder().window(window).build();
        let service = Overwatch::builder(probe)
            .policy(policy.expect("a policy that works"))
            .task("worker", |ctx| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            })
            .build()
            .expect("probe and policy fit");
        let handle = service.handle();
        let turns = Arc::default();
        tokio::spawn(note_turns(handle.clone(), Arc::clone(&turns)));
        let run = tokio::spawn(service.run());
        Self {
            handle,
            failing,
            turns,
            run,
        }
    }

    /// When it is ready.
    pub(crate) async fn ready(&self) -> Instant {
        let ready = timeout(PATIENCE, self.handle.wait_until_ready()).await;
        let ready = ready
            .unwrap_or_else(|_| panic!("not ready in {PATIENCE:?}: {:?}", self.handle.status()));
        ready.expect("the run goes on");
        Instant::now()
    }

    /// When it is not ready any more; none if that takes too long.
    pub(crate) async fn not_ready(&self, at_most: Duration) -> Option<Instant> {
        let lost = timeout(at_most, self.handle.wait_for(|status| !status.ready)).await;
        lost.ok()?.expect("the run goes on");
        Some(Instant::now())
    }

    /// How readiness has turned since then.
    pub(crate) fn turns_since(&self, since: Instant) -> Vec<Turn> {
        let turns = self.turns.lock().expect("nobody panics");
        turns
            .iter()
            .filter(|(at, _)| *at >= since)
            .copied()
            .collect()
    }

    /// What the probe told to fail since then.
    pub(crate) fn failing_since(&self, since: Instant) -> Vec<Failing> {
        let failing = self.failing.lock().expect("nobody panics");
        failing
            .iter()
            .filter(|(at, ..)| *at >= since)
            .cloned()
            .collect()
    }

    pub(crate) async fn end(self) {
        self.handle.shutdown();
        let ended = timeout(PATIENCE, self.run).await.expect("it ends in time");
        ended.expect("no panic").expect("no error");
    }
}

/// Notes each turn of readiness, until the run is over.
async fn note_turns(handle: Handle, turns: Arc<Mutex<Vec<Turn>>>) {
    let mut ready = false;
    while handle
        .wait_for(|status| status.ready != ready)
        .await
        .is_ok()
    {
        ready = !ready;
        let mut turns = turns.lock().expect("nobody panics");
        turns.push((Instant::now(), ready));
    }
}

/// Notes what a probe tells.
struct Recorded {
    probe: EtcdProbe,
    failing: Arc<Mutex<Vec<Failing>>>,
}

#[async_trait::async_trait]
impl Probe for Recorded {
    async fn observe(&self) -> Observation {
        let observation = self.probe.observe().await;
        if let Observation::Failing { reason, class, .. } = &observation {
            let told = (Instant::now(), class.unwrap_or("-"), reason.to_string());
            self.failing.lock().expect("nobody panics").push(told);
        }
        observation
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        self.probe.check(policy)
    }

    fn refresh(&self) -> bool {
        self.probe.refresh()
    }

    fn set_mode(&self, mode: ProbeMode) {
        self.probe.set_mode(mode);
    }
}
