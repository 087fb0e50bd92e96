//! One stage in one epoch, as the supervisor sees it.

use std::ops::{Deref, Range};
use std::sync::Arc;

use tokio::runtime;

use super::incarnation::Incarnation;
use super::main_task::Begin;
use super::run::{Left, Run};
use super::stage::{BLOCK, Block, Stage};
use super::starter::{Starter, Tasks};
use crate::policy::ComponentId;
use crate::shell::run_state::RunState;

/// One stage in one epoch, as the supervisor sees it.
pub(crate) struct StageRun {
    stage: Arc<Stage>,
    components: Range<u32>,
    tasks: Arc<Tasks>,
}

impl StageRun {
    pub(crate) fn new(epoch: u64, components: Range<u32>, shared: Arc<RunState>) -> Self {
        let firsts = components.clone().step_by(BLOCK as usize);
        let stage = Arc::new(Stage::new(epoch, shared, firsts.len()));
        let block = |(number, first): (usize, u32)| {
            let count = (components.end - first).min(BLOCK);
            Arc::new(Block {
                stage: Arc::clone(&stage),
                number,
                first,
                runs: (0..count).map(|_| Run::new()).collect(),
            })
        };
        let blocks = firsts.enumerate().map(block).collect();
        Self {
            tasks: Arc::new(Tasks::new(blocks)),
            components,
            stage,
        }
    }

    fn place_of(&self, component: ComponentId) -> u32 {
        component.0 - self.components.start
    }

    /// The run of a component of this stage.
    pub(crate) fn of(&self, component: ComponentId) -> &Run {
        self.tasks.run(self.place_of(component))
    }

    /// What keeps a component of this stage from being gone.
    pub(crate) fn left(&self, component: ComponentId) -> Left {
        self.of(component).left()
    }

    /// The incarnation of a component of this stage.
    pub(crate) fn incarnation(&self, component: ComponentId) -> Incarnation {
        self.tasks.incarnation(self.place_of(component))
    }

    /// The starter of all main tasks of this stage. `components` are all components of the service.
    pub(crate) fn starter(
        &self,
        components: &Arc<[Arc<dyn Begin>]>,
        runtime: &runtime::Handle,
    ) -> Starter {
        // Also for components that wait for their turn, because they may begin at any moment.
        for id in self.components.clone() {
            self.shared
                .published
                .roster
                .set_alive(ComponentId(id), true);
        }
        Starter::new(
            Arc::clone(&self.tasks),
            Arc::clone(components),
            runtime.clone(),
        )
    }

    /// Notes that nothing is left of a component.
    pub(crate) fn gone(&self, component: ComponentId) {
        self.tasks.gone(self.place_of(component));
    }

    /// Aborts the main task of a component, if it still exists, and its sub-tasks. No new ones begin.
    pub(crate) fn abort(&self, component: ComponentId) {
        self.tasks.abort(self.place_of(component));
        self.incarnation(component).abort_sub_tasks();
    }

    /// Aborts all components that are not gone.
    pub(crate) fn abort_all(&self) {
        for component in self.components.clone().map(ComponentId) {
            if !self.incarnation(component).is_gone() {
                self.abort(component);
            }
        }
    }
}

impl Deref for StageRun {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}
