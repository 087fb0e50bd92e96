//! ShuttingDown: components are stopped stage by stage, in descending order.
//!
//! Each stage is asked to stop. It is aborted if it misses its deadline, and given up as wedged if it survives the
//! abort. No command and no observation lengthens a deadline.
//!
//! A requested stop may begin with a delay, in which everything still works. The lease is renewed meanwhile, and its
//! fence ends the delay in time.

use statig::Outcome;

use super::core::{Core, Cx};
use super::{AfterStop, Cause, ComponentState, HaltReason, Input, State, StopStep, Timer};

pub(super) fn enter(stage: u16, step: StopStep, core: &mut Core, cx: &mut Cx<'_>) {
    if step == StopStep::Delaying {
        // Work goes on during the delay, so the lease is still needed.
        core.disarm_all_but(&[Timer::Fence], cx);
        core.arm(Timer::Stage, core.policy().tuning().unready_delay(), cx);
        return;
    }
    if core.session_open {
        core.disarm_all_but(&[Timer::Silence], cx);
    } else {
        core.disarm_all_but(&[], cx);
    }
    core.stop_stage(stage, cx);
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
        // It was not asked to stop yet, and has done its work.
        Input::Exited { .. } | Input::Gone { .. } if core.finishes(input, cx) => {
            if *step == StopStep::Delaying {
                match core.highest_live_stage() {
                    Some(highest) => *stage = highest,
                    None => return next_stage(stage, step, *then, core, cx),
                }
            }
        }
        Input::Gone { .. }
        | Input::Exited { .. }
        | Input::Report { .. }
        | Input::Trip
        | Input::Frozen
        | Input::Fired(Timer::Fence) => {
            // An error after the request to stop is logged, and the component counts as stopped.
            let asked = matches!(
                cx.was,
                ComponentState::Stopping | ComponentState::Aborting | ComponentState::Wedged
            );
            if !asked {
                core.blame_if_dependency(input);
                // This also holds for a component that ended unasked while others were being stopped. Otherwise it
                // could be started again without a hold-off when a drain is undone.
                core.level_at_least_one();
            }
            // Components are still up during the delay: an input that would have tripped ends the delay.
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
        // Observations come only from a session that was kept: they keep or void its evidence.
        Input::Alive { .. } => core.arm_silence(cx),
        Input::Failing { .. } => core.blame_if_dependency(input),
        Input::Fired(Timer::Silence) => {
            core.blame_if_dependency(input);
            core.close_session(cx);
        }
        Input::LeaseRenewed { remaining, .. } if *step == StopStep::Delaying => {
            if !core.arm_fence(remaining, cx) {
                core.blame_if_dependency(input);
                core.level_at_least_one();
                return next_stage(stage, step, *then, core, cx);
            }
        }
        // The running stop ends before the lease expires, so nothing else is needed.
        Input::LeaseRenewed { .. } => {}
        _ => match input.goal(core.policy()) {
            Some(goal) => *then = (*then).max(goal),
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
    // It is armed during the delay only.
    core.disarm(Timer::Fence, cx);
    *stage = next;
    *step = StopStep::Stopping;
    core.stop_stage(next, cx);
    Outcome::Handled
}
