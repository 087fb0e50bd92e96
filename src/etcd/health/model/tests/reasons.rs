//! The class and the reason of a check that is not answered, or late.

use super::*;

/// How [`overdue`] came about: a member that was alive says nothing to this check from 20,000 on.
fn hangs(kind: CheckKind) -> Case {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    case.all_from(0, 20_000);
    case.all_from(1, 20_000);
    case.lives(20_000);
    case.probe_loop.model.asked(kind, case.at(20_000));
    case
}

/// What is told when the grace period is over.
fn overdue(case: &mut Case) -> (&'static str, String) {
    assert_eq!(case.next(23_349), None);
    case.fails(23_350)
}

fn says(case: &mut Case, index: usize, leader: bool) {
    let asked = case.asked(CheckKind::Read, 21_000);
    case.answered(index, asked, Answer::Status { leader }, case.at(21_010));
}

#[test]
fn reads_without_an_answer_are_what_the_members_say_of_their_leader() {
    let mut case = hangs(CheckKind::Read);
    says(&mut case, 0, true);
    // Whatever the others say, one without a leader shows the cause.
    says(&mut case, 1, false);
    assert_eq!(overdue(&mut case).0, "no_leader");

    let mut case = hangs(CheckKind::Read);
    says(&mut case, 1, true);
    assert_eq!(overdue(&mut case).0, "write_path");

    assert_eq!(overdue(&mut hangs(CheckKind::Read)).0, "unreachable");
}

/// That no answer came is no answer to why.
#[test]
fn a_request_that_was_lost_hides_no_better_reason() {
    let mut case = hangs(CheckKind::Read);
    case.fail(0, CheckKind::Read, EtcdError::silent(), 20_000, 21_000);
    says(&mut case, 1, false);
    assert_eq!(overdue(&mut case).0, "no_leader");

    let mut case = hangs(CheckKind::Read);
    let slow = EtcdError::passing(Fault::TooSlow, "too many requests");
    case.fail(0, CheckKind::Read, slow, 20_000, 21_000);
    says(&mut case, 1, false);
    assert_eq!(overdue(&mut case).0, "too_slow", "the server said so");
}

#[test]
fn proposals_without_an_answer_are_the_write_path_only_if_a_member_works() {
    let reads = |case: &mut Case| {
        case.read(0, 7, 23_000);
        case.read(1, 7, 23_000);
    };
    let mut case = hangs(CheckKind::Write);
    reads(&mut case);
    assert_eq!(overdue(&mut case).0, "write_path");

    let mut case = hangs(CheckKind::Write);
    reads(&mut case);
    for index in [0, 1] {
        case.fail(index, CheckKind::Read, EtcdError::silent(), 23_200, 23_300);
    }
    assert_eq!(overdue(&mut case).0, "unreachable");
}

#[test]
fn the_reason_says_what_else_each_member_answers() {
    let reads = |case: &mut Case| case.read(0, 7, 23_000);
    for (kind, what, otherwise) in [
        (
            CheckKind::Progress,
            "no watch told its progress",
            "its watch is silent",
        ),
        (
            CheckKind::Write,
            "nothing was committed",
            "reads are answered",
        ),
    ] {
        let mut case = hangs(kind);
        reads(&mut case);
        let (_, text) = overdue(&mut case);
        let says = format!(
            "{what} for 3.35s; http://a:2379: {otherwise}; http://b:2379: {otherwise}. To do: "
        );
        assert!(text.contains(&says), "{text}");

        // Where reads are not answered either, nothing else is known.
        let mut case = hangs(kind);
        case.probe_loop
            .model
            .asked(CheckKind::Read, case.at(20_010));
        let (_, text) = overdue(&mut case);
        let says = format!(
            "{what} for 3.35s; http://a:2379: no answer; http://b:2379: no answer. To do: "
        );
        assert!(text.contains(&says), "{text}");
    }
}

/// Before a start a late answer is not good enough, so the check goes on missing one.
#[test]
fn answers_that_came_late_within_the_grace_period_are_too_slow_and_not_missing() {
    for (at, class, text) in [
        (
            4_849,
            "too_slow",
            "a linearizable read took 1.5s, and 1s is the budget",
        ),
        (
            4_850,
            "unreachable",
            "no read was confirmed by a quorum for 3.35s",
        ),
    ] {
        let mut case = Case::new(config(["http://a"]));
        case.opened(0, Some(1), case.t0);
        case.slow_read(0, 1_500);
        assert_eq!(case.next(3_349), None);
        let told = case.fails(at);
        assert_eq!(told.0, class, "at {at}: {}", told.1);
        assert!(told.1.contains(text), "at {at}: {}", told.1);
    }
}
