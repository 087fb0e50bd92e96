//! etcd is restored from a backup: revisions go back.

use std::collections::BTreeMap;

use super::super::SHARDS;
use super::super::fleet::{Fleet, Setup};
use super::super::record::Run;
use super::{many, s};

/// A store that remembers the highest token for each shard, and refuses whoever comes with a lower one. Whom it
/// refuses.
fn refused(runs: &[Run]) -> Vec<&Run> {
    let mut highest: BTreeMap<u32, i64> = BTreeMap::new();
    let mut stale = Vec::new();
    for run in runs {
        let highest = highest.entry(run.shard).or_default();
        match run.token < *highest {
            true => stale.push(run),
            false => *highest = run.token,
        }
    }
    stale
}

/// All nodes are wanted, or none.
fn all_are(fleet: &Fleet, wanted: bool) {
    for node in &fleet.nodes {
        node.want(wanted);
    }
}

/// Shards run for a while, etcd is restored as it was at the beginning, and they run again: all that ran.
fn restored(generation: u16) -> Vec<Run> {
    let mut fleet = Fleet::new(&Setup::of(2));
    let backup = fleet.cluster.backup();
    // The store has gone on for long when they claim for the last time.
    fleet.run_for(s(10.0));
    all_are(&fleet, false);
    fleet.run_for(s(2.0));
    all_are(&fleet, true);
    fleet.until_spread_over(2);
    all_are(&fleet, false);
    fleet.run_for(s(2.0));
    assert!(fleet.record.unfinished().is_empty());
    let now = fleet.sim.elapsed();
    fleet.sim.crash("etcd-0");
    fleet.cluster.restore(&backup, now);
    fleet.sim.bounce("etcd-0");
    for node in &fleet.nodes {
        node.set_generation(generation);
    }
    all_are(&fleet, true);
    while fleet.record.unfinished().len() < SHARDS as usize {
        assert!(
            fleet.sim.elapsed() < now + s(20.0),
            "{}",
            fleet.trace.lines()
        );
        // The law of tokens is what this is about.
        fleet.step().expect("leases are kept");
    }
    fleet.record.runs()
}

#[test]
fn with_a_higher_generation_a_store_that_refuses_stale_tokens_refuses_nobody() {
    let runs = restored(1);
    assert!(runs.len() >= 2 * SHARDS as usize);
    assert!(refused(&runs).is_empty(), "{runs:?}");
}

#[test]
fn without_it_the_store_refuses_every_owner_since() {
    let runs = restored(0);
    let refused = refused(&runs);
    assert!(refused.len() >= SHARDS as usize, "{runs:?}");
}

/// Whoever was not given it yet is refused, and harms nobody.
#[test]
fn tokens_of_a_former_generation_are_stale() {
    let run = |token, shard| Run {
        node: "node-0".to_owned(),
        shard,
        token,
        began: s(0.0),
        ended: None,
    };
    let runs = [run(7, 0), run((1 << 48) + 3, 0), run(9, 0), run(9, 1)];
    assert_eq!(refused(&runs), [&runs[2]]);
}

/// The leases of the nodes are in the backup, so that they could be renewed. But what was done since is not.
#[test]
fn who_works_while_the_store_goes_back_notices_it_by_the_next_renewal() {
    many(|seed| {
        let mut fleet = Fleet::new(&Setup::of(2).seeded(seed));
        fleet.until_spread_over(2);
        let backup = fleet.cluster.backup();
        fleet.run_for(s(3.0));
        let before = fleet.record.unfinished();
        let now = fleet.sim.elapsed();
        fleet.sim.crash("etcd-0");
        fleet.cluster.restore(&backup, now);
        fleet.sim.bounce("etcd-0");
        let is_over = |fleet: &Fleet| {
            let unfinished = fleet.record.unfinished();
            before.iter().all(|run| !unfinished.contains(run))
        };
        while !is_over(&fleet) {
            assert!(
                fleet.sim.elapsed() < now + s(2.5),
                "{}",
                fleet.trace.lines()
            );
            // Tokens go back, as nobody was given another generation.
            fleet.step().expect("leases are kept");
        }
        let says = |fleet: &Fleet| {
            fleet
                .nodes
                .iter()
                .any(|node| node.reason().contains("revision went back from"))
        };
        assert!(
            says(&fleet),
            "{:?}",
            fleet
                .nodes
                .iter()
                .map(|node| node.reason())
                .collect::<Vec<_>>()
        );
    });
}
