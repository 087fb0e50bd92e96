//! Whether what a step tells of its transitions is what happened, and names the right cause.

use super::Law::L20;
use super::{Violation, demand};
use crate::machine::{Cause, Effect, Input, Machine, Step, Timer, Transition};

/// Judges what a step tells.
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
        demand(L20, hop.from == here && hop.to != here, || {
            format!("{hop:?} is told in {here}")
        })?;
        demand(L20, hop.epoch == after.epoch(), || {
            format!("{hop:?} is told in epoch {}", after.epoch())
        })?;
        let named = if first {
            names(hop, input)
        } else {
            is_passed_through(hop)
        };
        demand(L20, named, || format!("{hop:?} because of {input:?}"))?;
        (here, first) = (hop.to, false);
    }
    demand(L20, here == after.phase(), || {
        format!("{step:?} leads to {here}, and it is in {}", after.phase())
    })?;
    let moved = matches!(step, Step::Moved(_));
    demand(L20, moved != first, || {
        format!("{step:?} tells of no transition")
    })?;
    for effect in effects {
        if let Effect::OutageOpened { cause, .. } = *effect {
            let told = step.transitions().any(|hop| hop.cause == cause);
            demand(L20, told, || {
                format!("an outage opens by {cause:?}, and {step:?}")
            })?;
        }
    }
    Ok(())
}

/// Whether this is why the input moves the machine.
fn names(hop: Transition, input: Input) -> bool {
    match (input, hop.cause) {
        (
            Input::Report {
                component, class, ..
            },
            cause,
        ) => cause == Cause::Report { component, class },
        (Input::Exited { component, how, .. } | Input::Gone { component, how, .. }, cause) => {
            let class = how.class();
            cause == Cause::Exited { component, class }
                || cause == Cause::StartFailed { component, class }
                || is_finished(cause)
        }
        (Input::Alive { .. }, cause) => cause == Cause::Recovered,
        (Input::Failing { .. }, cause) => cause == Cause::Failing,
        (Input::Up { .. }, cause) => cause == Cause::AllUp,
        (Input::Fired(Timer::Silence), cause) => cause == Cause::Silence,
        (Input::Fired(Timer::Fence) | Input::LeaseRenewed { .. }, cause) => cause == Cause::Fence,
        (Input::Fired(Timer::Stage), cause) => cause == Cause::StartOverdue || is_finished(cause),
        (Input::Fired(Timer::HoldOff | Timer::Decay | Timer::Stable) | Input::Reset, _) => false,
        (Input::Shutdown, cause) => cause == Cause::Shutdown,
        (Input::Drain, cause) => cause == Cause::Drain,
        (Input::Resume, cause) => cause == Cause::Resume,
        (Input::Trip, cause) => cause == Cause::Trip,
    }
}

/// Why a state is left again in the same step: there was nothing to wait for in it.
fn is_passed_through(hop: Transition) -> bool {
    hop.cause == Cause::AllUp || is_finished(hop.cause)
}

/// Why a stop has come to its end.
fn is_finished(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::AllGone | Cause::Wedged | Cause::GaveUp | Cause::Fatal
    )
}
