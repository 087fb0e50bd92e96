//! The machine's timers on tokio's clock.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::machine::Timer;

/// What components need to have their turn, after none had one.
const MOMENT: Duration = Duration::from_millis(250);

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

    /// Puts off what measures for how long something was seen, or was not: nobody looked for so long.
    /// Components, which did not run either, have a moment more for their deadline. The fence goes on,
    /// since the world outside went on.
    pub(super) fn excuse(&mut self, late: Duration, now: Instant) {
        for timer in [Timer::Silence, Timer::HoldOff] {
            self.postpone(timer, late);
        }
        if let Some(due) = &mut self.0[Timer::Stage.index()] {
            *due = (*due).max(now + late.min(MOMENT));
        }
    }

    /// Puts off one timer, if it is armed.
    pub(super) fn postpone(&mut self, timer: Timer, by: Duration) {
        if let Some(due) = &mut self.0[timer.index()] {
            *due += by;
        }
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
