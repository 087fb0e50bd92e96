//! Nodes and their cluster in one simulation, step by step.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lease::Leases;
use super::node::{Node, claim_on};
use super::record::Record;
use super::trace::Trace;
use super::{SHARDS, hosts};
use crate::etcd::{Cluster, Member, Settings};
use crate::net::Traffic;

/// What a fleet is like.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// How many members a cluster has.
    pub(super) members: usize,
    /// How many clusters there are. The hosts of one follow those of another.
    pub(super) clusters: usize,
    /// What each node is like; the usual for those that are not in there.
    pub(super) nodes: Vec<Told>,
    /// In seconds. A lease that is asked to be shorter is this long.
    pub(super) shortest_ttl: i64,
    /// For how long etcd must prove itself after an outage.
    pub(super) window: Duration,
    /// Whether each node asks another member first.
    pub(super) spread: bool,
    /// When each node is started.
    pub(super) starts: Vec<Duration>,
    pub(super) ttl: Duration,
    pub(super) margin: Duration,
    /// For how long a shard goes on when it is told to stop.
    pub(super) drains_for: Duration,
    /// Whether the services are told when their probes see etcd fail.
    pub(super) heeds_probes: bool,
    /// How long a message takes at most.
    pub(super) latency: Duration,
    /// How long the simulation may take.
    pub(super) within: Duration,
    /// For all other chance.
    pub(super) seed: u64,
}

/// A runtime that is dropped, as that of a host is that crashes, drops its tasks by their numbers: tokio keeps
/// them in several lists, and it counts the tasks of the whole process. So each simulation begins where a number
/// is a multiple of the count of lists. (Two at a time in one process disturb each other all the same.)
fn count_tasks_from_a_round_number() {
    const LISTS: u64 = 64;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("it needs no thread");
    runtime.block_on(async {
        let is_round = |id: tokio::task::Id| {
            let number: Result<u64, _> = id.to_string().parse();
            number.is_ok_and(|number| number % LISTS == LISTS - 1)
        };
        while !is_round(tokio::spawn(async {}).id()) {}
    });
}

/// What is different from one node to another.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The numbers of its endpoints' hosts, in their order; those of the first cluster if there is none.
    pub(super) endpoints: Vec<usize>,
    /// One URL that leads to these, in turn, connection by connection, and no other endpoint.
    pub(super) is_balanced: bool,
    pub(super) expects: Option<u64>,
    /// How many shards its list has.
    pub(super) shards: u32,
    pub(super) with_max_moving: Option<u32>,
    /// Whether the functions of its shards wait for something that never comes, and ask nothing.
    pub(super) asks_never: bool,
    /// Whether its fence is enforced.
    pub(super) is_fenced: bool,
    /// How long a last stage takes to start, if there is one after the shards.
    pub(super) last_stage: Option<Duration>,
    /// How long it is not ready before a stop that was asked for.
    pub(super) unready_delay: Duration,
}

impl Told {
    pub(super) fn usual() -> Self {
        Self {
            endpoints: Vec::new(),
            is_balanced: false,
            expects: None,
            shards: SHARDS,
            with_max_moving: None,
            asks_never: false,
            is_fenced: true,
            last_stage: None,
            unready_delay: Duration::ZERO,
        }
    }
}

/// The simulation.
pub(super) struct Fleet {
    pub(super) sim: turmoil::Sim<'static>,
    /// The first one.
    pub(super) cluster: Arc<Cluster>,
    pub(super) clusters: Vec<Arc<Cluster>>,
    /// How many a cluster has.
    #[cfg(test)]
    pub(super) members: usize,
    pub(super) nodes: Vec<Node>,
    pub(super) record: Record,
    pub(super) leases: Leases,
    pub(super) trace: Trace,
    pub(super) traffic: Arc<Mutex<Traffic>>,
}

impl Fleet {
    pub(super) fn new(setup: &Setup) -> Self {
        count_tasks_from_a_round_number();
        let traffic: Arc<Mutex<Traffic>> = Arc::default();
        let cluster = |number| {
            let settings = Settings {
                id: Settings::default().id + number as u64,
                shortest_ttl: setup.shortest_ttl,
            };
            Arc::new(Cluster::new(settings, setup.seed, Arc::clone(&traffic)))
        };
        let clusters: Vec<Arc<Cluster>> = (0..setup.clusters).map(cluster).collect();
        let (record, trace) = (Record::default(), Trace::default());
        let mut sim = turmoil::Builder::new()
            .rng_seed(setup.seed)
            .simulation_duration(setup.within)
            .tick_duration(Duration::from_millis(10))
            .min_message_latency(setup.latency / 2)
            .max_message_latency(setup.latency)
            .tcp_capacity(4096)
            .build();
        let all = hosts(setup.members * setup.clusters).into_iter();
        for (index, host) in all.enumerate() {
            let member = Member {
                cluster: Arc::clone(&clusters[index / setup.members]),
                index,
            };
            sim.host(host, move || member.clone().serve());
        }
        for (number, cluster) in clusters.iter().enumerate() {
            let leader = Arc::clone(cluster);
            sim.host(format!("leader-{number}"), move || {
                Arc::clone(&leader).lead()
            });
        }
        let nodes: Vec<Node> = (0..setup.starts.len())
            .map(|index| Node::new(index, setup, &record, &trace, &traffic))
            .collect();
        for node in &nodes {
            let software = node.clone();
            sim.host(node.id(), move || software.clone().live());
        }
        Self {
            sim,
            cluster: Arc::clone(&clusters[0]),
            clusters,
            #[cfg(test)]
            members: setup.members,
            nodes,
            record,
            leases: Leases::new(setup.margin),
            trace,
            traffic,
        }
    }

    /// One step, after which the law of leases is kept.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub(super) fn step(&mut self) -> Result<(), String> {
        self.record.at(self.sim.elapsed());
        self.sim.step().map_err(|error| error.to_string())?;
        let now = self.sim.elapsed();
        self.leases.judge(now, &self.record, &self.clusters)
    }

    /// etcd itself revokes the leases of all nodes, as a leader does that was stopped for longer than they
    /// live and does not know yet that another one has renewed them.
    pub(super) fn revoke_all(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.revoke_lease_of(node));
    }

    /// A node's machine was suspended for so long, from its own view: leases have run on meanwhile.
    pub(super) fn suspend(&mut self, node: usize, time: Duration) {
        let now = self.sim.elapsed();
        let registered = self.cluster.stored(&self.nodes[node].registration());
        if let Some(registered) = registered {
            let lease = registered.lease;
            self.leases.suspended(lease, now);
            if self.cluster.age(lease, time, now) {
                self.leases.revoked(lease, now);
            }
        }
        self.nodes[node].suspend(time);
    }

    /// Deletes the claims of a node on every other shard by hand.
    pub(super) fn remove_claims_of(&mut self, node: usize) {
        let (id, now) = (self.nodes[node].id(), self.sim.elapsed());
        for shard in (0..SHARDS).step_by(2) {
            let key = claim_on(shard);
            let claim = self.cluster.stored(&key).filter(|claim| claim.value == id);
            if let Some(claim) = claim {
                self.cluster.remove(&key);
                self.leases.removed(claim.revision, now);
            }
        }
    }

    /// Revokes the lease of a node by hand.
    pub(super) fn revoke_lease_of(&mut self, node: usize) {
        let revoked = self
            .cluster
            .revoke_lease_of(&self.nodes[node].registration());
        if let Some(lease) = revoked {
            self.leases.revoked(lease, self.sim.elapsed());
        }
    }
}
