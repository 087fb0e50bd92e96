//! When the machine's timers are due.

use core::time::Duration;

use crate::machine::Timer;

/// What components need to have their turn, after none had one.
const MOMENT: Duration = Duration::from_millis(250);

/// One slot for each timer, in time since the begin of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Timers([Option<Duration>; 6]);

impl Timers {
    pub(super) fn arm(&mut self, timer: Timer, due: Duration) {
        self.0[timer.index()] = Some(due);
    }

    pub(super) fn disarm(&mut self, timer: Timer) {
        self.0[timer.index()] = None;
    }

    /// When a timer is due, if it is armed.
    pub(super) fn get(&self, timer: Timer) -> Option<Duration> {
        self.0[timer.index()]
    }

    /// Puts off one timer, if it is armed.
    pub(super) fn postpone(&mut self, timer: Timer, by: Duration) {
        if let Some(due) = &mut self.0[timer.index()] {
            *due = due.saturating_add(by);
        }
    }

    /// Puts off what measures for how long something was seen, or was not: nobody looked for so long.
    /// Components, which did not run either, have a moment more for their deadline. The fence goes on,
    /// since the world outside went on.
    pub(super) fn excuse(&mut self, late: Duration, now: Duration) {
        for timer in [Timer::Silence, Timer::HoldOff] {
            self.postpone(timer, late);
        }
        if let Some(due) = &mut self.0[Timer::Stage.index()] {
            *due = (*due).max(now.saturating_add(late.min(MOMENT)));
        }
    }

    /// The timer that is due first, and when; of several at one moment the first in
    /// [`Timer::ALL`].
    pub(super) fn first(&self) -> Option<(Duration, Timer)> {
        let armed = Timer::ALL
            .into_iter()
            .filter_map(|timer| Some((self.get(timer)?, timer)));
        armed.min()
    }
}
