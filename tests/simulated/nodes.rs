//! Nodes that share work, on the simulated network: each a service with a probe, a membership and shards.
//!
//! [`Scenario::of`] makes a scenario of a seed, and [`simulate`] judges who ran which shard when.

#[cfg(test)]
mod directed;
mod fleet;
mod lease;
mod node;
mod record;
mod scenario;
mod trace;

use crate::etcd::{Condition, Whom};
use crate::judged::in_ten_seconds;
use crate::net::{HOST, Traffic};
pub use record::{Record, Run};
pub use scenario::{Episode, Scenario, Scene};

use fleet::Fleet;
use node::Node;

/// How many nodes there are.
pub const NODES: usize = 3;
/// How many shards they share.
pub const SHARDS: u32 = 12;

/// What came of a scenario.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the nodes did and what their probes told, line by line.
    pub trace: String,
    /// What went over the network.
    pub traffic: Traffic,
    /// Who ran which shard when.
    pub runs: Vec<Run>,
}

/// Runs a scenario and judges it.
///
/// # Errors
///
/// What is not as it must be, with the scenario and the trace.
pub fn simulate(scenario: &Scenario) -> Result<Outcome, String> {
    let mut fleet = Fleet::new(&scenario.setup());
    let mut turns = scenario.turns().into_iter().peekable();
    let mut stepped = Ok(());
    while stepped.is_ok() && fleet.sim.elapsed() < scenario.end() {
        let now = fleet.sim.elapsed();
        fleet.record.at(now);
        while let Some((_, scene, begins)) = turns.next_if(|(at, ..)| now >= *at) {
            fleet
                .trace
                .add(now, format_args!("{scene:?} begins: {begins}"));
            turn(&mut fleet, scenario, scene, begins);
        }
        stepped = fleet.step();
    }
    let Fleet {
        sim,
        nodes,
        record,
        trace,
        traffic,
        ..
    } = fleet;
    let judged = stepped
        .and_then(|()| record.judge())
        .and_then(|()| at_rest(scenario, &record, &nodes));
    let running = record.running();
    // What still runs ends with this, and is no end that the nodes know of.
    drop(sim);
    let traffic = std::mem::take(&mut *crate::lock(&traffic));
    let outcome = Outcome {
        trace: trace.lines(),
        traffic,
        runs: record.runs(),
    };
    match judged.and_then(|()| no_storm(scenario, &outcome.traffic)) {
        Ok(()) => Ok(outcome),
        Err(wrong) => {
            let Outcome { trace, runs, .. } = outcome;
            let runs: Vec<String> = runs.iter().map(|run| format!("{run:?}")).collect();
            let runs = runs.join("\n");
            Err(format!(
                "{wrong}\n{scenario:?}\n{trace}\n{runs}\nrunning at the end: {running:?}"
            ))
        }
    }
}

/// At the end all is well for long enough: all nodes are ready, and each shard runs at one of them, none
/// of which has more than one above another.
fn at_rest(scenario: &Scenario, record: &Record, nodes: &[Node]) -> Result<(), String> {
    if let Some(node) = nodes.iter().find(|node| !node.is_ready()) {
        return Err(format!("{} is not ready at the end", node.id()));
    }
    let running = record.running();
    let counts = nodes.iter().map(|node| running.get(&node.id()).copied());
    let counts: Vec<usize> = counts.map(Option::unwrap_or_default).collect();
    let fair = counts.iter().max() <= counts.iter().min().map(|least| least + 1).as_ref();
    // Of several lists each has its own shares.
    let fair = fair || scenario.lists != [SHARDS; NODES];
    if counts.iter().sum::<usize>() != SHARDS as usize || !fair {
        return Err(format!("at the end the nodes run {running:?}"));
    }
    Ok(())
}

/// Connections are tried again at a bounded pace, whatever refuses them.
fn no_storm(scenario: &Scenario, traffic: &Traffic) -> Result<(), String> {
    for member in 0..scenario.members {
        let most = in_ten_seconds(&traffic.attempts, member).max_by_key(|(_, count)| *count);
        match most {
            Some((from, count)) if count > MOST_CONNECTIONS => {
                return Err(format!(
                    "{count} connections with member {member} in the ten seconds from {from:?}"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Begins or ends a scene.
fn turn(fleet: &mut Fleet, scenario: &Scenario, scene: Scene, begins: bool) {
    let Fleet {
        sim,
        cluster,
        nodes,
        ..
    } = fleet;
    let now = sim.elapsed();
    let members = scenario.members();
    let node = &nodes[scene.node];
    let id = node.id();
    let condition = |change: &dyn Fn(&mut Condition)| {
        let mut condition = Condition::GOOD;
        if begins {
            change(&mut condition);
        }
        cluster.set(condition, now);
    };
    match (scene.episode, begins) {
        (Episode::Silent, _) => condition(&|condition| condition.speaks = false),
        (Episode::NoLeader, _) => condition(&|condition| condition.leader = false),
        (Episode::Stalled, _) => condition(&|condition| condition.commits = false),
        (Episode::Slow, _) => condition(&|condition| condition.slower = scene.slower),
        (Episode::Deaf, _) => condition(&|condition| condition.deaf = Whom::All),
        (Episode::Deposed, _) if members.len() == 1 => {}
        (Episode::Deposed, _) => condition(&|condition| condition.deposed = Whom::One(0)),
        (Episode::NodeCutOff, true) => members.iter().for_each(|host| sim.partition(&*id, &**host)),
        (Episode::NodeCutOff, false) => members.iter().for_each(|host| sim.repair(&*id, &**host)),
        (Episode::NodeCutTo, true) => members
            .iter()
            .for_each(|host| sim.partition_oneway(&*id, &**host)),
        (Episode::NodeCutTo, false) => members
            .iter()
            .for_each(|host| sim.repair_oneway(&*id, &**host)),
        (Episode::NodeCutFrom, true) => members
            .iter()
            .for_each(|host| sim.partition_oneway(&**host, &*id)),
        (Episode::NodeCutFrom, false) => members
            .iter()
            .for_each(|host| sim.repair_oneway(&**host, &*id)),
        (Episode::MemberCrashed, _) => {
            let host = &*members[scene.member];
            if begins {
                sim.crash(host);
            } else {
                sim.bounce(host);
            }
            // That of a single member: nobody is left who could lead.
            if members.len() == 1 {
                condition(&|condition| condition.leader = false);
            }
        }
        (Episode::Revoked | Episode::AllRevoked, _) => {
            let way = if begins { scene.far } else { scenario.latency };
            for host in &members {
                sim.set_link_latency(&*id, &**host, way);
            }
            match (begins, scene.episode) {
                (true, Episode::AllRevoked) => fleet.revoke_all(),
                (true, _) => {
                    fleet.revoke_lease_of(scene.node);
                }
                (false, _) => {}
            }
        }
        (Episode::ClaimsRemoved, true) => fleet.remove_claims_of(scene.node),
        // In the time that goes on for the others.
        (Episode::Suspended, true) => fleet.suspend(scene.node, scene.far * 30),
        (Episode::ClaimsRemoved | Episode::Suspended, false) => {}
        (Episode::NodeStopped, _) => node.want(!begins),
        (Episode::NodeKilled, true) => sim.crash(&*id),
        (Episode::NodeKilled, false) => sim.bounce(&*id),
    }
}

/// With one member in ten seconds. A node has a probe, a lease, copies of two prefixes and claims; each asks
/// again 100 ms after a failure at the earliest, and most of the time waits for an answer first.
const MOST_CONNECTIONS: usize = 250;

/// The hosts of so many members.
fn hosts(members: usize) -> Vec<String> {
    (0..members).map(|index| format!("{HOST}{index}")).collect()
}
