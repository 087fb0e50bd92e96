//! Answers beyond the latency budget.

use super::*;

#[test]
fn three_slow_answers_in_a_row_are_too_slow() {
    let mut case = Case::alive(config(["http://a"]));
    for (asked_at, at) in [(1_400, 2_401), (2_801, 3_802)] {
        case.slow_read(asked_at, at);
        case.lives(at);
    }
    case.slow_read(4_202, 5_203);
    let (class, text) = case.fails(5_203);
    assert_eq!(class, "too_slow");
    assert_eq!(
        text,
        "etcd is too slow: a linearizable read took 1.0s, and 1s is the budget. To do: look at \
         etcd's network, disk and load"
    );
    // None of them ends it, a good one does.
    case.progress(0, 5_300);
    case.write(0, 5_300);
    case.slow_read(5_300, 6_500);
    assert_eq!(case.next(6_500), None);
    case.fails(6_603);
    case.read(0, 7, 6_700);
    case.lives(6_700);
}

#[test]
fn a_good_answer_in_between_begins_the_count_anew() {
    let mut case = Case::alive(config(["http://a"]));
    let mut at = 0;
    for _ in 0..4 {
        case.slow_read(at + 1_400, at + 2_500);
        case.slow_read(at + 2_500, at + 3_600);
        case.read(0, 7, at + 3_600);
        case.lives(at + 3_600);
        at += 3_600;
    }
}

#[test]
fn answers_that_waited_through_one_pause_together_are_late_once() {
    let mut case = Case::alive(config(["http://a"]));
    for asked_at in [1_400, 2_400, 2_900] {
        let asked = case.asked(CheckKind::Read, asked_at);
        case.probe_loop
            .model
            .asked(CheckKind::Read, case.at(asked_at));
        case.answer(0, asked, store(1, 7, 2), 4_000);
    }
    case.lives(4_000);
    case.slow_read(4_000, 5_100);
    case.lives(5_100);
    case.slow_read(5_100, 6_200);
    assert_eq!(case.fails(6_200).0, "too_slow");
}

#[test]
fn each_check_counts_its_own_slow_answers() {
    let mut case = Case::alive(config(["http://a"]).with_slow_answers(1));
    let asked = case.asked(CheckKind::Write, 8_000);
    case.probe_loop
        .model
        .asked(CheckKind::Write, case.at(8_000));
    case.read(0, 7, 8_500);
    case.answered(0, asked, Answer::Write, case.at(9_001));
    let (class, text) = case.fails(9_001);
    assert_eq!(class, "too_slow");
    assert!(text.contains("a proposal took 1.0s"), "{text}");
}

#[test]
fn an_answer_that_takes_just_the_budget_is_a_good_one() {
    let mut case = Case::alive(config(["http://a"]).with_slow_answers(1));
    case.slow_read(1_400, 2_400);
    case.lives(2_400);
    case.slow_read(3_800, 4_801);
    assert_eq!(case.fails(4_801).0, "too_slow");
}

/// But what it takes is no evidence of a slow cluster, if no check depends on that member.
#[test]
fn a_good_answer_to_a_look_is_evidence_like_any_other() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    let look = |case: &Case, at| {
        let model = &case.probe_loop.model;
        model.question(1, CheckKind::Read, true, case.at(at))
    };
    let asked = look(&case, 2_000);
    case.answer(1, asked, store(1, 7, 2), 2_100);
    let evidence = case.lives(2_100);
    let read = "http://b:2379 (member a): read at revision 7 in 100.0ms";
    assert!(evidence.starts_with(read), "{evidence}");

    let asked = look(&case, 4_000);
    case.answer(1, asked, store(1, 7, 2), 5_100);
    assert_eq!(case.probe_loop.model.check(CheckKind::Read).slow, 0);
    assert_eq!(case.next(5_100), None, "it is no news");
    // Where one is missing, that one is late.
    case.probe_loop.model.asked(CheckKind::Read, case.at(6_000));
    let asked = look(&case, 6_000);
    case.answer(1, asked, store(1, 7, 2), 7_100);
    assert_eq!(case.probe_loop.model.check(CheckKind::Read).slow, 1);
}

/// Two were under way, and the first was good.
#[test]
fn a_late_answer_counts_even_if_none_is_missing() {
    let mut case = Case::alive(config(["http://a"]));
    let [first, second] = [1_400, 1_900].map(|at| case.asked(CheckKind::Read, at));
    for asked in [first, second] {
        case.probe_loop.model.asked(CheckKind::Read, asked.at);
    }
    case.answer(0, first, store(1, 7, 2), 2_000);
    assert_eq!(
        case.probe_loop.model.check(CheckKind::Read).owed_since,
        None
    );
    case.answer(0, second, store(1, 7, 2), 3_000);
    assert_eq!(case.probe_loop.model.check(CheckKind::Read).slow, 1);
}
