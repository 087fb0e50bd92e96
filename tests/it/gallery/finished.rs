//! What it makes of components that finish, and of those that fail too often.

use overwatch::law::Law::*;
use overwatch::machine::{
    AfterStop, ComponentState, Effect, Exit, HaltReason, Input, Machine, RunOutcome, Step,
};
use overwatch::policy::ComponentId;

use super::{
    Exhibit, batch, is_starting, is_stopping, limited, limited_to_drain, swallow, wish,
    with_one_shot,
};

pub(super) const EXHIBITS: &[Exhibit] = &[
    Exhibit::new(
        "what has finished has failed",
        finished_is_failed,
        NoTripWithoutCause,
    )
    .on(with_one_shot),
    Exhibit::new("anything may finish", anything_may_finish, NoDelay).on(with_one_shot),
    Exhibit::new(
        "what has finished does not count as up",
        finished_is_not_up,
        OneIncarnation,
    )
    .on(with_one_shot),
    Exhibit::new(
        "what has ended but is held has finished",
        held_is_finished,
        OneIncarnation,
    )
    .on(with_one_shot),
    Exhibit::new(
        "all have finished, and the run goes on",
        goes_on_with_nothing,
        NoDelay,
    )
    .on(batch),
    Exhibit::new(
        "the run ends with the first that has finished",
        ends_with_the_first,
        HonestEnd,
    )
    .on(batch),
    Exhibit::new(
        "what fails too often is restarted as ever",
        limit_is_forgotten,
        NoDelay,
    )
    .on(limited),
    Exhibit::new(
        "a limit that is reached while it stops is forgotten",
        limit_is_forgotten_while_it_stops,
        ShutdownIsInevitable,
    )
    .on(limited),
    Exhibit::new(
        "the run ends where it should drain",
        limit_never_drains,
        HonestEnd,
    )
    .on(limited_to_drain),
];

const FIRST: ComponentId = ComponentId(0);

/// Whether a component returns without an error, and is gone.
fn returns(input: Input) -> Option<ComponentId> {
    match input {
        Input::Gone {
            component,
            how: Exit::Returned,
            ..
        } => Some(component),
        _ => None,
    }
}

/// Components are meant to run, so one that returns is a failure.
fn finished_is_failed(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let mut input = input;
    let is_ready = machine.is_ready();
    if let Input::Gone { how, .. } = &mut input
        && *how == Exit::Returned
        && is_ready
    {
        *how = Exit::Aborted;
    }
    machine.handle(input, effects)
}

/// It ended without an error, so it is well.
fn anything_may_finish(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let was_ready = machine.is_ready();
    let step = machine.handle(input, effects);
    if was_ready && !machine.is_ready() && returns(input) == Some(ComponentId(1)) {
        return swallow(machine, before, effects);
    }
    step
}

/// Only those that are up are counted.
fn finished_is_not_up(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let starts = is_starting(machine) && machine.component_state(FIRST) == ComponentState::Starting;
    if starts && returns(input) == Some(FIRST) {
        return swallow(machine, before, effects);
    }
    machine.handle(input, effects)
}

/// Its main task is over, so it seems to be gone.
fn held_is_finished(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    match input {
        Input::Exited {
            component,
            epoch,
            how: how @ Exit::Returned,
        } if machine.is_ready() && component == FIRST => machine.handle(
            Input::Gone {
                component,
                epoch,
                how,
            },
            effects,
        ),
        _ => machine.handle(input, effects),
    }
}

/// Nobody looks at whether anything is left.
fn goes_on_with_nothing(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let was_ready = machine.is_ready();
    let step = machine.handle(input, effects);
    if was_ready && returns(input).is_some() && machine.phase().is_ended() {
        return swallow(machine, before, effects);
    }
    step
}

/// It does not wait for the others.
fn ends_with_the_first(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if machine.is_ready() && returns(input).is_some() && step == Step::Absorbed {
        effects.push(Effect::Ended(RunOutcome::Stopped));
    }
    step
}

/// One more failure.
fn limit_is_forgotten(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let was_ready = machine.is_ready();
    let step = machine.handle(input, effects);
    if was_ready && is_limit(input) {
        return swallow(machine, before, effects);
    }
    step
}

/// It stops already.
fn limit_is_forgotten_while_it_stops(
    machine: &mut Machine,
    input: Input,
    effects: &mut Vec<Effect>,
) -> Step {
    let was_stopping = is_stopping(machine);
    let step = machine.handle(input, effects);
    if was_stopping && is_limit(input) && step == Step::Absorbed {
        wish(machine, AfterStop::Monitor);
    }
    step
}

/// There is one thing to do with a component that fails too often.
fn limit_never_drains(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if is_limit(input) && is_stopping(machine) && !matches!(step, Step::Ignored(_)) {
        wish(machine, AfterStop::Halt(HaltReason::GaveUp));
    }
    step
}

fn is_limit(input: Input) -> bool {
    matches!(input, Input::FailedTooOften { .. })
}
