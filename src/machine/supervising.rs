//! The handlers of the superstates: behaviour that several states share.

use statig::Outcome;

use super::core::{Core, Cx};
use super::moves::cause_of;
use super::{AfterStop, HaltReason, Input, Phase, State, Timer};

/// Supervising: every state but Ended. Handles requests to stop, and failures that a restart cannot fix.
pub(super) fn supervising(core: &mut Core, input: &Input, cx: &mut Cx<'_>) -> Outcome<State> {
    let then = match input.goal(core.policy()) {
        Some(goal) => goal,
        None if input.is_fatal() => AfterStop::Halt(HaltReason::Fatal),
        None => return Outcome::Super,
    };
    if cx.phase() == Phase::Restarting && input.is_fatal() {
        // This still counts as a failed start, although no other start follows.
        core.ledger.record.failed_starts += 1;
    }
    let cause = cause_of(input, cx);
    Outcome::Transition(match cx.phase() {
        Phase::Monitoring | Phase::Drained => core.rest(then, cause, cx),
        _ => core.wind_down(then, cause, cx),
    })
}

/// Suspended: every state that is not ready.
#[inline]
pub(super) fn suspended(core: &mut Core, input: &Input) -> Outcome<State> {
    match input {
        Input::Reset => core.level = core.level.min(1),
        Input::Trip | Input::Frozen | Input::Report { .. } if !input.is_fatal() => {
            core.blame_if_dependency(input);
            core.level_at_least_one();
        }
        _ => return Outcome::Super,
    }
    Outcome::Handled
}

impl Input {
    /// Whether this input reports a failure that a restart cannot fix.
    pub(super) fn is_fatal(&self) -> bool {
        use super::FailureClass::Fatal;
        match *self {
            Self::Report { class, .. } => class == Fatal,
            Self::Failing { fatal, .. } => fatal,
            Self::Exited { how, .. } | Self::Gone { how, .. } => how.class() == Fatal,
            _ => false,
        }
    }

    /// Whether this input puts the dependency at fault, so that it must prove itself for the whole window.
    ///
    /// This is so for failing observations and silence, for a lease that is running out, for an operator's trip, and
    /// for failures of components whose class blames the dependency.
    pub(super) fn blames_dependency(&self) -> bool {
        match *self {
            Self::Failing { fatal: false, .. }
            | Self::Trip
            | Self::Fired(Timer::Silence | Timer::Fence)
            | Self::LeaseRenewed { .. } => true,
            Self::Report { class, .. } => class.blames_dependency(),
            Self::Exited { how, .. } | Self::Gone { how, .. } => how.class().blames_dependency(),
            _ => false,
        }
    }
}
