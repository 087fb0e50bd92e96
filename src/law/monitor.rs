//! What the monitor knows, and how it judges a step.

use core::hash::{Hash, Hasher};
use core::time::Duration;
use std::sync::Arc;

use super::Law::*;
use super::{Violation, demand};
use crate::machine::{Class, Effect, How, Input, Record, Then, Timer, Why};
use crate::policy::{Blame, ComponentId, Plan};

/// A small automaton that reads what a machine is told and what it asks for, and says which law
/// broke and why. See the [module](super).
///
/// All its times are relative to the last step, and bounded, so that it can be part of an explored
/// state. Equality and hash leave out what it counted for the next record, as those of the machine
/// do.
#[derive(Clone, Debug)]
pub struct Monitor {
    pub(super) plan: Arc<Plan>,
    /// How late a timer may fire; `None` if times mean nothing in this run.
    pub(super) timed: Option<Duration>,
    pub(super) known: Known,
    /// What the next record must say.
    pub(super) record: Record,
}

impl PartialEq for Monitor {
    fn eq(&self, other: &Self) -> bool {
        (&self.known, self.timed) == (&other.known, other.timed) && self.plan == other.plan
    }
}

impl Eq for Monitor {}

impl Hash for Monitor {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // The plan never changes.
        self.known.hash(hasher);
    }
}

/// All that behaviour told so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Known {
    pub(super) mode: Mode,
    /// What follows when everything is stopped.
    pub(super) wish: Then,
    pub(super) epoch: u64,
    /// Whether the start of the current epoch was judged already.
    pub(super) session: Option<u64>,
    pub(super) last_session: u64,
    pub(super) outage: Option<u64>,
    pub(super) last_outage: Option<u64>,
    pub(super) parts: Vec<Part>,
    /// For each timer how long until it is due, if it is armed.
    pub(super) timers: [Option<Duration>; 6],
    pub(super) suspicion: u32,
    pub(super) level: u32,
    pub(super) blame: Blame,
    pub(super) failed_starts: u32,
    /// Whether something tripped or unwound since the last start, so that a hold-off is due.
    pub(super) tripped: bool,
    pub(super) clean: CleanRun,
    /// How long since the last alive observation.
    pub(super) unseen: Duration,
    /// How long the lease is good for, while something depends on it.
    pub(super) lease: Option<Duration>,
    /// How much of the time that a shutdown may take is left: by the clock, and by the deadlines
    /// that may still be armed.
    pub(super) shutdown: Option<(Duration, Duration)>,
}

/// What the service is doing, as far as behaviour tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    /// Nothing is alive.
    Idle,
    Starting,
    Ready,
    /// Not ready, and nothing is stopped yet: the delay of a wanted stop.
    Delaying,
    Stopping,
    Ended,
}

/// What one component is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Down,
    Starting,
    Up,
    Stopping,
    Aborting,
    Wedged,
}

/// The present run of positive evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct CleanRun {
    /// Alive observations since it began.
    pub(super) alive: u32,
    /// How long ago the first of them was.
    pub(super) age: Duration,
    /// The hold-off that was armed within it.
    pub(super) hold_off: Option<Duration>,
    /// Whether that hold-off has passed.
    pub(super) passed: bool,
}

impl Monitor {
    /// A monitor for a run that begins now.
    ///
    /// `timed` says how late timers may fire in this run: zero in a simulation, some milliseconds on
    /// a real clock. With `None` times mean nothing (any armed timer may fire at any moment), and
    /// the laws are judged by which timers are armed and for how long.
    pub fn new(plan: impl Into<Arc<Plan>>, timed: Option<Duration>) -> Self {
        let plan = plan.into();
        let known = Known {
            mode: Mode::Idle,
            wish: Then::Monitor,
            epoch: 0,
            session: None,
            last_session: 0,
            outage: None,
            last_outage: None,
            parts: vec![Part::Down; plan.layout().components()],
            timers: [None; 6],
            suspicion: 0,
            level: 0,
            blame: Blame::Component,
            failed_starts: 0,
            tripped: false,
            clean: CleanRun::default(),
            unseen: Duration::ZERO,
            lease: None,
            shutdown: None,
        };
        let record = Record::default();
        Self {
            plan,
            timed,
            known,
            record,
        }
    }

    /// Judges the first effects of a run.
    ///
    /// # Errors
    ///
    /// The first law that they break.
    pub fn boot(&mut self, effects: &[Effect]) -> Result<(), Violation> {
        let mut step = Judged {
            phase_began: false,
            input: None,
            leave: None,
        };
        for (place, effect) in effects.iter().enumerate() {
            self.judge_effect(&mut step, place, effect)?;
        }
        self.judge_rest(&step)
    }

    /// Judges one step: an input, `elapsed` after the one before, and the effects it had.
    ///
    /// # Errors
    ///
    /// The first law that it breaks. The monitor is of no use after that.
    pub fn step(
        &mut self,
        elapsed: Duration,
        input: &Input,
        effects: &[Effect],
    ) -> Result<(), Violation> {
        self.pass_time(elapsed)?;
        if self.is_stale(input) {
            if let Input::Report { count, .. } = *input {
                self.record.stale_reports += u64::from(count.max(1));
            }
            return demand(L5, effects.is_empty(), || {
                format!("stale {input:?} had effects {effects:?}")
            });
        }
        self.take_in(input);
        let mut step = Judged {
            phase_began: false,
            input: Some(*input),
            leave: self.must_leave(input),
        };
        self.book_leave(&step);
        for (place, effect) in effects.iter().enumerate() {
            self.judge_effect(&mut step, place, effect)?;
        }
        self.judge_rest(&step)
    }

    /// Whether an input is stale: of another epoch or session, of a component that is not alive, an
    /// answer that nobody waits for, a timer that is not armed, or anything at all after the end.
    pub fn is_stale(&self, input: &Input) -> bool {
        let known = &self.known;
        if known.mode == Mode::Ended {
            return true;
        }
        match *input {
            Input::Report {
                component, epoch, ..
            } => {
                epoch != known.epoch
                    || component.is_some_and(|component| self.part(component) == Part::Down)
            }
            Input::Exited {
                component, epoch, ..
            }
            | Input::Gone {
                component, epoch, ..
            } => epoch != known.epoch || self.part(component) == Part::Down,
            Input::Up { component, epoch } => {
                epoch != known.epoch || self.part(component) != Part::Starting
            }
            Input::Alive { session } | Input::Failing { session } => known.session != Some(session),
            Input::Fired(timer) => known.timers[timer.index()].is_none(),
            Input::LeaseRenewed { epoch, .. } => {
                let owner = self.plan.layout().lease_owner();
                epoch != known.epoch || owner.is_none_or(|owner| self.part(owner) == Part::Down)
            }
            Input::Shutdown | Input::Drain | Input::Resume | Input::Trip | Input::Reset => false,
        }
    }

    pub(super) fn part(&self, component: ComponentId) -> Part {
        self.known
            .parts
            .get(component.index())
            .copied()
            .unwrap_or(Part::Down)
    }

    pub(super) fn any_live(&self) -> bool {
        self.known.parts.iter().any(|part| part.is_live())
    }

    fn pass_time(&mut self, elapsed: Duration) -> Result<(), Violation> {
        let known = &mut self.known;
        for timer in &mut known.timers {
            *timer = timer.map(|left| left.saturating_sub(elapsed));
        }
        let Some(late) = self.timed else {
            return Ok(());
        };
        // Beyond what any law asks for, longer is no different.
        let policy = self.plan.policy();
        let longest = policy.longest_hold_off();
        known.clean.age = known.clean.age.saturating_add(elapsed).min(longest);
        let tolerated = policy.silence_limit().saturating_add(late);
        let too_long = tolerated.saturating_add(Duration::from_nanos(1));
        known.unseen = known.unseen.saturating_add(elapsed).min(too_long);
        if let Some((by_clock, _)) = &mut known.shutdown {
            let left = by_clock.checked_sub(elapsed);
            demand(L7, left.is_some(), || {
                "the summed deadlines of the shutdown have passed".into()
            })?;
            *by_clock = left.unwrap_or_default();
        }
        if let Some(lease) = &mut known.lease {
            let in_time = *lease > elapsed;
            demand(L11, in_time, || {
                "the lease ran out and something may still be at work".into()
            })?;
            *lease -= elapsed;
        }
        Ok(())
    }

    /// Learns what an input that is not stale says.
    fn take_in(&mut self, input: &Input) {
        let running = self.known.mode == Mode::Ready;
        let up = matches!(self.known.mode, Mode::Ready | Mode::Starting);
        let cap = self.plan.policy().tuning().level_cap();
        let asked = self.was_asked_to_stop(input);
        let known = &mut self.known;
        let demanded = (known.level, known.blame);
        if blames_dependency(input) && !asked {
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
                let limit = self.plan.policy().silence_limit();
                if self
                    .timed
                    .is_some_and(|late| known.unseen > limit.saturating_add(late))
                {
                    known.clean = CleanRun::default();
                }
                if known.clean.alive == 0 {
                    known.clean.age = Duration::ZERO;
                }
                known.clean.alive = known
                    .clean
                    .alive
                    .saturating_add(1)
                    .min(crate::policy::MAX_COUNT);
                known.unseen = Duration::ZERO;
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
                known.wish = known.wish.max(Then::Stop);
                let total =
                    self.plan.stop_budget() + self.plan.policy().tuning().delay_before_stop();
                // Each deadline on the way may be noticed late: the delay's, and two of each stage.
                let deadlines = 2 * self.plan.layout().stages() as u32 + 1;
                let late = self.timed.unwrap_or_default().saturating_mul(deadlines);
                let by_clock = total.saturating_add(late);
                known.shutdown.get_or_insert((by_clock, total));
            }
            Input::Drain => known.wish = known.wish.max(Then::Drain),
            Input::Resume if known.wish == Then::Drain => known.wish = Then::Monitor,
            Input::Reset if running => {
                known.level = 0;
                known.suspicion = 0;
                known.blame = Blame::Component;
            }
            Input::Reset => known.level = known.level.min(1),
            _ => {}
        }
        if is_fatal(input) {
            known.wish = known.wish.max(Then::Halt(Why::Fatal));
        }
        if !up && matches!(input, Input::Report { .. } | Input::Trip) {
            known.level = known.level.max(1).min(cap);
        }
        let longer = (known.level, known.blame) != demanded;
        let voids = match input {
            Input::Failing { .. } | Input::Fired(Timer::Silence) => true,
            Input::Trip => !up,
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
    fn must_leave(&self, input: &Input) -> Option<Leave> {
        let known = &self.known;
        let broken = is_fatal(input)
            || matches!(
                input,
                Input::Exited { .. } | Input::Gone { .. } | Input::Trip
            )
            || matches!(
                input,
                Input::Report {
                    class: Class::Critical,
                    ..
                }
            );
        let gone_bad = broken
            || matches!(input, Input::Fired(Timer::Silence | Timer::Fence))
            || matches!(*input, Input::LeaseRenewed { remaining, .. } if self.plan.fence_after(remaining).is_none());
        let wanted = matches!(input, Input::Shutdown | Input::Drain);
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
    fn book_leave(&mut self, step: &Judged) {
        let was = self.known.mode;
        if step.leave.is_some() && matches!(was, Mode::Starting | Mode::Delaying) {
            self.known.mode = Mode::Stopping;
        }
        if step.leave != Some(Leave::Failed)
            || step.input.as_ref().is_some_and(is_fatal)
            || was == Mode::Delaying
        {
            return;
        }
        let policy = self.plan.policy();
        self.known.level = (self.known.level + 1).min(policy.tuning().level_cap());
        self.known.tripped = true;
        if was == Mode::Starting {
            self.record.failed_starts += 1;
            // A dependency that flaps, or an operator, is no reason to give up.
            let own = step.input.as_ref().is_some_and(|input| {
                !blames_dependency(input) && !matches!(input, Input::LeaseRenewed { .. })
            });
            if let (Some(limit), true) = (policy.give_up_after(), own) {
                self.known.failed_starts += 1;
                if self.known.failed_starts >= limit {
                    self.known.wish = self.known.wish.max(Then::Halt(Why::GaveUp));
                }
            }
        }
    }

    /// Judges what a step left behind, after all its effects.
    fn judge_rest(&mut self, step: &Judged) -> Result<(), Violation> {
        let live = self.any_live();
        if !live {
            self.known.lease = None;
            if matches!(self.known.mode, Mode::Stopping | Mode::Delaying) {
                self.known.mode = Mode::Idle;
            }
        }
        let known = &self.known;
        let mode = known.mode;
        let input = step.input;
        let armed = |timer: Timer| known.is_armed(timer);
        if step.leave.is_some() {
            let left = !matches!(mode, Mode::Ready | Mode::Starting);
            demand(L16, left, || {
                format!("{input:?} must stop the world at once")
            })?;
        }
        if mode == Mode::Stopping {
            let stage = self.highest_live_stage();
            let in_hand = self
                .plan
                .layout()
                .stage(stage)
                .map(ComponentId)
                .map(|id| self.part(id));
            let all = in_hand
                .filter(|part| part.is_live())
                .all(|part| matches!(part, Part::Stopping | Part::Aborting));
            demand(L16, all && armed(Timer::Stage), || {
                format!("stage {stage} is to be stopped now")
            })?;
        }
        if mode == Mode::Ready {
            let all_up = known.parts.iter().all(|part| *part == Part::Up);
            demand(L1, all_up, || {
                format!("ready with components {:?}", known.parts)
            })?;
            demand(L19, armed(Timer::Silence), || {
                "ready, and no silence would be noticed".into()
            })?;
            if let Some(late) = self.timed {
                let limit = self.plan.policy().silence_limit().saturating_add(late);
                demand(L19, known.unseen <= limit, || {
                    format!("ready, and unseen for {:?}", known.unseen)
                })?;
            }
        }
        let owner = self
            .plan
            .layout()
            .lease_owner()
            .map(|owner| self.part(owner));
        if matches!(mode, Mode::Ready | Mode::Starting) && owner.is_some_and(Part::is_live) {
            let lease = known.lease.unwrap_or_default();
            let latest = self.plan.fence_after(lease).unwrap_or_default();
            let due = known.timers[Timer::Fence.index()];
            demand(L11, due.is_some_and(|due| due <= latest), || {
                format!("the fence is due in {due:?}, at most {latest:?} are left")
            })?;
        }
        demand(L15, !step.phase_began, || {
            format!("{input:?} begins a phase without a deadline")
        })?;
        if matches!(mode, Mode::Starting | Mode::Delaying) {
            demand(L12, armed(Timer::Stage), || {
                format!("{mode:?} without a deadline")
            })?;
        }
        let at_work = matches!(mode, Mode::Ready | Mode::Starting);
        let in_phase = !matches!(mode, Mode::Ready | Mode::Idle);
        for (timer, law, has_a_use) in [
            (Timer::Stage, L15, in_phase),
            (Timer::HoldOff, L4, mode == Mode::Idle),
            (Timer::Silence, L4, known.session.is_some()),
            (Timer::Decay, L17, mode == Mode::Ready),
            (Timer::Stable, L13, mode == Mode::Ready),
            (Timer::Fence, L11, at_work),
        ] {
            demand(law, has_a_use || !armed(timer), || {
                format!("{timer} is armed in {mode:?}, where it means nothing")
            })?;
        }
        if mode == Mode::Ready {
            let forgets = known.suspicion == 0 || armed(Timer::Decay);
            demand(L17, forgets, || "suspicion is never forgotten".into())?;
        }
        let in_outage = match mode {
            Mode::Ready => Some(false),
            Mode::Ended => None,
            _ => (known.tripped && known.wish == Then::Monitor).then_some(true),
        };
        demand(
            L9,
            in_outage.is_none_or(|open| open == known.outage.is_some()),
            || format!("{mode:?} with outage {:?}", known.outage),
        )?;
        if mode == Mode::Ended {
            return Ok(());
        }
        let at_rest = mode == Mode::Idle;
        let wedged = known.parts.contains(&Part::Wedged);
        let over = at_rest && (known.wish > Then::Drain || wedged);
        demand(L7, !over, || {
            format!(
                "everything is stopped, it should have ended: {:?}",
                known.wish
            )
        })?;
        let drained = at_rest && known.wish == Then::Drain;
        let waits = known.timers.iter().any(Option::is_some);
        demand(L12, waits || drained, || "nothing is armed".into())?;
        let unheard = known.session.is_some() && !armed(Timer::Silence);
        demand(L4, !unheard, || "no silence would be noticed".into())?;
        let blind = at_rest && known.wish == Then::Monitor && known.session.is_none();
        demand(L6, !blind, || {
            "at rest, and the dependency is not observed".into()
        })?;
        Ok(())
    }

    pub(super) fn highest_live_stage(&self) -> usize {
        let last = self.known.parts.iter().rposition(|part| part.is_live());
        let id = ComponentId(last.unwrap_or_default() as u32);
        self.plan.layout().stage_of(id).unwrap_or_default()
    }
}

impl Known {
    pub(super) fn is_armed(&self, timer: Timer) -> bool {
        self.timers[timer.index()].is_some()
    }
}

impl Part {
    pub(super) fn is_live(self) -> bool {
        !matches!(self, Self::Down | Self::Wedged)
    }
}

/// What the effects of one step are judged by.
pub(super) struct Judged {
    /// `None` at boot.
    pub(super) input: Option<Input>,
    pub(super) leave: Option<Leave>,
    /// Whether an effect of this step began a phase whose deadline is not armed yet.
    pub(super) phase_began: bool,
}

/// Why the world must stop in this step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Failed,
    Wanted,
}

fn how_class(input: &Input) -> Option<Class> {
    match *input {
        Input::Report { class, .. } => Some(class),
        Input::Exited {
            how: How::Failed(class),
            ..
        }
        | Input::Gone {
            how: How::Failed(class),
            ..
        } => Some(class),
        _ => None,
    }
}

fn is_fatal(input: &Input) -> bool {
    how_class(input) == Some(Class::Fatal)
}

fn blames_dependency(input: &Input) -> bool {
    matches!(how_class(input), Some(Class::Dependency | Class::Critical))
        || matches!(
            input,
            Input::Failing { .. } | Input::Trip | Input::Fired(Timer::Silence | Timer::Fence)
        )
}
