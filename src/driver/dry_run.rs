//! A dry run: shows what would be done, without doing it.
//!
//! This is not a mode of the machine. The machine of the service gets observations of a dependency that is always
//! alive, and only fatal reports. Next to it, a second machine gets the real observations and all other reports. Its
//! components answer at once, and its effects, except those on the sessions, are only shown.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use super::arrival::{Arrival, Observed, Seen, Silence, Source};
use super::decision::{Carried, Decided, Decision};
use super::live::Live;
use super::order::{Next, Tell};
use crate::machine::{
    ComponentState, Effect, Exit, FailureClass, Input, Machine, Phase, Timer, any_command,
};
use crate::policy::{ComponentId, Plan};

/// See the documentation of [`Decider::dry_run`](super::Decider::dry_run).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DryRun {
    service: Live,
    shown: Live,
    /// The inputs that still follow from the last event, in order.
    pending: VecDeque<(Side, Tell)>,
    /// The side that is asked first for its next event.
    turn: Side,
}

/// Which of the two machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Side {
    Service,
    Shown,
}

impl DryRun {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Self {
            service: Live::new(Arc::clone(&plan)),
            shown: Live::new(plan),
            pending: VecDeque::new(),
            turn: Side::Service,
        }
    }

    pub(super) fn service_stops(&self) -> &super::stops::Stops {
        &self.service.stops
    }

    pub(super) fn service(&self) -> &Machine {
        &self.service.machine
    }

    pub(super) fn shown(&self) -> &Machine {
        &self.shown.machine
    }

    pub(super) fn due(&self, timer: Timer) -> Option<Duration> {
        self.service.driver.due(timer)
    }

    pub(super) fn has_room(&self, source: Source) -> bool {
        let (service, shown) = (&self.service.driver, &self.shown.driver);
        match source {
            Source::Runtime | Source::Lease | Source::Observation => shown.has_room(source),
            _ => service.has_room(source),
        }
    }

    pub(super) fn arrive(&mut self, arrival: Arrival) -> bool {
        let (service, shown) = (&mut self.service.driver, &mut self.shown.driver);
        match arrival {
            // No observation ends a dry run.
            Arrival::Observed(Observed {
                seen: Seen::Failing { .. },
                ..
            }) => shown.arrive(without_end(arrival)),
            Arrival::Observed(_) | Arrival::Silent(_) | Arrival::Renewed(_) | Arrival::Froze => {
                shown.arrive(arrival)
            }
            // Both drivers always have room for this.
            Arrival::Late { .. } => {
                let _ = service.arrive(arrival);
                shown.arrive(arrival)
            }
            _ => service.arrive(arrival),
        }
    }

    pub(super) fn next(&mut self, now: Duration, effects: &mut Vec<Effect>) -> Decided {
        for (side, live) in [
            (Side::Service, &mut self.service),
            (Side::Shown, &mut self.shown),
        ] {
            if live.boots(now, effects) {
                return Decided::Step(Decision {
                    told: None,
                    carried: side.carried(),
                    changed: true,
                });
            }
        }
        loop {
            if let Some((side, tell)) = self.pending.pop_front() {
                return self.step(side, tell, now, effects);
            }
            if let Some(tell) = self.service.tell_failures() {
                self.pending.push_back((Side::Service, tell));
                continue;
            }
            if let Some(input) = self.reassurance() {
                self.pending.push_back((Side::Service, assumed(input)));
                continue;
            }
            let (first, second) = (self.turn, self.turn.other());
            let next = match self.next_of(first, now) {
                Next::Wait(until) => match self.next_of(second, now) {
                    Next::Wait(other) => {
                        let first = [until, other].into_iter().flatten().min();
                        return Decided::Wait(first);
                    }
                    next => (second, next),
                },
                next => (first, next),
            };
            let (side, _) = next;
            match next {
                (Side::Service, Next::Tell(tell)) => self.route(tell),
                (Side::Shown, Next::Tell(tell)) => self.pending.push_back((Side::Shown, tell)),
                // The service gets no real observations, so its silence means nothing. When the timer fires, `route`
                // answers it.
                (Side::Service, Next::WhySilent { .. }) => {
                    let _ = self.service.driver.arrive(Arrival::Silent(Silence::Polled));
                }
                (Side::Shown, Next::WhySilent { since }) => return Decided::WhySilent { since },
                (_, Next::Drop(source)) => {
                    self.turn = side.other();
                    return Decided::Drop(source);
                }
                (_, Next::Wait(_)) => {}
            }
            // The turn changes only if something visible happened. How often `next` was called is not visible, and
            // neither is a due fence of the service, which goes to no machine.
            if !self.pending.is_empty() {
                self.turn = side.other();
            }
        }
    }

    fn next_of(&mut self, side: Side, now: Duration) -> Next {
        let live = self.live(side);
        let view = live.view();
        live.driver.next(&view, now)
    }

    fn live(&mut self, side: Side) -> &mut Live {
        match side {
            Side::Service => &mut self.service,
            Side::Shown => &mut self.shown,
        }
    }

    /// Decides which machine gets an input that would otherwise go to the machine of the service.
    fn route(&mut self, tell: Tell) {
        let (shown, service) = match tell.input {
            Input::Report {
                class: FailureClass::Fatal,
                ..
            } => (None, Some(tell)),
            Input::Report { .. } => (Some(tell), None),
            any_command!() => (Some(tell), Some(tell)),
            Input::Fired(Timer::Fence) => (None, None),
            Input::Fired(Timer::Silence) => (None, self.alive().map(assumed)),
            _ => (None, Some(tell)),
        };
        self.pending.extend(shown.map(|tell| (Side::Shown, tell)));
        self.pending
            .extend(service.map(|tell| (Side::Service, tell)));
    }

    /// The observation that the machine of the service gets: its dependency is always alive.
    fn alive(&self) -> Option<Input> {
        let machine = &self.service.machine;
        let (session, round) = (machine.session()?, machine.round());
        Some(Input::Alive { session, round })
    }

    /// The observation for the machine of the service if it waits for one.
    fn reassurance(&self) -> Option<Input> {
        let machine = &self.service.machine;
        let waits = machine.phase() == Phase::Monitoring && !machine.is_armed(Timer::HoldOff);
        self.alive().filter(|_| waits)
    }

    fn step(
        &mut self,
        side: Side,
        mut tell: Tell,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) -> Decided {
        if side == Side::Shown {
            let (service, shown) = (self.service.machine.epoch(), self.shown.machine.epoch());
            tell.input = for_epoch(tell.input, service, shown);
        }
        let (step, changed) = self.live(side).step(tell.input, now, effects);
        if side == Side::Shown {
            for effect in effects.iter() {
                self.answer(effect);
            }
        }
        Decided::Step(Decision {
            told: Some((tell, step)),
            carried: side.carried(),
            changed,
        })
    }

    /// Adds the answers of components that do everything at once.
    fn answer(&mut self, effect: &Effect) {
        let machine = &self.shown.machine;
        let layout = machine.plan().layout();
        let mut answer = |input| self.pending.push_back((Side::Shown, assumed(input)));
        match *effect {
            Effect::StartStage { stage, epoch } => {
                for component in layout.stage(usize::from(stage)).map(ComponentId) {
                    answer(Input::Up { component, epoch });
                }
            }
            Effect::StopStage { stage, epoch } => {
                for component in layout.stage(usize::from(stage)).map(ComponentId) {
                    if machine.component_state(component) == ComponentState::Stopping {
                        answer(Input::Gone {
                            component,
                            epoch,
                            how: Exit::Returned,
                        });
                    }
                }
            }
            _ => {}
        }
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Service => Self::Shown,
            Self::Shown => Self::Service,
        }
    }

    fn carried(self) -> Carried {
        match self {
            Self::Service => Carried::Service,
            Self::Shown => Carried::Sessions,
        }
    }
}

/// Makes a failing observation one that is not fatal.
fn without_end(arrival: Arrival) -> Arrival {
    match arrival {
        Arrival::Observed(observed) => Arrival::Observed(Observed {
            seen: Seen::Failing { fatal: false },
            ..observed
        }),
        other => other,
    }
}

/// Translates the epoch of a report or a renewal from the service to the machine that is shown.
///
/// The two machines count their epochs separately. What is stale for the service stays stale.
fn for_epoch(input: Input, service: u64, shown: u64) -> Input {
    let shown = |epoch| match epoch == service {
        true => shown,
        false => shown.wrapping_sub(1),
    };
    match input {
        // A component that is up in the service may be down in the machine that is shown.
        Input::Report {
            epoch,
            class,
            count,
            ..
        } => Input::Report {
            component: None,
            epoch: shown(epoch),
            class,
            count,
        },
        Input::LeaseRenewed { epoch, remaining } => Input::LeaseRenewed {
            epoch: shown(epoch),
            remaining,
        },
        other => other,
    }
}

fn assumed(input: Input) -> Tell {
    Tell {
        input,
        source: Source::Assumed,
        is_all: true,
    }
}
