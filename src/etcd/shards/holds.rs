//! Counts what keeps a job from being over: its sub-tasks, and what users hold.

use std::pin::pin;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::shell::sync::lock;

/// The holds of one job.
#[derive(Default)]
pub(crate) struct Holds {
    held: Mutex<Held>,
    released: Notify,
}

#[derive(Default)]
struct Held {
    count: usize,
    /// No further one is granted.
    closed: bool,
}

impl Holds {
    /// One more hold. Returns `false` if no further one is granted.
    pub(crate) fn take(&self) -> bool {
        let mut held = lock(&self.held);
        if !held.closed {
            held.count += 1;
        }
        !held.closed
    }

    /// Releases one hold.
    pub(crate) fn release(&self) {
        lock(&self.held).count -= 1;
        self.released.notify_waiters();
    }

    /// Grants no further hold.
    pub(crate) fn close(&self) {
        lock(&self.held).closed = true;
    }

    /// Waits until there is none. From then on no further one is granted.
    pub(crate) async fn all_released(&self) {
        loop {
            let mut released = pin!(self.released.notified());
            // Before the count is read, so that no release is missed.
            released.as_mut().enable();
            let closed = {
                let mut held = lock(&self.held);
                held.closed |= held.count == 0;
                held.closed && held.count == 0
            };
            match closed {
                true => return,
                false => released.await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_over_when_the_last_one_is_released_and_then_there_are_no_more() {
        let holds = Holds::default();
        assert!(holds.take() && holds.take());
        let mut over = pin!(holds.all_released());
        let releasing = async {
            tokio::task::yield_now().await;
            holds.release();
            tokio::task::yield_now().await;
            assert!(holds.take(), "a sub-task may spawn another one");
            holds.release();
            holds.release();
        };
        tokio::join!(over.as_mut(), releasing);
        assert!(!holds.take());
        holds.all_released().await;
    }

    #[tokio::test]
    async fn when_it_is_closed_what_is_held_is_still_waited_for() {
        let holds = Holds::default();
        assert!(holds.take());
        holds.close();
        assert!(!holds.take());
        let mut over = pin!(holds.all_released());
        tokio::select! {
            biased;
            () = over.as_mut() => panic!("there is one"),
            () = tokio::task::yield_now() => holds.release(),
        }
        over.await;
    }
}
