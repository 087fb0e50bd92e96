//! Monitoring: everything is stopped, and the dependency must prove itself.
//!
//! The hold-off runs only on positive evidence. When it has passed, nothing is started yet: the machine requests one
//! more observation, and the first alive one that began after the request allows the start. So neither silence nor an
//! earlier observation can cause a start.

use statig::Outcome;

use super::core::{Core, Cx};
use super::{Cause, Input, Phase, State, Timer};

pub(super) fn enter(core: &mut Core, cx: &mut Cx<'_>) {
    core.disarm_all_but(&[Timer::Silence], cx);
    core.open_session(cx);
    core.arm_silence(cx);
}

#[inline]
pub(super) fn handle(
    evidence: &mut u32,
    done: &mut bool,
    core: &mut Core,
    input: &Input,
    cx: &mut Cx<'_>,
) -> Outcome<State> {
    match *input {
        _ if input.is_fatal() => return Outcome::Super,
        Input::Alive { round, .. } => {
            core.arm_silence(cx);
            if !*done && !core.is_armed(Timer::HoldOff) {
                begin_clean_run(done, core, cx);
            }
            let needed = core.policy().needed_evidence(core.level, core.blame);
            *evidence = (*evidence + 1).min(needed);
            if *done && *evidence >= needed && round == core.round {
                return Outcome::Transition(restart(core, cx));
            }
        }
        Input::Failing { .. } => {
            core.blame_if_dependency(input);
            void(evidence, done, core, cx);
            core.arm_silence(cx);
        }
        Input::Fired(Timer::Silence) => {
            // The call of the probe may hang forever. A new session makes a new call.
            core.blame_if_dependency(input);
            void(evidence, done, core, cx);
            core.close_session(cx);
            core.open_session(cx);
            core.arm_silence(cx);
        }
        Input::Fired(Timer::HoldOff) => {
            *done = true;
            core.ask(cx);
        }
        Input::Trip => {
            core.blame_if_dependency(input);
            core.level_at_least_one();
            void(evidence, done, core, cx);
            core.arm_silence(cx);
        }
        Input::Frozen => {
            // Nothing must be started on a frozen runtime. A freeze is no sign of life, so the silence timer keeps
            // running.
            core.level_at_least_one();
            void(evidence, done, core, cx);
        }
        Input::Report { .. } => {
            let before = (core.level, core.blame);
            core.blame_if_dependency(input);
            core.level_at_least_one();
            // A report is no observation: it voids the clean run only if it lengthens the hold-off. Otherwise a
            // program that keeps reporting would keep its service down.
            if (core.level, core.blame) != before {
                void(evidence, done, core, cx);
            }
        }
        _ => return Outcome::Super,
    }
    Outcome::Handled
}

fn begin_clean_run(done: &mut bool, core: &mut Core, cx: &mut Cx<'_>) {
    if core.level == 0 {
        *done = true;
        return;
    }
    let policy = core.policy();
    let jitter = policy.tuning().jitter_of(core.ledger.hold_offs);
    let hold_off = policy.hold_off(core.level, core.blame) + jitter;
    core.ledger.hold_offs += 1;
    core.arm(Timer::HoldOff, hold_off, cx);
}

/// Voids the clean run: earlier observations no longer count.
fn void(evidence: &mut u32, done: &mut bool, core: &mut Core, cx: &mut Cx<'_>) {
    *evidence = 0;
    *done = false;
    core.disarm(Timer::HoldOff, cx);
}

/// Begins a new epoch. Goes on to Running at once if there is nothing to start.
fn restart(core: &mut Core, cx: &mut Cx<'_>) -> State {
    core.epoch += 1;
    cx.hop(Phase::Restarting, Cause::Recovered, core.epoch);
    if core.plan.layout().components() == 0 {
        cx.hop(Phase::Running, Cause::AllUp, core.epoch);
        return State::Running { suspicion: 0 };
    }
    State::Restarting {
        stage: 0,
        waiting: core.plan.layout().stage(0).len() as u32,
    }
}
