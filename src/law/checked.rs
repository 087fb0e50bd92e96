//! A machine that is checked at every step.

use core::time::Duration;
use std::sync::Arc;

use super::{Law, Monitor, Violation, ensure, trace};
use crate::machine::{Effect, Input, Machine, Step};
use crate::policy::Plan;

/// A machine, together with the monitor that checks it.
///
/// Besides the effects, this checks the machine itself: stale input leaves the machine equal, the same input has the
/// same effects again, the machine reports exactly the transitions that happened, and its accessors agree with its
/// effects.
///
/// ```
/// use overwatch::law::Checked;
/// use overwatch::machine::{Input, Phase};
/// use overwatch::policy::{Layout, Plan, Policy};
/// use std::time::Duration;
///
/// let mut effects = Vec::new();
/// let plan = Plan::new(Policy::default(), Layout::new(&[1])?)?;
/// let mut checked = Checked::new(plan, None, &mut effects)?;
/// checked.handle(Duration::from_millis(20), Input::Alive { session: 1, round: 0 }, &mut effects)?;
/// assert_eq!(checked.machine().phase(), Phase::Restarting);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Checked {
    pub(super) machine: Machine,
    /// A second machine that gets the same inputs. During a step it still equals the first machine before the step;
    /// after the step the two must be equal.
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
    /// Creates a machine at boot.
    ///
    /// Afterwards `effects` holds exactly its first effects. `timed` is passed to [`Monitor::new`].
    ///
    /// # Errors
    ///
    /// Returns the law that the first effects break.
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

    /// Passes one input to the machine, `elapsed` after the previous one.
    ///
    /// Afterwards `effects` holds exactly the effects of this step.
    ///
    /// # Errors
    ///
    /// Returns the first law that the step breaks. After an error, do not use the machine and the monitor any more.
    pub fn handle(
        &mut self,
        elapsed: Duration,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<Step, Violation> {
        self.handle_by(Machine::handle, elapsed, input, effects)
    }

    /// Like [`handle`](Checked::handle), but calls `handle` instead of [`Machine::handle`].
    ///
    /// This shows which law catches a machine with a certain defect.
    ///
    /// # Errors
    ///
    /// Returns the first law that the step breaks.
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
        // The twin has not got the input yet: it equals the machine before the step.
        let ignored = matches!(step, Step::Ignored(_));
        if stale || ignored {
            ensure(Law::StaleIsInert, self.machine == self.twin, || {
                format!("{input:?} is stale or ignored, and yet it changed the machine")
            })?;
            ensure(Law::StaleIsInert, ignored && effects.is_empty(), || {
                format!("{input:?} is stale or ignored: {step:?}, {effects:?}")
            })?;
        }
        // An ignored input must not change the monitor either.
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

    /// Repeats a step that was found lawful before. Only the machine and the monitor are updated, not the twin.
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

    /// Like [`Clone::clone_from`], but copies only what [`repeat_by`](Checked::repeat_by) needs.
    pub(crate) fn repeat_from(&mut self, source: &Self) {
        self.machine.clone_from(&source.machine);
        self.monitor.clone_from(&source.monitor);
    }

    /// Lets time pass in which nothing happens.
    ///
    /// # Errors
    ///
    /// Returns the law that is broken because something should have happened by then.
    pub fn wait(&mut self, elapsed: Duration) -> Result<(), Violation> {
        self.monitor.wait(elapsed)
    }

    /// Replaces numbers that only grow by relative ones.
    ///
    /// The present epoch, session, round and outage become 1, and the counts of a record become 1 or 0. Two runs are
    /// then equal if they behave alike from here on, given inputs whose numbers have the same relation to the present
    /// ones. They are also equal in what [`Eq`] leaves out.
    ///
    /// This loses nothing: such a number is only compared for equality with the present one, and for the counts it only
    /// matters whether there is anything to record. The one exception is the jitter, which depends on the number of
    /// hold-offs so far.
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
