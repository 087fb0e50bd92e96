//! What follows from a step: its effects, and what there is to say of it.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::Supervisor;
use super::event::{Detail, Event};
use crate::driver::{Decision, Tell};
use crate::machine::{Cause, ComponentState, Effect, Exit, Input, Phase, Step, Timer};
use crate::policy::ComponentId;
use crate::shell::describe::overdue;
use crate::shell::log::Recorded;
use crate::shell::status::Few;
use crate::shell::trace;

impl Supervisor {
    /// What follows from a step: first what it asks for, then what there is to say of it. Before all is
    /// carried out no user code runs but the wakers of those who are told, no text is made, and nothing waits
    /// for anybody.
    pub(super) fn follow(&mut self, at: Duration, decision: Decision) {
        let carried = decision.carried;
        if carried.is_dry() {
            return self.show(at, decision);
        }
        let effects = mem::take(&mut self.effects);
        // Before anything else, so that nobody is sent here any more.
        if let Some(Effect::Ready(false)) = effects.first() {
            self.shared.set_ready(false);
        }
        let Some((tell, step)) = decision.told else {
            self.carry_out(&effects, carried);
            self.record(at, Some(decision), &effects);
            let outage = self.outage_of(&effects);
            self.announce(decision, [None; 2], outage, None, Detail::Nothing);
            trace::effects(&self.log, &effects, false);
            self.effects = effects;
            self.is_published = false;
            self.settle();
            return;
        };
        let input = tell.input;
        let level_changed = self.level != self.decider.machine().level();
        if step == Step::Absorbed && effects.is_empty() && !level_changed && is_plain(&tell) {
            // Of a large stage nearly all are: others are still awaited, so there is nothing to carry out and
            // nothing to tell.
            self.record(at, Some(decision), &[]);
            self.effects = effects;
            self.inbox.held.forget(tell.source);
            return self.note_slots(&input);
        }
        let mut late = None;
        for hop in step.transitions() {
            match hop.to {
                Phase::ShuttingDown => self.cause = hop.cause,
                // Everything is gone, so no lease allows anything any more.
                Phase::Monitoring | Phase::Drained => self.watch_fence(None),
                _ => {}
            }
            if hop.cause == Cause::StartOverdue {
                // Who is not up is known only until it is told to stop.
                late = Some(Few::doing(&self.shared, &[ComponentState::Starting]));
            }
        }
        let Event {
            detail,
            fatal,
            news,
        } = self.inbox.held.event(&tell);
        let is_ignored = matches!(step, Step::Ignored(_));
        if matches!(input, Input::LeaseRenewed { .. }) && !is_ignored {
            self.watch_fence(self.inbox.held.lease);
        }
        self.carry_out(&effects, carried);
        self.note_slots(&input);

        // All is done. From here on it is told.
        self.record(at, Some(decision), &effects);
        if self.fatal.is_none() && !is_ignored {
            self.fatal = fatal;
            if matches!(input, Input::Failing { fatal: true, .. }) {
                self.fatal = detail.fatal_observation();
            }
        }
        if let Step::Ignored(why) = step {
            trace::ignored(&self.log, input, why);
        }
        self.tell(news);
        let is_observation = matches!(input, Input::Alive { .. } | Input::Failing { .. });
        self.level = self.decider.machine().level();
        if is_observation || !effects.is_empty() || level_changed {
            self.is_published = false;
        }
        let outage = self.outage_of(&effects);
        let hops = [step.transitions().next(), step.transitions().nth(1)];
        if hops[0].is_some() || outage.is_some() {
            let early = late.map(|late| overdue(late, &self.shared));
            self.announce(decision, hops, outage, early, detail);
        } else if !is_ignored {
            self.note_observation(detail);
        }
        trace::effects(&self.log, &effects, false);
        self.settle();
        self.effects = effects;
    }

    /// The same for a step that only shows what would be done.
    fn show(&mut self, at: Duration, decision: Decision) {
        let effects = mem::take(&mut self.effects);
        self.carry_out(&effects, decision.carried);
        self.record(at, Some(decision), &effects);
        if let Some((tell, step)) = decision.told {
            let Event { detail, news, .. } = self.inbox.held.event(&tell);
            self.tell(news);
            let hops = [step.transitions().next(), step.transitions().nth(1)];
            if hops[0].is_some() {
                self.announce(decision, hops, None, None, detail);
            } else if !matches!(step, Step::Ignored(_)) {
                self.note_observation(detail);
            }
        }
        trace::effects(&self.log, &effects, true);
        self.settle();
        self.effects = effects;
    }

    pub(super) fn record(&mut self, at: Duration, decision: Option<Decision>, effects: &[Effect]) {
        if self.has_hook {
            self.log.step(Recorded {
                plan: Arc::clone(&self.shared.plan),
                at,
                came: self.inbox.take_came(),
                decision,
                effects: effects.to_vec(),
                missed: 0,
            });
        }
    }

    /// Keeps what status pages tell of components.
    fn note_slots(&mut self, input: &Input) {
        let machine = self.decider.machine();
        match *input {
            Input::Up { component, .. } => {
                self.shared.set_slot(component, machine.slot(component));
            }
            Input::Gone {
                component, epoch, ..
            } => {
                let stage = self.shared.plan.layout().stage_of(component);
                let stage = stage.and_then(|stage| self.stages[stage].as_ref());
                if let Some(stage) = stage.filter(|stage| stage.epoch == epoch) {
                    stage.gone(component);
                }
                self.shared.set_slot(component, machine.slot(component));
            }
            Input::Fired(Timer::Stage) => {
                for id in (0..self.components.len() as u32).map(ComponentId) {
                    if machine.slot(id) == ComponentState::Wedged {
                        self.shared.set_slot(id, ComponentState::Wedged);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether there is nothing to say of it: a component is up, or has ended without an error.
fn is_plain(tell: &Tell) -> bool {
    matches!(
        tell.input,
        Input::Up { .. }
            | Input::Gone {
                how: Exit::Returned,
                ..
            }
    )
}
