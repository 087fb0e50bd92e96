//! A job blocks its thread for good, and its node is to stop it.
//!
//! It cannot. So the process must end, by `run_or_exit` or by the watchdog of the fence, before the lease can
//! run out and others take over. Until then the job counts as active.

use std::time::Duration;

use super::{heal, within};
use crate::cluster::Cluster;
use crate::record::now;
use crate::verdict::Made;

/// How long a process may take to end that is told to stop: the deadlines of its two stages, and some.
const ENDED_WITHIN: Duration = Duration::from_secs(8);

/// The node is cut off from etcd.
pub(super) async fn cut_off(
    cluster: &mut Cluster,
    node: usize,
    made: &mut Made,
) -> Result<(), String> {
    let node = cluster.busy_from(node);
    let (id, process) = (cluster.id(node).to_owned(), cluster.process(node)?);
    let shard = cluster.block(node).await?;
    let from = now();
    cluster.cut_off(node);
    let what = format!("{id} is cut off from etcd; its job of shard {shard} blocks");
    cluster.screen.say("script", &what);
    cluster.ended(node, cluster.wanted.ttl).await?;
    note(cluster, made, "it was cut off", from);
    cluster.covered(within(cluster)).await?;
    heal(made, Some((process, from)));
    cluster.join_up(node);
    again(cluster, node)
}

/// The node is told to stop.
pub(super) async fn leaves(
    cluster: &mut Cluster,
    node: usize,
    made: &mut Made,
) -> Result<(), String> {
    let node = cluster.busy_from(node);
    let (id, process) = (cluster.id(node).to_owned(), cluster.process(node)?);
    let shard = cluster.block(node).await?;
    let from = now();
    cluster.tell_to_stop(node)?;
    let what = format!("{id} is told to stop; its job of shard {shard} blocks");
    cluster.screen.say("script", &what);
    cluster.ended(node, ENDED_WITHIN).await?;
    note(cluster, made, "it was told to stop", from);
    cluster.covered(within(cluster)).await?;
    heal(made, Some((process, from)));
    again(cluster, node)
}

fn note(cluster: &Cluster, made: &mut Made, what: &str, from: u64) {
    let time = Duration::from_nanos(now() - from);
    let note = format!("the process had ended {time:.2?} after {what}");
    cluster.screen.say("script", &note);
    made.notes.push(note);
}

fn again(cluster: &mut Cluster, node: usize) -> Result<(), String> {
    let what = format!("{} is started again", cluster.id(node));
    cluster.screen.say("script", &what);
    cluster.launch(node)
}
