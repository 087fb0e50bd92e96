//! Decides whether a runtime still polls its tasks: when to spawn a test task, and what its answer means.
//!
//! All times are counted from the start of the watch.

use core::time::Duration;

use crate::driver::Silence;

/// How many looks there are per silence limit. They are few, so that a thread which an observation wakes every second
/// need not be woken for a look; but they are many if the limit is too short for that.
const FEW_LOOKS: u32 = 4;
const MANY_LOOKS: u32 = 8;
const SELDOM: Duration = Duration::from_millis(1_100);
/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(2);
/// A control thread that is this late did not run: its process or its computer was stopped, or was far too busy to
/// give it a core.
const LATE: Duration = Duration::from_millis(250);
/// If nothing was polled for the silence limit divided by this, that explains the silence of a probe.
const EXPLAINS: u32 = 4;
/// A task that waited for less than this does not mean that the runtime is busy.
const LEAST_BUSY: Duration = Duration::from_millis(100);

/// The metrics of all workers of a runtime, added up. tokio publishes them when a worker parks, and every 61 polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metrics {
    pub(crate) parks: u64,
    pub(crate) busy: Duration,
}

/// The result of a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether to spawn a task.
    pub(crate) asks: bool,
    /// How long the last task waited, or has been waiting.
    pub(crate) delay: Option<Duration>,
    pub(crate) is_frozen: bool,
    /// Whether to report now that the runtime is frozen: at first, and then once in each silence limit.
    pub(crate) froze: bool,
    /// Whether the runtime polls again after a freeze.
    pub(crate) has_thawed: bool,
    /// If the runtime has just become busy: how long the task waited, or has been waiting.
    pub(crate) busy_since_now: Option<Duration>,
}

/// Decides when to spawn a task, and what its answer means.
pub(crate) struct Pulse {
    limit: Duration,
    every: Duration,
    looked_at: Duration,
    pub(crate) look_at: Duration,
    seen: Metrics,
    /// When the metrics last changed.
    moved_at: Duration,
    /// Since when a task has been waiting.
    asked_at: Option<Duration>,
    /// When the freeze was last reported, as long as the runtime is frozen.
    told_at: Option<Duration>,
    /// When a task ran that had waited so long that this explains the silence of a probe, and how long nothing was
    /// polled.
    thawed: Option<(Duration, Duration)>,
    /// When the last such task ran for which a probe got more time.
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

    /// Whether a thread that is awake anyway should look now, so that it need not be woken for it later.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        now >= self.looked_at + self.every / 2
    }

    pub(crate) fn take_lateness(
        &mut self,
        asleep_since: Duration,
        now: Duration,
    ) -> Option<Duration> {
        // The thread may have worked for long before it went to sleep.
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

    /// How long a task has been waiting while no worker did anything.
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

    /// Why a probe is silent that was last heard at `heard_at`.
    ///
    /// Returns `Thawed` only once for each freeze. The dependency then gets the time back in which the probe was not
    /// polled.
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
