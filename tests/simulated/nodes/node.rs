//! One node: a host that runs a service, as often as it is wanted.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership, Owners, Shard, Shards};
use overwatch::{
    BuildError, Context, Handle, Observation, Overwatch, Policy, PolicyError, Probe, ProbeMode,
    Tuning,
};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::fleet::{Setup, Told};
use super::hosts;
use super::record::Record;
use super::trace::Trace;
use crate::etcd::PORT;
use crate::lock;
use crate::net::{BALANCED, Simulated, Traffic, clock};

const PREFIX: &str = "nodes/";
const WORK: &str = "checks";

/// The key of the claim on a shard.
pub(super) fn claim_on(shard: u32) -> String {
    format!("{PREFIX}work/{WORK}/shard/{shard}")
}

/// A node. Clones are the same one.
#[derive(Clone)]
pub(super) struct Node(Arc<State>);

struct State {
    id: String,
    etcd: EtcdConfig,
    setup: Setup,
    told: Told,
    /// How long its machine was suspended.
    suspended: Arc<Mutex<Duration>>,
    /// Of tokens, from its next start on.
    generation: Mutex<u16>,
    owners: Mutex<Option<watch::Receiver<Owners>>>,
    starts: Duration,
    record: Record,
    trace: Trace,
    wanted: Mutex<bool>,
    changed: Notify,
    handle: Mutex<Option<Handle>>,
}

impl Node {
    pub(super) fn new(
        index: usize,
        setup: &Setup,
        record: &Record,
        trace: &Trace,
        traffic: &Arc<Mutex<Traffic>>,
    ) -> Self {
        let told = setup.nodes.get(index).cloned();
        let told = told.unwrap_or_else(Told::usual);
        let mut members = hosts(setup.members);
        if setup.spread {
            members.rotate_left(index % setup.members);
        }
        if !told.endpoints.is_empty() {
            let all = hosts(setup.members * setup.clusters);
            members = told.endpoints.iter().map(|&at| all[at].clone()).collect();
        }
        let dial = Simulated::new(Arc::clone(traffic), &members);
        if told.is_balanced {
            members = vec![BALANCED.to_owned()];
        }
        let urls = members.iter().map(|host| format!("http://{host}:{PORT}"));
        let suspended: Arc<Mutex<Duration>> = Arc::default();
        let etcd = EtcdConfig::new(urls)
            .expect("valid endpoints")
            .with_jitter_seed(setup.seed.wrapping_mul(8) + index as u64)
            // The leases of these tests are too short for the elections of a usual cluster.
            .with_election_timeout(Duration::from_millis(500))
            .suspended_by({
                let suspended = Arc::clone(&suspended);
                Arc::new(move || *lock(&suspended))
            })
            .dialing(Arc::new(dial));
        let etcd = match told.expects {
            Some(id) => etcd.with_expected_cluster(id),
            None => etcd,
        };
        Self(Arc::new(State {
            id: format!("node-{index}"),
            etcd,
            setup: setup.clone(),
            told,
            suspended,
            generation: Mutex::default(),
            owners: Mutex::default(),
            starts: setup.starts[index],
            record: record.clone(),
            trace: trace.clone(),
            wanted: Mutex::new(true),
            changed: Notify::new(),
            handle: Mutex::default(),
        }))
    }

    pub(super) fn id(&self) -> String {
        self.0.id.clone()
    }

    /// The key by which it is a member.
    pub(super) fn registration(&self) -> String {
        format!("{PREFIX}members/{}", self.0.id)
    }

    pub(super) fn is_ready(&self) -> bool {
        let handle = lock(&self.0.handle);
        handle.as_ref().is_some_and(Handle::is_ready)
    }

    /// How often its components were started.
    #[cfg(test)]
    pub(super) fn epoch(&self) -> u64 {
        let handle = lock(&self.0.handle);
        let epoch = handle.as_ref().map(|handle| handle.status().epoch);
        epoch.unwrap_or_default()
    }

    /// Whether the service is to run.
    pub(super) fn want(&self, wanted: bool) {
        *lock(&self.0.wanted) = wanted;
        self.0.changed.notify_one();
    }

    /// The machine was suspended for so long.
    pub(super) fn suspend(&self, time: Duration) {
        *lock(&self.0.suspended) += time;
    }

    /// What its tokens begin with, once it is started again.
    #[cfg(test)]
    pub(super) fn set_generation(&self, generation: u16) {
        *lock(&self.0.generation) = generation;
    }

    /// Who owns what, as it sees it.
    #[cfg(test)]
    pub(super) fn owners(&self) -> Owners {
        let owners = lock(&self.0.owners);
        let owners = owners.as_ref().map(|owners| owners.borrow().clone());
        owners.unwrap_or_default()
    }

    /// Why it is not ready, or in what state.
    #[cfg(test)]
    pub(super) fn reason(&self) -> String {
        let handle = lock(&self.0.handle);
        let reason = handle.as_ref().map(|handle| handle.status().reason);
        reason.map(|reason| reason.to_string()).unwrap_or_default()
    }

    /// Why its last failed start failed, as the outages tell.
    #[cfg(test)]
    pub(super) fn last_failure(&self) -> String {
        let handle = lock(&self.0.handle);
        let outages = handle.as_ref().map(|handle| handle.outages());
        let mut newest_first = outages.iter().flatten().rev();
        let failure = newest_first.find_map(|outage| outage.last_failures.last());
        failure.map(|text| text.to_string()).unwrap_or_default()
    }

    /// What the host runs.
    pub(super) async fn live(self) -> Result<(), Box<dyn std::error::Error>> {
        sleep(self.0.starts.saturating_sub(clock())).await;
        loop {
            self.until(true).await;
            let service = self.service()?;
            let handle = service.handle();
            *lock(&self.0.handle) = Some(handle.clone());
            let mut running = pin!(service.run());
            let ended = tokio::select! {
                biased;
                ended = &mut running => ended,
                () = self.until(false) => {
                    handle.shutdown();
                    running.await
                }
            };
            self.note(format_args!("ended {ended:?}"));
            if *lock(&self.0.wanted) {
                // Nothing here ends a run by itself. It is not ready at the end, which is told.
                return Ok(());
            }
        }
    }

    async fn until(&self, wanted: bool) {
        while *lock(&self.0.wanted) != wanted {
            self.0.changed.notified().await;
        }
    }

    fn service(&self) -> Result<Overwatch, Box<dyn std::error::Error>> {
        let State {
            id,
            etcd,
            setup,
            told,
            ..
        } = &*self.0;
        let membership = Membership::builder(etcd.clone(), PREFIX, id)
            .metadata(format!("metadata of {id}"))
            .ttl(setup.ttl)
            .margin(setup.margin)
            .rejoin_jitter(Duration::from_millis(100))
            .token_generation(*lock(&self.0.generation))
            .build()?;
        let node = self.clone();
        let job = move |shard: Shard| async move {
            let working = node.0.record.begin(&node.0.id, &shard);
            tokio::spawn(keep(node.0.record.clone(), working.place(), shard.clone()));
            if node.0.told.asks_never {
                std::future::pending::<()>().await;
            }
            while shard.sleep(EVERY).await {
                shard.check()?;
            }
            // It takes its time, and asks on: the shard may be lost meanwhile.
            let stopping = Instant::now();
            while stopping.elapsed() < node.0.setup.drains_for {
                shard.check()?;
                sleep(EVERY).await;
            }
            Ok(())
        };
        let mut shards = Shards::new(&membership, WORK, told.shards, job)?;
        if let Some(most) = told.with_max_moving {
            shards = shards.with_max_moving(most)?;
        }
        *lock(&self.0.owners) = Some(shards.owners());
        let policy = Policy::builder()
            .window(setup.window)
            .start_deadline(Duration::from_millis(2_500))
            .stop_deadline(Duration::from_millis(500))
            .abort_deadline(Duration::from_millis(250))
            .tuning(
                Tuning::default()
                    .with_backoff(Duration::from_millis(200))
                    .with_unready_delay(told.unready_delay),
            )
            .build()?;
        let probe = Heard {
            probe: EtcdProbe::new(etcd.clone())?,
            node: self.clone(),
        };
        let node = self.clone();
        let service = Overwatch::builder(probe).policy(policy);
        let service = service
            .lease_holder("membership", membership)
            .component("checks", shards);
        let service = match told.last_stage {
            None => service,
            Some(starts_within) => service
                .next_stage()
                .task("index", move |ctx: Context| async move {
                    ctx.sleep(starts_within).await;
                    ctx.mark_ready();
                    ctx.stopping().await;
                    Ok(())
                })
                .stage_start_deadline(starts_within + Duration::from_secs(1)),
        };
        let service = match told.is_fenced {
            true => service,
            // Nothing is stopped by the service then, so what ends in time has ended by itself.
            false => service.observe_only(),
        };
        let service: Result<Overwatch, BuildError> = service
            .on_step(move |step| {
                node.note(format_args!(
                    "{:?} {:?} {:?}",
                    step.input, step.step, step.effects
                ));
            })
            .build();
        Ok(service?)
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.0
            .trace
            .add(clock(), format_args!("{}: {what}", self.0.id));
    }
}

/// A probe whose observations are noted. The service is told them, or that all is well.
struct Heard {
    probe: EtcdProbe,
    node: Node,
}

#[async_trait::async_trait]
impl Probe for Heard {
    async fn observe(&self) -> Observation {
        let observation = self.probe.observe().await;
        self.node.note(format_args!("{observation:?}"));
        if self.node.0.setup.heeds_probes {
            observation
        } else {
            Observation::alive("whatever it is")
        }
    }

    fn refresh(&self) -> bool {
        self.probe.refresh()
    }

    fn set_mode(&self, mode: ProbeMode) {
        self.probe.set_mode(mode);
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        self.probe.check(policy)
    }

    fn forgives(&self) -> Duration {
        self.probe.forgives()
    }
}

/// Work that outlives the function of a shard, and asks on.
async fn keep(record: Record, place: usize, shard: Shard) {
    while record.ask(place, &shard) {
        sleep(10 * EVERY).await;
    }
    for _ in 0..10 {
        sleep(EVERY).await;
        record.ask(place, &shard);
    }
}

/// How often a shard asks whether it is still this node's.
const EVERY: Duration = Duration::from_millis(20);
