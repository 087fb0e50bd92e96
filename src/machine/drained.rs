//! Drained: everything is stopped because an operator asked for it, or because a component failed too often.

use statig::Outcome;

use super::core::{Core, Cx};
use super::{AfterStop, Cause, Command, Input, State};

pub(super) fn enter(core: &mut Core, cx: &mut Cx<'_>) {
    core.close_session(cx);
    core.disarm_all_but(&[], cx);
}

#[inline]
pub(super) fn handle(core: &mut Core, input: &Input, cx: &mut Cx<'_>) -> Outcome<State> {
    match input {
        Input::Resume => {
            Outcome::Transition(core.rest(AfterStop::Monitor, Cause::Command(Command::Resume), cx))
        }
        // Drained already.
        _ if input.goal(core.policy()) == Some(AfterStop::Drain) => Outcome::Handled,
        _ => Outcome::Super,
    }
}
