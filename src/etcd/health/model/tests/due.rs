//! When each check is due, and when the model wakes for it.

use super::*;

/// All answered at 20,000 and told; then a proposal is asked that nobody answers.
fn waits_for_a_proposal() -> Case {
    let mut case = Case::alive(config(["http://a"]));
    case.all_from(0, 20_000);
    case.lives(20_000);
    case.probe_loop
        .model
        .asked(CheckKind::Write, case.at(20_000));
    case
}

#[test]
fn nothing_is_due_before_its_time() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    case.all_from(0, 20_000);
    assert_eq!(case.due(21_399), []);
    assert_eq!(case.due(21_400), [CheckKind::Read]);
    assert_eq!(case.due(39_999), [CheckKind::Read, CheckKind::Write]);
    assert_eq!(case.due(40_000), CheckKind::ALL);
}

/// Which shows whether only the other check fails, or the whole cluster.
#[test]
fn where_another_check_is_in_doubt_one_read_is_due_out_of_turn() {
    let mut case = waits_for_a_proposal();
    case.read(0, 7, 20_000);
    assert_eq!(case.due(20_999), []);
    assert_eq!(case.due(21_000), [CheckKind::Read, CheckKind::Write]);
    let asked = case.asked(CheckKind::Read, 21_000);
    case.ask(21_000);
    assert_eq!(case.due(21_001), [], "it is under way");
    case.answer(0, asked, store(1, 7, 2), 21_010);
    assert_eq!(case.due(21_010), [], "it was answered since");

    // A read from before says nothing of it.
    let mut case = waits_for_a_proposal();
    let before = case.asked(CheckKind::Read, 19_999);
    case.answer(0, before, store(1, 7, 2), 20_010);
    assert!(case.due(21_000).contains(&CheckKind::Read));
}

/// A new connection is looked at by a read, which is enough.
#[test]
fn a_look_is_the_read_that_is_missing() {
    let mut case = Case::new(config(["http://a"]));
    case.ask(0);
    case.opened(0, Some(1), case.at(200));
    assert_eq!(case.due(200), [CheckKind::Progress, CheckKind::Write]);
    assert!(!case.due(699).contains(&CheckKind::Read));
    assert!(case.due(700).contains(&CheckKind::Read));
    // Where none is missing, a look asks for nothing.
    let mut case = Case::alive(config(["http://a"]));
    case.read(0, 7, 20_000);
    case.probe_loop.model.looked(case.at(20_100));
    let read = case.probe_loop.model.check(CheckKind::Read);
    assert_eq!((read.owed_since, read.due_at), (None, case.at(21_400)));
}

#[test]
fn what_members_say_of_their_leader_is_forgotten_when_a_first_read_is_asked() {
    let mut case = Case::alive(config(["http://a"]));
    let knows_a_leader = |case: &Case| case.probe_loop.model.endpoints()[0].responsive();
    let asked = case.asked(CheckKind::Read, 20_000);
    let says = Answer::Status { leader: true };
    case.answered(0, asked, says, case.at(20_000));
    for kind in [CheckKind::Progress, CheckKind::Write] {
        case.probe_loop.model.asked(kind, case.at(20_000));
        assert!(knows_a_leader(&case), "{kind:?}: it is no read");
    }
    case.probe_loop
        .model
        .asked(CheckKind::Read, case.at(20_000));
    assert!(!knows_a_leader(&case), "it is from before");
    case.answered(0, asked, says, case.at(20_500));
    case.probe_loop
        .model
        .asked(CheckKind::Read, case.at(20_500));
    assert!(knows_a_leader(&case), "said since the first of them");
}

#[test]
fn it_is_calm_while_it_is_alive_and_nothing_is_missing_and_a_member_works() {
    let calm = |case: &Case, at| case.probe_loop.model.is_calm(case.at(at));
    let mut case = Case::new(config(["http://a"]));
    case.opened(0, Some(1), case.t0);
    case.all_from(0, 0);
    assert!(!calm(&case, 0), "nothing was told yet");
    let mut case = Case::alive(config(["http://a"]));
    assert!(calm(&case, 0));
    case.lost(0, refused(), case.at(1_000));
    assert!(!calm(&case, 1_000), "no member works");
    let case = waits_for_a_proposal();
    assert!(calm(&case, 20_999));
    assert!(!calm(&case, 21_000), "the answer is missing for long");
}

/// Or all nodes that were started together would propose together for ever.
#[test]
fn proposals_come_at_intervals_that_differ() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    let every = case.config.timing.write.every;
    let pauses: Vec<Duration> = (1..20)
        .map(|number| {
            let at = 20_000 * number;
            case.write(0, at);
            case.probe_loop.model.check(CheckKind::Write).due_at - case.at(at)
        })
        .collect();
    let bounds = every - every / 8..=every;
    assert!(
        pauses.iter().all(|pause| bounds.contains(pause)),
        "{pauses:?}"
    );
    assert!(pauses.windows(2).any(|two| two[0] != two[1]), "{pauses:?}");
}

#[test]
fn it_wakes_when_a_failure_is_told_again() {
    let mut case = Case::new(config(["http://a"]));
    case.lost(0, refused(), case.t0);
    case.fails(0);
    for at in [0, 500, 1_000] {
        case.ask(at);
    }
    // The checks are due later.
    assert_eq!(
        case.probe_loop.model.wake_at(case.at(1_000)),
        case.at(1_400)
    );
    assert_eq!(case.next(1_399), None);
    case.fails(1_400);
}

/// The members are asked for their status then.
#[test]
fn it_wakes_when_a_missing_answer_is_in_doubt() {
    let mut case = waits_for_a_proposal();
    // Asked once more, so that it is due later than that.
    case.probe_loop
        .model
        .asked(CheckKind::Write, case.at(20_700));
    let wake_at = case.probe_loop.model.wake_at(case.at(20_700));
    assert_eq!(wake_at, case.at(21_000));
    let in_doubt = |at| {
        case.probe_loop
            .model
            .in_doubt(CheckKind::Write, case.at(at))
    };
    assert!(!in_doubt(20_999) && in_doubt(21_000));
}

#[test]
fn it_wakes_within_the_shortest_interval_even_if_all_checks_are_overdue() {
    let case = Case::new(config(["http://a"]));
    let every = case.config.timing.shortest_every();
    let later = case.at(60_000);
    assert_eq!(case.due(60_000), CheckKind::ALL);
    assert_eq!(case.probe_loop.model.wake_at(later), later + every);
}
