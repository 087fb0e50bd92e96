//! Takes the decisions for a service: a driver together with its machine, live or as a dry run.

use core::time::Duration;
use std::sync::Arc;

use super::arrival::{Arrival, Source};
use super::decision::Decided;
use super::dry_run::DryRun;
use super::live::Live;
use super::stops::UncleanEnd;
use crate::machine::{Effect, Machine, Phase, Timer};
use crate::policy::{ComponentId, Plan};

/// Takes the decisions for a service: it takes arrivals, and returns what to do.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Decider {
    /// All decisions are carried out.
    Live(Box<Live>),
    /// The service runs without supervision, next to a machine that shows what would be done.
    DryRun(Box<DryRun>),
}

impl Decider {
    /// Creates a decider at boot. All its decisions are carried out.
    pub fn live(plan: impl Into<Arc<Plan>>) -> Self {
        Self::Live(Box::new(Live::new(plan.into())))
    }

    /// Creates a decider at boot for a dry run.
    ///
    /// Only what the service does by itself, and what an operator commands, is carried out. Anything else that would be
    /// done is only shown.
    pub fn dry_run(plan: impl Into<Arc<Plan>>) -> Self {
        Self::DryRun(Box::new(DryRun::new(plan.into())))
    }

    /// Whether a source has room for one more arrival.
    pub fn has_room(&self, source: Source) -> bool {
        match self {
            Self::Live(live) => live.driver.has_room(source),
            Self::DryRun(dry_run) => dry_run.has_room(source),
        }
    }

    /// Takes an arrival. Returns `false` if its source has no room. See [`Driver::arrive`](super::Driver::arrive).
    #[must_use = "what finds no room is lost"]
    pub fn arrive(&mut self, arrival: Arrival) -> bool {
        match self {
            Self::Live(live) => live.driver.arrive(arrival),
            Self::DryRun(dry_run) => dry_run.arrive(arrival),
        }
    }

    /// Returns what to do next.
    ///
    /// Afterwards `effects` holds exactly the effects of the step, or nothing if there was no step.
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

    /// The machine that the sessions with the dependency belong to.
    pub fn observer(&self) -> &Machine {
        match self {
            Self::Live(live) => &live.machine,
            Self::DryRun(dry_run) => dry_run.shown(),
        }
    }

    /// Whether what the dependency does is only shown.
    pub fn is_dry_run(&self) -> bool {
        matches!(self, Self::DryRun(_))
    }

    /// Whether a report would bring a trip nearer, so that it must not wait.
    pub fn reports_are_urgent(&self) -> bool {
        let trips =
            |machine: &Machine| matches!(machine.phase(), Phase::Running | Phase::Restarting);
        trips(self.machine()) && trips(self.observer())
    }

    /// The components that did not stop well since everything was last asked to stop, and how: the first 1,024 of them.
    pub fn unclean_ends(&self) -> impl Iterator<Item = (ComponentId, UncleanEnd)> + '_ {
        let stops = match self {
            Self::Live(live) => &live.stops,
            Self::DryRun(dry_run) => dry_run.service_stops(),
        };
        stops.iter()
    }

    /// When a timer of the service's machine is due, if it is armed.
    pub fn due(&self, timer: Timer) -> Option<Duration> {
        match self {
            Self::Live(live) => live.driver.due(timer),
            Self::DryRun(dry_run) => dry_run.due(timer),
        }
    }
}
