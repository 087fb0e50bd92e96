//! Nodes that share work, by seed.

use std::ops::Range;

use overwatch_simulated::nodes::{SHARDS, Scenario, simulate};

/// As many of these as the build can do in some seconds.
fn share(seeds: Range<u64>) -> Range<u64> {
    let share = if cfg!(debug_assertions) { 16 } else { 1 };
    seeds.start..seeds.start + (seeds.end - seeds.start) / share
}

fn judge(seeds: Range<u64>) {
    let (mut wrong, mut moves) = (Vec::new(), 0);
    for seed in share(seeds) {
        match simulate(&Scenario::of(seed)) {
            Ok(outcome) => moves += outcome.runs.len() - SHARDS as usize,
            Err(why) => {
                println!("== seed {seed}: {why}");
                wrong.push(seed);
            }
        }
    }
    assert!(wrong.is_empty(), "seeds {wrong:?}");
    // Or there would be nothing to judge.
    assert!(moves > SHARDS as usize, "only {moves} runs ended");
}

#[test]
fn no_shard_runs_twice_and_all_is_well_in_the_end_0_to_63() {
    judge(0..64);
}

#[test]
fn no_shard_runs_twice_and_all_is_well_in_the_end_64_to_127() {
    judge(64..128);
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    for seed in share(0..32) {
        let scenario = Scenario::of(seed);
        let outcomes = [(); 2].map(|()| simulate(&scenario).unwrap_or_else(|why| panic!("{why}")));
        let [one, other] = &outcomes;
        for (line, other) in one.trace.lines().zip(other.trace.lines()) {
            assert_eq!(line, other, "seed {seed}");
        }
        assert_eq!(one, other, "seed {seed}");
    }
}
