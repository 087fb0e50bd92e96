//! Nodes and their cluster in one simulation, step by step.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::hosts;
use super::lease::Leases;
use super::node::Node;
use super::record::Record;
use super::trace::Trace;
use crate::etcd::{Cluster, Member, Settings};
use crate::net::Traffic;

/// What a fleet is like.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// How many members the cluster has.
    pub(super) members: usize,
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

/// The simulation.
pub(super) struct Fleet {
    pub(super) sim: turmoil::Sim<'static>,
    pub(super) cluster: Arc<Cluster>,
    /// How many the cluster has.
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
        let traffic: Arc<Mutex<Traffic>> = Arc::default();
        let cluster = Cluster::new(Settings::default(), setup.seed, Arc::clone(&traffic));
        let cluster = Arc::new(cluster);
        let (record, trace) = (Record::default(), Trace::default());
        let mut sim = turmoil::Builder::new()
            .rng_seed(setup.seed)
            .simulation_duration(setup.within)
            .tick_duration(Duration::from_millis(10))
            .min_message_latency(setup.latency / 2)
            .max_message_latency(setup.latency)
            .tcp_capacity(4096)
            .build();
        for (index, host) in hosts(setup.members).into_iter().enumerate() {
            let member = Member {
                cluster: Arc::clone(&cluster),
                index,
            };
            sim.host(host, move || member.clone().serve());
        }
        let leader = Arc::clone(&cluster);
        sim.host("leader", move || Arc::clone(&leader).lead());
        let nodes: Vec<Node> = (0..setup.starts.len())
            .map(|index| Node::new(index, setup, &record, &trace, &traffic))
            .collect();
        for node in &nodes {
            let software = node.clone();
            sim.host(node.id(), move || software.clone().live());
        }
        Self {
            sim,
            cluster,
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
        self.leases.judge(now, &self.record, &self.cluster)
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
