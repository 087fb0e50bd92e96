//! The probe: it asks on the lanes what is decided, and says what came of it.

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
use tokio::time::sleep_until;
use tracing::Level;

use super::lane::Lane;
use super::sight::{EndpointStatus, Sights};
use crate::etcd::basics::{Cause, EtcdConfigError};
use crate::etcd::client::EtcdConfig;
use crate::etcd::health::{Event, Judge, LaneState, Notice, Order, Said, Vigil, may_be_told};
use crate::etcd::host::{CLIENTS, clock};
use crate::policy::{Policy, PolicyError};
use crate::shell::log::log;
use crate::shell::probe::{Observation, Probe, ProbeMode};

/// Observes etcd. The [module](crate::etcd) describes what counts as evidence and when etcd is failing.
///
/// 1. Make an [`EtcdConfig`], and the probe of it (or of a clone, if a [`Membership`](crate::etcd::Membership) needs one too);
/// 2. if wanted, keep an `Arc` of the probe to ask it for its [`endpoints`](Self::endpoints);
/// 3. give the probe to [`Overwatch::builder`](crate::Overwatch::builder), which does the rest.
///
/// ```no_run
/// use overwatch::Overwatch;
/// use overwatch::etcd::{EtcdConfig, EtcdProbe};
/// use std::sync::Arc;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let probe = Arc::new(EtcdProbe::new(EtcdConfig::new(["http://127.0.0.1:2379"])?)?);
/// let service = Overwatch::builder(Arc::clone(&probe))
///     .task("worker", |ctx| async move {
///         ctx.mark_ready();
///         ctx.stopping().await;
///         Ok(())
///     })
///     .build()?;
/// tokio::spawn(service.run());
/// for endpoint in probe.endpoints() {
///     println!("{}: usable {}", endpoint.url, endpoint.usable);
/// }
/// # Ok(())
/// # }
/// ```
///
/// All work is done inside [`observe`](Probe::observe). Dropping a pending call closes the
/// connections, and the next call opens new ones; so does a long pause between calls. Calls that
/// overlap take turns.
///
/// Where the service has a multi-thread runtime, the probe is polled on a separate thread, which it
/// shares with the renewals of leases: see the [module](crate::etcd).
///
/// Without a service:
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
    watching: Mutex<Watching>,
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
        let endpoints = config.endpoints.iter().map(|it| (it.url(), it.tls()));
        let (pace, verdicts, now) = (config.pace, config.verdicts.clone(), clock::now());
        let judge = Judge::new(endpoints, pace, verdicts, seed, now);
        let watching = Mutex::new(Watching {
            config: Arc::clone(&config),
            vigil: Vigil::new(judge, &pace, config.expected()),
            lanes: Vec::new(),
            sights: Arc::clone(&sights),
            runtime: None,
        });
        Ok(Self(Arc::new(Inner {
            config,
            watching,
            hurry: Notify::new(),
            proving: AtomicBool::new(false),
            window: OnceLock::new(),
            sights,
        })))
    }

    /// What was last seen of each endpoint, in the order in which they were given.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
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
            let is_failing = matches!(observation, Observation::Failing { .. });
            // Last, because it may come at any moment.
            if may_be_told(is_failing, self.0.was_overtaken()) {
                return observation;
            }
        }
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        // Whoever is asked for several policies goes by the first.
        let _ = self.0.window.set(policy.window());
        self.0.config.fits(policy)
    }

    fn refresh(&self) -> bool {
        // If no call waits now, the next one does: no observation before this is good enough.
        self.0.hurry.notify_one();
        true
    }

    fn set_mode(&self, mode: ProbeMode) {
        self.0
            .proving
            .store(mode == ProbeMode::Proving, Ordering::Relaxed);
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
        let mut watching = self.watching.lock().await;
        watching.resume(clock::now());
        if let Some(&window) = self.window.get() {
            watching.vigil.judge.set_window(window);
        }
        let mut watched = Watched {
            watching: &mut watching,
            finished: false,
        };
        let observation = watched.watching.observe(&self.hurry, &self.proving).await;
        watched.finished = true;
        observation
    }
}

/// All state of the probe.
struct Watching {
    config: Arc<EtcdConfig>,
    vigil: Vigil,
    lanes: Vec<Lane>,
    sights: Arc<Sights>,
    /// On which runtime the last call returned.
    runtime: Option<Id>,
}

impl Watching {
    /// Goes on from the last call, or begins anew.
    fn resume(&mut self, now: Duration) {
        let same_runtime = self.runtime == runtime_id();
        if self.vigil.resume(same_runtime, now) {
            return;
        }
        let lane = |endpoint: &_| Lane::new(Clone::clone(endpoint), Arc::clone(&self.config), now);
        self.lanes = self.config.endpoints.iter().map(lane).collect();
    }

    /// Safe to drop at its only await: what is under way lives in the lanes, what is known in the
    /// vigil.
    async fn observe(&mut self, hurry: &Notify, proving: &AtomicBool) -> Observation {
        loop {
            let now = clock::now();
            // Before anything is told: what was heard before the hurry is not good enough.
            tokio::select! {
                biased;
                () = hurry.notified() => self.hurried(now),
                () = std::future::ready(()) => {}
            }
            self.vigil.judge.prove(proving.load(Ordering::Relaxed));
            // Before it is looked at what they are.
            let changes = self.config.clusters.changes();
            let said = self.said(now);
            self.write_notices();
            if let Some(observation) = said {
                self.vigil.returns(now);
                self.runtime = runtime_id();
                let seats = self.vigil.judge.seats();
                self.sights.publish(seats, &observation);
                return observation;
            }
            let orders = self.vigil.asks(&self.states(now), now);
            self.carry_out(orders);
            for lane in &mut self.lanes {
                lane.open_if_due(now);
            }
            let wake_at = self.vigil.wake_at(&self.states(now), now);
            let calm = self.vigil.judge.is_calm(now);
            let event = tokio::select! {
                biased;
                () = hurry.notified() => {
                    self.hurried(clock::now());
                    None
                }
                event = next(&mut self.lanes, calm) => Some(event),
                () = self.config.clusters.changed(changes) => None,
                () = sleep_until(clock::moment_of(wake_at)) => None,
            };
            self.vigil.woken(wake_at, clock::now());
            if let Some((index, event)) = event {
                self.take(index, event);
            }
        }
    }

    /// What is due to be told, if anything.
    fn said(&mut self, now: Duration) -> Option<Observation> {
        let clusters = &self.config.clusters;
        let said = clusters.with(|clusters| self.vigil.next(clusters, now));
        Some(match said? {
            Said::Alive { evidence } => Observation::alive(evidence),
            Said::Failing {
                fault,
                fatal,
                reason,
            } => {
                let failing = Observation::failing(reason).classed(fault.as_str());
                if fatal { failing.fatal() } else { failing }
            }
        })
    }

    fn states(&self, now: Duration) -> Vec<LaneState> {
        self.lanes.iter().map(|lane| lane.state(now)).collect()
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Hurry(index) => self.lanes[index].hurry(),
                Order::AskStatus(index, asked) => self.lanes[index].ask_status(asked),
                Order::Ask(index, asked) => self.lanes[index].ask(asked),
            }
        }
    }

    /// One more observation is wanted now, of which every layer is part.
    fn hurried(&mut self, now: Duration) {
        let orders = self.vigil.hurried(now);
        self.carry_out(orders);
    }

    /// Something happened on a lane.
    fn take(&mut self, index: usize, event: Event) {
        let (now, clusters) = (clock::now(), &self.config.clusters);
        let orders = clusters.with(|clusters| self.vigil.happened(index, event, clusters, now));
        self.carry_out(orders);
    }

    fn write_notices(&mut self) {
        for notice in self.vigil.judge.take_notices() {
            log(Level::WARN, move |at_ms| match notice {
                Notice::Accepted { cluster, before } => tracing::warn!(
                    target: "overwatch::etcd", at_ms,
                    cluster = format!("{cluster:x}"), before = format!("{before:x}"), "{notice}"
                ),
                _ => tracing::warn!(target: "overwatch::etcd", at_ms, "{notice}"),
            });
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
    watching: &'a mut Watching,
    finished: bool,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.watching.lanes.clear();
            self.watching.sights.closed();
        }
    }
}
