//! One node: a host that runs a service, as often as it is wanted.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership, Shard, Shards};
use overwatch::{BuildError, Handle, Observation, Overwatch, Policy, PolicyError, Probe, Tuning};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::fleet::Setup;
use super::record::Record;
use super::trace::Trace;
use super::{SHARDS, hosts};
use crate::etcd::PORT;
use crate::lock;
use crate::net::{Simulated, Traffic, clock};

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
        let mut members = hosts(setup.members);
        if setup.spread {
            members.rotate_left(index % setup.members);
        }
        let urls = members.iter().map(|host| format!("http://{host}:{PORT}"));
        let dial = Simulated {
            traffic: Arc::clone(traffic),
        };
        let etcd = EtcdConfig::new(urls)
            .expect("valid endpoints")
            .jitter_seed(setup.seed.wrapping_mul(8) + index as u64)
            .dialing(Arc::new(dial));
        Self(Arc::new(State {
            id: format!("node-{index}"),
            etcd,
            setup: setup.clone(),
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

    /// Whether the service is to run.
    pub(super) fn want(&self, wanted: bool) {
        *lock(&self.0.wanted) = wanted;
        self.0.changed.notify_one();
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
            id, etcd, setup, ..
        } = &*self.0;
        let membership = Membership::builder(etcd.clone(), PREFIX, id)
            .metadata(format!("metadata of {id}"))
            .ttl(setup.ttl)
            .margin(setup.margin)
            .rejoin_jitter(Duration::from_millis(100))
            .build()?;
        let node = self.clone();
        let job = move |shard: Shard| async move {
            let _working = node.0.record.begin(&node.0.id, &shard);
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
        let shards = Shards::new(&membership, WORK, SHARDS, job)?;
        let policy = Policy::builder()
            .fence(membership.fence())
            .window(Duration::from_millis(500))
            .start_deadline(Duration::from_millis(2_500))
            .stop_deadline(Duration::from_millis(500))
            .abort_deadline(Duration::from_millis(250))
            .tuning(Tuning::default().backoff(Duration::from_millis(200)))
            .build()?;
        let probe = Heard {
            probe: EtcdProbe::new(etcd.clone())?,
            node: self.clone(),
        };
        let node = self.clone();
        let service: Result<Overwatch, BuildError> = Overwatch::watching(probe)
            .policy(policy)
            .component("membership", membership.clone())
            .lease_owner("membership")
            .then()
            .component("checks", shards)
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

    fn hurry(&self) {
        self.probe.hurry();
    }

    fn proving(&self, on: bool) {
        self.probe.proving(on);
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        self.probe.check(policy)
    }
}

/// How often a shard asks whether it is still this node's.
const EVERY: Duration = Duration::from_millis(20);
