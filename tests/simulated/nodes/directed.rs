//! What the documents of `Membership` and `Shards` argue, argument by argument: each test brings about
//! what would go wrong if it were not so. The laws of leases and of shards hold all the time.

mod claims;
mod clusters;
mod delays;
mod grace;
mod lists;
mod promises;
mod registration;
mod releases;
mod renewals;
mod restored;
mod revoked;
mod suspended;
mod watches;

use std::time::Duration;

use etcd_client::proto::*;

use super::SHARDS;
use super::fleet::{Fleet, Setup};
use super::node::claim_on;
use super::record::Run;
use crate::etcd::{Condition, Hold, Question, Side, Stored};

/// Does it with many seeds: of each, messages take other times.
fn many(test: impl Fn(u64)) {
    let seeds = if cfg!(debug_assertions) { 2 } else { 32 };
    (1..=seeds).for_each(test);
}

impl Setup {
    fn seeded(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// So many nodes that all start at once, and one member.
    fn of(nodes: usize) -> Self {
        Self {
            members: 1,
            clusters: 1,
            nodes: Vec::new(),
            shortest_ttl: 2,
            window: s(0.5),
            spread: true,
            starts: vec![Duration::ZERO; nodes],
            ttl: s(6.0),
            margin: s(0.5),
            drains_for: Duration::ZERO,
            // The lease alone keeps two nodes from one shard.
            heeds_probes: false,
            latency: s(0.01),
            within: s(120.0),
            seed: 1,
        }
    }

    /// With a lease of 15 s, which is renewed every 3 s. A question may take 1.5 s. Functions do not stop
    /// by themselves when the service does, which the fence of the policy sees to before the lease's
    /// own time is over.
    fn slowly_renewed(nodes: usize) -> Self {
        Self {
            ttl: s(16.0),
            drains_for: s(60.0),
            ..Self::of(nodes)
        }
    }
}

impl Fleet {
    /// Goes on until this holds.
    fn until(&mut self, what: &str, within: Duration, holds: impl Fn(&Self) -> bool) {
        let end = self.sim.elapsed() + within;
        while !holds(self) {
            if self.sim.elapsed() >= end {
                self.fail(&format!("not within {within:?}: {what}"));
            }
            self.go_on();
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.sim.elapsed() + time;
        while self.sim.elapsed() < end {
            self.go_on();
        }
    }

    fn go_on(&mut self) {
        let kept = self.step().and_then(|()| self.record.judge());
        if let Err(wrong) = kept {
            self.fail(&wrong);
        }
    }

    fn fail(&self, why: &str) -> ! {
        let runs: Vec<String> = self
            .record
            .runs()
            .iter()
            .map(|r| format!("{r:?}"))
            .collect();
        panic!(
            "at {:?}: {why}\n{}\n{}",
            self.sim.elapsed(),
            self.trace.lines(),
            runs.join("\n")
        );
    }

    /// Until each shard runs at one of so many nodes, none of which has more than one above another.
    fn until_spread_over(&mut self, nodes: usize) {
        self.until("the shards are spread", s(15.0), |fleet| {
            let running = fleet.record.running();
            let (least, most) = (running.values().min(), running.values().max());
            running.len() == nodes
                && running.values().sum::<usize>() == SHARDS as usize
                && most <= least.map(|least| least + 1).as_ref()
        });
    }

    /// What a node runs.
    fn runs_of(&self, node: usize) -> Vec<Run> {
        let id = self.nodes[node].id();
        let unfinished = self.record.unfinished().into_iter();
        unfinished.filter(|run| run.node == id).collect()
    }

    /// A node and the members do not hear each other any more.
    fn cut_off(&mut self, node: usize) {
        for host in self.hosts() {
            self.sim.partition(self.nodes[node].id(), host);
        }
    }

    fn hosts(&self) -> Vec<String> {
        super::hosts(self.members)
    }

    fn set(&mut self, condition: Condition) {
        self.cluster.set(condition, self.sim.elapsed());
    }

    /// Holds up the next questions of this kind.
    fn hold(
        &self,
        side: Side,
        count: usize,
        which: impl Fn(Question<'_>) -> bool + Send + Sync + 'static,
    ) -> Hold {
        self.cluster.hold(side, count, which)
    }

    /// Counts the questions of this kind that are about to be answered.
    fn count(&self, which: impl Fn(Question<'_>) -> bool + Send + Sync + 'static) -> Hold {
        self.hold(Side::After, 0, which)
    }

    /// Until a renewal is over which began from now on, so that the next one is far.
    fn until_renewed(&mut self, node: usize) {
        // One may be under way.
        let confirming = self.count(reads(self.nodes[node].registration()));
        self.until("a renewal", s(10.0), |_| confirming.came() > 0);
        self.run_for(s(0.1));
    }

    /// Who has claimed each shard; nothing where nobody has.
    fn claims(&self) -> Vec<Option<Stored>> {
        let claims = (0..SHARDS).map(|shard| self.cluster.stored(&claim_on(shard)));
        claims
            .map(|claim| claim.filter(|claim| !claim.value.is_empty()))
            .collect()
    }

    /// How many shards a node has claimed.
    fn claimed_by(&self, node: usize) -> usize {
        let id = self.nodes[node].id();
        let claims = self.claims();
        claims.iter().flatten().filter(|it| it.value == id).count()
    }

    /// Takes a node's registration away by hand.
    fn take_registration(&mut self, node: usize, how: Taken) {
        let key = self.nodes[node].registration().into_bytes();
        let now = self.sim.elapsed();
        self.cluster.write(|store| match how {
            Taken::Removed => {
                let delete = PbDeleteRequest {
                    key,
                    ..PbDeleteRequest::default()
                };
                let deleted = store.delete_range(&delete).expect("a fair deletion");
                assert_eq!(deleted.deleted, 1);
            }
            Taken::Overwritten => {
                let asked = PbLeaseGrantRequest { ttl: 60, id: 0 };
                let lease = store.grant(&asked, now).expect("a fair grant").id;
                let put = PbPutRequest {
                    key,
                    value: b"somebody else".to_vec(),
                    lease,
                    ..PbPutRequest::default()
                };
                store.put(&put).expect("a fair put");
            }
        });
    }
}

impl Fleet {
    /// Puts a key as no node does: without a lease.
    fn put_by_hand(&mut self, key: &str) {
        let put = PbPutRequest {
            key: key.into(),
            value: b"somebody else".to_vec(),
            ..PbPutRequest::default()
        };
        self.cluster
            .write(|store| store.put(&put))
            .expect("a fair put");
    }
}

/// What somebody does to a registration.
#[derive(Clone, Copy, Debug)]
enum Taken {
    Removed,
    Overwritten,
}

/// Reads of this key alone.
fn reads(key: String) -> impl Fn(Question<'_>) -> bool + Send + Sync {
    move |question| match question {
        Question::Read(range) => range.key == key.as_bytes() && range.range_end.is_empty(),
        _ => false,
    }
}

/// Reads of all keys below this one.
fn reads_below(prefix: &'static str) -> impl Fn(Question<'_>) -> bool + Send + Sync {
    move |question| match question {
        Question::Read(range) => {
            range.key.starts_with(prefix.as_bytes()) && !range.range_end.is_empty()
        }
        _ => false,
    }
}

/// Transactions that claim a shard for whoever has this id, or release one if it is empty.
fn writes_claims(value: String) -> impl Fn(Question<'_>) -> bool + Send + Sync {
    move |question| match question {
        Question::Transaction(txn) => puts(txn, value.as_bytes()),
        _ => false,
    }
}

fn puts(txn: &PbTxnRequest, value: &[u8]) -> bool {
    let claim = claim_on(0);
    let claims = claim.trim_end_matches('0').as_bytes();
    txn.success
        .iter()
        .any(|operation| match &operation.request {
            Some(PbTxnOpRequest::RequestPut(put)) => {
                put.key.starts_with(claims) && put.value == value
            }
            Some(PbTxnOpRequest::RequestTxn(txn)) => puts(txn, value),
            _ => false,
        })
}

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
