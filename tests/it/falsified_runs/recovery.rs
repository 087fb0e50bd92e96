//! When anything may be started again, and on which evidence.

use super::*;

#[test]
fn l4_proven_recovery() {
    let life = life();
    // The hold-off is cut, never armed, or not waited for.
    life.breaks(Law::ProvenRecovery, |tape| {
        *tape.effect(arms(Timer::HoldOff)) = arm(Timer::HoldOff, 29)
    });
    life.breaks(Law::ProvenRecovery, |tape| {
        tape.drop_turn(fired(Timer::HoldOff));
        tape.change_rounds(|round| round.saturating_sub(1));
    });
    // What opens the gate began before it was asked for.
    life.breaks(Law::ProvenRecovery, |tape| {
        tape.change_rounds(|round| round.saturating_sub(1))
    });
    // One more is asked for too soon, or twice the same.
    life.breaks(Law::ProvenRecovery, |tape| {
        let counting = tape.asked(arms(Timer::HoldOff));
        counting.effects.push(Effect::Ask { round: 1 });
    });
    life.breaks(Law::ProvenRecovery, |tape| {
        *tape.effect(|effect| *effect == Effect::Ask { round: 2 }) = Effect::Ask { round: 1 };
    });
    // A failure in the middle of the clean run.
    life.breaks(Law::ProvenRecovery, |tape| {
        let failing = Input::Failing {
            session: 2,
            fatal: false,
        };
        tape.insert_before(fired(Timer::HoldOff), failing, &[arm(Timer::Silence, 8)]);
    });
    // An operator's trip in the middle of it.
    life.breaks(Law::ProvenRecovery, |tape| {
        tape.insert_before(fired(Timer::HoldOff), Input::Trip, &[]);
    });
    // A freeze of the runtime in the middle of it.
    life.breaks(Law::ProvenRecovery, |tape| {
        tape.insert_before(fired(Timer::HoldOff), Input::Frozen, &[]);
    });
    // A gap that no timer told of.
    life.breaks(Law::ProvenRecovery, |tape| {
        let in_session = |turn: &Turn| {
            turn.input
                == Some(Input::Alive {
                    session: 2,
                    round: 0,
                })
        };
        let first = tape.0.iter().position(in_session).expect("observed");
        tape.0[first + 1].elapsed += ms(8);
    });
    // The hold-off begins before anything was seen.
    life.breaks(Law::ProvenRecovery, |tape| {
        let rests = tape.asked(|effect| *effect == Effect::OpenSession { session: 2 });
        rests.effects.push(arm(Timer::HoldOff, 30));
    });
    // It is disarmed, and goes on.
    life.breaks(Law::ProvenRecovery, |tape| {
        let timer = Timer::HoldOff;
        let again = [Effect::Disarm { timer }, arm(timer, 30)];
        let counting = tape.asked(arms(timer));
        counting.effects.extend(again);
    });
    // It is cut, and nobody knows the time.
    life.bites_untimed(Law::ProvenRecovery, |tape| {
        *tape.effect(arms(Timer::HoldOff)) = arm(Timer::HoldOff, 29)
    });
    // The silence limit is no longer watched.
    life.breaks(Law::ProvenRecovery, |tape| {
        let counting = tape.asked(arms(Timer::HoldOff));
        let timer = Timer::Silence;
        counting.effects.push(Effect::Disarm { timer });
    });
    // Started by the timer instead of by evidence.
    life.breaks(Law::ProvenRecovery, |tape| {
        let last = tape.0.iter().rposition(turn_with(starts)).expect("started");
        let hold_off = tape.0[..last]
            .iter()
            .rposition(fired(Timer::HoldOff))
            .expect("waited");
        tape.0[hold_off].effects = vec![start(0, 3), arm(Timer::Stage, 20)];
    });
    // An old session is passed off as a new one.
    life.breaks(Law::ProvenRecovery, |tape| {
        *tape.effect(|effect| *effect == Effect::OpenSession { session: 2 }) =
            Effect::OpenSession { session: 1 };
    });
    // A second session, while the first one is open.
    life.breaks(Law::ProvenRecovery, |tape| {
        tape.0[0].effects.push(Effect::OpenSession { session: 2 })
    });
    // Started while a drain is wanted.
    life.breaks(Law::ProvenRecovery, |tape| {
        // It comes while the first outage is being stopped, where it has no effect at once.
        let unanswered = |turn: &Turn| matches!(turn.input, Some(Input::Gone { .. }));
        tape.insert_before(unanswered, Input::Drain, &[]);
    });
}

/// What demands a longer hold-off begins the clean run anew, also if the one that was armed would be
/// long enough.
#[test]
fn a_report_that_blames_the_dependency_voids_the_clean_run() {
    let tell = || -> Result<World, Violation> {
        let tuning = small_tuning().with_backoff(ms(40)).with_min_evidence(1);
        let mut world = World::running(plan(small_policy().tuning(tuning), &[1]))?;
        world.gone(0, Exit::Returned)?;
        assert!(world.recover()?.is_some());
        Ok(world)
    };
    let run = Run::of(&tell().expect("lawful"));
    run.breaks(Law::ProvenRecovery, |tape| {
        tape.insert_before(
            fired(Timer::HoldOff),
            report(FailureClass::Dependency, 1),
            &[],
        );
    });
}

/// A failure while nothing runs has no bearing on what comes, and is not remembered.
#[test]
fn suspicion_is_nothing_while_nothing_runs() {
    let mut world = World::new(plan(small_policy(), &[1]), false).expect("lawful");
    world.act(Action::Fail).expect("lawful");
    let once = world.checked.clone();
    world.act(Action::Fail).expect("lawful");
    assert_eq!(world.checked, once);
}

#[test]
fn l6_recovery_is_inevitable() {
    let life = life();
    // The hung probe is given up, and nobody observes the dependency any more.
    life.breaks(Law::RecoveryIsInevitable, |tape| {
        let close = Effect::CloseSession { session: 2 };
        let silence = Input::Fired(Timer::Silence);
        tape.insert_before(fired(Timer::HoldOff), silence, &[close]);
    });
    // The hold-off has passed, and nothing that opens the gate is asked for.
    life.breaks(Law::RecoveryIsInevitable, |tape| {
        tape.drop_effect(|effect| matches!(effect, Effect::Ask { .. }))
    });
    // Every observation begins the hold-off anew.
    life.breaks(Law::RecoveryIsInevitable, |tape| {
        tape.asked(arms(Timer::HoldOff))
            .effects
            .push(arm(Timer::HoldOff, 30));
    });
}

#[test]
fn l13_no_hot_loop() {
    let mut world = World::running(plan(small_policy(), &[1])).expect("lawful");
    world.act(Action::Fail).expect("lawful");
    assert_eq!(world.recover(), Ok(Some(ms(30))));
    let run = Run::of(&world);
    // The level sinks at once, so that the next outage starts from the bottom again.
    run.breaks(Law::NoHotLoop, |tape| {
        *tape.effect(arms(Timer::Stable)) = arm(Timer::Stable, 0)
    });
    // It sinks during the outage.
    run.breaks(Law::NoHotLoop, |tape| {
        tape.asked(stops).effects.push(arm(Timer::Stable, 25))
    });
    // The second outage, in which the session is kept, makes do with the hold-off of the first.
    life().breaks(Law::NoHotLoop, |tape| {
        let last = tape.0.iter().rposition(turn_with(arms(Timer::HoldOff)));
        let last = &mut tape.0[last.expect("two outages")].effects;
        last.retain(|effect| !arms(Timer::HoldOff)(effect));
        // So it never fires, and nothing more is asked for.
        let fires = tape.0.iter().rposition(fired(Timer::HoldOff));
        tape.0.remove(fires.expect("two outages"));
        tape.change_rounds(|round| round.min(1));
    });
}

#[test]
fn l19_fresh_evidence() {
    let life = life();
    // Watched anew in a start, by something that is no evidence.
    life.breaks(Law::FreshEvidence, |tape| {
        tape.insert_before(turn_with(ready_on), Input::Reset, &[arm(Timer::Silence, 8)]);
    });
    // Watched for too long, by something that is no evidence, or not at all.
    life.breaks(Law::FreshEvidence, |tape| {
        *tape.effect(arms(Timer::Silence)) = arm(Timer::Silence, 9)
    });
    life.breaks(Law::FreshEvidence, |tape| {
        let input = report(FailureClass::Component, 1);
        let effects = [arm(Timer::Decay, 15), arm(Timer::Silence, 8)];
        tape.insert_before(turn_with(ready_off), input, &effects);
    });
    life.breaks(Law::FreshEvidence, |tape| {
        tape.insert_before(
            turn_with(ready_off),
            Input::Reset,
            &[Effect::Disarm {
                timer: Timer::Silence,
            }],
        );
    });
    // Watched anew at rest, by what is no news of the dependency.
    life.breaks(Law::FreshEvidence, |tape| {
        let (timer, anew) = (Timer::HoldOff, arm(Timer::Silence, 8));
        tape.insert_before(
            fired(timer),
            Input::Frozen,
            &[Effect::Disarm { timer }, anew],
        );
    });
    // Time passes, and nothing is seen.
    life.breaks(Law::FreshEvidence, |tape| {
        tape.insert_before(turn_with(ready_off), Input::Reset, &[]);
        tape.input(|input| *input == Input::Reset).elapsed += ms(9);
    });
}
