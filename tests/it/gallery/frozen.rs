//! What it makes of a runtime that is frozen. All other inputs are handled as they should be.

use overwatch::law::Law::*;
use overwatch::machine::{
    AfterStop, Effect, HaltReason, Input, Machine, State, Step, StopStep, Timer,
};
use overwatch::policy::Blame;

use super::{Exhibit, hasty, is_at_rest, is_starting, is_stopping, lingering, surgery, swallow};

pub(super) const EXHIBITS: &[Exhibit] = &[
    Exhibit::new("a freeze stops nothing", freeze_stops_nothing, NoDelay),
    Exhibit::new(
        "a start on a frozen runtime goes on",
        start_goes_on,
        NoDelay,
    ),
    Exhibit::new(
        "a freeze waits for the end of the delay",
        freeze_waits_for_the_delay,
        NoDelay,
    )
    .on(lingering),
    Exhibit::new(
        "a freeze is blamed on the dependency",
        blames_dependency,
        ProvenRecovery,
    ),
    Exhibit::new(
        "a freeze is taken for an operator's trip",
        taken_for_a_trip,
        HonestTrace,
    ),
    Exhibit::new(
        "a freeze leaves the clean run standing",
        clean_run_stands,
        ProvenRecovery,
    ),
    Exhibit::new(
        "a freeze puts off the silence",
        puts_off_silence,
        FreshEvidence,
    ),
    Exhibit::new(
        "a freeze while it stops raises no level",
        raises_no_level,
        ProvenRecovery,
    ),
    Exhibit::new(
        "a freeze uses up no start",
        uses_up_no_start,
        ShutdownIsInevitable,
    )
    .on(hasty),
];

/// It is known only as an input that means nothing here.
fn freeze_stops_nothing(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    if input == Input::Frozen && machine.is_ready() {
        return Step::Absorbed;
    }
    machine.handle(input, effects)
}

/// Components that cannot come up are left to their deadline.
fn start_goes_on(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    if input == Input::Frozen && is_starting(machine) {
        return Step::Absorbed;
    }
    machine.handle(input, effects)
}

/// It is not ready, so there seems to be no hurry.
fn freeze_waits_for_the_delay(
    machine: &mut Machine,
    input: Input,
    effects: &mut Vec<Effect>,
) -> Step {
    let before = machine.clone();
    let step = machine.handle(input, effects);
    let delays = matches!(
        *before.state(),
        State::ShuttingDown {
            step: StopStep::Delaying,
            ..
        }
    );
    if input == Input::Frozen && delays {
        let level = machine.level();
        let step = swallow(machine, before, effects);
        surgery(machine, |snapshot| snapshot.level = level);
        return step;
    }
    step
}

/// Whatever stops the world is taken for the dependency's trouble, which calls for the whole window.
fn blames_dependency(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    if input == Input::Frozen && !machine.phase().is_ended() {
        surgery(machine, |snapshot| snapshot.blame = Blame::Dependency);
    }
    machine.handle(input, effects)
}

/// There is a way to stop the world from outside already.
fn taken_for_a_trip(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    match input {
        Input::Frozen if machine.is_ready() => machine.handle(Input::Trip, effects),
        _ => machine.handle(input, effects),
    }
}

/// It says nothing of the dependency, so what was seen of that seems to be good still.
fn clean_run_stands(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let step = machine.handle(input, effects);
    if input == Input::Frozen && is_at_rest(&before) {
        let level = machine.level();
        let step = swallow(machine, before, effects);
        surgery(machine, |snapshot| snapshot.level = level);
        return step;
    }
    step
}

/// The clean run begins anew, and with it the wait for a sign of life.
fn puts_off_silence(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let was_at_rest = is_at_rest(machine);
    let step = machine.handle(input, effects);
    if input == Input::Frozen && was_at_rest {
        effects.push(Effect::Arm {
            timer: Timer::Silence,
            after: machine.plan().policy().silence_limit(),
        });
    }
    step
}

/// Everything is being stopped, so there seems to be nothing to remember: a drain that is taken back
/// starts it again in no time.
fn raises_no_level(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let (level, was_stopping) = (machine.level(), is_stopping(machine));
    let step = machine.handle(input, effects);
    if input == Input::Frozen && was_stopping {
        surgery(machine, |snapshot| snapshot.level = level);
    }
    step
}

/// A start that a freeze undid is held to be nobody's failure, as one that an operator undid is.
fn uses_up_no_start(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let was_starting = is_starting(machine);
    let step = machine.handle(input, effects);
    if input == Input::Frozen && was_starting {
        surgery(machine, |snapshot| {
            snapshot.failed_starts = 0;
            if let State::ShuttingDown { then, .. } = &mut snapshot.state
                && *then == AfterStop::Halt(HaltReason::GaveUp)
            {
                *then = AfterStop::Monitor;
            }
        });
    }
    step
}
