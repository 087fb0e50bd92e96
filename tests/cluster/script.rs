//! The faults, one after the other: each from a balanced cluster to a balanced cluster.

mod blocked;
mod clusters;
mod leader;
mod lists;
mod removed;
mod restored;
mod strike;

use std::time::Duration;

use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::record::now;
use crate::verdict::{Allowed, Made, Row, Struck, row};
use strike::strike;

const SECOND: Duration = Duration::from_secs(1);
/// How long it takes at most until everything is well again, besides the time to live.
const BALANCED_WITHIN: Duration = Duration::from_secs(60);
/// How long a fault lasts that must be noticed by all, beyond the time to live.
const BEYOND_TTL: Duration = Duration::from_secs(5);
/// How long each of several faults lasts alone.
const APART: Duration = Duration::from_secs(3);
/// How long after the nodes have left their records may stay in etcd.
const NOTHING_LEFT_WITHIN: Duration = SECOND;

/// Plays everything, and adds a row for each fault.
///
/// The error says what was waited for in vain. Of what would have come after it nothing can be told.
pub(crate) async fn play(cluster: &mut Cluster, rows: &mut Vec<Row>) -> Result<(), String> {
    let reported = Allowed::default();
    let mut made = Made::default();
    let outcome = start(cluster, &mut made).await;
    let started = now();
    cluster.look()?;
    // Each row begins where the one before ends, so that nothing is in none.
    let mut span = (0, started);
    rows.push(row(cluster, "start", reported, span, &made, &outcome));
    outcome.map_err(|why| format!("start: {why}"))?;

    for (number, fault) in cluster.wanted.faults.clone().into_iter().enumerate() {
        let name = fault.name();
        // A different node each time.
        let node = number % cluster.wanted.nodes;
        let trips = cluster.trips();
        let mut made = Made::default();
        let outcome = match strike(cluster, fault, node, &mut made).await {
            Ok(()) => cluster.balanced(within(cluster)).await,
            Err(why) => Err(why),
        };
        let allowed = fault.allowed(cluster.wanted.ttl);
        span = (span.1, now());
        // All that was written until then.
        cluster.look()?;
        let mut row = row(cluster, name, allowed, span, &made, &outcome);
        match fault {
            Fault::LeaderKilled if cluster.trips() != trips => {
                row.broken.push("a node was not ready meanwhile".into());
            }
            Fault::NodeBack if row.moves > 0 => {
                row.broken.push("a shard has moved, and needed not".into());
            }
            _ => {}
        }
        rows.push(row);
        outcome.map_err(|why| format!("{name}: {why}"))?;
    }

    let outcome = end(cluster).await;
    cluster.look()?;
    rows.push(row(
        cluster,
        "the end",
        reported,
        (span.1, u64::MAX),
        &Made::default(),
        &Ok(now()),
    ));
    outcome.map_err(|why| format!("the end: {why}"))
}

/// How long until everything is well again, at most.
fn within(cluster: &Cluster) -> Duration {
    cluster.wanted.ttl + BALANCED_WITHIN
}

async fn start(cluster: &mut Cluster, made: &mut Made) -> Result<u64, String> {
    made.healed = now();
    for node in cluster.all() {
        cluster.launch(node)?;
    }
    cluster.balanced(within(cluster)).await
}

async fn end(cluster: &mut Cluster) -> Result<(), String> {
    cluster.screen.say("script", "all nodes are told to stop");
    let all = cluster.all();
    cluster.leave(&all).await?;
    cluster.nothing_left(NOTHING_LEFT_WITHIN).await
}

/// Everything is healed, now.
fn heal(made: &mut Made, struck: Option<(usize, u64)>) {
    made.healed = now();
    made.struck = struck.map(|(process, from)| Struck {
        process,
        from,
        until: made.healed,
    });
}
