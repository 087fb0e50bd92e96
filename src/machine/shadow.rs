//! What the machine would do, without doing it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Effect, How, Input, Machine, Slot, Step};
use crate::policy::{ComponentId, Plan};

/// A machine whose components answer at once and whose effects on them are not carried out: it
/// shows what would happen to a service that is only being observed.
///
/// Feed it the observations, the reports, the renewals of the lease, the operator's commands, the
/// freezes of the runtime, and its own timers. Reports and renewals are taken for its own epoch, since
/// it counts epochs apart from the service that really runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shadow {
    machine: Machine,
}

impl Shadow {
    /// A shadow at boot. Appends the first effects.
    pub fn new(plan: impl Into<Arc<Plan>>, effects: &mut Vec<Effect>) -> Self {
        Self {
            machine: Machine::new(plan, effects),
        }
    }

    /// Takes in one input, answers for the components at once, and calls `each` for every step with
    /// its input and effects, in order.
    ///
    /// The caller carries out what concerns the session and the timers, logs the rest, and carries
    /// out nothing else.
    pub fn handle(&mut self, input: Input, mut each: impl FnMut(&Machine, Input, Step, &[Effect])) {
        let mut inputs = VecDeque::from([self.for_this_epoch(input)]);
        let mut effects = Vec::new();
        while let Some(input) = inputs.pop_front() {
            effects.clear();
            let step = self.machine.handle(input, &mut effects);
            for effect in &effects {
                self.answer(effect, &mut inputs);
            }
            each(&self.machine, input, step, &effects);
        }
    }

    /// What components that do everything at once would answer.
    fn answer(&self, effect: &Effect, inputs: &mut VecDeque<Input>) {
        let layout = self.machine.plan().layout();
        let components = |stage: u16| layout.stage(usize::from(stage)).map(ComponentId);
        match *effect {
            Effect::StartStage { stage, epoch } => {
                inputs.extend(components(stage).map(|component| Input::Up { component, epoch }))
            }
            Effect::StopStage { stage, epoch } => {
                let stopping = |id: &ComponentId| self.machine.slot(*id) == Slot::Stopping;
                let gone = |component| Input::Gone {
                    component,
                    epoch,
                    how: How::Returned,
                };
                inputs.extend(components(stage).filter(stopping).map(gone));
            }
            _ => {}
        }
    }

    /// The machine behind it.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    fn for_this_epoch(&self, input: Input) -> Input {
        match input {
            // A component that is down here may well be up in the service that really runs.
            Input::Report { class, count, .. } => Input::Report {
                component: None,
                epoch: self.machine.epoch(),
                class,
                count,
            },
            Input::LeaseRenewed { remaining, .. } => Input::LeaseRenewed {
                epoch: self.machine.epoch(),
                remaining,
            },
            other => other,
        }
    }
}
