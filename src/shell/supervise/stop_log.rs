//! Logs the components that do not stop in time: one event for each step of a stage, however many they are.

use tokio::time::Instant;

use crate::machine::Effect;
use crate::policy::ComponentId;
use crate::shell::component::Left;
use crate::shell::log::Log;
use crate::shell::publish::trace::{self, Overran, Overrun};
use crate::shell::publish::{Few, NAMES_LISTED, Roster};

/// Components that did not stop in time, in order, and what kept each of them.
#[derive(Default)]
pub(crate) struct Overruns {
    /// What kept them just before they were aborted.
    pub(crate) aborted: Vec<(ComponentId, Left)>,
    pub(crate) wedged: Vec<(ComponentId, Left)>,
}

/// The stage that is being stopped.
#[derive(Default)]
pub(crate) struct StopLog {
    stopping: Option<Stopping>,
}

struct Stopping {
    stage: u16,
    epoch: u64,
    asked: Instant,
    overruns: Overruns,
}

impl StopLog {
    /// Follows a step, after its effects were carried out.
    pub(crate) fn follow(
        &mut self,
        effects: &[Effect],
        overruns: Overruns,
        log: &Log,
        roster: &Roster,
    ) {
        if let Some(stopping) = &mut self.stopping {
            let Overruns { aborted, wedged } = overruns;
            stopping.overruns.wedged.extend(wedged);
            if !aborted.is_empty() {
                stopping.overruns.aborted.extend(aborted);
                stopping.log(&stopping.overruns.aborted, Overran::Aborted, log, roster);
            }
        }
        for effect in effects {
            if let Effect::StopStage { stage, epoch } = *effect {
                self.end(log, roster);
                self.stopping = Some(Stopping {
                    stage,
                    epoch,
                    asked: Instant::now(),
                    overruns: Overruns::default(),
                });
            }
        }
    }

    /// Notes that the stage is stopped: the components that were aborted are gone, or they are wedged.
    pub(crate) fn end(&mut self, log: &Log, roster: &Roster) {
        let Some(stopping) = self.stopping.take() else {
            return;
        };
        let Overruns { aborted, wedged } = &stopping.overruns;
        let is_wedged = |id| wedged.binary_search_by_key(&id, |&(id, _)| id).is_ok();
        let gone = aborted.iter().copied().filter(|&(id, _)| !is_wedged(id));
        let gone: Vec<_> = gone.collect();
        stopping.log(&gone, Overran::Gone, log, roster);
        stopping.log(wedged, Overran::Wedged, log, roster);
    }
}

impl Stopping {
    fn log(&self, some: &[(ComponentId, Left)], how: Overran, log: &Log, roster: &Roster) {
        if some.is_empty() {
            return;
        }
        let few = Few::of(some.iter().map(|&(id, _)| id));
        let overrun = Overrun {
            components: few.names(roster),
            count: few.count(),
            left: (how != Overran::Gone).then(|| left(some, roster)),
            stage: self.stage,
            took: self.asked.elapsed(),
            epoch: self.epoch,
            how,
        };
        trace::overrun(log, overrun);
    }
}

/// What keeps the first few of these components, in words.
fn left(some: &[(ComponentId, Left)], roster: &Roster) -> String {
    let first = some.iter().take(NAMES_LISTED);
    let each = first.map(|&(id, left)| format!("{}: {}", roster.name(id), kept_by(left)));
    each.collect::<Vec<_>>().join("; ")
}

fn kept_by(Left { main_task, others }: Left) -> String {
    let others = match others {
        0 => None,
        1 => Some("1 sub-task or hold".to_owned()),
        others => Some(format!("{others} sub-tasks or holds")),
    };
    match (main_task, others) {
        (true, Some(others)) => format!("its main task and {others}"),
        (true, None) => "its main task".to_owned(),
        (false, Some(others)) => others,
        // It was gone in the meantime.
        (false, None) => "nothing any more".to_owned(),
    }
}
