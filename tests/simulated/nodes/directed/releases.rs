//! What a release frees, and when.

use super::super::SHARDS;
use super::super::fleet::{Fleet, Setup};
use super::{Side, s, writes_claims};
use crate::etcd::{Condition, Hold, Whom};

/// The second node comes when the first one has all shards, and the first one's release of half of them
/// is late: it gives up waiting, and says so again.
fn released_late() -> (Fleet, Hold) {
    let mut fleet = Fleet::new(&Setup {
        starts: vec![s(0.0), s(4.0)],
        ..Setup::of(2)
    });
    fleet.until_spread_over(1);
    let late = fleet.hold(Side::Before, 1, writes_claims(String::new()));
    fleet.until_spread_over(2);
    assert!(late.came() > 1, "the first one is held up");
    (fleet, late)
}

/// Nothing moves when the late release arrives.
fn frees_nothing(fleet: &mut Fleet, late: Hold) {
    let (runs, claims) = (fleet.record.unfinished(), fleet.claims());
    assert_eq!(runs.len(), SHARDS as usize);
    late.let_go();
    fleet.run_for(s(1.0));
    for (before, now) in claims.iter().zip(fleet.claims()) {
        assert_eq!(
            before.as_ref().map(|claim| claim.revision),
            now.map(|claim| claim.revision)
        );
    }
    assert_eq!(fleet.record.unfinished(), runs);
}

#[test]
fn a_late_release_does_not_free_what_another_node_has_claimed() {
    let (mut fleet, late) = released_late();
    frees_nothing(&mut fleet, late);
}

/// By the same lease as before.
#[test]
fn a_late_release_does_not_free_what_the_same_node_has_claimed_again() {
    let (mut fleet, late) = released_late();
    fleet.nodes[1].want(false);
    fleet.until_spread_over(1);
    assert_eq!(fleet.runs_of(0).len(), SHARDS as usize);
    frees_nothing(&mut fleet, late);
}

/// The functions go on for longer than it takes to claim.
fn slow_to_drain(nodes: usize) -> Setup {
    Setup {
        drains_for: s(0.4),
        ..Setup::of(nodes)
    }
}

#[test]
fn a_shard_that_moves_is_released_when_its_function_has_returned() {
    let mut fleet = Fleet::new(&Setup {
        starts: vec![s(0.0), s(0.0), s(5.0)],
        ..slow_to_drain(3)
    });
    fleet.until_spread_over(2);
    let before = fleet.record.unfinished();
    fleet.until_spread_over(3);
    let moved = fleet.runs_of(2);
    assert_eq!(moved.len(), 4);
    for run in moved {
        let earlier = before.iter().find(|earlier| earlier.shard == run.shard);
        assert!(earlier.is_some_and(|earlier| earlier.token < run.token));
    }
}

#[test]
fn a_node_that_stops_releases_each_shard_when_its_function_has_returned() {
    let mut fleet = Fleet::new(&slow_to_drain(2));
    fleet.until_spread_over(2);
    fleet.nodes[0].want(false);
    fleet.run_for(s(0.3));
    assert_eq!(fleet.runs_of(0).len(), 6, "they drain");
    // Each is free at once when it has returned.
    fleet.until("all has moved", s(0.7), |fleet| {
        fleet.runs_of(1).len() == SHARDS as usize
    });
}

/// The second node's watches are deaf, so that it does not see its claims when it is stopped. If it did not
/// release them they would vanish with its lease, and be left alone for a second.
#[test]
fn a_claim_that_was_not_seen_is_released_when_the_node_stops() {
    let mut fleet = Fleet::new(&Setup {
        members: 3,
        starts: vec![s(0.0), s(4.0)],
        ..Setup::of(2)
    });
    fleet.set(Condition {
        deaf: Whom::One(1),
        ..Condition::GOOD
    });
    fleet.until_spread_over(1);
    fleet.until("claims", s(10.0), |fleet| fleet.claimed_by(1) > 0);
    fleet.nodes[1].want(false);
    fleet.until("all is back", s(0.7), |fleet| {
        fleet.runs_of(0).len() == SHARDS as usize
    });
    let runs = fleet.record.runs();
    assert!(
        runs.iter().all(|run| run.node == "node-0"),
        "nothing was begun under them"
    );
}
