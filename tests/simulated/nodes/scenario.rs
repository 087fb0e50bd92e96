//! What happens to the nodes, as a seed decides.

use std::time::Duration;

use super::fleet::{Setup, Told};
use super::{NODES, SHARDS, hosts};
use crate::net::Chance;

/// Something that happens to the cluster, to a node, or between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Episode {
    /// No member says anything, and connections stay. Leases run out all the same.
    Silent,
    /// There is no leader; the next one begins all leases anew.
    NoLeader,
    /// Nothing is committed, but leases are renewed.
    Stalled,
    /// Every reply is later.
    Slow,
    /// One node and the members do not hear each other.
    NodeCutOff,
    /// What one node sends is lost.
    NodeCutTo,
    /// What is sent to one node is lost.
    NodeCutFrom,
    /// A member crashes, and comes back.
    MemberCrashed,
    /// The lease of one node is revoked by hand, and that node is far: it hears of it after the others.
    Revoked,
    /// etcd itself revokes the leases of all nodes, as a leader of 3.4 does that was stopped for long; and one
    /// node is far.
    AllRevoked,
    /// Claims of one node are deleted by hand.
    ClaimsRemoved,
    /// The machine of one node was suspended.
    Suspended,
    /// One node is shut down in order, and comes back.
    NodeStopped,
    /// One node is gone from one instant to the next, and comes back.
    NodeKilled,
    /// No watch tells what changes, and all stay open.
    Deaf,
    /// The member that is asked first was the leader, and does not know that there is another one: it goes
    /// on renewing leases. A cluster of one has no other one.
    Deposed,
}

impl Episode {
    const ALL: [Self; 16] = [
        Self::Silent,
        Self::NoLeader,
        Self::Stalled,
        Self::Slow,
        Self::NodeCutOff,
        Self::NodeCutTo,
        Self::NodeCutFrom,
        Self::MemberCrashed,
        Self::Revoked,
        Self::AllRevoked,
        Self::ClaimsRemoved,
        Self::Suspended,
        Self::NodeStopped,
        Self::NodeKilled,
        Self::Deaf,
        Self::Deposed,
    ];

    /// Whether a node cannot ask the members meanwhile.
    fn cuts_off(self) -> bool {
        matches!(self, Self::NodeCutOff | Self::NodeCutTo | Self::NodeCutFrom)
    }
}

/// An episode, and its time.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// What happens.
    pub episode: Episode,
    /// When it begins.
    pub begins: Duration,
    /// When it ends.
    pub ends: Duration,
    /// To which node, if to one.
    pub node: usize,
    /// To which member, if to one.
    pub member: usize,
    /// By how much replies are later, if they are.
    pub slower: Duration,
    /// How long the way of a node is that is far.
    pub far: Duration,
}

/// All that a seed decides.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// How many members the cluster has: one or three.
    pub members: usize,
    /// When each node is started.
    pub starts: [Duration; NODES],
    /// For how long a shard goes on when it is told to stop.
    pub drains_for: Duration,
    /// How many shards each node knows: all of them, or some do not know the last ones.
    pub lists: [u32; NODES],
    /// Whether the services are told when their probes see etcd fail. If not, the lease alone keeps two nodes
    /// from one shard.
    pub heeds_probes: bool,
    /// What happens, one after the other.
    pub scenes: Vec<Scene>,
    /// How long a message takes at most.
    pub latency: Duration,
    /// For all other chance.
    pub seed: u64,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance(seed ^ 0x0de5);
        let members = if chance.below(2) == 0 { 1 } else { 3 };
        let starts = [(); NODES].map(|()| chance.ms(0, 2_000));
        let mut at = Duration::from_secs(3);
        let mut scenes = Vec::new();
        for _ in 0..2 + chance.below(2) {
            let begins = at + chance.ms(3_000, 6_000);
            let episode = Episode::ALL[chance.below(Episode::ALL.len() as u64) as usize];
            // Some are over before a lease can be lost, and some are not. Of those that keep a node from
            // the members half last longer than its lease.
            at = begins
                + match episode.cuts_off() && chance.below(2) == 0 {
                    true => chance.ms(6_500, 10_000),
                    false => chance.ms(1_000, 9_000),
                };
            scenes.push(Scene {
                episode,
                begins,
                ends: at,
                node: chance.below(NODES as u64) as usize,
                member: chance.below(members as u64) as usize,
                slower: chance.ms(50, 1_500),
                // Its questions are answered in time all the same.
                far: chance.ms(50, 200),
            });
        }
        Self {
            members,
            starts,
            drains_for: chance.ms(0, 400),
            lists: match chance.below(4) {
                0 => [SHARDS, SHARDS / 2, SHARDS - 1],
                _ => [SHARDS; NODES],
            },
            heeds_probes: chance.below(2) == 0,
            scenes,
            latency: chance.ms(2, 20),
            seed,
        }
    }

    /// Whether an episode is part of it.
    pub fn has(&self, episode: Episode) -> bool {
        self.scenes.iter().any(|scene| scene.episode == episode)
    }

    /// When it is over: after a calm time, in which all is to be well again.
    pub fn end(&self) -> Duration {
        let last = self.scenes.last().map(|scene| scene.ends);
        last.unwrap_or_default() + CALM
    }

    /// The fleet that it happens to.
    pub(super) fn setup(&self) -> Setup {
        Setup {
            members: self.members,
            clusters: 1,
            nodes: self
                .lists
                .map(|shards| Told {
                    shards,
                    ..Told::usual()
                })
                .to_vec(),
            shortest_ttl: 2,
            window: Duration::from_millis(500),
            spread: false,
            starts: self.starts.to_vec(),
            ttl: TTL,
            margin: MARGIN,
            drains_for: self.drains_for,
            heeds_probes: self.heeds_probes,
            latency: self.latency,
            within: self.end() + Duration::from_secs(5),
            seed: self.seed,
        }
    }

    /// The hosts of the cluster.
    pub(super) fn members(&self) -> Vec<String> {
        hosts(self.members)
    }

    /// When each scene begins and ends.
    pub(super) fn turns(&self) -> Vec<(Duration, Scene, bool)> {
        let of = |&scene: &Scene| [(scene.begins, scene, true), (scene.ends, scene, false)];
        self.scenes.iter().flat_map(of).collect()
    }
}

/// Of this, the lease in etcd has 5 s, and 1.5 s are the time to stop.
const TTL: Duration = Duration::from_secs(6);
const MARGIN: Duration = Duration::from_millis(500);
/// A lease that runs out and is looked at late, a start that waits for it and fails, and another one.
const CALM: Duration = Duration::from_secs(12);
