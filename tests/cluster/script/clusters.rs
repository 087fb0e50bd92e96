//! A mistake of an operator's: the endpoints of the nodes belong to two etcds, which know nothing of each
//! other. What is claimed in one is free in the other.
//!
//! While that is so no node may be ready, nor take a lease in either, nor run a job.

use std::time::Duration;

use super::{APART, SECOND, heal};
use crate::cluster::{Cluster, Endpoints};
use crate::verdict::Made;

/// For how long a node sees the second etcd alone: not as long as one etcd must be alone to be taken for the one
/// that is meant, which is the window.
const CLOSED_FOR: Duration = Duration::from_secs(2);

pub(super) async fn strike(
    cluster: &mut Cluster,
    node: usize,
    made: &mut Made,
) -> Result<(), String> {
    let screen = cluster.screen;
    cluster.start_second().await?;
    screen.say(
        "script",
        "one after the other, nodes are started anew with endpoints of a second etcd besides",
    );
    let mut processes = Vec::new();
    let count = cluster.all().len();
    for number in 0..count {
        let one = (node + number) % count;
        cluster.leave(&[one]).await?;
        cluster.orders(one).endpoints = match number % 2 {
            0 => Endpoints::FirstAndSecond,
            _ => Endpoints::SecondAndFirst,
        };
        cluster.launch(one)?;
        processes.push((one, cluster.process(one)?));
        // With three nodes at least one works by the first etcd meanwhile. One node of either order.
        if number < 2 {
            cluster.pause(APART).await?;
            close_to_first(cluster, one).await?;
        }
    }
    cluster.pause(cluster.wanted.ttl + SECOND).await?;

    let mut well = true;
    for (one, process) in processes {
        let (id, jobs) = (cluster.id(one), cluster.started_by(process));
        let said = cluster.said(one)?;
        if said.ready || said.trips > 0 || jobs > 0 {
            well = false;
            made.broken.push(format!(
                "{id} was ready and began {jobs} jobs, with endpoints of two etcds"
            ));
        }
    }
    let (first, second) = (cluster.keys().await?, cluster.keys_of_second().await?);
    for (which, keys) in [("first", first.all), ("second", second.all)] {
        if !keys.is_empty() {
            well = false;
            made.broken.push(format!(
                "nodes with endpoints of two etcds have written {} keys to the {which}",
                keys.len()
            ));
        }
    }

    if well {
        made.notes
            .push("no node was ready, nor wrote anything to either etcd".into());
    }
    screen.say(
        "script",
        "the nodes are started anew with endpoints of the first etcd alone",
    );
    let all = cluster.all();
    cluster.leave(&all).await?;
    cluster.end_second();
    heal(made, None);
    for one in all {
        cluster.orders(one).endpoints = Endpoints::First;
        cluster.launch(one)?;
    }
    Ok(())
}

/// A node sees the second etcd alone, for some time. It has seen before that there are two.
async fn close_to_first(cluster: &mut Cluster, node: usize) -> Result<(), String> {
    let what = format!("{} cannot connect to the first etcd", cluster.id(node));
    cluster.screen.say("script", &what);
    cluster.close_to_first(node);
    cluster.pause(CLOSED_FOR).await?;
    cluster.join_up(node);
    cluster.screen.say("script", "it can again");
    Ok(())
}
