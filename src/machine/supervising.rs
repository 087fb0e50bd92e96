//! The superstates' handlers: what is the same in many states.

use statig::Outcome;

use super::core::{Core, Cx};
use super::moves::cause_of;
use super::{AfterStop, HaltReason, Input, Phase, State, Timer};

/// Supervising: every state but Ended. A stop that is wanted, and a failure that no restart mends.
pub(super) fn supervising(core: &mut Core, input: &Input, cx: &mut Cx<'_>) -> Outcome<State> {
    let then = match input.wish() {
        Some(wish) => wish,
        None if input.is_fatal() => AfterStop::Halt(HaltReason::Fatal),
        None => return Outcome::Super,
    };
    if cx.phase() == Phase::Restarting && input.is_fatal() {
        // It is a failed start all the same, though no other will follow.
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
    /// Whether no restart could mend what this tells of.
    pub(super) fn is_fatal(&self) -> bool {
        use super::FailureClass::Fatal;
        match *self {
            Self::Report { class, .. } => class == Fatal,
            Self::Failing { fatal, .. } => fatal,
            Self::Exited { how, .. } | Self::Gone { how, .. } => how.class() == Fatal,
            _ => false,
        }
    }

    /// Whether what this tells of is the dependency's trouble, so that it must prove itself for the
    /// whole window: what was observed, what a component says, a lease that is running out, and an
    /// operator's trip.
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
