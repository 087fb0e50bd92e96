//! When anything may be started again, and on which evidence.

use super::*;

#[test]
fn l4_proven_recovery() {
    let life = life();
    // The hold-off is cut, never armed, or not waited for.
    life.bites(Law::L4, |tape| {
        *tape.effect(arms(Timer::HoldOff)) = arm(Timer::HoldOff, 29)
    });
    life.bites(Law::L4, |tape| tape.drop_turn(fired(Timer::HoldOff)));
    // A failure in the middle of the clean run.
    life.bites(Law::L4, |tape| {
        let failing = Input::Failing { session: 2 };
        tape.insert_before(fired(Timer::HoldOff), failing, &[arm(Timer::Silence, 8)]);
    });
    // A gap that no timer told of.
    life.bites(Law::L4, |tape| {
        let in_session = |turn: &Turn| turn.input == Some(Input::Alive { session: 2 });
        let first = tape.0.iter().position(in_session).expect("observed");
        tape.0[first + 1].elapsed += ms(8);
    });
    // The silence limit is no longer watched.
    life.bites(Law::L4, |tape| {
        let counting = tape.asked(arms(Timer::HoldOff));
        let timer = Timer::Silence;
        counting.effects.push(Effect::Disarm { timer });
    });
    // Started by the timer instead of by evidence.
    life.bites(Law::L4, |tape| {
        let last = tape.0.iter().rposition(turn_with(starts)).expect("started");
        let hold_off = tape.0[..last]
            .iter()
            .rposition(fired(Timer::HoldOff))
            .expect("waited");
        tape.0[hold_off].effects = vec![start(0, 3), arm(Timer::Stage, 20)];
    });
    // An old session is passed off as a new one.
    life.bites(Law::L4, |tape| {
        *tape.effect(|effect| *effect == Effect::OpenSession { session: 2 }) =
            Effect::OpenSession { session: 1 };
    });
    // Started while a drain is wanted.
    life.bites(Law::L4, |tape| {
        // It comes while the first outage is being stopped, where it has no effect at once.
        let unanswered = |turn: &Turn| matches!(turn.input, Some(Input::Gone { .. }));
        tape.insert_before(unanswered, Input::Drain, &[]);
    });
}

#[test]
fn l6_recovery_is_inevitable() {
    let life = life();
    // The hung probe is given up, and nobody observes the dependency any more.
    life.bites(Law::L6, |tape| {
        let close = Effect::CloseSession { session: 2 };
        let silence = Input::Fired(Timer::Silence);
        tape.insert_before(fired(Timer::HoldOff), silence, &[close]);
    });
    // Every observation begins the hold-off anew.
    life.bites(Law::L6, |tape| {
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
    run.bites(Law::L13, |tape| {
        *tape.effect(arms(Timer::Stable)) = arm(Timer::Stable, 0)
    });
    // It sinks during the outage.
    run.bites(Law::L13, |tape| {
        tape.asked(stops).effects.push(arm(Timer::Stable, 25))
    });
    // The second outage, in which the session is kept, makes do with the hold-off of the first.
    life().bites(Law::L13, |tape| {
        let last = tape.0.iter().rposition(turn_with(arms(Timer::HoldOff)));
        let last = &mut tape.0[last.expect("two outages")].effects;
        last.retain(|effect| !arms(Timer::HoldOff)(effect));
    });
}

#[test]
fn l19_fresh_evidence() {
    let life = life();
    // Watched for too long, by something that is no evidence, or not at all.
    life.bites(Law::L19, |tape| {
        *tape.effect(arms(Timer::Silence)) = arm(Timer::Silence, 9)
    });
    life.bites(Law::L19, |tape| {
        let input = report(Class::Component, 1);
        let effects = [arm(Timer::Decay, 15), arm(Timer::Silence, 8)];
        tape.insert_before(turn_with(ready_off), input, &effects);
    });
    life.bites(Law::L19, |tape| {
        tape.insert_before(
            turn_with(ready_off),
            Input::Reset,
            &[Effect::Disarm {
                timer: Timer::Silence,
            }],
        );
    });
    // Time passes, and nothing is seen.
    life.bites(Law::L19, |tape| {
        tape.insert_before(turn_with(ready_off), Input::Reset, &[]);
        tape.told(|input| *input == Input::Reset).elapsed += ms(9);
    });
}
