//! What may be up, started and stopped, and in which order.

use super::*;

#[test]
fn l1_ready_means_running() {
    let life = life();
    // Ready with the last component still starting.
    life.breaks(Law::ReadyMeansRunning, |tape| {
        let ready = tape.0.iter().position(turn_with(ready_on)).expect("ready");
        tape.0[ready - 1].effects.push(Effect::Ready(true));
    });
    // Ready before anything is started.
    life.breaks(Law::ReadyMeansRunning, |tape| {
        tape.0[0].effects.push(Effect::Ready(true))
    });
    // Ready twice.
    life.breaks(Law::ReadyMeansRunning, |tape| {
        tape.asked(ready_on).effects.push(Effect::Ready(true))
    });
}

#[test]
fn l2_health_first() {
    let life = life();
    life.breaks(Law::HealthFirst, |tape| {
        tape.asked(ready_off).effects.rotate_left(1)
    });
    life.breaks(Law::HealthFirst, |tape| {
        let effects = &mut tape.asked(ready_off).effects;
        let last_stop = effects.iter().rposition(stops).expect("stops");
        effects[..=last_stop].rotate_left(1);
    });
    life.breaks(Law::HealthFirst, |tape| {
        let effects = &mut tape.asked(stops).effects;
        effects.retain(|effect| stops(effect) || arms(Timer::Stage)(effect));
    });
}

#[test]
fn l3_one_incarnation() {
    // Started twice, and in an epoch that is not.
    let life = life();
    life.breaks(Law::OneIncarnation, |tape| {
        tape.asked(starts).effects.push(start(0, 1))
    });
    life.breaks(Law::OneIncarnation, |tape| {
        *tape.effect(starts) = start(0, 2)
    });
    // Started though there is no such component.
    life.breaks(Law::OneIncarnation, |tape| {
        *tape.effect(starts) = start(3, 1)
    });
    // Started again while it stops.
    life.breaks(Law::OneIncarnation, |tape| {
        tape.asked(stops).effects.push(start(1, 2))
    });
}

#[test]
fn l5_stale_is_inert() {
    let life = life();
    let stale = [
        report(FailureClass::Critical, 0),
        report(FailureClass::Critical, 9),
        Input::Failing {
            session: 9,
            fatal: false,
        },
        Input::Fired(Timer::HoldOff),
        Input::Up {
            component: ComponentId(1),
            epoch: 1,
        },
        Input::Gone {
            component: ComponentId(1),
            epoch: 0,
            how: Exit::Returned,
        },
        Input::Exited {
            component: ComponentId(9),
            epoch: 1,
            how: Exit::Returned,
        },
        Input::LeaseRenewed {
            epoch: 1,
            remaining: ms(9),
        },
    ];
    for input in stale {
        life.breaks(Law::StaleIsInert, |tape| {
            tape.insert_before(turn_with(ready_off), input, &[Effect::Ready(false)]);
        });
    }
}

#[test]
fn l8_order() {
    let life = life();
    // All stages started at once.
    life.breaks(Law::StageOrder, |tape| {
        let effects = &mut tape.asked(starts).effects;
        let first = effects.iter().position(starts).expect("starts");
        effects.insert(first + 1, start(1, 1));
    });
    // The lower stage is stopped before the upper one is done, or instead of it.
    life.breaks(Law::StageOrder, |tape| {
        let effects = &mut tape.asked(stops).effects;
        let last = effects.iter().rposition(stops).expect("stops");
        effects.insert(last + 1, stop(0, 1));
    });
    life.breaks(Law::StageOrder, |tape| *tape.effect(stops) = stop(0, 1));
    // Stopped twice.
    life.breaks(Law::StageOrder, |tape| {
        let effects = &mut tape.asked(stops).effects;
        let first = effects.iter().position(stops).expect("stops");
        effects.insert(first, effects[first]);
    });
}
