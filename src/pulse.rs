//! Whether a runtime polls the tasks that it is given: what is asked when, and what it means.
//!
//! All times are since the begin of the watch.

use core::time::Duration;

use crate::driver::Silence;

/// How often it is looked within the silence limit: seldom enough that whoever is woken by an observation a
/// second need not be woken for it; but where the limit is too short for that, often.
const FEW_LOOKS: u32 = 4;
const MANY_LOOKS: u32 = 8;
const SELDOM: Duration = Duration::from_millis(1_100);
/// How long at most between two looks.
const LONGEST: Duration = Duration::from_secs(2);
/// A control thread that is this late did not run: its process or its machine was stopped, or far too busy
/// to give it a core.
const LATE: Duration = Duration::from_millis(250);
/// A probe's silence is explained by this part of the limit in which nothing was polled.
const EXPLAINS: u32 = 4;
/// A task that waited for less than this says nothing.
const LEAST_BUSY: Duration = Duration::from_millis(100);

/// What the workers of a runtime say of themselves, added up. tokio publishes it when a worker parks,
/// and every 61 polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metrics {
    pub(crate) parks: u64,
    pub(crate) busy: Duration,
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// A task is to be spawned.
    pub(crate) asks: bool,
    /// How long the last one waited, or waits.
    pub(crate) delay: Option<Duration>,
    pub(crate) is_frozen: bool,
    /// It is frozen, and that is to be told: when it is seen, and once in each silence limit after that.
    pub(crate) froze: bool,
    /// It polls again.
    pub(crate) has_thawed: bool,
    /// It is busy since now: how long the task waits or waited.
    pub(crate) busy_since_now: Option<Duration>,
}

/// Decides what is asked when, and what it means.
pub(crate) struct Pulse {
    limit: Duration,
    every: Duration,
    looked_at: Duration,
    pub(crate) look_at: Duration,
    seen: Metrics,
    /// When the metrics last moved.
    moved_at: Duration,
    /// Since when a task waits.
    asked_at: Option<Duration>,
    /// When it was last told that it is frozen, as long as it is.
    told_at: Option<Duration>,
    /// When a task was answered that had waited for so long that a probe's silence is no wonder, and for
    /// how long it had.
    thawed: Option<(Duration, Duration)>,
    /// The last of these answers that a probe was given time for.
    made_good: Option<Duration>,
    is_busy: bool,
}

impl Pulse {
    pub(crate) fn is_frozen(&self) -> bool {
        self.told_at.is_some()
    }

    pub(crate) fn new(limit: Duration, now: Duration, seen: Metrics) -> Self {
        let looks = if limit / FEW_LOOKS >= SELDOM {
            FEW_LOOKS
        } else {
            MANY_LOOKS
        };
        let every = (limit / looks).min(LONGEST);
        Self {
            limit,
            every,
            looked_at: now,
            look_at: now + every,
            seen,
            moved_at: now,
            asked_at: None,
            told_at: None,
            thawed: None,
            made_good: None,
            is_busy: false,
        }
    }

    /// A thread that is awake anyway looks a little sooner, so that it need not be woken for it.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        now >= self.looked_at + self.every / 2
    }

    pub(crate) fn take_lateness(
        &mut self,
        asleep_since: Duration,
        now: Duration,
    ) -> Option<Duration> {
        // What it did before it went to sleep may have taken long.
        let late = now.saturating_sub(self.look_at.max(asleep_since));
        if late < LATE {
            return None;
        }
        self.looked_at += late;
        self.look_at += late;
        self.moved_at += late;
        for at in [&mut self.asked_at, &mut self.told_at]
            .into_iter()
            .flatten()
        {
            *at += late;
        }
        if let Some((thawed_at, _)) = &mut self.thawed {
            *thawed_at += late;
        }
        Some(late)
    }

    /// For how long a task has been waiting while no worker did anything.
    fn stuck_for(
        &mut self,
        now: Duration,
        seen: Metrics,
        answered_at: Option<Duration>,
    ) -> Option<Duration> {
        let before = self.moved_at;
        if seen != self.seen {
            self.moved_at = now;
        }
        let asked_at = self.asked_at?;
        if let Some(answered_at) = answered_at {
            let stuck_for = answered_at.saturating_sub(asked_at.max(before));
            if stuck_for >= self.limit / EXPLAINS && self.made_good != Some(answered_at) {
                self.thawed = Some((answered_at, stuck_for));
            }
            return None;
        }
        Some(now.saturating_sub(asked_at.max(self.moved_at)))
    }

    pub(crate) fn look(
        &mut self,
        now: Duration,
        seen: Metrics,
        answered_at: Option<Duration>,
    ) -> Look {
        let stuck_for = self.stuck_for(now, seen, answered_at);
        let has_moved = seen != self.seen;
        let has_parked = seen.parks != self.seen.parks;
        self.seen = seen;
        self.looked_at = now;
        self.look_at = now + self.every;
        let mut look = Look::default();
        if let Some(asked_at) = self.asked_at {
            let until = answered_at.unwrap_or(now);
            let delay = until.saturating_sub(asked_at);
            look.delay = Some(delay);
            let is_busy = delay >= LEAST_BUSY.max(self.limit / 10);
            look.busy_since_now = (is_busy && !self.is_busy).then_some(delay);
            if is_busy || answered_at.is_some() {
                self.is_busy = is_busy;
            }
            if answered_at.is_some() {
                self.asked_at = None;
            }
            if answered_at.is_some() || has_moved {
                look.has_thawed = self.told_at.take().is_some();
            }
        } else if has_parked {
            // A worker had nothing to poll.
            self.is_busy = false;
            look.delay = Some(Duration::ZERO);
        }
        if let Some(stuck_for) = stuck_for
            && stuck_for >= self.limit
            && self
                .told_at
                .is_none_or(|told_at| now >= told_at + self.limit)
        {
            self.told_at = Some(now);
            look.froze = true;
        }
        look.is_frozen = self.told_at.is_some();
        if self.asked_at.is_none() && !has_parked {
            self.asked_at = Some(now);
            look.asks = true;
        }
        look
    }

    /// Why a probe is silent that was last heard then. That it is polled again after it was not is told
    /// once: the dependency has as much time to give a sign of life as it would have had.
    pub(crate) fn why_silent(
        &mut self,
        heard_at: Duration,
        now: Duration,
        seen: Metrics,
        answered_at: Option<Duration>,
    ) -> Silence {
        let stuck_for = self.stuck_for(now, seen, answered_at);
        if stuck_for.is_some_and(|stuck_for| stuck_for >= self.limit / EXPLAINS) {
            self.told_at = Some(now);
            return Silence::Frozen;
        }
        match self.thawed.take() {
            Some((thawed_at, stuck_for)) if thawed_at > heard_at => {
                self.made_good = Some(thawed_at);
                Silence::Thawed(stuck_for)
            }
            _ => Silence::Polled,
        }
    }
}

#[cfg(test)]
mod tests;
