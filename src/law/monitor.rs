//! The monitor: its data, and how it judges a step.

use core::hash::{Hash, Hasher};
use core::time::Duration;
use std::sync::Arc;

use super::Law::*;
use super::{Violation, ensure};
use crate::machine::{AfterStop, Effect, FailureClass, Input, Record, Timer, any_command};
use crate::policy::{Blame, ComponentId, Plan};

/// Reads the inputs and effects of a machine, and reports which law is broken and why. See the [module](super).
///
/// All times in a monitor are bounded, and relative to the last step, so that it can be part of an explored state.
/// Equality and hash leave out the counts for the next record, as those of the machine do.
///
/// ```
/// use overwatch::law::Monitor;
/// use overwatch::machine::{Input, Machine};
/// use overwatch::policy::{Layout, Plan, Policy};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// let plan = Arc::new(Plan::new(Policy::default(), Layout::new(&[1])?)?);
/// let mut monitor = Monitor::new(Arc::clone(&plan), None);
/// let mut effects = Vec::new();
/// let mut machine = Machine::new(plan, &mut effects);
/// monitor.boot(&effects)?;
///
/// effects.clear();
/// let input = Input::Alive { session: 1, round: 0 };
/// let _ = machine.handle(input, &mut effects);
/// monitor.step(Duration::from_millis(20), &input, &effects)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Monitor {
    pub(super) plan: Arc<Plan>,
    /// How late a timer may fire; `None` if times have no meaning in this run.
    pub(super) timed: Option<Duration>,
    pub(super) model: Model,
    /// What the next record must contain.
    pub(super) record: Record,
}

impl Clone for Monitor {
    fn clone(&self) -> Self {
        Self {
            plan: Arc::clone(&self.plan),
            timed: self.timed,
            model: self.model.clone(),
            record: self.record,
        }
    }

    fn clone_from(&mut self, source: &Self) {
        if !Arc::ptr_eq(&self.plan, &source.plan) {
            self.plan = Arc::clone(&source.plan);
        }
        self.timed = source.timed;
        self.model.clone_from(&source.model);
        self.record = source.record;
    }
}

impl Clone for Model {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            ..*self
        }
    }

    /// Allocates nothing when there is room: the explorer calls this for every edge.
    fn clone_from(&mut self, source: &Self) {
        self.parts.clone_from(&source.parts);
        *self = Self {
            parts: core::mem::take(&mut self.parts),
            ..*source
        };
    }
}

impl PartialEq for Monitor {
    fn eq(&self, other: &Self) -> bool {
        (&self.model, self.timed) == (&other.model, other.timed) && self.plan == other.plan
    }
}

impl Eq for Monitor {}

impl Hash for Monitor {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // The plan never changes.
        self.model.hash(hasher);
    }
}

/// Everything that the inputs and effects have shown so far.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Model {
    pub(super) mode: Activity,
    /// What follows when everything is stopped.
    pub(super) goal: AfterStop,
    pub(super) epoch: u64,
    pub(super) session: Option<u64>,
    pub(super) last_session: u64,
    /// The last round of observations that was requested.
    pub(super) round: u64,
    pub(super) outage: Option<u64>,
    pub(super) last_outage: Option<u64>,
    pub(super) parts: Vec<ComponentActivity>,
    /// For each timer, how long until it is due, if it is armed.
    pub(super) timers: [Option<Duration>; 6],
    pub(super) suspicion: u32,
    pub(super) level: u32,
    pub(super) blame: Blame,
    pub(super) failed_starts: u32,
    /// Whether something tripped or unwound since the last start, so that a hold-off is due.
    pub(super) tripped: bool,
    /// Whether a hold-off was armed since the last start.
    pub(super) waits: bool,
    pub(super) clean: CleanRun,
    /// How long since the last alive observation; `None` if that is longer than the silence limit.
    pub(super) unseen: Option<Duration>,
    /// How long the lease is still valid, while something depends on it.
    pub(super) lease: Option<Duration>,
    /// How much of the longest time of a shutdown is left: by the clock, and by the deadlines that may still be armed.
    pub(super) shutdown: Option<(Duration, Duration)>,
}

/// What the service is doing, as far as inputs and effects show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Activity {
    /// Nothing is alive.
    Idle,
    Starting,
    Ready,
    /// Not ready, and nothing is stopped yet: the unready delay of a requested stop.
    Delaying,
    Stopping,
    Ended,
}

/// What one component is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ComponentActivity {
    Down,
    Starting,
    Up,
    Stopping,
    Aborting,
    Wedged,
    Finished,
}

/// The present clean run: a run of positive evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct CleanRun {
    /// Alive observations since the clean run began, up to the most that a start can need.
    pub(super) alive: u32,
    /// The hold-off that was armed within the clean run.
    pub(super) hold_off: Option<Duration>,
    /// How much of the hold-off has passed by the clock.
    pub(super) held: Duration,
    /// Whether the timer of the hold-off has fired.
    pub(super) passed: bool,
}

impl Monitor {
    /// Creates a monitor for a run that begins now.
    ///
    /// `timed` is how late timers may fire in this run: zero in a simulation, some milliseconds on a real clock. With
    /// `None`, times have no meaning: any armed timer may fire at any moment, and the laws are judged by which timers
    /// are armed and for how long.
    pub fn new(plan: impl Into<Arc<Plan>>, timed: Option<Duration>) -> Self {
        let plan = plan.into();
        let model = Model {
            mode: Activity::Idle,
            goal: AfterStop::Monitor,
            epoch: 0,
            session: None,
            last_session: 0,
            round: 0,
            outage: None,
            last_outage: None,
            parts: vec![ComponentActivity::Down; plan.layout().components()],
            timers: [None; 6],
            suspicion: 0,
            level: 0,
            blame: Blame::Component,
            failed_starts: 0,
            tripped: false,
            waits: false,
            clean: CleanRun::default(),
            unseen: Some(Duration::ZERO),
            lease: None,
            shutdown: None,
        };
        let record = Record::default();
        Self {
            plan,
            timed,
            model,
            record,
        }
    }

    /// See [`Checked::normalize`](super::Checked::normalize).
    pub(super) fn normalize(&mut self) {
        let model = &mut self.model;
        model.epoch = 1;
        model.session = model.session.map(|_| 1);
        model.last_session = 1;
        model.round = 1;
        model.outage = model.outage.map(|_| 1);
        model.last_outage = model.last_outage.map(|_| 1);
        self.record = self.record.relative(model.outage.is_some());
    }

    /// Judges the first effects of a run.
    ///
    /// # Errors
    ///
    /// Returns the first law that they break.
    pub fn boot(&mut self, effects: &[Effect]) -> Result<(), Violation> {
        let mut step = Judged {
            phase_began: false,
            outage_closed: false,
            session_opened: false,
            asked: false,
            input: None,
            leave: None,
        };
        for (place, effect) in effects.iter().enumerate() {
            self.judge_effect(&mut step, place, effect)?;
        }
        self.judge_rest(&step)
    }

    /// Judges one step: an input, `elapsed` after the previous one, and its effects.
    ///
    /// # Errors
    ///
    /// Returns the first law that the step breaks. After an error, do not use the monitor any more.
    pub fn step(
        &mut self,
        elapsed: Duration,
        input: &Input,
        effects: &[Effect],
    ) -> Result<(), Violation> {
        self.wait(elapsed)?;
        if self.is_stale(input) {
            // After the end there is no further record that could count it.
            if let Input::Report { count, .. } = *input
                && self.model.mode != Activity::Ended
            {
                self.record.stale_reports += u64::from(count.max(1));
            }
            return ensure(StaleIsInert, effects.is_empty(), || {
                format!("stale {input:?} had effects {effects:?}")
            });
        }
        let finishes = self.finishes(input);
        self.take_in(input, finishes);
        let mut step = Judged {
            phase_began: false,
            outage_closed: false,
            session_opened: false,
            asked: false,
            input: Some(*input),
            leave: self.must_leave(input, finishes),
        };
        self.book_leave(&step);
        for (place, effect) in effects.iter().enumerate() {
            self.judge_effect(&mut step, place, effect)?;
        }
        self.judge_rest(&step)
    }

    /// Whether an input is stale.
    ///
    /// An input is stale if it belongs to another epoch or session, is about a component that is not alive, is an
    /// answer that the machine does not wait for, is a timer that is not armed, or comes after the end.
    pub fn is_stale(&self, input: &Input) -> bool {
        let model = &self.model;
        if model.mode == Activity::Ended {
            return true;
        }
        match *input {
            Input::Report {
                component: None,
                class: FailureClass::Fatal,
                ..
            } => false,
            Input::Report {
                component, epoch, ..
            } => epoch != model.epoch || component.is_some_and(|component| self.is_gone(component)),
            Input::Exited {
                component, epoch, ..
            }
            | Input::Gone {
                component, epoch, ..
            } => epoch != model.epoch || self.is_gone(component),
            Input::Up { component, epoch } => {
                epoch != model.epoch || self.part(component) != ComponentActivity::Starting
            }
            Input::Alive { session, round } => {
                model.session != Some(session) || round > model.round
            }
            Input::Failing { session, .. } => model.session != Some(session),
            Input::Fired(timer) => model.timers[timer.index()].is_none(),
            Input::LeaseRenewed { epoch, .. } => {
                let owner = self.plan.layout().lease_owner();
                epoch != model.epoch
                    || owner.is_none_or(|owner| self.part(owner) == ComponentActivity::Down)
            }
            Input::FailedTooOften { component } => {
                self.plan.policy().failure_limit().is_none()
                    || self.plan.layout().stage_of(component).is_none()
            }
            Input::Shutdown | any_command!() | Input::Frozen => false,
        }
    }

    /// How long until this timer is due, if it is armed.
    pub fn left(&self, timer: Timer) -> Option<Duration> {
        self.model.timers[timer.index()]
    }

    pub(crate) fn mode(&self) -> Activity {
        self.model.mode
    }

    /// What follows when everything is stopped.
    pub(crate) fn goal(&self) -> AfterStop {
        self.model.goal
    }

    pub(crate) fn part(&self, component: ComponentId) -> ComponentActivity {
        self.model
            .parts
            .get(component.index())
            .copied()
            .unwrap_or(ComponentActivity::Down)
    }

    fn is_gone(&self, component: ComponentId) -> bool {
        matches!(
            self.part(component),
            ComponentActivity::Down | ComponentActivity::Finished
        )
    }

    pub(super) fn any_live(&self) -> bool {
        self.model.parts.iter().any(|part| part.is_live())
    }

    pub(super) fn highest_live_stage(&self) -> usize {
        let last = self.model.parts.iter().rposition(|part| part.is_live());
        let id = ComponentId(last.unwrap_or_default() as u32);
        self.plan.layout().stage_of(id).unwrap_or_default()
    }
}

impl Model {
    pub(super) fn is_armed(&self, timer: Timer) -> bool {
        self.timers[timer.index()].is_some()
    }
}

impl ComponentActivity {
    /// Whether it is up, or has finished as it may.
    pub(super) fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Finished)
    }

    pub(super) fn is_live(self) -> bool {
        !matches!(self, Self::Down | Self::Wedged | Self::Finished)
    }
}

/// What is known about a step when its effects are judged.
pub(super) struct Judged {
    /// `None` at boot.
    pub(super) input: Option<Input>,
    pub(super) leave: Option<Leave>,
    /// Whether an effect of this step began a phase whose deadline is not armed yet.
    pub(super) phase_began: bool,
    /// Whether a record was closed in this step.
    pub(super) outage_closed: bool,
    /// Whether a session was opened in this step.
    pub(super) session_opened: bool,
    /// Whether one more observation was requested in this step.
    pub(super) asked: bool,
}

/// Why everything must stop in this step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Failed,
    Wanted,
    /// A component failed too often, and the run must end.
    GivenUp,
}
