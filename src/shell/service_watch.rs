//! Whether the service's runtime polls the tasks that it is given.
//!
//! A thread of the runtime's that is blocked by a component may be the one that turns its timers, and
//! then every task that sleeps sleeps on, for ever. So the supervisor, which has a thread of its own,
//! spawns a task there from outside now and then, and sees whether it is polled. That also wakes a worker
//! that goes on with the timers.
//!
//! No task is spawned as long as a worker has parked since the last look: a worker that parks had nothing
//! more to poll.
//!
//! What follows from what was seen is decided by [`Pulse`], which is told the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

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

/// Watches the runtime that components run on.
pub(super) struct ServiceWatch {
    runtime: Handle,
    pulse: Pulse,
    answer: Arc<Answer>,
    /// Whether the probe is polled by another runtime.
    probe_is_apart: bool,
}

/// When the last task that was spawned was polled, or dropped with its runtime.
struct Answer {
    began: Instant,
    /// In nanoseconds after that; 0 as long as it waits.
    at: AtomicU64,
}

/// Answers when it is dropped: when it was polled, or with a runtime that is gone.
struct Question(Arc<Answer>);

impl Drop for Question {
    fn drop(&mut self) {
        let after = self.0.began.elapsed().as_nanos();
        let after = u64::try_from(after).unwrap_or(u64::MAX).max(1);
        self.0.at.store(after, Ordering::Release);
    }
}

impl Answer {
    fn get(&self) -> Option<Instant> {
        let after = self.at.load(Ordering::Acquire);
        (after != 0).then(|| self.began + Duration::from_nanos(after))
    }
}

impl ServiceWatch {
    pub(super) fn new(runtime: Handle, silence_limit: Duration, probe_is_apart: bool) -> Self {
        let now = Instant::now();
        Self {
            pulse: Pulse::new(silence_limit, now, metrics(&runtime)),
            runtime,
            answer: Arc::new(Answer {
                began: now,
                at: AtomicU64::new(0),
            }),
            probe_is_apart,
        }
    }

    /// When it is to be looked again at the latest.
    pub(super) fn look_at(&self) -> Instant {
        self.pulse.look_at
    }

    /// How long this thread slept on after it was to look again, if that is longer than any machine lets
    /// a thread wait.
    pub(super) fn take_lateness(
        &mut self,
        asleep_since: Instant,
        now: Instant,
    ) -> Option<Duration> {
        self.pulse.take_lateness(asleep_since, now)
    }

    /// Looks, if it is time for it.
    pub(super) fn look_if_due(&mut self, now: Instant) -> Option<Look> {
        self.pulse.is_due(now).then(|| self.look(now))
    }

    fn look(&mut self, now: Instant) -> Look {
        let look = self
            .pulse
            .look(now, metrics(&self.runtime), self.answer.get());
        if look.asks {
            self.answer.at.store(0, Ordering::Release);
            let question = Question(Arc::clone(&self.answer));
            self.runtime.spawn(async move { drop(question) });
        }
        look
    }

    /// Why the probe is silent, which was last heard then.
    pub(super) fn why_silent(&mut self, heard_at: Instant, now: Instant) -> Silence {
        if self.probe_is_apart {
            return Silence::Polled;
        }
        let (seen, answered_at) = (metrics(&self.runtime), self.answer.get());
        self.pulse.why_silent(heard_at, now, seen, answered_at)
    }

    /// Whether it is known to be frozen.
    pub(super) fn is_frozen(&self) -> bool {
        self.pulse.is_frozen()
    }
}

/// What the workers of a runtime say of themselves, added up. tokio publishes it when a worker parks,
/// and every 61 polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Metrics {
    parks: u64,
    busy: Duration,
}

fn metrics(runtime: &Handle) -> Metrics {
    let metrics = runtime.metrics();
    let workers = 0..metrics.num_workers();
    workers.fold(Metrics::default(), |sum, worker| Metrics {
        parks: sum.parks.wrapping_add(metrics.worker_park_count(worker)),
        busy: sum.busy + metrics.worker_total_busy_duration(worker),
    })
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// A task is to be spawned.
    asks: bool,
    /// How long the last one waited, or waits.
    pub(super) delay: Option<Duration>,
    pub(super) is_frozen: bool,
    /// It is frozen, and that is to be told: when it is seen, and once in each silence limit after that.
    pub(super) froze: bool,
    /// It polls again.
    pub(super) has_thawed: bool,
    /// It is busy since now: how long the task waits or waited.
    pub(super) busy_since_now: Option<Duration>,
}

/// Decides what is asked when, and what it means. Pure: it is told the time.
struct Pulse {
    limit: Duration,
    every: Duration,
    looked_at: Instant,
    look_at: Instant,
    seen: Metrics,
    /// When the metrics last moved.
    moved_at: Instant,
    /// Since when a task waits.
    asked_at: Option<Instant>,
    /// When it was last told that it is frozen, as long as it is.
    told_at: Option<Instant>,
    /// When a task was answered that had waited for so long that a probe's silence is no wonder, and for
    /// how long it had.
    thawed: Option<(Instant, Duration)>,
    /// The last of these answers that a probe was given time for.
    made_good: Option<Instant>,
    is_busy: bool,
}

impl Pulse {
    fn is_frozen(&self) -> bool {
        self.told_at.is_some()
    }

    fn new(limit: Duration, now: Instant, seen: Metrics) -> Self {
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
    fn is_due(&self, now: Instant) -> bool {
        now >= self.looked_at + self.every / 2
    }

    fn take_lateness(&mut self, asleep_since: Instant, now: Instant) -> Option<Duration> {
        // What it did before it went to sleep may have taken long.
        let late = now.saturating_duration_since(self.look_at.max(asleep_since));
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
        now: Instant,
        seen: Metrics,
        answered_at: Option<Instant>,
    ) -> Option<Duration> {
        let before = self.moved_at;
        if seen != self.seen {
            self.moved_at = now;
        }
        let asked_at = self.asked_at?;
        if let Some(answered_at) = answered_at {
            let stuck_for = answered_at.saturating_duration_since(asked_at.max(before));
            if stuck_for >= self.limit / EXPLAINS && self.made_good != Some(answered_at) {
                self.thawed = Some((answered_at, stuck_for));
            }
            return None;
        }
        Some(now.saturating_duration_since(asked_at.max(self.moved_at)))
    }

    fn look(&mut self, now: Instant, seen: Metrics, answered_at: Option<Instant>) -> Look {
        let stuck_for = self.stuck_for(now, seen, answered_at);
        let has_moved = seen != self.seen;
        let has_parked = seen.parks != self.seen.parks;
        self.seen = seen;
        self.looked_at = now;
        self.look_at = now + self.every;
        let mut look = Look::default();
        if let Some(asked_at) = self.asked_at {
            let until = answered_at.unwrap_or(now);
            let delay = until.saturating_duration_since(asked_at);
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
    fn why_silent(
        &mut self,
        heard_at: Instant,
        now: Instant,
        seen: Metrics,
        answered_at: Option<Instant>,
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
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(4);
    const EVERY: Duration = Duration::from_millis(500);

    /// A pulse that is looked at whenever it is to be.
    struct Watched {
        pulse: Pulse,
        now: Instant,
        seen: Metrics,
        answered_at: Option<Instant>,
    }

    impl Watched {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                pulse: Pulse::new(LIMIT, now, Metrics::default()),
                now,
                seen: Metrics::default(),
                answered_at: None,
            }
        }

        /// The next look; what it asks is answered after this long, if it is at all.
        fn look(&mut self, answer: Option<Duration>) -> Look {
            self.now += EVERY;
            assert_eq!(self.pulse.take_lateness(self.now - EVERY, self.now), None);
            let look = self.pulse.look(self.now, self.seen, self.answered_at);
            if look.asks {
                self.answered_at = answer.map(|after| self.now + after);
            }
            look
        }

        fn looks(&mut self, count: u32, answer: Option<Duration>) -> Vec<Look> {
            (0..count).map(|_| self.look(answer)).collect()
        }
    }

    #[test]
    fn an_observation_a_second_spares_it_a_wake_up_of_its_own() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut pulse = Pulse::new(5 * second, now, Metrics::default());
        for seconds in 1..10 {
            let now = now + seconds * second;
            assert!(now < pulse.look_at && pulse.is_due(now));
            let _ = pulse.look(now, Metrics::default(), Some(now));
        }
    }

    #[test]
    fn nothing_is_asked_while_a_worker_parks() {
        let mut watched = Watched::new();
        for _ in 0..5 {
            watched.seen.parks += 1;
            let idle = Look {
                delay: Some(Duration::ZERO),
                ..Look::default()
            };
            assert_eq!(watched.look(None), idle);
        }
        assert!(watched.look(None).asks, "nobody has parked since");
    }

    #[test]
    fn what_is_answered_is_neither_frozen_nor_busy() {
        let mut watched = Watched::new();
        let delay = Duration::from_millis(1);
        let looks = watched.looks(20, Some(delay));
        assert!(looks.iter().all(|look| look.asks));
        for look in &looks[1..] {
            assert_eq!(look.delay, Some(delay));
            assert!(!look.is_frozen && !look.froze && look.busy_since_now.is_none());
        }
    }

    #[test]
    fn frozen_is_what_answers_nothing_for_the_limit_and_it_is_told_again_in_each_further_one() {
        let mut watched = Watched::new();
        let looks = watched.looks(30, None);
        let froze: Vec<_> = (1..).zip(&looks).filter(|(_, look)| look.froze).collect();
        // Asked at the first look, the limit before the ninth.
        let at: Vec<u32> = froze.iter().map(|(look, _)| *look).collect();
        assert_eq!(at, [9, 17, 25]);
        assert!(looks[8..].iter().all(|look| look.is_frozen));
        assert!(looks[..8].iter().all(|look| !look.is_frozen));
        assert_eq!(looks.iter().filter(|look| look.asks).count(), 1);
    }

    #[test]
    fn what_moves_is_not_frozen_but_busy() {
        let mut watched = Watched::new();
        let mut told = 0;
        for _ in 0..30 {
            watched.seen.busy += EVERY;
            let look = watched.look(None);
            assert!(!look.is_frozen && !look.froze);
            told += u32::from(look.busy_since_now.is_some());
        }
        assert_eq!(told, 1, "once");
        assert!(watched.look(None).delay > Some(LIMIT));
    }

    #[test]
    fn an_answer_thaws_it() {
        let mut watched = Watched::new();
        assert!(watched.looks(9, None)[8].froze);
        watched.answered_at = Some(watched.now + EVERY / 2);
        let look = watched.look(Some(Duration::ZERO));
        assert!(look.has_thawed && !look.is_frozen && look.asks);
        assert_eq!(look.delay, Some(8 * EVERY + EVERY / 2));
        let look = watched.look(Some(Duration::ZERO));
        assert!(!look.has_thawed && !look.is_frozen);
        assert_eq!(look.busy_since_now, None);
    }

    #[test]
    fn a_process_that_was_stopped_was_not_frozen() {
        let mut watched = Watched::new();
        watched.looks(5, None);
        let asleep_since = watched.now;
        watched.now += 100 * EVERY;
        let late = watched.pulse.take_lateness(asleep_since, watched.now);
        assert_eq!(late, Some(99 * EVERY));
        // Asked four looks before the stop: four are left.
        let look = watched.pulse.look(watched.now, watched.seen, None);
        assert!(!look.froze, "{look:?}");
        let looks = watched.looks(3, None);
        assert!(looks[..2].iter().all(|look| !look.froze), "{looks:?}");
        assert!(looks[2].froze, "{looks:?}");
    }

    #[test]
    fn a_thread_that_is_a_little_late_is_not_excused() {
        let mut pulse = Watched::new().pulse;
        let due = pulse.look_at;
        let asleep_since = due - EVERY;
        let soon = due + LATE - Duration::from_millis(1);
        assert_eq!(pulse.take_lateness(asleep_since, soon), None);
        let late = due + LATE;
        assert_eq!(pulse.take_lateness(late, late), None, "it was at work");
        assert_eq!(pulse.take_lateness(asleep_since, late), Some(LATE));
        assert_eq!(pulse.take_lateness(asleep_since, late), None, "once");
    }

    #[test]
    fn a_probe_is_frozen_that_nobody_polls_for_a_quarter_of_the_limit() {
        let mut watched = Watched::new();
        assert!(watched.look(None).asks);
        let (seen, asked_at) = (watched.seen, watched.now);
        let (heard_at, then) = (asked_at - EVERY, asked_at + LIMIT / 4);
        let soon = then - Duration::from_millis(1);
        let pulse = &mut watched.pulse;
        let mut why = |now, seen, answered| pulse.why_silent(heard_at, now, seen, answered);
        assert_eq!(why(soon, seen, None), Silence::Polled);
        assert_eq!(
            why(then, seen, Some(soon)),
            Silence::Polled,
            "it was answered sooner"
        );
        assert_eq!(why(then, seen, None), Silence::Frozen);
        let moved = Metrics { parks: 1, ..seen };
        assert_eq!(
            why(then, moved, None),
            Silence::Polled,
            "a worker has parked"
        );
    }

    #[test]
    fn a_probe_that_is_polled_again_has_as_much_time_as_it_lost_and_once() {
        let stuck = || {
            let mut watched = Watched::new();
            assert!(watched.look(None).asks);
            let asked_at = watched.now;
            (watched, asked_at, asked_at + LIMIT / 4)
        };
        let (mut watched, asked_at, thawed_at) = stuck();
        let (seen, due) = (watched.seen, asked_at + LIMIT);
        let mut why = |heard_at| {
            let pulse = &mut watched.pulse;
            pulse.why_silent(heard_at, due, seen, Some(thawed_at))
        };
        assert_eq!(why(asked_at), Silence::Thawed(LIMIT / 4));
        assert_eq!(why(asked_at), Silence::Polled, "once");
        assert!(!watched.pulse.is_frozen());

        let (mut watched, _, thawed_at) = stuck();
        let pulse = &mut watched.pulse;
        assert_eq!(
            pulse.why_silent(thawed_at, due, seen, Some(thawed_at)),
            Silence::Polled,
            "it was heard since"
        );
    }

    #[test]
    fn once_a_worker_has_parked_it_is_busy_no_more() {
        let mut watched = Watched::new();
        for _ in 0..2 {
            assert!(watched.look(Some(EVERY)).asks);
            let told = watched.look(None);
            assert_eq!(told.busy_since_now, Some(EVERY));
            watched.answered_at = Some(watched.now);
            watched.look(Some(Duration::ZERO));
            watched.seen.parks += 1;
            watched.look(None);
            watched.seen.parks += 1;
            assert_eq!(watched.look(None).delay, Some(Duration::ZERO));
        }
    }
}
