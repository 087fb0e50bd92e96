//! A driver and the machine that it drives.

use core::time::Duration;
use std::sync::Arc;

use super::decision::{Carried, Decided, Decision};
use super::order::{Driver, Next, View};
use crate::machine::{ComponentState, Effect, Input, Machine, Step};
use crate::policy::Plan;

/// A driver and the machine that it drives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Live {
    pub(super) driver: Driver,
    pub(super) machine: Machine,
    /// The first effects, until `boots` returns them.
    pub(super) boot: Option<Vec<Effect>>,
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
        }
    }

    pub(super) fn next(&mut self, now: Duration, effects: &mut Vec<Effect>) -> Decided {
        let carried = Carried::All;
        if self.boots(now, effects) {
            return Decided::Step(Decision {
                told: None,
                carried,
            });
        }
        match self.driver.next(&self.view(), now) {
            Next::Tell(tell) => {
                let step = self.step(tell.input, now, effects);
                Decided::Step(Decision {
                    told: Some((tell, step)),
                    carried,
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
    pub(super) fn step(&mut self, input: Input, now: Duration, effects: &mut Vec<Effect>) -> Step {
        let before = effects.len();
        let step = self.machine.handle(input, effects);
        self.driver.carry_out(&effects[before..], now);
        step
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
