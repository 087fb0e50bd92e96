//! The probe: sends the requests that the health model decides on, and returns its conclusions.

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

use super::endpoint_status::{EndpointStatus, EndpointStatuses};
use super::subchannel::Subchannel;
use crate::etcd::basics::{EtcdConfigError, EtcdError, Fault, TARGET};
use crate::etcd::client::EtcdConfig;
use crate::etcd::health::{
    Conclusion, HealthModel, HealthWarning, Order, ProbeLoop, SubchannelEvent, SubchannelState,
    may_be_told,
};
use crate::etcd::host::{CLIENTS, clock};
use crate::policy::{Policy, PolicyError};
use crate::shell::log::log;
use crate::shell::probe::{Observation, Probe, ProbeMode};

/// Observes etcd. The [module](crate::etcd) describes what counts as evidence and when etcd is failing.
///
/// 1. Make an [`EtcdConfig`], and the probe from it (from a clone, if a [`Membership`](crate::etcd::Membership)
///    needs one too);
/// 2. keep an `Arc` of the probe if you want to read its [`endpoints`](Self::endpoints);
/// 3. give the probe to [`Overwatch::builder`](crate::Overwatch::builder).
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
/// All work is done inside [`observe`](Probe::observe). If a pending call is dropped, or after a long pause between
/// calls, the connections are closed, and the next call opens new ones. Overlapping calls run one after the other.
///
/// If the service has a multi-thread runtime, the probe is polled on a separate thread, which it
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
    /// The window of the policy, once it is known.
    window: OnceLock<Duration>,
    statuses: Arc<EndpointStatuses>,
}

impl EtcdProbe {
    /// Makes a probe. This does no I/O and needs no runtime.
    ///
    /// # Errors
    ///
    /// If a number is out of its bounds, or user, TLS and endpoints do not fit together.
    pub fn new(config: EtcdConfig) -> Result<Self, EtcdConfigError> {
        config.check()?;
        let config = Arc::new(config);
        // Each process has its own random state.
        let seed = || RandomState::new().hash_one(0);
        let seed = config.jitter_seed.unwrap_or_else(seed);
        let statuses = Arc::new(EndpointStatuses::new(&config));
        let endpoints = config.endpoints.iter().map(|it| (it.url(), it.tls()));
        let (timing, verdicts, now) = (config.timing, config.verdicts.clone(), clock::now());
        let model = HealthModel::new(endpoints, timing, verdicts, seed, now);
        let watching = Mutex::new(Watching {
            config: Arc::clone(&config),
            probe_loop: ProbeLoop::new(model, &timing, config.expected()),
            subchannels: Vec::new(),
            statuses: Arc::clone(&statuses),
            runtime: None,
        });
        Ok(Self(Arc::new(Inner {
            config,
            watching,
            hurry: Notify::new(),
            proving: AtomicBool::new(false),
            window: OnceLock::new(),
            statuses,
        })))
    }

    /// The last known state of each endpoint, in the order of the configuration.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.0.statuses.get()
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
                let EtcdError { fault, text, .. } = gone.into();
                Observation::failing(format!("{fault}: {text}")).with_class(fault.as_str())
            });
            let is_failing = matches!(observation, Observation::Failing { .. });
            // Checked last, because a refresh may come at any moment.
            if may_be_told(is_failing, self.0.was_overtaken()) {
                return observation;
            }
        }
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        // If this is called for several policies, the first one counts.
        let _ = self.0.window.set(policy.window());
        self.0.config.fits(policy)
    }

    fn forgives(&self) -> Duration {
        // Not the grace periods, which also cover what is no election: a fence must outlast an election.
        self.0.config.timing.longest_election()
    }

    fn refresh(&self) -> bool {
        // If no call is pending now, the next one takes the permit: earlier observations do not count.
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
    /// Whether a refresh was requested that no call has taken yet. On the clients' thread a call may have
    /// ended before that.
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
            watching.probe_loop.model.set_window(window);
        }
        let mut watched = CloseOnDrop {
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
    probe_loop: ProbeLoop,
    subchannels: Vec<Subchannel>,
    statuses: Arc<EndpointStatuses>,
    /// The runtime on which the last call returned.
    runtime: Option<Id>,
}

impl Watching {
    /// Continues from the last call, or starts with new subchannels.
    fn resume(&mut self, now: Duration) {
        let same_runtime = self.runtime == runtime_id();
        if self.probe_loop.resume(same_runtime, now) {
            return;
        }
        let subchannel =
            |endpoint: &_| Subchannel::new(Clone::clone(endpoint), Arc::clone(&self.config), now);
        self.subchannels = self.config.endpoints.iter().map(subchannel).collect();
    }

    /// Safe to drop at its only `.await`: pending requests live in the subchannels, knowledge in `probe_loop`.
    async fn observe(&mut self, hurry: &Notify, proving: &AtomicBool) -> Observation {
        loop {
            let now = clock::now();
            // Before any conclusion: answers from before the refresh do not count.
            tokio::select! {
                biased;
                () = hurry.notified() => self.hurried(now),
                () = std::future::ready(()) => {}
            }
            self.probe_loop.model.prove(proving.load(Ordering::Relaxed));
            // Read before the clusters themselves, so that no change is missed.
            let changes = self.config.clusters.changes();
            let said = self.said(now);
            self.write_notices();
            if let Some(observation) = said {
                self.probe_loop.returns(now);
                self.runtime = runtime_id();
                let endpoints = self.probe_loop.model.endpoints();
                self.statuses.publish(endpoints, &observation);
                return observation;
            }
            let orders = self.probe_loop.asks(&self.states(now), now);
            self.carry_out(orders);
            for subchannel in &mut self.subchannels {
                subchannel.open_if_due(now);
            }
            let wake_at = self.probe_loop.wake_at(&self.states(now), now);
            let calm = self.probe_loop.model.is_calm(now);
            let event = tokio::select! {
                biased;
                () = hurry.notified() => {
                    self.hurried(clock::now());
                    None
                }
                event = next(&mut self.subchannels, calm) => Some(event),
                () = self.config.clusters.changed(changes) => None,
                () = sleep_until(clock::moment_of(wake_at)) => None,
            };
            self.probe_loop.woken(wake_at, clock::now());
            if let Some((index, event)) = event {
                self.take(index, event);
            }
        }
    }

    /// The observation that is due, if any.
    fn said(&mut self, now: Duration) -> Option<Observation> {
        let clusters = &self.config.clusters;
        let said = clusters.with(|clusters| self.probe_loop.next(clusters, now));
        Some(match said? {
            Conclusion::Alive { evidence } => Observation::alive(evidence),
            Conclusion::Failing {
                fault,
                fatal,
                reason,
            } => {
                let failing = Observation::failing(reason).with_class(fault.as_str());
                if fatal { failing.fatal() } else { failing }
            }
        })
    }

    fn states(&self, now: Duration) -> Vec<SubchannelState> {
        self.subchannels
            .iter()
            .map(|subchannel| subchannel.state(now))
            .collect()
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Hurry(index) => self.subchannels[index].hurry(),
                Order::AskStatus(index, asked) => self.subchannels[index].ask_status(asked),
                Order::Ask(index, asked) => self.subchannels[index].ask(asked),
            }
        }
    }

    /// One more observation is wanted now, for which every check is asked.
    fn hurried(&mut self, now: Duration) {
        let orders = self.probe_loop.hurried(now);
        self.carry_out(orders);
    }

    /// Handles an event of a subchannel.
    fn take(&mut self, index: usize, event: SubchannelEvent) {
        let (now, clusters) = (clock::now(), &self.config.clusters);
        let orders =
            clusters.with(|clusters| self.probe_loop.happened(index, event, clusters, now));
        self.carry_out(orders);
    }

    fn write_notices(&mut self) {
        for warning in self.probe_loop.model.take_warnings() {
            log(Level::WARN, move |at_ms| match warning {
                HealthWarning::Accepted { cluster, before } => tracing::warn!(
                    target: TARGET, at_ms, cluster = format!("{cluster:x}"), before = format!("{before:x}"),
                    "another cluster is there in the place of the one before, and is taken for the one that is \
                     meant, since all endpoints that answer agree on it"
                ),
                HealthWarning::Reset { endpoint, why } => tracing::warn!(
                    target: TARGET, at_ms, class = Fault::StoreReset.as_str(), endpoint, why,
                    "the store was reset, which is tolerated"
                ),
                HealthWarning::Unchecked { endpoint, why } => tracing::warn!(
                    target: TARGET, at_ms, endpoint, why,
                    "this user may not ask for etcd's alarms, so the write path, the space and corruption are not \
                     checked"
                ),
            });
        }
    }
}

fn runtime_id() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

/// The next event of any subchannel.
async fn next(subchannels: &mut [Subchannel], calm: bool) -> (usize, SubchannelEvent) {
    poll_fn(|cx| {
        for (index, subchannel) in subchannels.iter_mut().enumerate() {
            if let Poll::Ready(event) = subchannel.poll(cx, calm) {
                return Poll::Ready((index, event));
            }
        }
        Poll::Pending
    })
    .await
}

/// Closes all connections when a call is dropped before it returns: there may be no further call.
struct CloseOnDrop<'a> {
    watching: &'a mut Watching,
    finished: bool,
}

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.watching.subchannels.clear();
            self.watching.statuses.closed();
        }
    }
}
