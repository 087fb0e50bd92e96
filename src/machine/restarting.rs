//! Restarting: components are started stage by stage, in ascending order. Any failure unwinds the start.

use statig::Outcome;

use super::core::{Core, Cx};
use super::{Cause, ComponentState, Input, Phase, State, Timer};

pub(super) fn enter(stage: u16, core: &mut Core, cx: &mut Cx<'_>) {
    core.start_stage(stage, cx);
}

#[inline]
pub(super) fn handle(
    stage: &mut u16,
    waiting: &mut u32,
    core: &mut Core,
    input: &Input,
    cx: &mut Cx<'_>,
) -> Outcome<State> {
    match *input {
        Input::Up { .. } => one_more(stage, waiting, core, cx),
        Input::Exited { .. } if core.finishes(input, cx) => Outcome::Handled,
        Input::Gone { component, .. } if core.finishes(input, cx) => {
            let was_up = cx.was == ComponentState::Up;
            match core.finish(component, cx) {
                Some(end) => Outcome::Transition(end),
                None if was_up => Outcome::Handled,
                None => one_more(stage, waiting, core, cx),
            }
        }
        Input::Alive { .. } => {
            core.arm_silence(cx);
            Outcome::Handled
        }
        _ if input.is_fatal() => Outcome::Super,
        Input::LeaseRenewed { remaining, .. } => {
            if core.arm_fence(remaining, cx) {
                Outcome::Handled
            } else {
                Outcome::Transition(core.trip(input, cx))
            }
        }
        Input::Gone { .. }
        | Input::Exited { .. }
        | Input::Report { .. }
        | Input::Failing { .. }
        | Input::Fired(Timer::Silence | Timer::Stage | Timer::Fence)
        | Input::Trip
        | Input::Frozen => Outcome::Transition(core.trip(input, cx)),
        _ => Outcome::Super,
    }
}

/// One more component of the stage is up.
fn one_more(
    stage: &mut u16,
    waiting: &mut u32,
    core: &mut Core,
    cx: &mut Cx<'_>,
) -> Outcome<State> {
    *waiting -= 1;
    if *waiting > 0 {
        return Outcome::Handled;
    }
    if usize::from(*stage) + 1 < core.plan.layout().stages() {
        *stage += 1;
        *waiting = core.start_stage(*stage, cx);
        return Outcome::Handled;
    }
    cx.hop(Phase::Running, Cause::AllUp, core.epoch);
    Outcome::Transition(State::Running { suspicion: 0 })
}
