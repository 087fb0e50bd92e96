//! The probe: it asks on the lanes what the judge finds due.

use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep_until};

use super::cause::Cause;
use super::config::EtcdConfig;
use super::error::EtcdConfigError;
use super::fault::{Fault, Verdict};
use super::home::CLIENTS;
use super::judge::Judge;
use super::lane::{Event, Lane};
use super::layer::Kind;
use super::sight::{EndpointSight, Sights};
use crate::policy::{Policy, PolicyError};
use crate::{Observation, Probe};

/// Observes etcd: see the [module](crate::etcd) for what counts as evidence and when it is failing.
///
/// All work is done inside [`observe`](Probe::observe). Dropping a pending call closes the
/// connections, and the next call opens new ones; so does a long pause between calls. Calls that
/// overlap take turns.
///
/// Where the service has a multi-thread runtime, the probe is polled on a thread of its own, which it
/// shares with the renewals of leases: see the [module](crate::etcd).
///
/// ```no_run
/// use overwatch::etcd::{EtcdConfig, EtcdProbe};
/// use overwatch::{Observation, Probe};
///
/// # async fn example() -> Result<(), overwatch::etcd::EtcdConfigError> {
/// let probe = EtcdProbe::new(EtcdConfig::new(["http://127.0.0.1:2379"])?)?;
/// match probe.observe().await {
///     Observation::Alive { evidence } => println!("alive: {evidence}"),
///     Observation::Failing { reason, .. } => println!("failing: {reason}"),
///     _ => {}
/// }
/// # Ok(())
/// # }
/// ```
pub struct EtcdProbe(Arc<Inner>);

struct Inner {
    config: Arc<EtcdConfig>,
    vigil: Mutex<Vigil>,
    hurry: Notify,
    proving: AtomicBool,
    /// That of the policy, once it is known.
    window: OnceLock<Duration>,
    sights: Arc<Sights>,
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
        // Each process has a random state of its own.
        let seed = || RandomState::new().hash_one(0);
        let seed = config.jitter_seed.unwrap_or_else(seed);
        let sights = Arc::new(Sights::new(&config));
        let vigil = Mutex::new(Vigil {
            config: Arc::clone(&config),
            judge: Judge::new(Arc::clone(&config), seed, Instant::now()),
            lanes: Vec::new(),
            asked_last: [0; 3],
            sights: Arc::clone(&sights),
            returned: None,
        });
        Ok(Self(Arc::new(Inner {
            config,
            vigil,
            hurry: Notify::new(),
            proving: AtomicBool::new(false),
            window: OnceLock::new(),
            sights,
        })))
    }

    /// What was last seen of each endpoint, in the order in which they were given.
    pub fn endpoints(&self) -> Vec<EndpointSight> {
        self.0.sights.get()
    }
}

impl fmt::Debug for EtcdProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdProbe")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Probe for EtcdProbe {
    async fn observe(&self) -> Observation {
        loop {
            let inner = Arc::clone(&self.0);
            let observed = CLIENTS.run(async move { inner.observe().await }).await;
            let observation = observed.unwrap_or_else(|gone| {
                let Cause { fault, text, .. } = gone.into();
                Observation::failing(format!("{fault}: {text}")).classed(fault.as_str())
            });
            if matches!(observation, Observation::Failing { .. }) || !self.0.was_overtaken() {
                return observation;
            }
        }
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        // Whoever is asked for several policies goes by the first.
        let _ = self.0.window.set(policy.window());
        let config = &self.0.config;
        let (gap, limit) = (config.pace.longest_gap(), policy.silence_limit());
        let threshold = policy.trip_threshold();
        if threshold > 1 && config.verdict_of(Fault::StoreReset) == Verdict::Certain {
            return Err(PolicyError::new(
                "trip_threshold",
                threshold.to_string(),
                "it must be 1, because a reset of etcd's store is told once: or set \
                 EtcdConfig::verdict for Fault::StoreReset to Transient, if it is to be logged only, \
                 or to Fatal",
            ));
        }
        if gap < limit {
            return Ok(());
        }
        Err(PolicyError::new(
            "silence_limit",
            format!("{limit:?}"),
            format!(
                "it must be longer than {gap:?}, the shortest period and the longest patience of the \
                 probe: an election that the probe tolerates would count as silence"
            ),
        ))
    }

    fn hurry(&self) -> bool {
        // If no call waits now, the next one does: no observation before this is good enough.
        self.0.hurry.notify_one();
        true
    }

    fn proving(&self, on: bool) {
        self.0.proving.store(on, Ordering::Relaxed);
    }

    fn home(&self) -> Option<Handle> {
        CLIENTS.handle()
    }
}

impl Inner {
    /// Whether it was hurried since the last look for that. On the thread of the clients a call may have
    /// come to its end by then.
    fn was_overtaken(&self) -> bool {
        let overtaken = pin!(self.hurry.notified()).enable();
        if overtaken {
            self.hurry.notify_one();
        }
        overtaken
    }

    async fn observe(&self) -> Observation {
        let mut vigil = self.vigil.lock().await;
        vigil.resume(Instant::now());
        if let Some(&window) = self.window.get() {
            vigil.judge.set_window(window);
        }
        let mut watched = Watched {
            vigil: &mut vigil,
            finished: false,
        };
        let observation = watched.vigil.observe(&self.hurry, &self.proving).await;
        watched.finished = true;
        observation
    }
}

/// All state of the probe.
struct Vigil {
    config: Arc<EtcdConfig>,
    judge: Judge,
    lanes: Vec<Lane>,
    /// The lane that each layer was last asked on.
    asked_last: [usize; 3],
    sights: Arc<Sights>,
    /// When the last call returned, and on which runtime; none if it was dropped.
    returned: Option<(Instant, Option<Id>)>,
}

impl Vigil {
    /// Goes on from the last call, or begins anew if that is too long ago: what was heard then says
    /// nothing about the time between. So it does on another runtime than that of the connections, which
    /// may have ended.
    fn resume(&mut self, now: Instant) {
        if let Some((at, runtime)) = self.returned.take()
            && now < at + self.config.pace.longest_gap()
            && runtime == runtime_id()
        {
            // Nobody listened in between.
            self.judge.excuse(now - at, now);
            return;
        }
        self.judge.restart(now);
        let lane = |endpoint: &_| Lane::new(Clone::clone(endpoint), Arc::clone(&self.config), now);
        self.lanes = self.config.endpoints.iter().map(lane).collect();
    }

    /// Safe to drop at its only await: what is under way lives in the lanes, what is known in the
    /// judge.
    async fn observe(&mut self, hurry: &Notify, proving: &AtomicBool) -> Observation {
        loop {
            let now = Instant::now();
            // Before anything is told: what was heard before the hurry is not good enough.
            tokio::select! {
                biased;
                () = hurry.notified() => self.hurried(now),
                () = std::future::ready(()) => {}
            }
            self.judge.prove(proving.load(Ordering::Relaxed));
            // Before it is looked at what they are.
            let changes = self.config.clusters.changes();
            if let Some(observation) = self.judge.next(now) {
                self.returned = Some((now, runtime_id()));
                self.sights.publish(self.judge.seats(), &observation);
                return observation;
            }
            self.ask(now);
            for lane in &mut self.lanes {
                lane.open_if_due(now);
            }
            let lanes = self.lanes.iter().filter_map(Lane::wake_at);
            let wake_at = lanes.fold(self.judge.wake_at(now), Instant::min).max(now);
            let calm = self.judge.is_calm(now);
            let event = tokio::select! {
                biased;
                () = hurry.notified() => {
                    self.hurried(Instant::now());
                    None
                }
                event = next(&mut self.lanes, calm) => Some(event),
                () = self.config.clusters.changed(changes) => None,
                () = sleep_until(wake_at) => None,
            };
            // Woken far too late: the process was frozen or starved, and an answer that nobody could
            // take is not missing. (What that means for the service is the supervisor's business.)
            let woken_at = Instant::now();
            let late = woken_at.saturating_duration_since(wake_at);
            if late > self.config.pace.recheck {
                self.judge.excuse(late, woken_at);
            }
            if let Some((index, event)) = event {
                self.take(index, event);
            }
        }
    }

    /// One more observation is wanted now, of which every layer is part.
    fn hurried(&mut self, now: Instant) {
        self.judge.demand(now);
        for lane in &mut self.lanes {
            lane.hurry();
        }
    }

    /// Asks what is due; and where an answer is owed for long, each member what it thinks.
    fn ask(&mut self, now: Instant) {
        for kind in self.judge.due(now) {
            if self.judge.in_doubt(kind, now) {
                for index in 0..self.lanes.len() {
                    let asked = self.judge.question(index, kind, true, now);
                    self.lanes[index].hurry();
                    self.lanes[index].ask_status(asked);
                }
            }
            self.judge.asked(kind, now);
            if let Some(index) = self.pick(kind) {
                self.asked_last[kind as usize] = index;
                let asked = self.judge.question(index, kind, false, now);
                self.lanes[index].ask(asked);
            }
        }
        for index in 0..self.lanes.len() {
            // Those that work are preferred, so nobody else would ask it again.
            if !self.judge.seats()[index].usable() && self.lanes[index].look_is_due(now) {
                let asked = self.judge.question(index, Kind::Read, true, now);
                self.lanes[index].ask(asked);
            }
        }
    }

    /// Whom to ask. Proposals go round; the others stay with a member as long as it owes nothing.
    fn pick(&self, kind: Kind) -> Option<usize> {
        let count = self.lanes.len();
        let (first, most) = match kind {
            Kind::Progress => (self.asked_last[kind as usize], 1),
            Kind::Read => (self.asked_last[kind as usize], 3),
            Kind::Write => (self.asked_last[kind as usize] + 1, 3),
        };
        let all = (0..count).map(|step| (first + step) % count);
        // The first of the least: one that owes nothing before one that does, one that works before
        // one that does not, and one of which that is not certain before one of which it is. What
        // refuses proposals is asked for one only if all do.
        all.filter_map(|index| {
            let load = self.lanes[index].load(kind).filter(|&load| load < most)?;
            let seat = &self.judge.seats()[index];
            let refuses = kind == Kind::Write && seat.refuses();
            let fails = (!seat.usable(), seat.surely_lost());
            Some((refuses, load, fails, index))
        })
        .min_by_key(|&(refuses, load, fails, _)| (refuses, load, fails))
        .map(|(.., index)| index)
    }

    fn take(&mut self, index: usize, event: Event) {
        let now = Instant::now();
        match event {
            Event::Opened(cluster_id) => {
                self.judge.opened(index, cluster_id, now);
                // A member that is asked nothing must still be known to work.
                self.judge.looked(now);
                let asked = self.judge.question(index, Kind::Read, true, now);
                self.lanes[index].ask(asked);
            }
            Event::Lost(cause) => {
                self.hurry_if_worked(index);
                self.judge.lost(index, cause, now);
            }
            Event::Answered(asked, answer) => self.judge.answered(index, asked, answer, now),
            Event::Failed(asked, cause) => {
                self.hurry_if_worked(index);
                self.judge.failed(index, asked, cause, now);
            }
        }
    }

    /// A member that worked fails: who was lost before is tried again.
    fn hurry_if_worked(&mut self, index: usize) {
        if !self.judge.seats()[index].usable() {
            return;
        }
        for (other, lane) in self.lanes.iter_mut().enumerate() {
            if other != index {
                lane.hurry();
            }
        }
    }
}

fn runtime_id() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

/// The next thing that happens on any lane.
async fn next(lanes: &mut [Lane], calm: bool) -> (usize, Event) {
    poll_fn(|cx| {
        for (index, lane) in lanes.iter_mut().enumerate() {
            if let Poll::Ready(event) = lane.poll(cx, calm) {
                return Poll::Ready((index, event));
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
            self.vigil.sights.closed();
        }
    }
}
