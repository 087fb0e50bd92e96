//! The machine's timers on tokio's clock.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::machine::Timer;

/// One slot per timer.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; 6]);

impl Timers {
    pub(super) fn arm(&mut self, timer: Timer, after: Duration) -> Instant {
        let due = Instant::now() + after;
        self.0[timer.index()] = Some(due);
        due
    }

    pub(super) fn disarm(&mut self, timer: Timer) {
        self.0[timer.index()] = None;
    }

    /// The timer that is due first, and when.
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        let armed = Timer::ALL
            .into_iter()
            .filter_map(|timer| Some((self.0[timer.index()]?, timer)));
        armed.min()
    }

    /// The timer that is due by now, if one is; of several, the one that was due first.
    pub(super) fn due(&self) -> Option<(Instant, Timer)> {
        self.next().filter(|&(due, _)| due <= Instant::now())
    }

    /// Waits until some timer is due; for ever if none is armed.
    pub(super) async fn wait(&self) {
        match self.next() {
            Some((due, _)) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}
