//! When the timers of the machine are due.

use core::time::Duration;

use crate::machine::Timer;

/// How long components need to get to run, after a time in which none could run.
const MOMENT: Duration = Duration::from_millis(250);

/// When each timer is due, counted from the start of the run; `None` if it is not armed.
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

    /// Postpones one timer, if it is armed.
    pub(super) fn postpone(&mut self, timer: Timer, by: Duration) {
        if let Some(due) = &mut self.0[timer.index()] {
            *due = due.saturating_add(by);
        }
    }

    /// Postpones the timers that measure how long something was observed, or was not.
    ///
    /// During `late`, nothing could be observed. Components did not run either, so they get a moment more for their
    /// deadline. The fence is not postponed, because the time of the lease went on.
    pub(super) fn excuse(&mut self, late: Duration, now: Duration) {
        for timer in [Timer::Silence, Timer::HoldOff] {
            self.postpone(timer, late);
        }
        if let Some(due) = &mut self.0[Timer::Stage.index()] {
            *due = (*due).max(now.saturating_add(late.min(MOMENT)));
        }
    }

    /// The timer that is due first, and when. If several are due at the same time, it is the first in [`Timer::ALL`].
    pub(super) fn first(&self) -> Option<(Duration, Timer)> {
        let armed = Timer::ALL
            .into_iter()
            .filter_map(|timer| Some((self.get(timer)?, timer)));
        armed.min()
    }
}
