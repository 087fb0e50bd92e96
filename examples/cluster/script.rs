//! The faults, one after the other: each from a balanced cluster to a balanced cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::etcd::{self, Member};
use crate::fault::Fault;
use crate::record::now;
use crate::screen::Screen;
use crate::verdict::{Allowed, Made, Row, Struck, row};

const SECOND: Duration = Duration::from_secs(1);
/// How long it takes at most until everything is well again, besides the time to live.
const BALANCED_WITHIN: Duration = Duration::from_secs(60);
/// How long a fault lasts that must be noticed by all, beyond the time to live.
const BEYOND_TTL: Duration = Duration::from_secs(5);
/// How long a node is gone that comes back before anybody may take its place.
const BACK_AFTER: Duration = Duration::from_secs(2);
/// How long each of several faults lasts alone.
const APART: Duration = Duration::from_secs(3);
/// How long the members of etcd that are left have to go on without one.
const WITHOUT_LEADER: Duration = Duration::from_secs(6);
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

/// Makes the fault and heals it.
async fn strike(
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
    }
    Ok(())
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
