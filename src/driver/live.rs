//! A driver and the machine that it drives.

use core::time::Duration;
use std::sync::Arc;

use super::arrival::Source;
use super::decision::{Carried, Decided, Decision};
use super::failures::Failures;
use super::order::{Driver, Next, Tell, View};
use super::stops::Stops;
use crate::machine::{ComponentState, Effect, Input, Machine, State, Step};
use crate::policy::{Blame, ComponentId, Plan};

/// A driver and the machine that it drives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Live {
    pub(super) driver: Driver,
    pub(super) machine: Machine,
    /// The first effects, until `boots` returns them.
    pub(super) boot: Option<Vec<Effect>>,
    failures: Failures,
    /// The component that has failed too often, until the machine gets this.
    failed_too_often: Option<ComponentId>,
    pub(super) stops: Stops,
}

impl Live {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let mut boot = Vec::new();
        let driver = Driver::new(plan.policy().silence_limit());
        let machine = Machine::new(plan, &mut boot);
        Self {
            driver,
            machine,
            boot: Some(boot),
            failures: Failures::default(),
            failed_too_often: None,
            stops: Stops::default(),
        }
    }

    pub(super) fn next(&mut self, now: Duration, effects: &mut Vec<Effect>) -> Decided {
        let carried = Carried::All;
        if self.boots(now, effects) {
            return Decided::Step(Decision {
                told: None,
                carried,
                changed: true,
            });
        }
        let next = match self.tell_failures() {
            Some(tell) => Next::Tell(tell),
            None => self.driver.next(&self.view(), now),
        };
        match next {
            Next::Tell(tell) => {
                let (step, changed) = self.step(tell.input, now, effects);
                Decided::Step(Decision {
                    told: Some((tell, step)),
                    carried,
                    changed,
                })
            }
            Next::Drop(source) => Decided::Drop(source),
            Next::WhySilent { since } => Decided::WhySilent { since },
            Next::Wait(until) => Decided::Wait(until),
        }
    }

    /// Appends the first effects, once. Returns whether it did.
    pub(super) fn boots(&mut self, now: Duration, effects: &mut Vec<Effect>) -> bool {
        let Some(boot) = self.boot.take() else {
            return false;
        };
        effects.extend(boot);
        self.driver.carry_out(effects, now);
        true
    }

    /// Passes an input to the machine, and arms and disarms the timers that it requests.
    ///
    /// Also returns whether the input has changed anything: see [`Decision::changed`].
    pub(super) fn step(
        &mut self,
        input: Input,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) -> (Step, bool) {
        let (before, gist) = (effects.len(), self.gist());
        let was = match input {
            Input::Gone { component, .. } | Input::Exited { component, .. } => {
                self.machine.component_state(component)
            }
            _ => ComponentState::Down,
        };
        let step = self.machine.handle(input, effects);
        let effects = &effects[before..];
        self.driver.carry_out(effects, now);
        self.stops.note(&input, was, &step, effects);
        if let Some(limit) = self.machine.plan().policy().failure_limit() {
            let too_often = self.failures.note(limit, &step, now);
            self.failed_too_often = self.failed_too_often.or(too_often);
        }
        (step, gist != self.gist())
    }

    fn gist(&self) -> (State, u32, Blame) {
        let machine = &self.machine;
        (*machine.state(), machine.level(), machine.blame())
    }

    /// The input for a component that has failed too often, if there is one.
    pub(super) fn tell_failures(&mut self) -> Option<Tell> {
        let component = self.failed_too_often.take()?;
        Some(Tell {
            input: Input::FailedTooOften { component },
            source: Source::Failures,
            is_all: true,
        })
    }

    pub(super) fn view(&self) -> View {
        let asked = |(component, epoch)| {
            let slot = self.machine.component_state(component);
            epoch == self.machine.epoch()
                && matches!(
                    slot,
                    ComponentState::Stopping | ComponentState::Aborting | ComponentState::Wedged
                )
        };
        View {
            phase: self.machine.phase(),
            session: self.machine.session(),
            asked: self.driver.ending().is_some_and(asked),
        }
    }
}
