//! A decider whose driver is watched.

use std::sync::Arc;
use std::time::Duration;

use overwatch::driver::{Arrival, Decided, Decider, Next, Source, View};
use overwatch::machine::{ComponentState, Effect, Input, Machine, Phase, Step};
use overwatch::policy::{ComponentId, Plan};

use super::laws::{Broken, Watch};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Whole {
    decider: Decider,
    watch: Watch,
    /// The component that stopped a service that was ready or starting, with the last step.
    tripped_by: Option<ComponentId>,
}

impl Whole {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let watch = Watch::new(plan.policy().silence_limit());
        let decider = Decider::live(plan);
        let tripped_by = None;
        Self {
            decider,
            watch,
            tripped_by,
        }
    }

    pub(crate) fn machine(&self) -> &Machine {
        self.decider.machine()
    }

    pub(crate) fn has_room(&self, source: Source) -> bool {
        self.decider.has_room(source)
    }

    pub(crate) fn arrive(&mut self, arrival: Arrival) -> Result<bool, Broken> {
        let taken = self.decider.arrive(arrival);
        self.watch.arrived(arrival, taken)?;
        Ok(taken)
    }

    pub(crate) fn next(
        &mut self,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) -> Result<Decided, Broken> {
        let machine = self.decider.machine();
        let asked = self.watch.ending().is_some_and(|ended| {
            let slot = machine.component_state(ended.component);
            ended.epoch == machine.epoch()
                && matches!(
                    slot,
                    ComponentState::Stopping | ComponentState::Aborting | ComponentState::Wedged
                )
        });
        let view = View {
            phase: machine.phase(),
            session: machine.session(),
            asked,
        };
        let decided = self.decider.next(now, effects);
        let tripped_by = self.tripped_by.take();
        let next = match decided {
            // It comes from the decider, right after the failure that reaches the limit, and from no arrival.
            Decided::Step(decision) if matches!(decision.input(), Some(Input::FailedTooOften { component }) if Some(component) == tripped_by) => {
                None
            }
            Decided::Step(decision) => decision.told.map(|(tell, _)| Next::Tell(tell)),
            Decided::Drop(source) => Some(Next::Drop(source)),
            Decided::WhySilent { since } => Some(Next::WhySilent { since }),
            Decided::Wait(until) => Some(Next::Wait(until)),
        };
        if let Some(next) = next {
            self.watch.judge(next, &view, now)?;
        }
        self.watch.carry_out(effects, now);
        if let Decided::Step(decision) = decided {
            let hops = decision.step();
            let mut hops = hops.iter().flat_map(Step::transitions);
            let trip = hops.find(|hop| matches!(hop.from, Phase::Running | Phase::Restarting));
            self.tripped_by = trip.and_then(|hop| hop.cause.component());
        }
        Ok(decided)
    }
}
