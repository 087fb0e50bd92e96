//! What decides for a service: a driver and its machine in one, live or as a dry run.

use core::time::Duration;
use std::sync::Arc;

use super::arrival::{Arrival, Source};
use super::decision::Decided;
use super::dry_run::DryRun;
use super::live::Live;
use crate::machine::{Effect, Machine, Phase, Timer};
use crate::policy::Plan;

/// Decides for a service: takes in what arrives, and says what is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Decider {
    /// What is decided is done.
    Live(Box<Live>),
    /// The service runs as if nothing watched it, beside a machine that shows what would be done.
    DryRun(Box<DryRun>),
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

    /// Takes in what has arrived. `false` if its source has no room. See [`Driver::arrive`](super::Driver::arrive).
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
