//! What went wrong in the program that this crate learnt from, as far as a machine that decides
//! everything and does nothing can make the same mistakes.
//!
//! - d03: that the old probe's task goes on is the shell's affair; here its session goes on.
//! - d09: that a lock is held is the shell's affair; here it is the repetition that does harm.
//!
//! The others have a counterpart as they are.

use overwatch::law::Law::*;
use overwatch::machine::{
    AfterStop, ComponentState, Effect, Exit, FailureClass, HaltReason, Input, Machine, Record,
    Step, Timer,
};
use overwatch::policy::ComponentId;

use super::{Exhibit, arms, is_at_rest, is_starting, is_stopping, pair, surgery, swallow, wish};
use crate::world::alive;

pub(super) const EXHIBITS: &[Exhibit] = &[
    Exhibit::new(
        "d01 a probe that fails or hangs leaves the hold-off running",
        d01,
        ProvenRecovery,
    ),
    Exhibit::new("d02 no news is good news", d02, FreshEvidence),
    Exhibit::new(
        "d03 the probe is replaced, and the old one goes on",
        d03,
        ProvenRecovery,
    ),
    Exhibit::new(
        "d04 the outage is over before anything is up",
        d04,
        NothingIsLost,
    ),
    Exhibit::new("d05 a start that failed is left as it is", d05, NoDelay).on(pair),
    Exhibit::new(
        "d06 a dependency that flaps during a restart ends the run",
        d06,
        HonestEnd,
    ),
    Exhibit::new(
        "d07 what survived its abort counts as gone",
        d07,
        ShutdownIsInevitable,
    ),
    Exhibit::new("d08 a stop has no deadline", d08, NoDelay),
    Exhibit::new(
        "d08 readiness goes off when everything is stopped",
        d08_health,
        HealthFirst,
    ),
    Exhibit::new(
        "d09 after repeated outages it does not stop any more",
        d09,
        NoDelay,
    ),
    Exhibit::new(
        "d10 after a failure that it does not know it rests for ever",
        d10,
        NoSilentWait,
    ),
];

/// Nothing but time is needed to recover.
fn d01(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let step = machine.handle(input, effects);
    let bad = matches!(input, Input::Failing { .. } | Input::Fired(Timer::Silence));
    if bad && is_at_rest(&before) && is_at_rest(machine) {
        effects.retain(|effect| {
            *effect
                != Effect::Disarm {
                    timer: Timer::HoldOff,
                }
        });
        surgery(machine, |snapshot| {
            snapshot.state = *before.state();
            if before.is_armed(Timer::HoldOff) {
                snapshot.armed.push(Timer::HoldOff);
            }
        });
    }
    step
}

/// A probe that hangs reports no error, so all is well.
fn d02(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    match (input, machine.session()) {
        (Input::Fired(Timer::Silence), Some(session)) if machine.is_ready() => {
            machine.handle(alive(machine, session), effects)
        }
        _ => machine.handle(input, effects),
    }
}

/// A fresh session is opened while the silent one still is.
fn d03(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if input == Input::Fired(Timer::Silence) && is_at_rest(machine) {
        effects.retain(|effect| !matches!(effect, Effect::CloseSession { .. }));
    }
    step
}

/// To order a start is taken for having started.
fn d04(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let was_at_rest = is_at_rest(machine);
    let step = machine.handle(input, effects);
    if was_at_rest && is_starting(machine) && machine.outage_is_open() {
        effects.push(Effect::OutageClosed(machine.record()));
        surgery(machine, |snapshot| {
            snapshot.outage_open = false;
            snapshot.record = Record::default();
        });
    }
    step
}

/// The others go on running without the one that failed.
fn d05(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let step = machine.handle(input, effects);
    if is_starting(&before) && is_stopping(machine) && matches!(input, Input::Gone { .. }) {
        return swallow(machine, before, effects);
    }
    step
}

/// What fails during a restart is taken for the end of all hope.
fn d06(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let was_starting = is_starting(machine);
    let step = machine.handle(input, effects);
    if was_starting && is_stopping(machine) && matches!(input, Input::Failing { .. }) {
        wish(machine, AfterStop::Halt(HaltReason::GaveUp));
    }
    step
}

/// A stop that failed is taken for one that did not.
fn d07(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let component = ComponentId(0);
    if input != Input::Fired(Timer::Stage)
        || machine.component_state(component) != ComponentState::Aborting
    {
        return machine.handle(input, effects);
    }
    let (epoch, how) = (machine.epoch(), Exit::Aborted);
    let gone = Input::Gone {
        component,
        epoch,
        how,
    };
    let step = machine.handle(gone, effects);
    effects.retain(|effect| {
        *effect
            != Effect::Disarm {
                timer: Timer::Stage,
            }
    });
    step
}

/// A component that hangs is waited for, for ever.
fn d08(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if is_stopping(machine) {
        effects.retain(|effect| !arms(effect, Timer::Stage));
    }
    step
}

/// As long as a component has not stopped, the service counts as healthy: readiness is left on for
/// the end of the stop to turn off, which is too late.
fn d08_health(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    effects.retain(|effect| *effect != Effect::Ready(false));
    step
}

/// What earlier outages left behind blocks the way to the next stop.
fn d09(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let step = machine.handle(input, effects);
    let repeated = before.level() == before.plan().policy().tuning().max_level();
    if repeated && before.is_ready() && !machine.is_ready() {
        return swallow(machine, before, effects);
    }
    step
}

/// Everything is stopped, nothing is observed, and nothing that is reported helps.
fn d10(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let was_ready = machine.is_ready();
    let step = machine.handle(input, effects);
    let unknown = matches!(
        input,
        Input::Report {
            component: None,
            class: FailureClass::Component,
            ..
        }
    );
    if was_ready && unknown && is_stopping(machine) {
        wish(machine, AfterStop::Drain);
    }
    step
}
