//! Running: all components are up and the service is ready.

use statig::Outcome;

use super::core::{Core, Cx};
use super::{Effect, FailureClass, Input, State, Timer};
use crate::policy::Blame;

pub(super) fn enter(core: &mut Core, cx: &mut Cx<'_>) {
    core.disarm(Timer::Stage, cx);
    core.blame = Blame::Component;
    core.failed_starts = 0;
    if core.level > 0 {
        core.arm(Timer::Stable, core.policy().tuning().stable_after(), cx);
    }
    cx.emit(Effect::Ready(true));
    if core.outage_open {
        core.close_outage(cx);
    }
}

#[inline]
pub(super) fn handle(
    suspicion: &mut u32,
    core: &mut Core,
    input: &Input,
    cx: &mut Cx<'_>,
) -> Outcome<State> {
    match *input {
        // First, because almost every input is an alive observation.
        Input::Alive { .. } => {
            core.arm_silence(cx);
            Outcome::Handled
        }
        _ if input.is_fatal() => Outcome::Super,
        Input::Exited { .. } if core.finishes(input, cx) => Outcome::Handled,
        Input::Gone { component, .. } if core.finishes(input, cx) => {
            match core.finish(component, cx) {
                Some(end) => Outcome::Transition(end),
                None => Outcome::Handled,
            }
        }
        Input::Report {
            class: FailureClass::Critical,
            ..
        }
        | Input::Exited { .. }
        | Input::Gone { .. }
        | Input::Fired(Timer::Silence | Timer::Fence)
        | Input::Trip
        | Input::Frozen => Outcome::Transition(core.trip(input, cx)),
        Input::Report { count, .. } => suspect(suspicion, count.max(1), core, input, cx),
        Input::Failing { .. } => suspect(suspicion, 1, core, input, cx),
        Input::LeaseRenewed { remaining, .. } => {
            if core.arm_fence(remaining, cx) {
                Outcome::Handled
            } else {
                Outcome::Transition(core.trip(input, cx))
            }
        }
        Input::Fired(Timer::Decay) => {
            *suspicion -= 1;
            if *suspicion > 0 {
                core.arm(Timer::Decay, core.policy().tuning().decay(), cx);
            } else {
                core.blame = Blame::Component;
            }
            Outcome::Handled
        }
        Input::Fired(Timer::Stable) => {
            core.level = core.level.saturating_sub(1);
            if core.level > 0 {
                core.arm(Timer::Stable, core.policy().tuning().stable_after(), cx);
            }
            Outcome::Handled
        }
        Input::Reset => {
            *suspicion = 0;
            core.level = 0;
            core.blame = Blame::Component;
            core.disarm(Timer::Decay, cx);
            core.disarm(Timer::Stable, cx);
            Outcome::Handled
        }
        _ => Outcome::Super,
    }
}

/// Adds suspicion. At the threshold it trips; below the threshold it decays with time.
fn suspect(
    suspicion: &mut u32,
    more: u32,
    core: &mut Core,
    input: &Input,
    cx: &mut Cx<'_>,
) -> Outcome<State> {
    core.blame_if_dependency(input);
    *suspicion = suspicion.saturating_add(more);
    if *suspicion >= core.policy().trip_threshold() {
        return Outcome::Transition(core.trip(input, cx));
    }
    if !core.is_armed(Timer::Decay) {
        core.arm(Timer::Decay, core.policy().tuning().decay(), cx);
    }
    Outcome::Handled
}
