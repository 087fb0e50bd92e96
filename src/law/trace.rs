//! Checks that a step reports the transitions that happened, with the right causes.

use super::Law::HonestTrace;
use super::{Violation, ensure};
use crate::machine::{
    Cause, Command, ComponentState, Effect, Exit, HaltReason, Input, Machine, Phase, RunOutcome,
    State, Step, Timer, Transition, any_command,
};
use crate::policy::ComponentId;

/// Judges the transitions that a step reports.
pub(super) fn judge(
    before: &Machine,
    input: Input,
    step: Step,
    effects: &[Effect],
    after: &Machine,
) -> Result<(), Violation> {
    let mut here = before.phase();
    let mut first = true;
    for hop in step.transitions() {
        ensure(HonestTrace, hop.from == here && hop.to != here, || {
            format!("{hop:?} is told in {here}")
        })?;
        ensure(HonestTrace, hop.epoch == after.epoch(), || {
            format!("{hop:?} is told in epoch {}", after.epoch())
        })?;
        let ends_well = ends_stop(hop, after);
        let named = if first {
            names(hop, input, before) || ends_well && may_end_stop(input)
        } else {
            hop.cause == Cause::AllUp || ends_well
        };
        ensure(HonestTrace, named, || {
            format!("{hop:?} because of {input:?}")
        })?;
        (here, first) = (hop.to, false);
    }
    ensure(HonestTrace, here == after.phase(), || {
        format!("{step:?} leads to {here}, and it is in {}", after.phase())
    })?;
    let moved = matches!(step, Step::Moved(_));
    ensure(HonestTrace, moved != first, || {
        format!("{step:?} tells of no transition")
    })?;
    for effect in effects {
        if let Effect::OutageOpened { cause, .. } = *effect {
            let told = step.transitions().any(|hop| hop.cause == cause);
            ensure(HonestTrace, told, || {
                format!("an outage opens by {cause:?}, and {step:?}")
            })?;
        }
    }
    Ok(())
}

/// Whether a transition names the cause that its input has.
fn names(hop: Transition, input: Input, before: &Machine) -> bool {
    let expected = match input {
        Input::Gone { component, how, .. } if has_finished(component, how, before) => {
            // It was the last one that had to be up, or the last one that had anything to do.
            match hop.to {
                Phase::Running => Cause::AllUp,
                _ => Cause::Finished,
            }
        }
        Input::Report {
            component, class, ..
        } => Cause::Report { component, class },
        Input::Exited { component, how, .. } | Input::Gone { component, how, .. } => {
            let class = how.class();
            if before.component_state(component) == ComponentState::Starting {
                Cause::StartFailed { component, class }
            } else {
                Cause::Exited { component, class }
            }
        }
        Input::Alive { .. } => Cause::Recovered,
        Input::Failing { .. } => Cause::Failing,
        Input::Up { .. } => Cause::AllUp,
        Input::Fired(Timer::Silence) => Cause::Silence,
        Input::Fired(Timer::Fence) | Input::LeaseRenewed { .. } => Cause::Fence,
        Input::Fired(Timer::Stage) => Cause::StartOverdue,
        Input::Shutdown => Cause::Shutdown,
        any_command!() => return input.command().and_then(Command::cause) == Some(hop.cause),
        Input::FailedTooOften { component } => Cause::FailedTooOften { component },
        Input::Frozen => Cause::Frozen,
        Input::Fired(Timer::HoldOff | Timer::Decay | Timer::Stable) => return false,
    };
    hop.cause == expected
}

/// Whether this is the regular end of a component that may finish.
fn has_finished(component: ComponentId, how: Exit, before: &Machine) -> bool {
    let works = matches!(
        before.component_state(component),
        ComponentState::Starting | ComponentState::Up
    );
    works && how == Exit::Returned && before.plan().layout().is_one_shot(component)
}

/// Whether this input can be the last one that a stop waited for.
fn may_end_stop(input: Input) -> bool {
    matches!(input, Input::Gone { .. } | Input::Fired(Timer::Stage))
}

/// Whether this transition is the end of a stop.
fn ends_stop(hop: Transition, after: &Machine) -> bool {
    let halted = |why| *after.state() == State::Ended(RunOutcome::Halted(why));
    match hop.cause {
        Cause::AllGone => matches!(hop.to, Phase::Monitoring | Phase::Drained | Phase::Stopped),
        Cause::Wedged => halted(HaltReason::Wedged),
        Cause::GaveUp => halted(HaltReason::GaveUp),
        Cause::Fatal => halted(HaltReason::Fatal),
        _ => false,
    }
}
