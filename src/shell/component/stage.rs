//! One stage in one epoch: what its components share, and where each has what is its own.

use std::future::Future;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::run::Run;
use crate::machine::Cause;
use crate::shell::run_state::RunState;
use crate::shell::sync::CachePadded;

/// How many incarnations are in one block. Fewer take more memory, more stand in each other's way,
/// and a context that is kept keeps the whole block.
pub(crate) const BLOCK: u32 = 32;

/// What all components of a stage share.
pub(crate) struct Stage {
    pub(crate) epoch: u64,
    pub(crate) shared: Arc<RunState>,
    stop: OnceLock<Stop>,
    /// Where the components of each block wait for that.
    waiting: Box<[CachePadded<Notify>]>,
    /// How many of these, from the first on, no component has told. See [`Stage::pass_on`].
    untold: CachePadded<AtomicUsize>,
}

/// Why, and until when.
#[derive(Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) cause: Cause,
    pub(crate) deadline: Instant,
}

/// Some incarnations of a stage, in one piece of memory that counts its owners once.
///
/// With one count for the whole stage all cores would fight for it in a stop; one for each
/// incarnation would be so many more pieces of memory.
pub(crate) struct Block {
    pub(crate) stage: Arc<Stage>,
    /// Which one it is.
    pub(crate) number: usize,
    /// The component of the first of these; the others follow.
    pub(crate) first: u32,
    pub(crate) runs: Box<[Run]>,
}

impl Stage {
    /// One whose components wait in so many blocks.
    pub(crate) fn new(epoch: u64, shared: Arc<RunState>, blocks: usize) -> Self {
        Self {
            epoch,
            shared,
            stop: OnceLock::new(),
            waiting: (0..blocks).map(|_| CachePadded::default()).collect(),
            untold: CachePadded::new(AtomicUsize::new(blocks)),
        }
    }

    /// Tells all components of the stage to stop. The first call counts; later calls change nothing.
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

    /// Completes when the stage is told to stop. `block` is a reference or an `Arc`.
    // No `async fn`, which would keep `block` twice: all components wait here.
    #[allow(clippy::manual_async_fn, reason = "see above")]
    pub(crate) fn stopping(
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
