//! What follows from the end of a shard's function.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn failed(class: FailureClass) -> ShardExit {
    ShardExit::Failed(class)
}

fn logged(log: Logged, report: bool) -> Consequence {
    Consequence {
        log: Some(log),
        report,
    }
}

const NOTHING: Consequence = Consequence {
    log: None,
    report: false,
};

/// Begins it when it may be, and tells how long that was after `now`.
fn begin(case: &mut Case, now: Duration) -> Duration {
    let view = view(8, &["a"], vec![own(8)]);
    let todo = case.look(&view, now);
    let Some(at) = todo.again else {
        assert_eq!(todo.begin, [(0, 8)], "it waits, and nobody looks again");
        return Duration::ZERO;
    };
    assert_eq!(case.look(&view, at - MS).begin, []);
    assert_eq!(case.look(&view, at).begin, [(0, 8)]);
    at - now
}

#[test]
fn a_shard_that_fails_waits_longer_each_time_and_a_minute_at_most() {
    let (mut case, mut now) = (Case::new(1), T0);
    begin(&mut case, now);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        // At once, or little later.
        now += SECOND;
        let again_in = seconds * SECOND;
        let consequence = case.ends(0, failed(FailureClass::Component), now);
        assert_eq!(consequence, logged(Logged::Failed { again_in }, false));
        assert_eq!(begin(&mut case, now), again_in);
        now += again_in;
    }
    // It ran for just less than that is good for nothing.
    now += LONGEST_BACKOFF - MS;
    case.ends(0, ShardExit::Returned, now);
    assert_eq!(begin(&mut case, now), LONGEST_BACKOFF);
    now += LONGEST_BACKOFF;
    now += LONGEST_BACKOFF;
    case.ends(0, ShardExit::Returned, now);
    assert_eq!(begin(&mut case, now), BACKOFF);
}

#[test]
fn one_that_returns_before_it_is_told_to_waits_as_one_that_fails() {
    let mut case = Case::new(1);
    begin(&mut case, T0);
    let again_in = BACKOFF;
    let consequence = case.ends(0, ShardExit::Returned, T0);
    assert_eq!(consequence, logged(Logged::Failed { again_in }, false));
}

#[test]
fn failures_that_are_not_its_own_are_reported() {
    let again_in = BACKOFF;
    for (class, report, report_while_it_stops) in [
        (FailureClass::Component, false, false),
        (FailureClass::Dependency, true, false),
        (FailureClass::Critical, true, false),
        (FailureClass::Fatal, true, true),
    ] {
        let mut case = Case::new(1);
        begin(&mut case, T0);
        let consequence = case.ends(0, failed(class), T0);
        assert_eq!(consequence, logged(Logged::Failed { again_in }, report));

        let mut case = Case::new(1);
        begin(&mut case, T0);
        case.look(&view(9, &[], vec![own(8)]), T0);
        let consequence = case.ends(0, failed(class), T0);
        let stopped = logged(Logged::FailedWhileItStopped, report_while_it_stops);
        assert_eq!(consequence, stopped, "{class:?}");
    }
}

/// Only what ends by itself, before it is told to, has failed.
#[test]
fn what_was_told_to_stop_or_was_lost_does_not_wait() {
    let mut case = Case::new(1);
    begin(&mut case, T0);
    assert_eq!(case.ends(0, ShardExit::Lost, T0), NOTHING);
    assert_eq!(begin(&mut case, T0), Duration::ZERO);
    case.ends(0, failed(FailureClass::Component), T0);
    begin(&mut case, T0);
    // Its failures are forgotten.
    case.look(&view(9, &[], vec![own(8)]), T0);
    assert_eq!(case.ends(0, ShardExit::Returned, T0 + BACKOFF), NOTHING);
    assert_eq!(begin(&mut case, T0 + BACKOFF), Duration::ZERO);
    case.ends(0, failed(FailureClass::Component), T0 + BACKOFF);
    let again = begin(&mut case, T0 + BACKOFF);
    assert_eq!(again, BACKOFF, "the first again");
}

/// A shard that is lost while it fails again and again has not mended its ways.
#[test]
fn a_loss_forgives_no_failure() {
    let mut case = Case::new(1);
    begin(&mut case, T0);
    case.ends(0, failed(FailureClass::Component), T0);
    begin(&mut case, T0);
    case.ends(0, ShardExit::Lost, T0 + BACKOFF);
    begin(&mut case, T0 + BACKOFF);
    case.ends(0, failed(FailureClass::Component), T0 + BACKOFF);
    assert_eq!(begin(&mut case, T0 + BACKOFF), 2 * BACKOFF);
}

#[test]
fn how_a_shard_ended_depends_on_whose_it_was_unless_nothing_can_mend_it() {
    for class in FailureClass::ALL {
        let is_fatal = class == FailureClass::Fatal;
        assert_eq!(ShardExit::how(Some(class), true), failed(class));
        let not_ours = if is_fatal {
            failed(class)
        } else {
            ShardExit::Lost
        };
        assert_eq!(ShardExit::how(Some(class), false), not_ours);
    }
    assert_eq!(ShardExit::how(None, true), ShardExit::Returned);
    assert_eq!(ShardExit::how(None, false), ShardExit::Lost);
}
