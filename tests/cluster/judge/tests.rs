//! Records that were made up, so that what is broken is known.

use super::*;

fn judged(trails: &[Trail]) -> Found {
    judged_with(trails, &[])
}

fn judged_with(trails: &[Trail], restored: &[u64]) -> Found {
    Found::of(&trails.iter().collect::<Vec<_>>(), restored, NOW)
}

const NOW: u64 = 1_000;

/// A process of a node, whose lines are words: `at shard run token kind`.
fn trail(node: usize, lines: &[&str]) -> Trail {
    let lines = lines.iter().map(|line| line.parse().unwrap());
    Trail {
        node,
        lines: lines.collect(),
        ..Trail::default()
    }
}

fn gap(from: u64, until: u64, left: usize, one: usize, other: usize) -> Gap {
    Gap {
        shard: 0,
        from,
        until,
        left,
        one,
        other,
    }
}

fn overlap(at: u64, what: What) -> Overlap {
    Overlap {
        at,
        shard: 0,
        what,
        one: 0,
        other: 1,
    }
}

#[test]
fn a_job_that_moves_leaves_a_gap_and_no_overlap() {
    let one = trail(0, &["10 0 0 5 start", "20 0 0 5 begin", "30 0 0 5 stop"]);
    let other = trail(1, &["37 0 0 6 start"]);
    let found = judged(&[one, other]);
    assert_eq!(found.overlaps, []);
    assert_eq!(found.gaps, [gap(30, 37, 0, 0, 1)]);
    assert_eq!(found.moves(), 1);
}

#[test]
fn two_owners_at_once_are_an_overlap() {
    let one = trail(0, &["10 0 0 5 start", "20 0 0 5 begin", "30 0 0 5 stop"]);
    let other = trail(1, &["25 0 0 6 start", "50 0 0 6 stop"]);
    let found = judged(&[other.clone(), one]);
    let mut expected = overlap(25, What::Together(5));
    assert_eq!(found.overlaps, [expected.clone()]);
    assert_eq!(found.gaps, [gap(25, 25, 1, 0, 1)]);

    // Also one that the other surrounds, and one that has not ended.
    let one = trail(0, &["10 0 0 5 start", "20 0 0 5 begin"]);
    expected.what = What::Together(25);
    assert_eq!(judged(&[one, other]).overlaps, [expected]);
}

#[test]
fn two_jobs_of_one_process_at_once_are_an_overlap() {
    let one = trail(0, &["10 0 0 5 start", "20 0 1 5 start", "30 0 0 5 stop"]);
    let found = judged(&[one]);
    let mut expected = overlap(20, What::Together(10));
    expected.other = 0;
    assert_eq!(found.overlaps, [expected]);
}

#[test]
fn other_shards_are_nobodys_overlap() {
    let one = trail(0, &["10 0 0 5 start", "30 0 0 5 stop"]);
    let other = trail(1, &["20 1 0 6 start", "50 1 0 6 stop"]);
    assert_eq!(judged(&[one, other]), Found::default());
}

#[test]
fn a_token_that_does_not_rise_is_an_overlap() {
    let one = trail(0, &["10 0 0 5 start", "30 0 0 5 stop"]);
    for token in [4, 5] {
        let line = format!("40 0 0 {token} start");
        let other = trail(1, &[&line, "50 0 0 4 begin", "60 0 0 4 stop"]);
        let found = judged(&[one.clone(), other]);
        assert_eq!(found.overlaps, [overlap(40, What::Backwards)], "{token}");
    }
    // The same owner may run its job again.
    let again = trail(0, &["10 0 0 5 start", "30 0 0 5 stop", "40 0 1 5 start"]);
    let found = judged(&[again]);
    assert_eq!(found.overlaps, []);
    assert_eq!((found.gaps.len(), found.moves()), (1, 0));
}

#[test]
fn tokens_begin_anew_when_the_store_is_restored() {
    let one = trail(0, &["10 0 0 5 start", "30 0 0 5 stop"]);
    let other = trail(1, &["40 0 0 3 start", "50 0 0 3 stop"]);
    let third = trail(1, &["60 0 0 2 start", "70 0 0 2 stop"]);
    let trails = [one, other, third];
    let backwards = |restored: &[u64]| {
        let overlaps = judged_with(&trails, restored).overlaps;
        overlaps
            .iter()
            .map(|overlap| overlap.at)
            .collect::<Vec<_>>()
    };
    assert_eq!(backwards(&[]), [40, 60]);
    assert_eq!(backwards(&[35]), [60]);
    assert!(backwards(&[35, 55]).is_empty());

    // What was begun before has its token from before, however long it lasts.
    let one = trail(0, &["10 0 0 5 start", "39 0 0 5 begin", "39 0 0 5 stop"]);
    let [_, other, _] = trails;
    assert_eq!(judged_with(&[one, other], &[35]).overlaps, []);
}

#[test]
fn a_killed_process_was_active_until_then() {
    let mut one = trail(0, &["10 0 0 5 start", "20 0 0 5 begin"]);
    one.ended = Some(40);
    let other = trail(1, &["100 0 0 6 start"]);
    let found = judged(&[one, other]);
    assert_eq!(found.overlaps, []);
    assert_eq!(found.gaps, [gap(40, 100, 0, 0, 1)]);
}

fn frozen(from: u64, until: Option<u64>, lines: &[&str]) -> Trail {
    let mut trail = trail(0, lines);
    trail.frozen.push(Spell { from, until });
    trail
}

#[test]
fn a_frozen_process_may_end_what_it_had_begun() {
    let before = ["10 0 0 5 start", "20 0 0 5 begin"];
    let after = ["101 0 0 5 end", "102 0 0 5 stop"];
    let one = frozen(30, Some(100), &[before, after].concat());
    let other = trail(1, &["70 0 0 6 start"]);
    let found = judged(&[one, other]);
    assert_eq!(found.overlaps, []);
    assert_eq!(found.gaps, [gap(30, 70, 0, 0, 1)]);
}

#[test]
fn a_frozen_process_may_not_begin_anything_once_the_shard_is_anothers() {
    let before = ["10 0 0 5 start", "20 0 0 5 begin", "22 0 0 5 end"];
    let after = ["101 0 0 5 begin", "102 0 0 5 end", "103 0 0 5 stop"];
    let one = frozen(30, Some(100), &[before, after].concat());
    let other = trail(1, &["70 0 0 6 start"]);
    let mut backwards = overlap(101, What::Backwards);
    (backwards.one, backwards.other) = (1, 0);
    assert_eq!(
        judged(&[one.clone(), other]).overlaps,
        [overlap(70, What::Together(33)), backwards]
    );
    // But if nobody has taken it, it may go on.
    assert_eq!(judged(&[one]), Found::default());
}

#[test]
fn a_process_that_was_killed_while_it_was_frozen_was_active_until_it_was_frozen() {
    let mut one = frozen(30, None, &["10 0 0 5 start", "31 0 0 5 begin"]);
    one.ended = Some(60);
    let other = trail(1, &["50 0 0 6 start"]);
    let found = judged(&[one, other]);
    assert_eq!(found.overlaps, []);
    // The signal was not obeyed at once.
    assert_eq!(found.gaps, [gap(31, 50, 0, 0, 1)]);
}

#[test]
fn a_job_goes_on_that_was_frozen_for_a_short_time() {
    let one = frozen(30, Some(40), &["10 0 0 5 start"]);
    let other = trail(1, &["70 0 0 6 start"]);
    assert_eq!(
        judged(&[one, other]).overlaps,
        [overlap(70, What::Together(NOW - 70))]
    );
}

#[test]
fn only_what_happened_then_is_between() {
    let one = trail(0, &["10 0 0 5 start", "30 0 0 5 stop"]);
    let other = trail(1, &["20 0 0 6 start", "50 0 0 6 stop"]);
    let third = trail(2, &["60 0 0 7 start"]);
    let found = judged(&[one, other, third]);
    assert_eq!(found.between(0, 60).overlaps.len(), 1);
    assert_eq!(found.between(0, 60).moves(), 1);
    assert_eq!(found.between(60, NOW).overlaps, []);
    assert_eq!(found.between(60, NOW).gaps, [gap(50, 60, 1, 1, 2)]);
}
