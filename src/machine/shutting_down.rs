//! ShuttingDown: components are stopped stage by stage, descending.
//!
//! Each stage is asked to stop, aborted when it overruns, and given up as wedged when it survives
//! even that. No command and no observation lengthens a deadline.

use statig::Outcome;

use super::core::{Core, Cx};
use super::{AfterStop, Cause, ComponentState, HaltReason, Input, State, StopStep, Timer};

pub(super) fn enter(stage: u16, step: StopStep, core: &mut Core, cx: &mut Cx<'_>) {
    if core.session_open {
        core.disarm_all_but(&[Timer::Silence], cx);
    } else {
        core.disarm_all_but(&[], cx);
    }
    if step == StopStep::Delaying {
        core.arm(Timer::Stage, core.policy().tuning().unready_delay(), cx);
    } else {
        core.stop_stage(stage, cx);
    }
}

#[inline]
pub(super) fn handle(
    stage: &mut u16,
    step: &mut StopStep,
    then: &mut AfterStop,
    core: &mut Core,
    input: &Input,
    cx: &mut Cx<'_>,
) -> Outcome<State> {
    if input.is_fatal() {
        *then = (*then).max(AfterStop::Halt(HaltReason::Fatal));
    }
    match *input {
        Input::Resume if *then == AfterStop::Drain => *then = AfterStop::Monitor,
        Input::Gone { .. }
        | Input::Exited { .. }
        | Input::Report { .. }
        | Input::Trip
        | Input::Frozen => {
            // An error after a stop was asked for is logged, and counts as stopped.
            let asked = matches!(
                cx.was,
                ComponentState::Stopping | ComponentState::Aborting | ComponentState::Wedged
            );
            if !asked {
                core.blame_if_dependency(input);
                // Also what ended unasked while the rest was being stopped: a drain that is taken
                // back must not start it again in no time.
                core.level_at_least_one();
            }
            // Components are still up in the delay: what would have tripped ends it.
            let cut_short = *step == StopStep::Delaying;
            if cut_short || (matches!(input, Input::Gone { .. }) && core.live_in(*stage) == 0) {
                return next_stage(stage, step, *then, core, cx);
            }
        }
        Input::Fired(Timer::Stage) => match step {
            StopStep::Delaying => return next_stage(stage, step, *then, core, cx),
            StopStep::Stopping => {
                *step = StopStep::Aborting;
                core.abort_stage(*stage, cx);
            }
            StopStep::Aborting => {
                core.wedge_stage(*stage);
                return next_stage(stage, step, *then, core, cx);
            }
        },
        // Only a kept session gets here: what it sees keeps or voids the clean run.
        Input::Alive { .. } => core.arm_silence(cx),
        Input::Failing { .. } => core.blame_if_dependency(input),
        Input::Fired(Timer::Silence) => {
            core.blame_if_dependency(input);
            core.close_session(cx);
        }
        // The stop that runs ends before the lease does; there is nothing to add.
        Input::LeaseRenewed { .. } => {}
        _ => match input.wish() {
            Some(wish) => *then = (*then).max(wish),
            None => return Outcome::Super,
        },
    }
    Outcome::Handled
}

/// Stops the highest stage that is still alive, or finishes.
fn next_stage(
    stage: &mut u16,
    step: &mut StopStep,
    then: AfterStop,
    core: &mut Core,
    cx: &mut Cx<'_>,
) -> Outcome<State> {
    let Some(next) = core.highest_live_stage() else {
        return Outcome::Transition(core.rest(then, Cause::AllGone, cx));
    };
    *stage = next;
    *step = StopStep::Stopping;
    core.stop_stage(next, cx);
    Outcome::Handled
}
