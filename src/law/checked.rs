//! A machine that is judged at every step.

use core::time::Duration;
use std::sync::Arc;

use super::{Law, Monitor, Violation, ensure, trace};
use crate::machine::{Effect, Input, Machine, Step};
use crate::policy::Plan;

/// A machine and the monitor that judges it, in one.
///
/// Besides what the effects show, it checks what the machine says of itself: that stale input leaves
/// it equal, that the same input has the same effects again, that it tells of its transitions what
/// happened, and that its accessors tell what its effects told.
#[derive(Debug)]
pub struct Checked {
    pub(super) machine: Machine,
    /// A second machine that is told the same: during a step it still is what the first one was
    /// before, and after it the two must be equal.
    pub(super) twin: Machine,
    pub(super) monitor: Monitor,
    again: Vec<Effect>,
}

impl Clone for Checked {
    fn clone(&self) -> Self {
        Self {
            machine: self.machine.clone(),
            twin: self.twin.clone(),
            monitor: self.monitor.clone(),
            again: Vec::new(),
        }
    }

    fn clone_from(&mut self, source: &Self) {
        self.machine.clone_from(&source.machine);
        self.twin.clone_from(&source.twin);
        self.monitor.clone_from(&source.monitor);
    }
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.machine == other.machine && self.monitor == other.monitor
    }
}

impl Eq for Checked {}

impl core::hash::Hash for Checked {
    fn hash<H: core::hash::Hasher>(&self, hasher: &mut H) {
        self.machine.hash(hasher);
        self.monitor.hash(hasher);
    }
}

impl Checked {
    /// A machine at boot; `effects` holds just its first effects afterwards. `timed` is passed to
    /// [`Monitor::new`].
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
        monitor.agree(&machine)?;
        Ok(Self {
            twin: machine.clone(),
            machine,
            monitor,
            again: Vec::new(),
        })
    }

    /// Hands the machine one input, `elapsed` after the one before. `effects` holds just the effects
    /// of this step afterwards.
    ///
    /// # Errors
    ///
    /// The first law that the step breaks. After that neither machine nor monitor is of any use.
    pub fn handle(
        &mut self,
        elapsed: Duration,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<Step, Violation> {
        self.handle_by(Machine::handle, elapsed, input, effects)
    }

    /// Like [`handle`](Checked::handle), but `handle` decides in the place of [`Machine::handle`]:
    /// to see which law catches a machine with a certain defect.
    ///
    /// # Errors
    ///
    /// The first law that the step breaks.
    pub fn handle_by(
        &mut self,
        handle: impl Fn(&mut Machine, Input, &mut Vec<Effect>) -> Step,
        elapsed: Duration,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<Step, Violation> {
        self.monitor.wait(elapsed)?;
        let stale = self.monitor.is_stale(&input);
        effects.clear();
        let step = handle(&mut self.machine, input, effects);
        // The twin has not been told yet: it is what the machine was.
        let ignored = matches!(step, Step::Ignored(_));
        if stale || ignored {
            ensure(Law::StaleIsInert, self.machine == self.twin, || {
                format!("{input:?} is stale or ignored, and yet it changed the machine")
            })?;
            ensure(Law::StaleIsInert, ignored && effects.is_empty(), || {
                format!("{input:?} is stale or ignored: {step:?}, {effects:?}")
            })?;
        }
        // What is ignored must not matter to any law either.
        let unmoved = (ignored && !stale).then(|| self.monitor.clone());
        self.monitor.step(Duration::ZERO, &input, effects)?;
        ensure(
            Law::StaleIsInert,
            unmoved.is_none_or(|before| before == self.monitor),
            || format!("{input:?} was ignored, and it does matter"),
        )?;
        trace::judge(&self.twin, input, step, effects, &self.machine)?;
        self.again.clear();
        let same = handle(&mut self.twin, input, &mut self.again) == step
            && self.again == *effects
            && self.machine == self.twin;
        ensure(Law::Determinism, same, || {
            format!("{input:?} gave {effects:?} and then {:?}", self.again)
        })?;
        self.monitor.agree(&self.machine)?;
        Ok(step)
    }

    /// Makes a step again that was found lawful before: only the machine and the monitor go on.
    pub(crate) fn repeat_by(
        &mut self,
        handle: impl Fn(&mut Machine, Input, &mut Vec<Effect>) -> Step,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<Step, Violation> {
        effects.clear();
        let step = handle(&mut self.machine, input, effects);
        self.monitor.step(Duration::ZERO, &input, effects)?;
        Ok(step)
    }

    /// Like [`Clone::clone_from`], for what [`repeat_by`](Checked::repeat_by) needs.
    pub(crate) fn repeat_from(&mut self, source: &Self) {
        self.machine.clone_from(&source.machine);
        self.monitor.clone_from(&source.monitor);
    }

    /// Lets time pass in which nothing happens.
    ///
    /// # Errors
    ///
    /// The law that time breaks: something should have happened by then.
    pub fn wait(&mut self, elapsed: Duration) -> Result<(), Violation> {
        self.monitor.wait(elapsed)
    }

    /// Makes relative what only grows: the present epoch, session and outage become 1, and what was
    /// counted for a record becomes 1 or nothing. Two runs that behave alike from here on, given
    /// inputs with numbers that stand in the same relation to the present ones, are equal then; they
    /// are equal, too, in what [`Eq`] leaves out.
    ///
    /// Nothing is lost by that: such numbers are only ever compared for equality with the present
    /// one, and of the counts it only matters whether there is anything to tell. The jitter is the
    /// one exception; it depends on how many hold-offs there were.
    pub fn normalize(&mut self) {
        self.machine.normalize();
        self.twin.clone_from(&self.machine);
        self.monitor.normalize();
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
