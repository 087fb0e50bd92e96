//! What the monitor learns from the passing of time and from inputs, and what must follow from them.

use core::time::Duration;

use super::Law::*;
use super::monitor::{CleanRun, Judged, Leave, Mode, Monitor, Part};
use super::{Violation, demand};
use crate::machine::{AfterStop, Command, Exit, FailureClass, HaltReason, Input, Timer};
use crate::policy::Blame;

impl Monitor {
    /// Lets time pass in which nothing happens.
    ///
    /// # Errors
    ///
    /// The law that time breaks: something should have happened by then.
    pub fn wait(&mut self, elapsed: Duration) -> Result<(), Violation> {
        let known = &mut self.known;
        for timer in &mut known.timers {
            *timer = timer.map(|left| left.saturating_sub(elapsed));
        }
        let Some(late) = self.timed else {
            return Ok(());
        };
        if let Some(hold_off) = known.clean.hold_off {
            // Longer than that is no different.
            known.clean.held = known.clean.held.saturating_add(elapsed).min(hold_off);
        }
        let tolerated = self.plan.policy().silence_limit().saturating_add(late);
        known.unseen = known
            .unseen
            .map(|unseen| unseen.saturating_add(elapsed))
            .filter(|unseen| *unseen <= tolerated);
        if let Some((by_clock, _)) = &mut known.shutdown {
            let left = by_clock.checked_sub(elapsed);
            demand(ShutdownIsInevitable, left.is_some(), || {
                "the summed deadlines of the shutdown have passed".into()
            })?;
            *by_clock = left.unwrap_or_default();
        }
        if let Some(lease) = &mut known.lease {
            let in_time = *lease > elapsed;
            demand(FencedInTime, in_time, || {
                "the lease ran out and something may still be at work".into()
            })?;
            *lease -= elapsed;
        }
        Ok(())
    }

    /// Learns what an input that is not stale says.
    pub(super) fn take_in(&mut self, input: &Input) {
        let running = self.known.mode == Mode::Ready;
        let up = matches!(self.known.mode, Mode::Ready | Mode::Starting);
        let cap = self.plan.policy().tuning().max_level();
        let asked = self.was_asked_to_stop(input);
        // A renewal that comes too late is a lease that runs out, which is the dependency's trouble.
        let too_late = up
            && matches!(*input, Input::LeaseRenewed { remaining, .. } if self.plan.fence_after(remaining).is_none());
        let known = &mut self.known;
        let demanded = (known.level, known.blame);
        if too_late || blames_dependency(input) && !asked {
            known.blame = Blame::Dependency;
        }
        match *input {
            Input::Report { count, .. } => {
                self.record.reports += u64::from(count.max(1));
                if running {
                    known.suspicion = known.suspicion.saturating_add(count.max(1));
                }
            }
            Input::Failing { .. } if running => known.suspicion = known.suspicion.saturating_add(1),
            Input::Alive { .. } => {
                // A silence that no timer told of ends a clean run too.
                if known.unseen.is_none() {
                    known.clean = CleanRun::default();
                }
                known.unseen = Some(Duration::ZERO);
                // What was seen while anything was up is no evidence for a start.
                if known.mode == Mode::Idle {
                    let most = self.plan.policy().most_evidence();
                    known.clean.alive = known.clean.alive.saturating_add(1).min(most);
                }
            }
            Input::Up { component, .. } => known.parts[component.index()] = Part::Up,
            Input::Gone { component, .. } => known.parts[component.index()] = Part::Down,
            Input::Fired(timer) => {
                known.timers[timer.index()] = None;
                match timer {
                    Timer::HoldOff => known.clean.passed = known.clean.hold_off.is_some(),
                    Timer::Decay => {
                        known.suspicion = known.suspicion.saturating_sub(1);
                        if known.suspicion == 0 {
                            known.blame = Blame::Component;
                        }
                    }
                    Timer::Stable => known.level = known.level.saturating_sub(1),
                    // What an abort did not end within its deadline is wedged.
                    Timer::Stage => {
                        for part in &mut known.parts {
                            if *part == Part::Aborting {
                                *part = Part::Wedged;
                            }
                        }
                    }
                    Timer::Silence | Timer::Fence => {}
                }
            }
            Input::LeaseRenewed { remaining, .. } => {
                // A renewal that comes too late to stop in time is answered by stopping at once;
                // nobody can promise more.
                known.lease = self.plan.fence_after(remaining).map(|_| remaining);
            }
            Input::Shutdown => {
                known.wish = known.wish.max(AfterStop::Stop);
                let total = self.plan.stop_budget() + self.plan.policy().tuning().unready_delay();
                // Each deadline on the way may be noticed late: the delay's, and two of each stage.
                let deadlines = 2 * self.plan.layout().stages() as u32 + 1;
                let late = self.timed.unwrap_or_default().saturating_mul(deadlines);
                let by_clock = total.saturating_add(late);
                known.shutdown.get_or_insert((by_clock, total));
            }
            _ if drains(input) => known.wish = known.wish.max(AfterStop::Drain),
            Input::Resume if known.wish == AfterStop::Drain => known.wish = AfterStop::Monitor,
            Input::Reset if running => {
                known.level = 0;
                known.suspicion = 0;
                known.blame = Blame::Component;
            }
            Input::Reset => known.level = known.level.min(1),
            _ => {}
        }
        if is_fatal(input) {
            known.wish = known.wish.max(AfterStop::Halt(HaltReason::Fatal));
        }
        let ended = matches!(input, Input::Exited { .. } | Input::Gone { .. });
        let troubled = matches!(input, Input::Report { .. } | Input::Trip | Input::Frozen);
        if !up && (troubled || ended && !asked) {
            known.level = known.level.max(1).min(cap);
        }
        let longer = (known.level, known.blame) != demanded;
        let voids = match input {
            Input::Failing { .. } | Input::Fired(Timer::Silence) => true,
            Input::Trip | Input::Frozen => !up,
            Input::Report { .. } => !up && longer,
            _ => false,
        };
        if voids {
            known.clean = CleanRun::default();
        }
    }

    /// Whether this tells the end of a component that was asked to stop before.
    fn was_asked_to_stop(&self, input: &Input) -> bool {
        match *input {
            Input::Exited { component, .. } | Input::Gone { component, .. } => {
                let part = self.part(component);
                matches!(part, Part::Stopping | Part::Aborting | Part::Wedged)
            }
            _ => false,
        }
    }

    /// Why readiness must go off, or a start be unwound, or a delay be cut short, in this very step.
    pub(super) fn must_leave(&self, input: &Input) -> Option<Leave> {
        let known = &self.known;
        let broken = is_fatal(input)
            || matches!(
                input,
                Input::Exited { .. } | Input::Gone { .. } | Input::Trip | Input::Frozen
            )
            || matches!(
                input,
                Input::Report {
                    class: FailureClass::Critical,
                    ..
                }
            );
        let gone_bad = broken
            || matches!(input, Input::Fired(Timer::Silence | Timer::Fence))
            || matches!(*input, Input::LeaseRenewed { remaining, .. } if self.plan.fence_after(remaining).is_none());
        let wanted = *input == Input::Shutdown || drains(input);
        let fails = match known.mode {
            Mode::Ready => gone_bad || known.suspicion >= self.plan.policy().trip_threshold(),
            Mode::Starting => {
                gone_bad
                    || matches!(
                        input,
                        Input::Report { .. } | Input::Failing { .. } | Input::Fired(Timer::Stage)
                    )
            }
            Mode::Delaying => {
                broken || matches!(input, Input::Report { .. } | Input::Fired(Timer::Stage))
            }
            Mode::Idle | Mode::Stopping | Mode::Ended => false,
        };
        let was_up = matches!(known.mode, Mode::Ready | Mode::Starting);
        if fails {
            Some(Leave::Failed)
        } else if wanted && was_up {
            Some(Leave::Wanted)
        } else {
            None
        }
    }

    /// Books what a stop that must begin now means for the level and for giving up.
    pub(super) fn book_leave(&mut self, step: &Judged) {
        let was = self.known.mode;
        if step.leave.is_some() && matches!(was, Mode::Starting | Mode::Delaying) {
            self.known.mode = Mode::Stopping;
        }
        if step.leave != Some(Leave::Failed) || was == Mode::Delaying {
            return;
        }
        if was == Mode::Starting {
            self.record.failed_starts += 1;
        }
        if step.input.as_ref().is_some_and(is_fatal) {
            return;
        }
        let policy = self.plan.policy();
        self.known.level = (self.known.level + 1).min(policy.tuning().max_level());
        self.known.tripped = true;
        if was == Mode::Starting {
            // A dependency that flaps, or an operator, is no reason to give up.
            let own = step.input.as_ref().is_some_and(|input| {
                !blames_dependency(input) && !matches!(input, Input::LeaseRenewed { .. })
            });
            if let (Some(limit), true) = (policy.give_up_after(), own) {
                self.known.failed_starts += 1;
                if self.known.failed_starts >= limit {
                    self.known.wish = self.known.wish.max(AfterStop::Halt(HaltReason::GaveUp));
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

/// Whether an operator asks for a stop that waits for a resume. Written apart from the machine's table.
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
