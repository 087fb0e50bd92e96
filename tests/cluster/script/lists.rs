//! A rolling deployment that changes what there is to do: meanwhile nodes know different shards.
//!
//! Each shard that any of them knows must run, at one of those that know it.

use std::time::Duration;

use super::{SECOND, heal, within};
use crate::cluster::Cluster;
use crate::record::now;
use crate::verdict::Made;

const MOST_MORE: u32 = 50;

pub(super) async fn strike(
    cluster: &mut Cluster,
    node: usize,
    made: &mut Made,
) -> Result<(), String> {
    let usual = cluster.wanted.shards;
    let id = cluster.id(node).to_owned();
    // Many more would measure this machine.
    let more = usual + (2 * usual).min(MOST_MORE);
    for shards in [more, (usual / 3).max(1)] {
        let what = format!("{id} is started anew, and knows {shards} shards instead of {usual}");
        cluster.screen.say("script", &what);
        cluster.leave(&[node]).await?;
        cluster.orders(node).shards = shards;
        cluster.launch(node)?;
        cluster.ready(node, within(cluster)).await?;
        let from = now();
        let who = format!("{id} knows {shards} shards, others {usual}");
        // As long as when a node dies, though there are at most moves for the sake of balance.
        match cluster
            .covered_steadily(cluster.wanted.ttl + 2 * SECOND)
            .await
        {
            Ok(covered) => {
                let time = Duration::from_nanos(covered.saturating_sub(from));
                let note = format!("{who}: all run {time:.2?} after it was ready");
                cluster.screen.say("script", &note);
                made.notes.push(note);
            }
            // The rest is worth seeing all the same.
            Err(why) => made.broken.push(format!("{who}: {why}")),
        }
    }
    heal(made, None);
    let what = format!("{id} is started anew, and knows {usual} shards as all do");
    cluster.screen.say("script", &what);
    cluster.leave(&[node]).await?;
    cluster.orders(node).shards = usual;
    cluster.launch(node)
}
