//! Logs the components that do not stop in time: one event for each step of a stage, however many they are.

use tokio::time::Instant;

use crate::machine::{ComponentState, Effect};
use crate::policy::ComponentId;
use crate::shell::log::Log;
use crate::shell::publish::trace::{self, Overran, Overrun};
use crate::shell::publish::{Few, Roster};

/// The stage that is being stopped.
#[derive(Default)]
pub(crate) struct StopLog {
    stopping: Option<Stopping>,
}

struct Stopping {
    stage: u16,
    epoch: u64,
    asked: Instant,
    aborted: Vec<ComponentId>,
}

impl StopLog {
    /// Follows the effects of a step, after they were carried out.
    pub(crate) fn follow(&mut self, effects: &[Effect], log: &Log, roster: &Roster) {
        let aborts = effects.iter().filter_map(|effect| match *effect {
            Effect::Abort { component, .. } => Some(component),
            _ => None,
        });
        if let Some(stopping) = &mut self.stopping {
            let before = stopping.aborted.len();
            stopping.aborted.extend(aborts);
            if stopping.aborted.len() > before {
                let late = Few::of(stopping.aborted.iter().copied());
                stopping.log(late, Overran::Aborted, log, roster);
            }
        }
        for effect in effects {
            if let Effect::StopStage { stage, epoch } = *effect {
                self.end(log, roster);
                self.stopping = Some(Stopping {
                    stage,
                    epoch,
                    asked: Instant::now(),
                    aborted: Vec::new(),
                });
            }
        }
    }

    /// Notes that the stage is stopped: the components that were aborted are gone, or they are wedged.
    pub(crate) fn end(&mut self, log: &Log, roster: &Roster) {
        let Some(stopping) = self.stopping.take() else {
            return;
        };
        for (how, is_it) in [(Overran::Gone, false), (Overran::Wedged, true)] {
            let aborted = stopping.aborted.iter().copied();
            let wedged = |&id: &ComponentId| roster.component_state(id) == ComponentState::Wedged;
            let some = Few::of(aborted.filter(|id| wedged(id) == is_it));
            if some.count() > 0 {
                stopping.log(some, how, log, roster);
            }
        }
    }
}

impl Stopping {
    fn log(&self, some: Few, how: Overran, log: &Log, roster: &Roster) {
        let overrun = Overrun {
            components: some.names(roster),
            count: some.count(),
            stage: self.stage,
            took: self.asked.elapsed(),
            epoch: self.epoch,
            how,
        };
        trace::overrun(log, overrun);
    }
}
