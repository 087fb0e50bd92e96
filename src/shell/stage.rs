//! One stage in one epoch: what its components share, and where each has what is its own.

use std::future::Future;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::component::Begin;
use super::incarnation::{Incarnation, Run};
use super::shared::{Apart, Shared};
use super::tasks::{Starter, Tasks};
use crate::machine::Cause;
use crate::policy::ComponentId;

/// How many incarnations are in one block. Fewer take more memory, more stand in each other's way,
/// and a context that is kept keeps the whole block.
pub(super) const BLOCK: u32 = 32;

/// What all components of a stage share.
pub(crate) struct Stage {
    pub(super) epoch: u64,
    pub(super) shared: Arc<Shared>,
    stop: OnceLock<Stop>,
    /// Where the components of each block wait for that.
    waiting: Box<[Apart<Notify>]>,
    /// How many of these, from the first on, no component has told. See [`Stage::pass_on`].
    untold: Apart<AtomicUsize>,
}

/// Why, and until when.
#[derive(Clone, Copy)]
pub(super) struct Stop {
    pub(super) cause: Cause,
    pub(super) deadline: Instant,
}

/// Some incarnations of a stage, in one piece of memory that counts its owners once.
///
/// With one count for the whole stage all cores would fight for it in a stop; one for each
/// incarnation would be so many more pieces of memory.
pub(super) struct Block {
    pub(super) stage: Arc<Stage>,
    /// Which one it is.
    number: usize,
    /// The component of the first of these; the others follow.
    pub(super) first: u32,
    pub(super) runs: Box<[Run]>,
}

/// What the supervisor has of a stage.
pub(crate) struct StageRun {
    stage: Arc<Stage>,
    components: Range<u32>,
    tasks: Arc<Tasks>,
}

impl StageRun {
    pub(crate) fn new(epoch: u64, components: Range<u32>, shared: Arc<Shared>) -> Self {
        let firsts = components.clone().step_by(BLOCK as usize);
        let stage = Arc::new(Stage {
            epoch,
            shared,
            stop: OnceLock::new(),
            waiting: firsts.clone().map(|_| Apart::default()).collect(),
            untold: Apart::new(AtomicUsize::new(firsts.len())),
        });
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
    pub(super) fn of(&self, component: ComponentId) -> &Run {
        self.tasks.run(self.place_of(component))
    }

    /// The same, to be shared with the component.
    pub(crate) fn incarnation(&self, component: ComponentId) -> Incarnation {
        self.tasks.incarnation(self.place_of(component))
    }

    /// What begins the main tasks of all its components, which are among these.
    pub(super) fn starter(
        &self,
        components: &Arc<[Arc<dyn Begin>]>,
        runtime: &runtime::Handle,
    ) -> Starter {
        // Also of who has still to wait for its turn: it may come at any moment.
        for id in self.components.clone() {
            self.shared.set_alive(ComponentId(id), true);
        }
        Starter::new(
            Arc::clone(&self.tasks),
            Arc::clone(components),
            runtime.clone(),
        )
    }

    /// Nothing is left of a component.
    pub(super) fn gone(&self, component: ComponentId) {
        self.tasks.gone(self.place_of(component));
    }

    /// Aborts the main task of a component, if that is still there, and its sub-tasks; no new ones
    /// begin.
    pub(super) fn abort(&self, component: ComponentId) {
        self.tasks.abort(self.place_of(component));
        self.incarnation(component).abort_sub_tasks();
    }

    /// Aborts whatever is not gone.
    pub(super) fn abort_all(&self) {
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

impl Stage {
    /// Tells all components of the stage to stop. Told once; later calls change nothing.
    pub(crate) fn stop(&self, cause: Cause, within: Duration) {
        if self.stop.get().is_none() {
            let deadline = Instant::now() + within;
            let _ = self.stop.set(Stop { cause, deadline });
            for block in &self.waiting {
                block.notify_waiters();
            }
        }
    }

    /// A component that was told tells one more block, from the last on. Nobody depends on that, but
    /// a worker wakes tasks with less ado than the supervisor can from outside of the workers.
    fn pass_on(&self) {
        if self.untold.load(Ordering::Relaxed) > 0
            && let Ok(untold) =
                self.untold
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |untold| {
                        untold.checked_sub(1)
                    })
        {
            self.waiting[untold - 1].notify_waiters();
        }
    }

    pub(super) fn told(&self) -> Option<Stop> {
        self.stop.get().copied()
    }
}

impl Block {
    /// The components of the block, counted from the first of the stage.
    pub(super) fn places(&self) -> Range<u32> {
        let first = self.number as u32 * BLOCK;
        first..first + self.runs.len() as u32
    }

    /// Completes when the stage is told to stop. `block` is a reference or an `Arc`.
    // No `async fn`, which would keep `block` twice: all components wait here.
    #[allow(clippy::manual_async_fn, reason = "see above")]
    pub(super) fn stopping(
        block: impl Deref<Target = Self> + Send,
    ) -> impl Future<Output = ()> + Send {
        async move {
            // Asked for before the look, so that a stop in between is not missed.
            let told = block.stage.waiting[block.number].notified();
            if block.stage.stop.get().is_none() {
                told.await;
                block.stage.pass_on();
            }
        }
    }
}
