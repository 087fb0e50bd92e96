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
