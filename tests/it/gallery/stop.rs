//! How it stops components, and how it ends.

use overwatch::law::Law::*;
use overwatch::machine::{
    AfterStop, ComponentState, Effect, Exit, FailureClass, Input, Machine, RunOutcome, Step, Timer,
};
use overwatch::policy::ComponentId;

use super::{Exhibit, is_stopping, pair, tower, wish};

pub(super) const EXHIBITS: &[Exhibit] = &[
    Exhibit::new(
        "a shutdown is forgotten while it stops",
        shutdown_forgotten,
        ShutdownIsInevitable,
    ),
    Exhibit::new(
        "a shutdown is taken for a drain",
        shutdown_drains,
        HonestTrace,
    ),
    Exhibit::new(
        "a fatal failure is survived",
        survives_anything,
        ShutdownIsInevitable,
    ),
    Exhibit::new(
        "a command lengthens the deadline",
        command_lengthens_deadline,
        OneDeadline,
    ),
    Exhibit::new(
        "a stage that is not whole is not told to stop",
        part_is_not_told,
        NoDelay,
    )
    .on(pair),
    Exhibit::new(
        "stops and aborts at once",
        aborts_at_once,
        NoTripWithoutCause,
    ),
    Exhibit::new(
        "lower stages do not wait for the upper",
        stops_all_at_once,
        StageOrder,
    )
    .on(tower),
    Exhibit::new(
        "what ended but is held counts as gone",
        exited_counts_as_gone,
        OneIncarnation,
    )
    .on(pair),
    Exhibit::new(
        "ends without waiting for components",
        ends_too_soon,
        CleanEnd,
    ),
    Exhibit::new(
        "a session is left open at the end",
        session_left_open,
        CleanEnd,
    ),
    Exhibit::new(
        "a timer is left armed at the end",
        timer_left_armed,
        CleanEnd,
    ),
    Exhibit::new("a halt is told as a clean stop", halt_is_denied, HonestEnd),
    Exhibit::new(
        "a resume while it drains is forgotten",
        resume_forgotten,
        NoSilentWait,
    ),
];

/// It is stopping already, so there seems to be nothing to do.
fn shutdown_forgotten(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    if is_stopping(machine) && input == Input::Shutdown {
        return Step::Absorbed;
    }
    machine.handle(input, effects)
}

/// It stops everything, and stays.
fn shutdown_drains(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    match input {
        Input::Shutdown if machine.is_ready() => machine.handle(Input::Drain, effects),
        _ => machine.handle(input, effects),
    }
}

/// It restarts after what no restart can mend.
fn survives_anything(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let was_ready = machine.is_ready();
    let step = machine.handle(input, effects);
    let class = FailureClass::Fatal;
    if was_ready && matches!(input, Input::Report { class: is, .. } if is == class) {
        wish(machine, AfterStop::Monitor);
    }
    step
}

/// A second command begins the wait for the components anew.
fn command_lengthens_deadline(
    machine: &mut Machine,
    input: Input,
    effects: &mut Vec<Effect>,
) -> Step {
    let step = machine.handle(input, effects);
    if input == Input::Shutdown && step == Step::Absorbed {
        effects.push(Effect::Arm {
            timer: Timer::Stage,
            after: machine.plan().policy().stop_deadline(),
        });
    }
    step
}

/// The stage is told only if all of it is there.
fn part_is_not_told(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    let gone = |id| machine.component_state(ComponentId(id)) == ComponentState::Down;
    if (0..2).any(gone) {
        let first = effects
            .iter()
            .position(|effect| matches!(effect, Effect::StopStage { .. }));
        effects.truncate(first.unwrap_or(effects.len()));
    }
    step
}

/// Nobody gets the time to stop by himself.
fn aborts_at_once(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    for place in 0..effects.len() {
        if let Effect::StopStage { epoch, .. } = effects[place] {
            let component = ComponentId(0);
            effects.push(Effect::Abort { component, epoch });
        }
    }
    step
}

/// Every component of every stage is told to stop in one go.
fn stops_all_at_once(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    let told = |effect: &Effect| matches!(effect, Effect::StopStage { stage: 1, .. });
    if let Some(place) = effects.iter().position(told) {
        let epoch = machine.epoch();
        effects.insert(place + 1, Effect::StopStage { stage: 0, epoch });
    }
    step
}

/// The main task is over, so the rest of it is not waited for.
fn exited_counts_as_gone(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    match input {
        Input::Exited {
            component,
            epoch,
            how,
        } if is_stopping(machine) => machine.handle(
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

/// A shutdown asks components to stop, and leaves the process at once.
fn ends_too_soon(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let mut step = machine.handle(input, effects);
    if input == Input::Shutdown && is_stopping(machine) {
        let gone = Input::Gone {
            component: ComponentId(0),
            epoch: machine.epoch(),
            how: Exit::Returned,
        };
        step = machine.handle(gone, effects);
    }
    step
}

/// The probe goes on observing for nobody.
fn session_left_open(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if machine.phase().is_ended() {
        effects.retain(|effect| !matches!(effect, Effect::CloseSession { .. }));
    }
    step
}

/// A timer goes on running for nobody.
fn timer_left_armed(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if machine.phase().is_ended() {
        effects.retain(|effect| !matches!(effect, Effect::Disarm { .. }));
    }
    step
}

/// The exit code is that of the command, whatever is still alive.
fn halt_is_denied(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    for effect in effects {
        if matches!(effect, Effect::Ended(RunOutcome::Halted(_))) {
            *effect = Effect::Ended(RunOutcome::Stopped);
        }
    }
    step
}

/// A drain that has begun goes on to its end, and stays there.
fn resume_forgotten(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    if is_stopping(machine) && input == Input::Resume {
        return Step::Absorbed;
    }
    machine.handle(input, effects)
}
