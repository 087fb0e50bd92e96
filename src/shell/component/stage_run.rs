//! What the supervisor has of a stage.

use std::ops::{Deref, Range};
use std::sync::Arc;

use tokio::runtime;

use super::incarnation::Incarnation;
use super::main_task::Begin;
use super::run::Run;
use super::stage::{BLOCK, Block, Stage};
use super::starter::{Starter, Tasks};
use crate::policy::ComponentId;
use crate::shell::run_state::RunState;

/// What the supervisor has of a stage.
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

    /// The run of a component that belongs to the stage.
    pub(crate) fn of(&self, component: ComponentId) -> &Run {
        self.tasks.run(self.place_of(component))
    }

    /// The same, to be shared with the component.
    pub(crate) fn incarnation(&self, component: ComponentId) -> Incarnation {
        self.tasks.incarnation(self.place_of(component))
    }

    /// What begins the main tasks of all its components, which are among these.
    pub(crate) fn starter(
        &self,
        components: &Arc<[Arc<dyn Begin>]>,
        runtime: &runtime::Handle,
    ) -> Starter {
        // Also of who has still to wait for its turn: it may come at any moment.
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

    /// Nothing is left of a component.
    pub(crate) fn gone(&self, component: ComponentId) {
        self.tasks.gone(self.place_of(component));
    }

    /// Aborts the main task of a component, if that is still there, and its sub-tasks; no new ones
    /// begin.
    pub(crate) fn abort(&self, component: ComponentId) {
        self.tasks.abort(self.place_of(component));
        self.incarnation(component).abort_sub_tasks();
    }

    /// Aborts whatever is not gone.
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
