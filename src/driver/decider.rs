//! A driver and its machine, in one.

use core::time::Duration;
use std::sync::Arc;

use super::arrival::{Arrival, Source};
use super::dry_run::DryRun;
use super::order::{Driver, Next, Tell, View};
use crate::machine::{ComponentState, Effect, Input, Machine, Phase, Step, Timer};
use crate::policy::Plan;

/// Decides for a service: takes in what arrives, and says what is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Decider {
    /// What is decided is done.
    Live(Box<Live>),
    /// The service runs as if nothing watched it, beside a machine that shows what would be done.
    DryRun(Box<DryRun>),
}

/// A driver and the machine that it drives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Live {
    pub(super) driver: Driver,
    pub(super) machine: Machine,
    /// The first effects, until they are asked for.
    pub(super) boot: Option<Vec<Effect>>,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// A step was taken: carry out its effects, in order.
    Step(Decision),
    /// See [`Next::Drop`].
    Drop(Source),
    /// See [`Next::WhySilent`].
    WhySilent {
        /// When something was last seen, or the wait for it began.
        since: Duration,
    },
    /// See [`Next::Wait`].
    Wait(Option<Duration>),
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the machine was told, and what became of it; `None` for the first step, the boot.
    pub told: Option<(Tell, Step)>,
    /// Which of the effects are to be carried out. All are to be logged.
    pub carried: Carried,
}

/// Which effects of a step are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carried {
    /// All.
    All,
    /// All but those on the dependency's sessions: of the service in a dry run.
    Service,
    /// Only those on the dependency's sessions: of what is only shown in a dry run.
    Sessions,
}

impl Carried {
    /// Whether this effect is to be carried out.
    pub fn includes(self, effect: &Effect) -> bool {
        let of_session = matches!(
            effect,
            Effect::OpenSession { .. } | Effect::CloseSession { .. } | Effect::Ask { .. }
        );
        match self {
            Self::All => true,
            Self::Service => !of_session,
            Self::Sessions => of_session,
        }
    }

    /// Whether the step only shows what would be done.
    pub fn is_dry(self) -> bool {
        self == Self::Sessions
    }
}

impl Decision {
    /// What the machine was told; `None` at boot.
    pub fn input(&self) -> Option<Input> {
        self.told.map(|(tell, _)| tell.input)
    }

    /// What became of it; `None` at boot.
    pub fn step(&self) -> Option<Step> {
        self.told.map(|(_, step)| step)
    }
}

impl Decider {
    /// At boot: what is decided is done.
    pub fn live(plan: impl Into<Arc<Plan>>) -> Self {
        Self::Live(Box::new(Live::new(plan.into())))
    }

    /// At boot: nothing is done but what the service does by itself or is told by an operator, and what
    /// would be done is shown.
    pub fn dry_run(plan: impl Into<Arc<Plan>>) -> Self {
        Self::DryRun(Box::new(DryRun::new(plan.into())))
    }

    /// Whether a source has room for one more.
    pub fn has_room(&self, source: Source) -> bool {
        match self {
            Self::Live(live) => live.driver.has_room(source),
            Self::DryRun(dry_run) => dry_run.has_room(source),
        }
    }

    /// Takes in what has arrived. `false` if its source has no room. See [`Driver::arrive`].
    #[must_use = "what finds no room is lost"]
    pub fn arrive(&mut self, arrival: Arrival) -> bool {
        match self {
            Self::Live(live) => live.driver.arrive(arrival),
            Self::DryRun(dry_run) => dry_run.arrive(arrival),
        }
    }

    /// What is to be done next. `effects` holds just the effects of the step afterwards, and nothing if
    /// there was none.
    pub fn next(&mut self, now: Duration, effects: &mut Vec<Effect>) -> Decided {
        effects.clear();
        match self {
            Self::Live(live) => live.next(now, effects),
            Self::DryRun(dry_run) => dry_run.next(now, effects),
        }
    }

    /// The machine of the service.
    pub fn machine(&self) -> &Machine {
        match self {
            Self::Live(live) => &live.machine,
            Self::DryRun(dry_run) => dry_run.service(),
        }
    }

    /// The machine that the sessions with the dependency are of.
    pub fn observer(&self) -> &Machine {
        match self {
            Self::Live(live) => &live.machine,
            Self::DryRun(dry_run) => dry_run.shown(),
        }
    }

    /// Whether a report brings a trip nearer: then it waits for nobody.
    pub fn reports_are_urgent(&self) -> bool {
        let trips =
            |machine: &Machine| matches!(machine.phase(), Phase::Running | Phase::Restarting);
        trips(self.machine()) && trips(self.observer())
    }

    /// When a timer of the service's machine is due, if it is armed.
    pub fn due(&self, timer: Timer) -> Option<Duration> {
        match self {
            Self::Live(live) => live.driver.due(timer),
            Self::DryRun(dry_run) => dry_run.due(timer),
        }
    }
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

    fn next(&mut self, now: Duration, effects: &mut Vec<Effect>) -> Decided {
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

    /// The first effects, once.
    pub(super) fn boots(&mut self, now: Duration, effects: &mut Vec<Effect>) -> bool {
        let Some(boot) = self.boot.take() else {
            return false;
        };
        effects.extend(boot);
        self.driver.carry_out(effects, now);
        true
    }

    /// Tells the machine, and keeps the timers that it asks for.
    pub(super) fn step(&mut self, input: Input, now: Duration, effects: &mut Vec<Effect>) -> Step {
        let before = effects.len();
        let step = self.machine.handle(input, effects);
        self.driver.carry_out(&effects[before..], now);
        step
    }

    pub(super) fn view(&self) -> View {
        let asked = |(component, epoch)| {
            let slot = self.machine.slot(component);
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
