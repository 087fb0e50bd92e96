//! When the pulse is looked at, what it asks, and what it makes of the answers.

use super::*;

const LIMIT: Duration = Duration::from_secs(4);
const EVERY: Duration = Duration::from_millis(500);

/// A pulse that is looked at whenever it is to be.
struct Watched {
    pulse: Pulse,
    now: Duration,
    seen: Metrics,
    answered_at: Option<Duration>,
}

impl Watched {
    fn new() -> Self {
        let now = Duration::from_secs(100);
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
    let now = Duration::from_secs(100);
    let second = Duration::from_secs(1);
    let mut pulse = Pulse::new(5 * second, now, Metrics::default());
    for seconds in 1..10 {
        let now = now + seconds * second;
        assert!(now < pulse.look_at && pulse.is_due(now));
        let _ = pulse.look(now, Metrics::default(), Some(now));
    }
}

#[test]
fn who_is_awake_looks_from_half_the_time_on_and_a_pause_puts_that_off() {
    let mut pulse = Watched::new().pulse;
    let (looked_at, moment) = (pulse.looked_at, Duration::from_millis(1));
    assert!(!pulse.is_due(looked_at + EVERY / 2 - moment));
    assert!(pulse.is_due(looked_at + EVERY / 2));
    let paused_for = 10 * EVERY;
    let late = pulse.take_lateness(looked_at, looked_at + EVERY + paused_for);
    assert_eq!(late, Some(paused_for));
    let half = looked_at + paused_for + EVERY / 2;
    assert!(!pulse.is_due(half - moment));
    assert!(pulse.is_due(half));
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

/// As it is on a real runtime, whose metrics move when a task is answered.
#[test]
fn an_answer_that_moves_the_metrics_thaws_a_probe_too() {
    let mut watched = Watched::new();
    assert!(watched.look(None).asks);
    let (asked_at, thawed_at) = (watched.now, watched.now + LIMIT / 4);
    let moved = Metrics {
        parks: 1,
        ..watched.seen
    };
    let why = watched
        .pulse
        .why_silent(asked_at, asked_at + LIMIT, moved, Some(thawed_at));
    assert_eq!(why, Silence::Thawed(LIMIT / 4));
}

#[test]
fn a_pause_puts_off_when_it_is_told_again_that_it_is_frozen() {
    let mut watched = Watched::new();
    assert!(watched.looks(9, None)[8].froze);
    let asleep_since = watched.now;
    watched.now += 100 * EVERY;
    let late = watched.pulse.take_lateness(asleep_since, watched.now);
    assert_eq!(late, Some(99 * EVERY));
    // Told a look before the pause: seven more until it is told again.
    let look = watched.pulse.look(watched.now, watched.seen, None);
    assert!(!look.froze && look.is_frozen, "{look:?}");
    let looks = watched.looks(7, None);
    assert!(looks[..6].iter().all(|look| !look.froze), "{looks:?}");
    assert!(looks[6].froze, "{looks:?}");
}

#[test]
fn a_pause_moves_what_was_seen_before_it() {
    // A thaw that was seen, and a probe that was heard at the same moment.
    let mut watched = Watched::new();
    assert!(watched.look(None).asks);
    watched.looks(4, None);
    let thawed_at = watched.now;
    watched.answered_at = Some(thawed_at);
    watched.look(Some(Duration::ZERO));
    let asleep_since = watched.now;
    watched.now += 100 * EVERY;
    let late = watched.pulse.take_lateness(asleep_since, watched.now);
    let late = late.expect("so long a pause");
    let heard_at = thawed_at + late - EVERY / 2;
    let why = watched
        .pulse
        .why_silent(heard_at, watched.now, watched.seen, Some(watched.now));
    assert!(matches!(why, Silence::Thawed(_)), "{why:?}");
    // When the metrics moved last: frozen no sooner than the limit after that, the pause left out.
    let mut watched = Watched::new();
    watched.looks(4, None);
    watched.seen.busy += EVERY;
    watched.looks(1, None);
    let asleep_since = watched.now;
    watched.now += 100 * EVERY;
    assert!(
        watched
            .pulse
            .take_lateness(asleep_since, watched.now)
            .is_some()
    );
    let look = watched.pulse.look(watched.now, watched.seen, None);
    assert!(!look.froze, "{look:?}");
    let looks = watched.looks(7, None);
    assert!(looks[..6].iter().all(|look| !look.froze), "{looks:?}");
    assert!(looks[6].froze, "{looks:?}");
}

#[test]
fn what_a_probe_showed_to_be_frozen_is_told_once_and_thaws() {
    let mut watched = Watched::new();
    assert!(watched.look(None).asks);
    let (heard_at, now) = (watched.now, watched.now + LIMIT / 4);
    let why = watched.pulse.why_silent(heard_at, now, watched.seen, None);
    assert_eq!(why, Silence::Frozen);
    assert!(watched.pulse.is_frozen());
    // It is told already: not again within the limit.
    let looks = watched.looks(9, None);
    assert!(looks.iter().all(|look| !look.froze), "{looks:?}");
    watched.answered_at = Some(watched.now);
    assert!(watched.look(Some(Duration::ZERO)).has_thawed);
    assert!(!watched.pulse.is_frozen());
}

#[test]
fn a_worker_that_moves_thaws_it_before_anything_is_answered() {
    let mut watched = Watched::new();
    assert!(watched.looks(9, None)[8].froze);
    watched.seen.busy += EVERY;
    let look = watched.look(None);
    assert!(look.has_thawed && !look.is_frozen, "{look:?}");
}

#[test]
fn a_quick_answer_ends_that_it_is_busy() {
    let mut watched = Watched::new();
    let mut told = 0;
    for answer in [Duration::ZERO, EVERY, Duration::ZERO, EVERY, Duration::ZERO] {
        let look = watched.look(Some(answer));
        told += u32::from(look.busy_since_now.is_some());
    }
    assert_eq!(told, 2);
}

#[test]
fn it_looks_again_in_time_also_where_it_looked_too_early_or_the_limit_is_long() {
    let second = Duration::from_secs(1);
    let mut pulse = Pulse::new(60 * second, second, Metrics::default());
    assert_eq!(pulse.look_at, second + LONGEST);
    let early = second + LONGEST / 2;
    let _ = pulse.look(early, Metrics::default(), None);
    assert_eq!(pulse.look_at, early + LONGEST);
}

#[test]
fn what_it_looked_at_last_counts_and_not_what_it_had_planned() {
    let mut pulse = Watched::new().pulse;
    let late = pulse.look_at + EVERY / 4;
    let _ = pulse.look(late, Metrics::default(), None);
    assert!(!pulse.is_due(late + EVERY / 2 - Duration::from_millis(1)));
    assert!(pulse.is_due(late + EVERY / 2));
}

/// The longer of a tenth of the limit and [`LEAST_BUSY`].
#[test]
fn how_long_a_task_waits_for_busy_workers() {
    let busy = |limit: Duration, delay| {
        let mut pulse = Pulse::new(limit, Duration::ZERO, Metrics::default());
        let asked_at = pulse.look_at;
        assert!(pulse.look(asked_at, Metrics::default(), None).asks);
        let now = pulse.look_at;
        let look = pulse.look(now, Metrics::default(), Some(asked_at + delay));
        look.busy_since_now.is_some()
    };
    let moment = Duration::from_millis(1);
    for (limit, busy_from) in [(LIMIT, LIMIT / 10), (LIMIT / 8, LEAST_BUSY)] {
        assert!(!busy(limit, busy_from - moment), "{limit:?}");
        assert!(busy(limit, busy_from), "{limit:?}");
    }
}

/// Why a probe is silent may be asked between two looks, which takes nothing from the next one.
#[test]
fn a_question_of_the_probe_hides_no_move_from_the_next_look() {
    let mut watched = Watched::new();
    assert!(watched.looks(9, None)[8].froze);
    watched.seen.busy += EVERY;
    let (now, seen) = (watched.now, watched.seen);
    assert_eq!(
        watched.pulse.why_silent(now, now, seen, None),
        Silence::Polled
    );
    assert!(watched.look(None).has_thawed);
}

#[test]
fn the_last_thaw_counts() {
    let mut watched = Watched::new();
    assert!(watched.look(None).asks);
    watched.looks(3, None);
    watched.answered_at = Some(watched.now);
    // Asks again at once.
    assert!(watched.look(None).asks);
    let heard_at = watched.now;
    watched.looks(5, None);
    watched.answered_at = Some(watched.now);
    watched.look(Some(Duration::ZERO));
    let why = watched
        .pulse
        .why_silent(heard_at, watched.now, watched.seen, None);
    assert_eq!(why, Silence::Thawed(5 * EVERY));
}

#[test]
fn a_task_that_waited_while_workers_moved_was_not_stuck() {
    let mut watched = Watched::new();
    assert!(watched.look(None).asks);
    let heard_at = watched.now;
    watched.looks(2, None);
    watched.seen.busy += EVERY;
    watched.look(None);
    // It waited for longer than a quarter of the limit, but nothing moved for less.
    let moved_at = watched.now;
    let short = LIMIT / 4 - Duration::from_millis(1);
    for (after, expected) in [
        (short, Silence::Polled),
        (LIMIT / 4, Silence::Thawed(LIMIT / 4)),
    ] {
        let answered_at = moved_at + after;
        let pulse = &mut watched.pulse;
        let why = pulse.why_silent(heard_at, answered_at, watched.seen, Some(answered_at));
        assert_eq!(why, expected);
    }
}

#[test]
fn what_a_probe_found_frozen_puts_off_when_it_is_told_again() {
    let mut watched = Watched::new();
    assert!(watched.looks(9, None)[8].froze);
    watched.looks(4, None);
    let (now, seen) = (watched.now, watched.seen);
    assert_eq!(
        watched.pulse.why_silent(now - EVERY, now, seen, None),
        Silence::Frozen
    );
    let looks = watched.looks(8, None);
    assert!(looks[..7].iter().all(|look| !look.froze), "{looks:?}");
    assert!(looks[7].froze, "{looks:?}");
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
