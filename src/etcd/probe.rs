//! The probe: it drives the lanes and asks the judge.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep_until};

use super::config::EtcdConfig;
use super::error::EtcdConfigError;
use super::judge::Judge;
use super::lane::{Lane, Outcome};
use crate::policy::{Policy, PolicyError};
use crate::{Observation, Probe};

/// Observes etcd: see the [module](crate::etcd) for what counts as evidence and when it is failing.
///
/// All work is done inside [`observe`](Probe::observe). Dropping a pending call closes the
/// connections, and the next call opens new ones; so does a pause of more than two intervals
/// between calls. Calls that overlap take turns.
///
/// ```no_run
/// use overwatch::etcd::{EtcdConfig, EtcdProbe};
/// use overwatch::{Observation, Probe};
///
/// # async fn example() -> Result<(), overwatch::etcd::EtcdConfigError> {
/// let probe = EtcdProbe::new(EtcdConfig::new(["http://127.0.0.1:2379"])?)?;
/// match probe.observe().await {
///     Observation::Alive { evidence } => println!("alive: {evidence}"),
///     Observation::Failing { reason } => println!("failing: {reason}"),
///     _ => {}
/// }
/// # Ok(())
/// # }
/// ```
pub struct EtcdProbe {
    config: Arc<EtcdConfig>,
    vigil: Mutex<Vigil>,
    hurry: Notify,
}

impl EtcdProbe {
    /// A probe that has done no I/O yet; needs no runtime.
    ///
    /// # Errors
    ///
    /// When a number is out of its bounds, or user, TLS and endpoints do not fit together.
    pub fn new(config: EtcdConfig) -> Result<Self, EtcdConfigError> {
        config.check()?;
        let config = Arc::new(config);
        let vigil = Mutex::new(Vigil {
            config: Arc::clone(&config),
            judge: Judge::new(&config, Instant::now()),
            lanes: Vec::new(),
            returned_at: None,
        });
        let hurry = Notify::new();
        Ok(Self {
            config,
            vigil,
            hurry,
        })
    }
}

impl fmt::Debug for EtcdProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdProbe")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Probe for EtcdProbe {
    async fn observe(&self) -> Observation {
        let mut vigil = self.vigil.lock().await;
        vigil.resume(Instant::now());
        let mut watched = Watched {
            vigil: &mut vigil,
            finished: false,
        };
        let observation = watched.vigil.observe(&self.hurry).await;
        watched.finished = true;
        observation
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        let (grace, limit) = (self.config.grace, policy.silence_limit());
        if grace < limit {
            return Ok(());
        }
        Err(PolicyError::new(
            "silence_limit",
            format!("{limit:?}"),
            format!(
                "it must be longer than the probe's grace of {grace:?}: an election that the probe \
                 tolerates would count as silence"
            ),
        ))
    }

    fn hurry(&self) {
        // Waiters only: a hurry is for the pause that is under way, not for a later one.
        self.hurry.notify_waiters();
    }
}

/// All state of the probe.
struct Vigil {
    config: Arc<EtcdConfig>,
    judge: Judge,
    lanes: Vec<Lane>,
    /// When the last call returned; none if it was dropped.
    returned_at: Option<Instant>,
}

impl Vigil {
    /// Goes on from the last call, or begins anew if that is too long ago: what was heard then says
    /// nothing about the time between.
    fn resume(&mut self, now: Instant) {
        let goes_on = self
            .returned_at
            .take()
            .is_some_and(|at| now < at + 2 * self.config.interval);
        if goes_on {
            return;
        }
        self.judge.restart(now);
        let lane = |endpoint: &_| Lane::new(Clone::clone(endpoint), Arc::clone(&self.config), now);
        self.lanes = self.config.endpoints.iter().map(lane).collect();
    }

    /// Safe to drop at its only await: attempts live in their lanes, outcomes in the judge.
    async fn observe(&mut self, hurry: &Notify) -> Observation {
        loop {
            let now = Instant::now();
            if let Some(observation) = self.judge.next(now) {
                self.returned_at = Some(now);
                return observation;
            }
            let mark = self.judge.mark();
            // At least once an interval, so that lateness tells how long the process did not run.
            let mut wake_at = self.judge.due_at().min(now + self.config.interval);
            for lane in &mut self.lanes {
                lane.begin_if_due(now, mark);
                wake_at = lane.due_at().map_or(wake_at, |at| wake_at.min(at));
            }
            tokio::select! {
                biased;
                (index, outcome) = finished(&mut self.lanes) => {
                    self.judge.record(index, outcome, Instant::now());
                }
                () = hurry.notified() => {
                    self.judge.hurry();
                    for lane in &mut self.lanes {
                        lane.hurry(Instant::now());
                    }
                }
                () = sleep_until(wake_at) => {}
            }
            // Woken far too late: the process was frozen or starved, and an answer that nobody could
            // take is not missing. (What that means for the service is the supervisor's business.)
            let woken_at = Instant::now();
            let late = woken_at.saturating_duration_since(wake_at);
            if late > self.config.interval {
                self.judge.excuse(late, woken_at);
            }
        }
    }
}

/// The first attempt that finishes.
async fn finished(lanes: &mut [Lane]) -> (usize, Outcome) {
    poll_fn(|cx| {
        for (index, lane) in lanes.iter_mut().enumerate() {
            if let Poll::Ready(outcome) = lane.poll(cx) {
                return Poll::Ready((index, outcome));
            }
        }
        Poll::Pending
    })
    .await
}

/// Closes all connections when a call is dropped before it returns: nobody may call again.
struct Watched<'a> {
    vigil: &'a mut Vigil,
    finished: bool,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.vigil.lanes.clear();
        }
    }
}
