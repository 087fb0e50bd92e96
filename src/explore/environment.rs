//! What the world can do to a machine, and when.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use super::{ExploreError, HandleFn};
use crate::law::{Checked, Violation};
use crate::machine::{Command, Effect, Exit, FailureClass, Input, Step, Timer};
use crate::pack::MAX_TICKS;
use crate::policy::{ComponentId, Fence, Plan};

/// One action of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "code that explores has to know all that may happen"
)]
pub enum Action {
    /// The machine gets an input. The present epoch, session and round have the number 1.
    Tell(Input),
    /// Time passes: the greatest common divisor of all durations.
    Tick(Duration),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tell(input) => write!(f, "{input:?}"),
            Self::Tick(tick) => write!(f, "{tick:?} pass"),
        }
    }
}

/// The numbers of the present epoch, session and round, of one that is over, and of one that has not begun.
const NOW: u64 = 1;
const OTHERS: [u64; 2] = [NOW - 1, NOW + 1];

/// The world of one plan.
pub(super) struct Environment {
    plan: Arc<Plan>,
    handle: HandleFn,
    with_clock: bool,
    tick: Duration,
    moves: Vec<Action>,
}

impl Environment {
    pub(super) fn new(plan: Arc<Plan>, handle: HandleFn, with_clock: bool) -> Self {
        let tick = tick_of(&plan);
        Self {
            moves: moves(&plan, with_clock.then_some(tick)),
            plan,
            handle,
            with_clock,
            tick,
        }
    }

    pub(super) fn tick(&self) -> Duration {
        self.tick
    }

    pub(super) fn with_clock(&self) -> bool {
        self.with_clock
    }

    /// All actions that can ever happen.
    pub(super) fn moves(&self) -> &[Action] {
        &self.moves
    }

    pub(super) fn boot(&self, effects: &mut Vec<Effect>) -> Result<Checked, Violation> {
        let timed = self.with_clock.then_some(Duration::ZERO);
        Checked::new(Arc::clone(&self.plan), timed, effects)
    }

    /// Whether this action can happen now. Only a clock forbids anything: a timer that is due fires before time passes,
    /// and no timer fires before it is due.
    pub(super) fn can(&self, at: &Checked, next: Action) -> bool {
        if !self.with_clock {
            return true;
        }
        let left = |timer| at.monitor().left(timer);
        match next {
            Action::Tick(_) => !Timer::ALL
                .into_iter()
                .any(|t| left(t) == Some(Duration::ZERO)),
            Action::Tell(Input::Fired(timer)) => left(timer).is_none_or(|left| left.is_zero()),
            Action::Tell(_) => true,
        }
    }

    /// Lets an action happen, and judges it by the laws.
    pub(super) fn make(
        &self,
        at: &mut Checked,
        next: Action,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Step>, Violation> {
        match next {
            Action::Tell(input) => at
                .handle_by(self.handle, Duration::ZERO, input, effects)
                .map(Some),
            Action::Tick(tick) => {
                effects.clear();
                at.wait(tick).map(|()| None)
            }
        }
    }

    /// Repeats an action that was found lawful before.
    pub(super) fn repeat(
        &self,
        at: &mut Checked,
        next: Action,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Step>, Violation> {
        match next {
            Action::Tell(input) => at.repeat_by(self.handle, input, effects).map(Some),
            Action::Tick(_) => self.make(at, next, effects),
        }
    }

    /// Whether this is the renewal of a healthy owner: for a whole lease.
    pub(super) fn is_healthy_renewal(&self, input: &Input) -> bool {
        let lease = self.plan.policy().fence().map(Fence::lease);
        matches!(*input, Input::LeaseRenewed { epoch: NOW, remaining } if Some(remaining) == lease)
    }

    pub(super) fn is_present_alive(input: &Input) -> bool {
        *input
            == Input::Alive {
                session: NOW,
                round: NOW,
            }
    }

    pub(super) fn starts_an_epoch(after: &Checked) -> bool {
        after.machine().epoch() > NOW
    }

    /// The component that gives this plain answer, and whether it is up (`true`) or gone by itself (`false`).
    pub(super) fn answers(input: &Input) -> Option<(ComponentId, bool)> {
        match *input {
            Input::Up {
                component,
                epoch: NOW,
            } => Some((component, true)),
            Input::Gone {
                component,
                epoch: NOW,
                how: Exit::Returned,
            } => Some((component, false)),
            _ => None,
        }
    }
}

/// Every kind of input: sensible, unasked for, stale in each way, about a component that does not exist.
fn moves(plan: &Plan, tick: Option<Duration>) -> Vec<Action> {
    // One component more than there are.
    let someone = || (0..=plan.layout().components() as u32).map(ComponentId);
    let hows = [Exit::Returned, Exit::Aborted]
        .into_iter()
        .chain(FailureClass::ALL.map(Exit::Failed));
    let mut inputs = Vec::new();
    for epoch in [NOW, OTHERS[0], OTHERS[1]] {
        for component in someone().map(Some).chain([None]) {
            for class in FailureClass::ALL {
                // Many reports at once are one input. Stale reports are only counted, so one count is enough for
                // them.
                let counts = [1, u32::MAX]
                    .into_iter()
                    .take(if epoch == NOW { 2 } else { 1 });
                inputs.extend(counts.map(|count| Input::Report {
                    component,
                    epoch,
                    class,
                    count,
                }));
            }
        }
        for component in someone() {
            inputs.push(Input::Up { component, epoch });
            for how in hows.clone() {
                inputs.push(Input::Exited {
                    component,
                    epoch,
                    how,
                });
                inputs.push(Input::Gone {
                    component,
                    epoch,
                    how,
                });
            }
        }
        inputs.extend(
            renewals(plan)
                .into_iter()
                .map(|remaining| Input::LeaseRenewed { epoch, remaining }),
        );
    }
    for session in [NOW, OTHERS[0], OTHERS[1]] {
        inputs.push(Input::Alive {
            session,
            round: NOW,
        });
        for fatal in [false, true] {
            inputs.push(Input::Failing { session, fatal });
        }
    }
    inputs.extend(OTHERS.map(|round| Input::Alive {
        session: NOW,
        round,
    }));
    inputs.extend(Timer::ALL.map(Input::Fired));
    inputs.push(Input::Shutdown);
    inputs.extend(Command::ALL.iter().map(|command| command.input()));
    // Without a limit it means nothing, whatever component it is about.
    let has_limit = plan.policy().failure_limit().is_some();
    let often = someone().map(|component| Input::FailedTooOften { component });
    inputs.extend(often.take(if has_limit { usize::MAX } else { 1 }));
    inputs.push(Input::Frozen);
    let inputs = inputs.into_iter().map(Action::Tell);
    tick.map(Action::Tick).into_iter().chain(inputs).collect()
}

/// How long a lease can be valid when its renewal gets to the machine.
///
/// This is a whole lease, the least that leaves time for work, or the most that leaves none.
fn renewals(plan: &Plan) -> Vec<Duration> {
    let Some(fence) = plan.policy().fence() else {
        return vec![Duration::ZERO];
    };
    let none_left = fence.margin() + plan.stop_budget();
    vec![fence.lease(), none_left + tick_of(plan), none_left]
}

/// The greatest common divisor of all durations of a plan.
fn tick_of(plan: &Plan) -> Duration {
    let nanos = durations(plan)
        .map(|(_, duration)| duration.as_nanos())
        .fold(0, gcd);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).max(1))
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn durations(plan: &Plan) -> impl Iterator<Item = (&'static str, Duration)> + '_ {
    let policy = plan.policy();
    let tuning = policy.tuning();
    let fence = policy.fence();
    [
        ("window", policy.window()),
        (
            "backoff",
            policy.hold_off(1, crate::policy::Blame::Component),
        ),
        ("max_hold_off", policy.longest_hold_off()),
        ("silence_limit", policy.silence_limit()),
        ("abort_deadline", policy.abort_deadline()),
        ("decay", tuning.decay()),
        ("stable_after", tuning.stable_after()),
        ("unready_delay", tuning.unready_delay()),
        ("fence.lease", fence.map_or(Duration::ZERO, Fence::lease)),
        ("fence.margin", fence.map_or(Duration::ZERO, Fence::margin)),
    ]
    .into_iter()
    .chain((0..plan.layout().stages()).flat_map(|stage| {
        [
            ("start_deadline", plan.start_deadline(stage)),
            ("stop_deadline", plan.stop_deadline(stage)),
        ]
    }))
}

/// Checks that the numbers of a plan fit into the bytes that a state has for them.
pub(super) fn check(plan: &Plan) -> Result<(), ExploreError> {
    let policy = plan.policy();
    let tuning = policy.tuning();
    let layout = plan.layout();
    let counts = [
        ("components", layout.components(), 32),
        ("trip_threshold", policy.trip_threshold() as usize, 255),
        ("max_level", tuning.max_level() as usize, 255),
        ("min_evidence", policy.most_evidence() as usize, 255),
        (
            "give_up_after",
            policy.give_up_after().unwrap_or_default() as usize,
            255,
        ),
    ];
    for (knob, count, most) in counts {
        if count > most {
            let bound = format!("it is {count}, and may be {most} at most");
            return Err(ExploreError::TooFine { knob, bound });
        }
    }
    let tick = tick_of(plan);
    let shutdown = plan.stop_budget() + tuning.unready_delay();
    for (knob, duration) in durations(plan).chain([("the whole stop", shutdown)]) {
        let ticks = duration.as_nanos() / tick.as_nanos();
        if ticks > u128::from(MAX_TICKS) {
            let bound = format!(
                "{duration:?} is {ticks} times {tick:?}, which all durations are a multiple of, and \
                 may be {MAX_TICKS} at most: set rounder durations"
            );
            return Err(ExploreError::TooFine { knob, bound });
        }
    }
    Ok(())
}
