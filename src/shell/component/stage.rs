//! One stage in one epoch: the state that its components share, and the runs of the components.

use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::run::Run;
use crate::machine::Cause;
use crate::shell::run_state::RunState;

/// How many incarnations are in one block. Smaller blocks take more memory, larger ones have more contention,
/// and a kept context keeps the whole block.
pub(crate) const BLOCK: u32 = 32;

/// The state that all components of a stage share.
pub(crate) struct Stage {
    pub(crate) epoch: u64,
    pub(crate) shared: Arc<RunState>,
    stop: OnceLock<Stop>,
    /// Where the components of each block wait for the stop.
    waiting: Box<[Notify]>,
    /// How many of these, from the first on, no component has woken. See [`Stage::pass_on`].
    untold: AtomicUsize,
}

/// The cause and the deadline of a stop.
#[derive(Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) cause: Cause,
    pub(crate) deadline: Instant,
}

/// Some incarnations of a stage, in one allocation with one reference count.
///
/// One count for the whole stage would be contended by all cores in a stop; one for each incarnation would be many
/// more allocations.
pub(crate) struct Block {
    pub(crate) stage: Arc<Stage>,
    /// The number of the block.
    pub(crate) number: usize,
    /// The component of the first run; the others follow.
    pub(crate) first: u32,
    pub(crate) runs: Box<[Run]>,
}

impl Stage {
    /// A stage with this number of blocks.
    pub(crate) fn new(epoch: u64, shared: Arc<RunState>, blocks: usize) -> Self {
        Self {
            epoch,
            shared,
            stop: OnceLock::new(),
            waiting: (0..blocks).map(|_| Notify::new()).collect(),
            untold: AtomicUsize::new(blocks),
        }
    }

    /// Asks all components of the stage to stop. The first call counts; later calls change nothing.
    pub(crate) fn stop(&self, cause: Cause, within: Duration) {
        if self.stop.get().is_none() {
            let deadline = Instant::now() + within;
            let _ = self.stop.set(Stop { cause, deadline });
            for block in &self.waiting {
                block.notify_waiters();
            }
        }
    }

    /// Wakes one more block, from the last on; called by each component that sees the stop.
    ///
    /// This is only an optimization: a worker wakes tasks at less cost than the supervisor, which is outside of the
    /// workers.
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

    pub(crate) fn told(&self) -> Option<Stop> {
        self.stop.get().copied()
    }
}

impl Block {
    /// The components of the block, counted from the first of the stage.
    pub(crate) fn places(&self) -> Range<u32> {
        let first = self.number as u32 * BLOCK;
        first..first + self.runs.len() as u32
    }

    /// Completes when the stage is asked to stop. `block` is a reference or an `Arc`.
    pub(crate) async fn stopping(block: impl Deref<Target = Self> + Send) {
        // Requested before the check, so that a stop in between is not missed.
        let told = block.stage.waiting[block.number].notified();
        if block.stage.stop.get().is_none() {
            told.await;
            block.stage.pass_on();
        }
    }
}
