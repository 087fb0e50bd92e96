//! Claims are deleted by hand while their owner drains.
//!
//! The others may claim such a shard a second later, and do not know that its job still runs. So the job must
//! be gone by then, though it has leave to go on: it goes on for longer than that second.

use std::time::Duration;

use super::leader::last_work;
use super::{heal, within};
use crate::cluster::Cluster;
use crate::etcd::Vanished;
use crate::node::PREFIX;
use crate::record::now;
use crate::verdict::Made;

/// How long jobs go on when they are told to stop: longer than until others may claim a shard whose claim
/// was deleted.
const DRAIN: Duration = Duration::from_millis(1_400);
/// How long the node drains before claims are deleted.
const DELETED_AFTER: Duration = Duration::from_millis(100);

pub(super) async fn strike(
    cluster: &mut Cluster,
    node: usize,
    made: &mut Made,
) -> Result<(), String> {
    let screen = cluster.screen;
    let id = cluster.id(node).to_owned();
    screen.say(
        "script",
        &format!("{id} is started anew, with jobs that take {DRAIN:?} to stop"),
    );
    cluster.leave(&[node]).await?;
    cluster.orders(node).drain = DRAIN;
    cluster.launch(node)?;
    cluster.balanced(within(cluster)).await?;

    let (process, from) = (cluster.process(node)?, now());
    let vanished = Vanished::follow(&cluster.members[0], PREFIX).await?;
    // The others are let drain.
    let mut shards = cluster.shards_of(node);
    shards.truncate(shards.len().div_ceil(2));
    cluster.tell_to_stop(node)?;
    cluster.pause(DELETED_AFTER).await?;
    cluster.delete_claims(&shards).await?;
    screen.say(
        "script",
        &format!("{id} is told to stop, and the claims on {shards:?} are deleted"),
    );
    cluster.left(&[node]).await?;
    let longest = last_work(cluster, &vanished.keys()).unwrap_or_default();
    let note = format!(
        "{} claims were deleted in a drain of {DRAIN:?}; the last of their jobs was gone {longest:.1?} later",
        shards.len()
    );
    screen.say("script", &note);
    made.notes.push(note);

    cluster.covered(within(cluster)).await?;
    heal(made, Some((process, from)));
    screen.say("script", &format!("{id} is started again"));
    cluster.orders(node).drain = Duration::ZERO;
    cluster.launch(node)
}
