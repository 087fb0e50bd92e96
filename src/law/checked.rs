//! A machine that is judged at every step.

use core::time::Duration;
use std::sync::Arc;

use super::{Law, Monitor, Violation, demand};
use crate::machine::{Effect, Input, Machine, Step};
use crate::policy::Plan;

/// A machine and the monitor that judges it, in one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checked {
    machine: Machine,
    monitor: Monitor,
}

impl Checked {
    /// A machine at boot; appends its first effects. `timed` is passed to [`Monitor::new`].
    ///
    /// # Errors
    ///
    /// The law that its first effects break.
    pub fn new(
        plan: impl Into<Arc<Plan>>,
        timed: Option<Duration>,
        effects: &mut Vec<Effect>,
    ) -> Result<Self, Violation> {
        let plan = plan.into();
        effects.clear();
        let machine = Machine::new(Arc::clone(&plan), effects);
        let mut monitor = Monitor::new(plan, timed);
        monitor.boot(effects)?;
        Ok(Self { machine, monitor })
    }

    /// Hands the machine one input, `elapsed` after the one before. `effects` holds just the effects
    /// of this step afterwards.
    ///
    /// # Errors
    ///
    /// The first law that the step breaks.
    pub fn handle(
        &mut self,
        elapsed: Duration,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<Step, Violation> {
        let mut before = self.machine.clone();
        let stale = self.monitor.is_stale(&input);
        effects.clear();
        let step = self.machine.handle(input, effects);
        if stale {
            demand(Law::L5, self.machine == before, || {
                format!("stale {input:?} changed the machine")
            })?;
            demand(Law::L5, matches!(step, Step::Ignored(_)), || {
                format!("stale {input:?} counted as {step:?}")
            })?;
        }
        if let Step::Ignored(why) = step {
            let inert = self.machine == before && effects.is_empty();
            demand(Law::L5, inert, || {
                format!("{input:?} was ignored ({why}), and yet it changed something")
            })?;
        }
        self.monitor.step(elapsed, &input, effects)?;
        let mut again = Vec::with_capacity(effects.len());
        let same =
            before.handle(input, &mut again) == step && again == *effects && before == self.machine;
        demand(Law::L10, same, || {
            format!("{input:?} gave {effects:?} and then {again:?}")
        })?;
        Ok(step)
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The monitor.
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }
}
