//! Makes one fault, and heals it.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use super::{APART, BEYOND_TTL, blocked, clusters, heal, leader, lists, removed, restored, within};
use crate::cluster::Cluster;
use crate::etcd::{self, Member};
use crate::fault::Fault;
use crate::record::now;
use crate::screen::Screen;
use crate::verdict::Made;

/// How long a node is gone that comes back before anybody may take its place.
const BACK_AFTER: Duration = Duration::from_secs(2);
/// How long the members of etcd that are left have to go on without one.
const WITHOUT_LEADER: Duration = Duration::from_secs(6);

/// Makes the fault and heals it.
pub(super) async fn strike(
    cluster: &mut Cluster,
    fault: Fault,
    node: usize,
    made: &mut Made,
) -> Result<(), String> {
    let id = cluster.id(node).to_owned();
    let screen = cluster.screen;
    let say = |what: &str| screen.say("script", what);
    let beyond = cluster.wanted.ttl + BEYOND_TTL;
    let process = cluster.process(node)?;
    let from = now();
    say(&format!("--- {} ---", fault.name()));
    match fault {
        Fault::NodeLeaves => {
            made.least = Some(there_and_back(cluster, node));
            say(&format!("{id} is told to stop"));
            cluster.leave(&[node]).await?;
            cluster.pause(APART).await?;
            heal(made, Some((process, from)));
            say(&format!("{id} is started again"));
            cluster.launch(node)?;
        }
        Fault::NodeKilled => {
            made.least = Some(there_and_back(cluster, node));
            say(&format!("{id} is killed"));
            cluster.kill(node)?;
            cluster.pause(beyond).await?;
            heal(made, Some((process, from)));
            say(&format!("{id} is started again"));
            cluster.launch(node)?;
        }
        Fault::NodeBack => {
            made.least = Some(0);
            say(&format!("{id} is killed"));
            cluster.kill(node)?;
            cluster.pause(BACK_AFTER).await?;
            heal(made, Some((process, from)));
            say(&format!("{id} is started again"));
            cluster.launch(node)?;
        }
        Fault::NodeHung => {
            made.least = Some(there_and_back(cluster, node));
            say(&format!("{id} is stopped (SIGSTOP)"));
            cluster.hang(node)?;
            cluster.pause(beyond).await?;
            heal(made, Some((process, from)));
            say(&format!("{id} goes on (SIGCONT)"));
            cluster.resume(node)?;
        }
        Fault::NodeCutOff => {
            made.least = Some(there_and_back(cluster, node));
            say(&format!("{id} is cut off from etcd"));
            cluster.cut_off(node);
            cluster.pause(beyond).await?;
            heal(made, Some((process, from)));
            say(&format!("{id} is joined up with etcd"));
            cluster.join_up(node);
        }
        Fault::LeaseRevoked => {
            say(&format!("the lease of {id} is revoked"));
            cluster.revoke(node).await?;
            heal(made, None);
        }
        Fault::EtcdKilled => {
            say("etcd is killed");
            cluster.members.iter_mut().for_each(Member::kill);
            cluster.pause(beyond).await?;
            etcd::launch(&mut cluster.members).await?;
            heal(made, None);
            say("etcd is back");
        }
        Fault::EtcdHung => {
            say("etcd is stopped (SIGSTOP)");
            signal(cluster, Signal::STOP)?;
            cluster.pause(beyond).await?;
            signal(cluster, Signal::CONT)?;
            etcd::answering(&mut cluster.members).await?;
            heal(made, None);
            say("etcd is back (SIGCONT)");
        }
        Fault::QuorumLost => {
            say("two of the three members of etcd are killed");
            cluster.members.iter_mut().take(2).for_each(Member::kill);
            cluster.pause(beyond).await?;
            etcd::launch(&mut cluster.members).await?;
            heal(made, None);
            say("they are back");
        }
        Fault::LeaderKilled => {
            made.least = Some(0);
            let leader = etcd::leader(&cluster.members).await?;
            say("the member of etcd that leads is killed");
            cluster.members[leader].kill();
            cluster.pause(WITHOUT_LEADER).await?;
            etcd::launch(&mut cluster.members).await?;
            heal(made, None);
            say("it is back");
        }
        Fault::ThreeInARow => {
            let other = (node + 1) % cluster.wanted.nodes;
            say(&format!("{id} is killed"));
            cluster.kill(node)?;
            cluster.pause(APART).await?;
            say(&format!("{} is stopped (SIGSTOP)", cluster.id(other)));
            cluster.hang(other)?;
            cluster.pause(APART).await?;
            say("etcd is killed");
            cluster.members.iter_mut().for_each(Member::kill);
            cluster.pause(beyond).await?;
            etcd::launch(&mut cluster.members).await?;
            heal(made, None);
            say("all are back");
            cluster.launch(node)?;
            cluster.resume(other)?;
        }
        Fault::Redistribution => {
            made.least = Some(there_and_back(cluster, node));
            say(&format!("{id} is killed"));
            let before = etcd::counted(&cluster.members).await?;
            cluster.kill(node)?;
            let covered = cluster.covered(within(cluster)).await?;
            let after = etcd::counted(&cluster.members).await?;
            note(
                made,
                screen,
                "all shards run again",
                covered - from,
                &before,
                &after,
            );
            cluster.pause(APART).await?;
            let before = etcd::counted(&cluster.members).await?;
            heal(made, Some((process, from)));
            say(&format!("{id} is started again"));
            cluster.launch(node)?;
            let shared = cluster.shared_out(within(cluster)).await?;
            let after = etcd::counted(&cluster.members).await?;
            let what = "all nodes have their shares again";
            note(made, screen, what, shared - made.healed, &before, &after);
        }
        Fault::LeaderHung => leader::hung(cluster, made).await?,
        Fault::ClaimsRemoved => removed::strike(cluster, node, made).await?,
        Fault::BlockedCutOff => blocked::cut_off(cluster, node, made).await?,
        Fault::BlockedLeaves => blocked::leaves(cluster, node, made).await?,
        Fault::EtcdRestored => restored::between_nodes(cluster, node, made).await?,
        Fault::EtcdRestoredInUse => restored::in_use(cluster, node, made).await?,
        Fault::TwoLists => lists::strike(cluster, node, made).await?,
        Fault::TwoClusters => clusters::strike(cluster, node, made).await?,
    }
    Ok(())
}

fn signal(cluster: &mut Cluster, signal: Signal) -> Result<(), String> {
    let mut members = cluster.members.iter_mut();
    members.try_for_each(|member| member.signal(signal))
}

/// How often shards must move at least when a node goes and comes back: all of its own, and then as
/// many to it as the others may not keep.
fn there_and_back(cluster: &Cluster, node: usize) -> usize {
    let wanted = &cluster.wanted;
    let kept = (wanted.nodes - 1) * wanted.share();
    cluster.load(node) + (wanted.shards as usize).saturating_sub(kept)
}

/// What etcd was asked meanwhile.
fn note(
    made: &mut Made,
    screen: Screen,
    what: &str,
    nanos: u64,
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) {
    let more = |(method, &after): (&String, &u64)| {
        let more = after.saturating_sub(before.get(method).copied().unwrap_or(0));
        (more > 0).then(|| format!("{more} {method}"))
    };
    let calls: Vec<String> = after.iter().filter_map(more).collect();
    let seconds = nanos as f64 / 1e9;
    let note = format!(
        "{what} after {seconds:.2} s; etcd was asked: {}",
        calls.join(", ")
    );
    screen.say("script", &note);
    made.notes.push(note);
}
