//! What must happen at once, in time, or not before.

use super::*;

#[test]
fn l7_shutdown_is_inevitable() {
    let life = life();
    // It forgets to end.
    life.breaks(Law::ShutdownIsInevitable, |tape| tape.drop_effect(ends));
    wedge().breaks(Law::ShutdownIsInevitable, |tape| tape.drop_effect(ends));
    // The deadlines are never acted upon.
    wedge().breaks(Law::ShutdownIsInevitable, |tape| {
        tape.input(|input| *input == Input::Fired(Timer::Stage))
            .elapsed += ms(6)
    });
    // Only half of the stage is aborted, and the other half given as long again to stop.
    let tell = || -> Result<World, Violation> {
        let mut world = World::running(plan(small_policy(), &[2]))?;
        world.input(Input::Shutdown)?;
        world.wait(Some(10))?;
        Ok(world)
    };
    Run::of(&tell().expect("lawful")).breaks(Law::ShutdownIsInevitable, |tape| {
        let (component, epoch) = (ComponentId(0), 1);
        let overrun = tape.input(|input| *input == Input::Fired(Timer::Stage));
        overrun.effects = vec![Effect::Abort { component, epoch }, arm(Timer::Stage, 10)];
    });
}

#[test]
fn l11_fence() {
    let lease = lease();
    let fence = arms(Timer::Fence);
    // Not armed when the owner is told to start, or too late, or not brought forward by a renewal.
    lease.breaks(Law::FencedInTime, |tape| tape.drop_effect(&fence));
    lease.breaks(Law::FencedInTime, |tape| {
        *tape.effect(&fence) = arm(Timer::Fence, 89)
    });
    lease.breaks(Law::FencedInTime, |tape| {
        let renewal = tape.input(|input| matches!(input, Input::LeaseRenewed { .. }));
        renewal.effects = vec![arm(Timer::Fence, 88)];
    });
    // A renewal that shortens the lease leaves the fence where it was.
    lease.breaks(Law::FencedInTime, |tape| {
        let renewal = tape.input(|input| matches!(input, Input::LeaseRenewed { .. }));
        let (epoch, remaining) = (1, ms(50));
        renewal.input = Some(Input::LeaseRenewed { epoch, remaining });
        renewal.effects.clear();
    });
    // It never fires, and work goes on until the lease is over.
    lease.breaks(Law::FencedInTime, |tape| {
        let at = tape
            .0
            .iter()
            .position(fired(Timer::Fence))
            .expect("it ran out");
        tape.0.truncate(at);
        let alive = Input::Alive {
            session: 1,
            round: 0,
        };
        for _ in 0..20 {
            let effects = vec![arm(Timer::Silence, 8)];
            tape.0.push(Turn {
                elapsed: ms(2),
                input: Some(alive),
                effects,
                step: None,
            });
        }
    });
    // The stop takes longer than it may.
    lease.breaks(Law::FencedInTime, |tape| {
        let at = tape
            .0
            .iter()
            .position(fired(Timer::Fence))
            .expect("it ran out")
            + 1;
        tape.0[at].elapsed += ms(32);
    });
    // It takes all the time that the lease has left.
    lease.breaks(Law::FencedInTime, |tape| {
        tape.end_with(fired(Timer::Fence));
        let mut next = tape.0.last().expect("it ran out").clone();
        (next.input, next.elapsed) = (Some(Input::Reset), ms(32));
        next.effects.clear();
        tape.0.push(next);
    });
}

#[test]
fn l12_no_silent_wait() {
    let life = life();
    // At boot neither a session nor a timer.
    life.breaks(Law::NoSilentWait, |tape| {
        let boot = &mut tape.0[0].effects;
        boot.retain(|effect| matches!(effect, Effect::OutageOpened { .. }));
    });
    // A start that may take for ever.
    life.breaks(Law::NoSilentWait, |tape| {
        tape.asked(starts).effects.push(Effect::Disarm {
            timer: Timer::Stage,
        });
    });
}

#[test]
fn l15_one_deadline_a_phase() {
    let life = life();
    let stage = arms(Timer::Stage);
    life.breaks(Law::OneDeadline, |tape| {
        *tape.effect(&stage) = arm(Timer::Stage, 21)
    });
    life.breaks(Law::OneDeadline, |tape| tape.drop_effect(&stage));
    life.breaks(Law::OneDeadline, |tape| {
        tape.asked(stops).effects.push(arm(Timer::Stage, 10))
    });
    // A deadline outlives its phase.
    life.breaks(Law::OneDeadline, |tape| {
        tape.drop_effect(disarms(Timer::Stage))
    });
    // A report or a command while stopping extends the deadline.
    for input in [
        report(FailureClass::Component, 1),
        Input::Shutdown,
        Input::Drain,
        Input::Trip,
        Input::Frozen,
    ] {
        life.breaks(Law::OneDeadline, |tape| {
            let aborts = turn_with(|effect| matches!(effect, Effect::Abort { .. }));
            tape.insert_before(aborts, input, &[arm(Timer::Stage, 10)]);
        });
    }
}

#[test]
fn l16_no_delay() {
    let life = life();
    // It stays ready.
    life.breaks(Law::NoDelay, |tape| tape.asked(ready_off).effects.clear());
    life.breaks(Law::NoDelay, |tape| {
        let gone = Input::Gone {
            component: ComponentId(1),
            epoch: 1,
            how: Exit::Returned,
        };
        tape.insert_before(turn_with(ready_off), gone, &[]);
    });
    // It stays ready, or goes on with a start, on a runtime that is frozen.
    for goes_on in [ready_off, ready_on] {
        life.breaks(Law::NoDelay, |tape| {
            tape.insert_before(turn_with(goes_on), Input::Frozen, &[]);
        });
    }
    life.breaks(Law::NoDelay, |tape| {
        // The second suspicion is one too many.
        tape.insert_before(
            turn_with(ready_off),
            report(FailureClass::Component, 1),
            &[arm(Timer::Decay, 15)],
        );
        tape.insert_before(
            turn_with(ready_off),
            report(FailureClass::Component, 1),
            &[],
        );
    });
    // Not ready, but it stops nothing.
    life.breaks(Law::NoDelay, |tape| {
        tape.asked(ready_off).effects.truncate(1)
    });
    // What has proved itself for the whole window is not started.
    life.breaks(Law::NoDelay, |tape| {
        let again = |effect: &Effect| *effect == start(0, 2);
        tape.asked(again).effects = vec![arm(Timer::Silence, 8)];
    });
    // A start goes on though the dependency fails.
    life.breaks(Law::NoDelay, |tape| {
        tape.insert_before(
            turn_with(ready_on),
            Input::Failing {
                session: 1,
                fatal: false,
            },
            &[],
        );
    });
}

#[test]
fn l17_no_trip_without_cause() {
    let life = life();
    let all_of_it = |tape: &Tape| {
        let trip = tape.0.iter().find(|turn| turn_with(ready_off)(turn));
        trip.expect("a trip").effects.clone()
    };
    // Below the threshold, or for nothing at all.
    for input in [
        report(FailureClass::Component, 1),
        Input::Alive {
            session: 1,
            round: 0,
        },
        Input::Reset,
        Input::Resume,
    ] {
        life.breaks(Law::NoTripWithoutCause, |tape| {
            let effects = all_of_it(tape);
            tape.insert_before(turn_with(ready_off), input, &effects);
        });
    }
    // Components are stopped under a service that stays ready.
    life.breaks(Law::NoTripWithoutCause, |tape| {
        tape.insert_before(turn_with(ready_off), Input::Reset, &[stop(1, 1)]);
    });
    // Aborted before the deadline.
    life.breaks(Law::NoTripWithoutCause, |tape| {
        let abort = Effect::Abort {
            component: ComponentId(2),
            epoch: 1,
        };
        tape.asked(stops).effects.push(abort);
    });
    // A lease that was renewed for longer is given up as early as before.
    lease().breaks(Law::NoTripWithoutCause, |tape| {
        let renewal = |turn: &Turn| matches!(turn.input, Some(Input::LeaseRenewed { .. }));
        tape.end_with(renewal);
        let renewed = tape.0.last_mut().expect("it was renewed");
        let (epoch, remaining) = (1, ms(110));
        renewed.input = Some(Input::LeaseRenewed { epoch, remaining });
        renewed.effects.clear();
    });
    // Suspicion that does not decay in time, or at all, trips in the end.
    life.breaks(Law::NoTripWithoutCause, |tape| {
        tape.drop_effect(arms(Timer::Decay))
    });
    life.breaks(Law::NoTripWithoutCause, |tape| {
        *tape.effect(arms(Timer::Decay)) = arm(Timer::Decay, 1_500)
    });
}

#[test]
fn a_shell_may_be_as_late_as_it_says() {
    // Seven deadlines: the delay's, and two of each stage.
    let policy = small_policy().tuning(small_tuning().with_unready_delay(ms(6)));
    let mut world = World::running(plan(policy, &[1, 1, 1])).expect("lawful");
    world.input(Input::Shutdown).expect("lawful");
    world.wait(Some(51)).expect("lawful");
    let mut run = Run::of(&world);
    for turn in &mut run.tape {
        if turn.input == Some(Input::Fired(Timer::Stage)) {
            turn.elapsed += ms(2);
        }
    }
    assert_eq!(run.judge_late(ms(2)), Ok(()));
    let too_late = run.judge_late(ms(1)).map_err(|violation| violation.law);
    assert_eq!(too_late, Err(Law::ShutdownIsInevitable));
}
