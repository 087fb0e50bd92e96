//! Questions that a test holds up, one by one: before they are carried out, or before they are answered.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use etcd_client::proto::*;
use tokio::sync::Notify;

use crate::lock;

/// A question that has arrived at a member.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "only the directed tests look into it")
)]
pub(crate) enum Question<'a> {
    Grant,
    /// To keep a lease alive.
    Renewal,
    Read(&'a PbRangeRequest),
    Transaction(&'a PbTxnRequest),
}

/// On which side of its being carried out a question is held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "only the directed tests look into it")
)]
pub(crate) enum Side {
    Before,
    After,
}

/// All that is held up in a cluster.
#[derive(Default)]
pub(super) struct Gate(Mutex<Vec<Arc<State>>>);

/// What is held up, until it is let go or this is dropped.
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "only the directed tests look into it")
)]
pub(crate) struct Hold(Arc<State>);

struct State {
    side: Side,
    which: Box<dyn Fn(Question<'_>) -> bool + Send + Sync>,
    /// How many more are held up.
    left: AtomicUsize,
    /// How many came.
    came: AtomicUsize,
    is_open: AtomicBool,
    opened: Notify,
}

impl Gate {
    /// Holds up the next questions of this kind, so many of them.
    #[cfg(test)]
    pub(super) fn hold(
        &self,
        side: Side,
        count: usize,
        which: impl Fn(Question<'_>) -> bool + Send + Sync + 'static,
    ) -> Hold {
        let state = Arc::new(State {
            side,
            which: Box::new(which),
            left: AtomicUsize::new(count),
            came: AtomicUsize::new(0),
            is_open: AtomicBool::new(false),
            opened: Notify::new(),
        });
        lock(&self.0).push(Arc::clone(&state));
        Hold(state)
    }

    /// Waits as long as the question is held up on this side.
    pub(super) async fn pass(&self, side: Side, question: Question<'_>) {
        let holds = {
            let mut holds = lock(&self.0);
            holds.retain(|state| !state.is_open.load(Ordering::Relaxed));
            holds.clone()
        };
        for state in holds {
            if state.side == side && (state.which)(question) {
                state.pass().await;
            }
        }
    }
}

impl State {
    async fn pass(&self) {
        self.came.fetch_add(1, Ordering::Relaxed);
        let mut opened = pin!(self.opened.notified());
        opened.as_mut().enable();
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 && !self.is_open.load(Ordering::Relaxed) {
            self.left.store(left - 1, Ordering::Relaxed);
            opened.await;
        }
    }
}

#[cfg(test)]
impl Hold {
    /// How many such questions came, held up or not.
    pub(crate) fn came(&self) -> usize {
        self.0.came.load(Ordering::Relaxed)
    }

    /// What is held up goes on, and nothing more is.
    pub(crate) fn let_go(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.is_open.store(true, Ordering::Relaxed);
        self.0.opened.notify_waiters();
    }
}
