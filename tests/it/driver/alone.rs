//! Single decisions of the driver, at values that the explored worlds do not reach.

use std::time::Duration;

use overwatch::driver::{Arrival, Command, Driver, Next, Observed, Reported, Seen, Source, View};
use overwatch::machine::{Effect, FailureClass, Input, Phase, Timer};

use crate::world::ms;

/// Components have as long as the thread was late, 250 ms at most, counted from when it goes on.
#[test]
fn a_stage_has_a_moment_more_after_a_pause_and_never_less() {
    let due_after = |due, at, by| {
        let mut driver = Driver::new(ms(1_000));
        let (timer, after) = (Timer::Stage, due);
        driver.carry_out(&[Effect::Arm { timer, after }], Duration::ZERO);
        assert!(driver.arrive(Arrival::Late { at, by }));
        driver.due(Timer::Stage)
    };
    // It was due soon, but not yet.
    assert_eq!(due_after(ms(500), ms(300), ms(249)), Some(ms(549)));
    assert_eq!(due_after(ms(500), ms(300), ms(251)), Some(ms(550)));
    // It was due.
    assert_eq!(due_after(ms(100), ms(300), ms(250)), Some(ms(550)));
    // It has time enough.
    assert_eq!(due_after(ms(500), ms(300), ms(200)), Some(ms(500)));
    assert_eq!(due_after(ms(600), ms(300), ms(9_000)), Some(ms(600)));
}

const RUNNING: View = View {
    phase: Phase::Running,
    session: Some(1),
    asked: false,
};

/// Else the one after it would go before what is older.
#[test]
fn what_was_told_out_of_turn_was_not_passed_over() {
    let mut driver = Driver::new(ms(8));
    let arm = |after| Effect::Arm {
        timer: Timer::Silence,
        after,
    };
    let seen = |at| {
        Arrival::Observed(Observed {
            session: 1,
            round: 0,
            at,
            seen: Seen::Alive,
        })
    };
    let source = |driver: &mut Driver, now| match driver.next(&RUNNING, now) {
        Next::Tell(tell) => tell.source,
        other => panic!("{other:?}"),
    };
    driver.carry_out(&[arm(ms(5))], Duration::ZERO);
    assert!(driver.arrive(seen(ms(1))));
    assert!(driver.arrive(Arrival::Command(Command::Reset)));
    assert_eq!(source(&mut driver, ms(1)), Source::Command);
    // Passed over once, it goes before the silence that is due now.
    assert_eq!(source(&mut driver, ms(5)), Source::Observation);
    driver.carry_out(&[arm(ms(8))], ms(5));
    assert!(driver.arrive(seen(ms(6))));
    assert!(driver.arrive(Arrival::Command(Command::Trip)));
    assert_eq!(source(&mut driver, ms(6)), Source::Command);
}

/// Epochs are compared, not counted: before the first one there is none that a stale report could be of.
#[test]
fn a_stale_report_is_never_one_of_the_present_epoch() {
    for epoch in [0, 1, 7] {
        let mut driver = Driver::new(ms(1_000));
        let reported = Reported {
            component: None,
            epoch,
            class: FailureClass::Critical,
            count: 0,
            stale: 2,
        };
        assert!(driver.arrive(Arrival::Reported(reported)));
        let Next::Tell(tell) = driver.next(&RUNNING, Duration::ZERO) else {
            panic!("it is to be told");
        };
        let Input::Report {
            epoch: told, count, ..
        } = tell.input
        else {
            panic!("{tell:?}");
        };
        assert_ne!(told, epoch);
        assert_eq!((count, tell.is_all), (2, true));
    }
}
