#![forbid(unsafe_code)]
//! Lesson 6: nodes that share work by etcd.
//!
//! It needs an etcd, and `protoc` to be built. Run two or three of these, each in a terminal of its own,
//! then stop one of them with ctrl-c, or kill it:
//!
//! ```text
//! etcd &
//! cargo run --example 06_cluster --features etcd -- node-1
//! cargo run --example 06_cluster --features etcd -- node-2
//! ```
//!
//! - [`Membership`] registers this process as a node, under a lease. [`Shards`] runs the shards that are this
//!   node's share.
//! - Each shard runs on one node at a time. A node that leaves is replaced at once, one that dies when its
//!   lease has expired.
//! - `lease_holder` adds the membership with its lease: the work after it is stopped before the node leaves.
//! - The *fence* stops all work before the lease can expire: deadlines that are too long for it are
//!   refused when the service is built.
//! - `shard.check()` says whether this node still owns the shard, as far as it can know. `shard.token()`
//!   rises from owner to owner, for stores that refuse old ones.
//! - `run_or_exit` leaves the process when a thread is blocked for good, so that its shards can move.
//!
//! `cargo run --release -p overwatch-cluster` plays this through every fault of nodes and etcd.

#[cfg(all(test, feature = "etcd-tests"))]
mod tests;

use std::error::Error;
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership, Shard, Shards};
use overwatch::{Failure, Overwatch, Policy};

/// Below this are all keys of these nodes.
const PREFIX: &str = "lesson";
/// How soon the work of a node that has died is taken over.
const TTL: Duration = Duration::from_secs(10);
/// How many pieces the work is in. All nodes must agree on it.
const SHARDS: u32 = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let node = arguments.next().unwrap_or_else(|| "node-1".into());
    let etcd = arguments.next();
    let etcd = etcd.unwrap_or_else(|| "http://127.0.0.1:2379".into());
    println!("this is {node}, etcd is at {etcd}");
    service(&node, &etcd, work)?.run_or_exit().await;
    Ok(())
}

fn service<F, Fut>(node: &str, etcd: &str, work: F) -> Result<Overwatch, Box<dyn Error>>
where
    F: FnOnce(Shard) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let etcd = EtcdConfig::new([etcd])?;
    let membership = Membership::builder(etcd.clone(), PREFIX, node).ttl(TTL);
    let membership = membership.build()?;
    let shards = Shards::new(&membership, "work", SHARDS, work)?;
    let policy = Policy::builder()
        .start_deadline(Duration::from_secs(4))
        .stop_deadline(Duration::from_secs(1))
        .abort_deadline(Duration::from_millis(500))
        .build()?;
    let service = Overwatch::builder(EtcdProbe::new(etcd)?)
        .policy(policy)
        .lease_holder("membership", membership)
        .component("work", shards)
        .build()?;
    Ok(service)
}

/// Runs once for each shard that is this node's share.
async fn work(shard: Shard) -> Result<(), Failure> {
    println!("shard {}: begins, token {}", shard.index(), shard.token());
    while shard.sleep(Duration::from_secs(1)).await {
        // Ask before each effect on the outside world.
        shard.check()?;
    }
    println!("shard {}: ends", shard.index());
    Ok(())
}
