//! The moves that several handlers share: trip, wind down, rest; and start, stop, abort and give up a stage.

use std::sync::Arc;

use super::core::{Core, Cx};
use super::{
    AfterStop, Cause, Command, ComponentId, ComponentState, Effect, Exit, HaltReason, Input, Phase,
    State, StopStep, Timer, any_command,
};
use crate::policy::Blame;

impl Core {
    /// Stops everything because something failed: a trip in Running, an unwinding in Restarting.
    pub(super) fn trip(&mut self, input: &Input, cx: &mut Cx<'_>) -> State {
        self.blame_if_dependency(input);
        self.raise_level();
        let mut then = AfterStop::Monitor;
        if cx.phase() == Phase::Restarting {
            self.ledger.record.failed_starts += 1;
            // A start that the dependency or an operator undid is no reason to give up.
            if let Some(limit) = self.policy().give_up_after()
                && !input.blames_dependency()
            {
                self.failed_starts += 1;
                if self.failed_starts >= limit {
                    then = AfterStop::Halt(HaltReason::GaveUp);
                }
            }
        }
        self.wind_down(then, cause_of(input, cx), cx)
    }

    /// Goes to ShuttingDown, or through it at once if nothing is alive. Readiness goes off first.
    pub(super) fn wind_down(&mut self, then: AfterStop, cause: Cause, cx: &mut Cx<'_>) -> State {
        let was_running = cx.phase() == Phase::Running;
        if was_running {
            cx.emit(Effect::Ready(false));
        }
        if then == AfterStop::Monitor && !self.outage_open {
            self.outage_open = true;
            self.outage += 1;
            cx.emit(Effect::OutageOpened {
                outage: self.outage,
                cause,
            });
        }
        // If only a component failed, earlier evidence for the dependency stays valid, so the session is kept.
        if then != AfterStop::Monitor || self.blame == Blame::Dependency {
            self.close_session(cx);
        }
        cx.hop(Phase::ShuttingDown, cause, self.epoch);
        self.forget_finished();
        let Some(stage) = self.highest_live_stage() else {
            return self.rest(then, Cause::AllGone, cx);
        };
        let wanted = matches!(then, AfterStop::Drain | AfterStop::Stop);
        let delay = self.policy().tuning().unready_delay();
        let step = if was_running && wanted && !delay.is_zero() {
            StopStep::Delaying
        } else {
            StopStep::Stopping
        };
        State::ShuttingDown { stage, step, then }
    }

    /// The state to go to when nothing is left to stop.
    pub(super) fn rest(&mut self, then: AfterStop, cause: Cause, cx: &mut Cx<'_>) -> State {
        use super::RunOutcome::{Halted, Stopped};
        let (state, cause) = match then {
            _ if self.wedged > 0 => (State::Ended(Halted(HaltReason::Wedged)), Cause::Wedged),
            AfterStop::Monitor => (
                State::Monitoring {
                    evidence: 0,
                    done: false,
                },
                cause,
            ),
            AfterStop::Drain => (State::Drained, cause),
            AfterStop::Stop => (State::Ended(Stopped), cause),
            AfterStop::Halt(why @ HaltReason::GaveUp) => {
                let cause = match cause {
                    Cause::FailedTooOften { .. } => cause,
                    _ => Cause::GaveUp,
                };
                (State::Ended(Halted(why)), cause)
            }
            // `AllGone` does not explain why the run ends, so the cause is `Fatal`. A report while nothing was alive
            // does explain it.
            AfterStop::Halt(why) if cause == Cause::AllGone => {
                (State::Ended(Halted(why)), Cause::Fatal)
            }
            AfterStop::Halt(why) => (State::Ended(Halted(why)), cause),
        };
        cx.hop(state.phase(), cause, self.epoch);
        state
    }

    /// Whether this input is the regular end of a component that may finish.
    ///
    /// If something still holds the component, it is not gone yet, and has not finished.
    pub(super) fn finishes(&self, input: &Input, cx: &Cx<'_>) -> bool {
        let (Input::Gone { component, how, .. } | Input::Exited { component, how, .. }) = *input
        else {
            return false;
        };
        how == Exit::Returned
            && matches!(cx.was, ComponentState::Starting | ComponentState::Up)
            && self.plan.layout().is_one_shot(component)
    }

    /// Notes that the component of this input is gone and has finished.
    ///
    /// Returns what follows if it was the last one, and the run is to end then.
    pub(super) fn finish(&mut self, component: ComponentId, cx: &mut Cx<'_>) -> Option<State> {
        self.slots[component.index()] = ComponentState::Finished;
        // Nearly always something is alive, and not all components are looked at.
        let all = self.policy().end_when_finished()
            && self.highest_live_stage().is_none()
            && self
                .slots
                .iter()
                .all(|slot| *slot == ComponentState::Finished);
        all.then(|| self.wind_down(AfterStop::Stop, Cause::Finished, cx))
    }

    /// A component that has finished is as good as one that was stopped.
    fn forget_finished(&mut self) {
        for id in self.plan.layout().one_shots() {
            let slot = &mut self.slots[id.index()];
            if *slot == ComponentState::Finished {
                *slot = ComponentState::Down;
            }
        }
    }

    pub(super) fn highest_live_stage(&self) -> Option<u16> {
        self.live
            .iter()
            .rposition(|&live| live > 0)
            .map(|stage| stage as u16)
    }

    /// Starts every component of a stage and returns how many there are.
    pub(super) fn start_stage(&mut self, stage: u16, cx: &mut Cx<'_>) -> u32 {
        let plan = Arc::clone(&self.plan);
        let ids = plan.layout().stage(usize::from(stage));
        let count = ids.len() as u32;
        self.slots[ids.start as usize..ids.end as usize].fill(ComponentState::Starting);
        cx.emit(Effect::StartStage {
            stage,
            epoch: self.epoch,
        });
        self.live[usize::from(stage)] = count;
        self.arm(Timer::Stage, plan.start_deadline(stage.into()), cx);
        let owner = plan.layout().lease_owner();
        if let (Some(fence), Some(owner)) = (plan.policy().fence(), owner)
            && ids.contains(&owner.0)
        {
            // The lease cannot have been granted before now, so it is valid in full. `Plan::new` refuses a
            // plan in which that leaves no time.
            self.arm_fence(fence.lease(), cx);
        }
        count
    }

    /// Asks every live component of a stage to stop.
    pub(super) fn stop_stage(&mut self, stage: u16, cx: &mut Cx<'_>) {
        for id in self.plan.layout().stage(usize::from(stage)) {
            let slot = &mut self.slots[id as usize];
            if matches!(slot, ComponentState::Starting | ComponentState::Up) {
                *slot = ComponentState::Stopping;
            }
        }
        cx.emit(Effect::StopStage {
            stage,
            epoch: self.epoch,
        });
        self.arm(Timer::Stage, self.plan.stop_deadline(stage.into()), cx);
    }

    /// Aborts the components of a stage that did not stop.
    pub(super) fn abort_stage(&mut self, stage: u16, cx: &mut Cx<'_>) {
        for id in self.plan.layout().stage(usize::from(stage)) {
            let slot = &mut self.slots[id as usize];
            if *slot == ComponentState::Stopping {
                *slot = ComponentState::Aborting;
                cx.emit(Effect::Abort {
                    component: ComponentId(id),
                    epoch: self.epoch,
                });
            }
        }
        self.arm(Timer::Stage, self.policy().abort_deadline(), cx);
    }

    /// Gives up the components that survived their abort, so that the stages below can be stopped.
    pub(super) fn wedge_stage(&mut self, stage: u16) {
        for id in self.plan.layout().stage(usize::from(stage)) {
            let slot = &mut self.slots[id as usize];
            if *slot == ComponentState::Aborting {
                *slot = ComponentState::Wedged;
                self.live[usize::from(stage)] -= 1;
                self.wedged += 1;
            }
        }
    }
}

/// The cause of a transition by this input.
pub(super) fn cause_of(input: &Input, cx: &Cx<'_>) -> Cause {
    match *input {
        Input::Report {
            component, class, ..
        } => Cause::Report { component, class },
        Input::Exited { component, how, .. } | Input::Gone { component, how, .. } => {
            let class = how.class();
            if cx.was == ComponentState::Starting {
                Cause::StartFailed { component, class }
            } else {
                Cause::Exited { component, class }
            }
        }
        Input::Failing { .. } => Cause::Failing,
        Input::Fired(Timer::Silence) => Cause::Silence,
        Input::Fired(Timer::Fence) | Input::LeaseRenewed { .. } => Cause::Fence,
        Input::Fired(Timer::Stage) => Cause::StartOverdue,
        Input::Fired(Timer::HoldOff | Timer::Decay | Timer::Stable) | Input::Alive { .. } => {
            Cause::Recovered
        }
        Input::Up { .. } => Cause::AllUp,
        Input::Shutdown => Cause::Shutdown,
        any_command!() => {
            let command = input.command();
            Cause::Command(command.unwrap_or(Command::Trip))
        }
        Input::FailedTooOften { component } => Cause::FailedTooOften { component },
        Input::Frozen => Cause::Frozen,
    }
}
