//! What the monitor learns from inputs, and what must follow from them.

use core::time::Duration;

use super::monitor::{Activity, CleanRun, ComponentActivity, Judged, Leave, Monitor};
use crate::machine::{AfterStop, Command, Exit, FailureClass, HaltReason, Input, Timer};
use crate::policy::Blame;

impl Monitor {
    /// Whether this is a renewal that leaves no time for work.
    fn is_renewed_too_late(&self, input: &Input) -> bool {
        matches!(*input, Input::LeaseRenewed { remaining, .. } if self.plan.fence_after(remaining).is_none())
    }

    /// Updates the model with an input that is not stale. `finishes` is whether a component finishes with it.
    pub(super) fn take_in(&mut self, input: &Input, finishes: bool) {
        let running = self.model.mode == Activity::Ready;
        let up = matches!(self.model.mode, Activity::Ready | Activity::Starting);
        let works = up || self.model.mode == Activity::Delaying;
        let cap = self.plan.policy().tuning().max_level();
        let asked = self.was_asked_to_stop(input);
        // If a renewal comes too late, the lease runs out: the dependency is at fault.
        let too_late = works && self.is_renewed_too_late(input);
        let model = &mut self.model;
        let demanded = (model.level, model.blame);
        if too_late || blames_dependency(input) && !asked {
            model.blame = Blame::Dependency;
        }
        match *input {
            Input::Report { count, .. } => {
                self.record.reports += u64::from(count.max(1));
                if running {
                    model.suspicion = model.suspicion.saturating_add(count.max(1));
                }
            }
            Input::Failing { .. } if running => model.suspicion = model.suspicion.saturating_add(1),
            Input::Alive { .. } => {
                // A silence that no timer reported ends a clean run too.
                if model.unseen.is_none() {
                    model.clean = CleanRun::default();
                }
                model.unseen = Some(Duration::ZERO);
                // An observation made while anything is alive is no evidence for a start.
                if model.mode == Activity::Idle {
                    let most = self.plan.policy().most_evidence();
                    model.clean.alive = model.clean.alive.saturating_add(1).min(most);
                }
            }
            Input::Up { component, .. } => model.parts[component.index()] = ComponentActivity::Up,
            Input::Gone { component, .. } => {
                model.parts[component.index()] = match finishes && up {
                    true => ComponentActivity::Finished,
                    false => ComponentActivity::Down,
                };
                let all = model
                    .parts
                    .iter()
                    .all(|part| *part == ComponentActivity::Finished);
                if all && self.plan.policy().end_when_finished() {
                    model.goal = model.goal.max(AfterStop::Stop);
                }
            }
            Input::Fired(timer) => {
                model.timers[timer.index()] = None;
                match timer {
                    Timer::HoldOff => model.clean.passed = model.clean.hold_off.is_some(),
                    Timer::Decay => {
                        model.suspicion = model.suspicion.saturating_sub(1);
                        if model.suspicion == 0 {
                            model.blame = Blame::Component;
                        }
                    }
                    Timer::Stable => model.level = model.level.saturating_sub(1),
                    // A component that is not gone within the abort deadline is wedged.
                    Timer::Stage => {
                        for part in &mut model.parts {
                            if *part == ComponentActivity::Aborting {
                                *part = ComponentActivity::Wedged;
                            }
                        }
                    }
                    Timer::Silence | Timer::Fence => {}
                }
            }
            Input::LeaseRenewed { remaining, .. } => {
                // If a renewal comes too late to stop in time, everything is stopped at once. Nothing better is
                // possible.
                model.lease = self.plan.fence_after(remaining).map(|_| remaining);
            }
            Input::Shutdown => {
                model.goal = model.goal.max(AfterStop::Stop);
                let total = self.plan.stop_budget() + self.plan.policy().tuning().unready_delay();
                // Each deadline may be noticed late: that of the delay, and two for each stage.
                let deadlines = 2 * self.plan.layout().stages() as u32 + 1;
                let late = self.timed.unwrap_or_default().saturating_mul(deadlines);
                let by_clock = total.saturating_add(late);
                model.shutdown.get_or_insert((by_clock, total));
            }
            Input::FailedTooOften { .. } => {
                model.goal = model.goal.max(match self.plan.policy().failure_limit() {
                    Some(limit) if !limit.drains() => AfterStop::Halt(HaltReason::GaveUp),
                    _ => AfterStop::Drain,
                });
            }
            _ if drains(input) => model.goal = model.goal.max(AfterStop::Drain),
            Input::Resume if model.goal == AfterStop::Drain => model.goal = AfterStop::Monitor,
            Input::Reset if running => {
                model.level = 0;
                model.suspicion = 0;
                model.blame = Blame::Component;
            }
            Input::Reset => model.level = model.level.min(1),
            _ => {}
        }
        if is_fatal(input) {
            model.goal = model.goal.max(AfterStop::Halt(HaltReason::Fatal));
        }
        let ended = matches!(input, Input::Exited { .. } | Input::Gone { .. });
        let troubled = too_late
            || matches!(
                input,
                Input::Report { .. } | Input::Trip | Input::Frozen | Input::Fired(Timer::Fence)
            );
        if !up && (troubled || ended && !asked && !finishes) {
            model.level = model.level.max(1).min(cap);
        }
        let longer = (model.level, model.blame) != demanded;
        let voids = match input {
            Input::Failing { .. } | Input::Fired(Timer::Silence) => true,
            Input::Trip | Input::Frozen => !up,
            Input::Report { .. } => !up && longer,
            _ => false,
        };
        if voids {
            model.clean = CleanRun::default();
        }
    }

    /// Whether this input is the end of a component that was asked to stop before.
    fn was_asked_to_stop(&self, input: &Input) -> bool {
        match *input {
            Input::Exited { component, .. } | Input::Gone { component, .. } => {
                let part = self.part(component);
                matches!(
                    part,
                    ComponentActivity::Stopping
                        | ComponentActivity::Aborting
                        | ComponentActivity::Wedged
                )
            }
            _ => false,
        }
    }

    /// Whether this input is the regular end of a component that may finish, and was not asked to stop.
    pub(super) fn finishes(&self, input: &Input) -> bool {
        match *input {
            Input::Exited { component, how, .. } | Input::Gone { component, how, .. } => {
                let works = matches!(
                    self.part(component),
                    ComponentActivity::Starting | ComponentActivity::Up
                );
                works && how == Exit::Returned && self.plan.layout().is_one_shot(component)
            }
            _ => false,
        }
    }

    /// Why, in this step, readiness must go off, a start must be unwound, or a delay must be cut short.
    ///
    /// `finishes` says whether the input was the [regular end](Self::finishes) of a component.
    pub(super) fn must_leave(&self, input: &Input, finishes: bool) -> Option<Leave> {
        let model = &self.model;
        let ended = matches!(input, Input::Exited { .. } | Input::Gone { .. });
        let broken = is_fatal(input)
            || ended && !finishes
            || matches!(input, Input::Trip | Input::Frozen)
            || matches!(
                input,
                Input::Report {
                    class: FailureClass::Critical,
                    ..
                }
            );
        let lease_ends = *input == Input::Fired(Timer::Fence) || self.is_renewed_too_late(input);
        let gone_bad = broken || lease_ends || *input == Input::Fired(Timer::Silence);
        let all_finished = finishes && model.goal == AfterStop::Stop;
        let wanted = *input == Input::Shutdown || drains(input) || all_finished;
        let fails = match model.mode {
            Activity::Ready => gone_bad || model.suspicion >= self.plan.policy().trip_threshold(),
            Activity::Starting => {
                gone_bad
                    || matches!(
                        input,
                        Input::Report { .. } | Input::Failing { .. } | Input::Fired(Timer::Stage)
                    )
            }
            Activity::Delaying => {
                broken
                    || lease_ends
                    || matches!(input, Input::Report { .. } | Input::Fired(Timer::Stage))
            }
            Activity::Idle | Activity::Stopping | Activity::Ended => false,
        };
        let was_up = matches!(model.mode, Activity::Ready | Activity::Starting);
        let limited = matches!(input, Input::FailedTooOften { .. });
        if fails {
            Some(Leave::Failed)
        } else if limited && was_up {
            let limit = self.plan.policy().failure_limit();
            let drains = limit.is_some_and(crate::policy::FailureLimit::drains);
            Some(if drains {
                Leave::Wanted
            } else {
                Leave::GivenUp
            })
        } else if wanted && was_up {
            Some(Leave::Wanted)
        } else {
            None
        }
    }

    /// Updates the level and the failed starts for a stop that must begin now.
    pub(super) fn book_leave(&mut self, step: &Judged) {
        let was = self.model.mode;
        if step.leave.is_some() {
            for part in &mut self.model.parts {
                if *part == ComponentActivity::Finished {
                    *part = ComponentActivity::Down;
                }
            }
        }
        if step.leave.is_some() && matches!(was, Activity::Starting | Activity::Delaying) {
            self.model.mode = Activity::Stopping;
        }
        if step.leave != Some(Leave::Failed) || was == Activity::Delaying {
            return;
        }
        if was == Activity::Starting {
            self.record.failed_starts += 1;
        }
        if step.input.as_ref().is_some_and(is_fatal) {
            return;
        }
        let policy = self.plan.policy();
        self.model.level = (self.model.level + 1).min(policy.tuning().max_level());
        self.model.tripped = true;
        if was == Activity::Starting {
            // A start that the dependency or an operator undid is no reason to give up.
            let own = step.input.as_ref().is_some_and(|input| {
                !blames_dependency(input) && !matches!(input, Input::LeaseRenewed { .. })
            });
            if let (Some(limit), true) = (policy.give_up_after(), own) {
                self.model.failed_starts += 1;
                if self.model.failed_starts >= limit {
                    self.model.goal = self.model.goal.max(AfterStop::Halt(HaltReason::GaveUp));
                }
            }
        }
    }
}

fn how_class(input: &Input) -> Option<FailureClass> {
    match *input {
        Input::Report { class, .. } => Some(class),
        Input::Exited {
            how: Exit::Failed(class),
            ..
        }
        | Input::Gone {
            how: Exit::Failed(class),
            ..
        } => Some(class),
        _ => None,
    }
}

/// Whether an operator asks for a stop that waits for a resume. Independent of the machine's table of commands.
fn drains(input: &Input) -> bool {
    input.command().is_some_and(|command| match command {
        Command::Drain => true,
        Command::Resume | Command::Trip | Command::Reset => false,
    })
}

fn is_fatal(input: &Input) -> bool {
    how_class(input) == Some(FailureClass::Fatal)
        || matches!(input, Input::Failing { fatal: true, .. })
}

fn blames_dependency(input: &Input) -> bool {
    matches!(
        how_class(input),
        Some(FailureClass::Dependency | FailureClass::Critical)
    ) || matches!(
        input,
        Input::Failing { fatal: false, .. }
            | Input::Trip
            | Input::Fired(Timer::Silence | Timer::Fence)
    )
}
