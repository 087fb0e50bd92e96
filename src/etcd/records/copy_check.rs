//! When a copy of etcd's keys is checked, the result of a check, and when the copy is made anew. Pure.
//!
//! A watch alone can be silent for ever. So at an interval a read asks for the number of keys and the last change.

use core::time::Duration;

use crate::etcd::basics::{FailureLog, Loudness, RETRY_AFTER, mix, pause};

/// The times at which one copy is checked or made anew.
pub(crate) struct CopyCheck {
    /// How often it is checked.
    every: Duration,
    check_at: Duration,
    /// When the last check began.
    checked_at: Duration,
    /// When the watch began.
    begun: Duration,
    /// When another watch may begin at the earliest.
    rest_until: Duration,
    /// How often in a row the copy could not be made.
    failures: u32,
    pauses: Pauses,
    /// Which failures to make the copy were logged.
    log: FailureLog,
    /// The copy's revision when a read last disagreed with it.
    doubt: Option<i64>,
}

/// The pauses before another attempt to make a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pauses {
    /// The longest pause after a failure.
    pub(crate) longest: Duration,
    /// An addition to each pause that differs from process to process, so that many do not ask at the same moment.
    pub(crate) jitter: Duration,
}

impl Pauses {
    /// For the keys of nodes, which trip if etcd does not answer for long.
    pub(crate) const SHORT: Self = Self {
        longest: RETRY_AFTER,
        jitter: Duration::ZERO,
    };

    /// For keys that are followed also through a long outage. The seed differs from process to process.
    pub(crate) fn spread(seed: u64) -> Self {
        let jitter = mix(seed) % LONGEST_JITTER.as_millis() as u64;
        Self {
            longest: LONGEST_REST,
            jitter: Duration::from_millis(jitter),
        }
    }
}

/// Distinguishes two states of the keys: after the newest change keys can only have been deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) count: i64,
    pub(crate) newest: i64,
}

impl Digest {
    /// The digest of this number of keys, with the revision of the newest one, if there is one.
    pub(crate) fn of(count: i64, newest: Option<i64>) -> Self {
        Self {
            count,
            newest: newest.unwrap_or_default(),
        }
    }
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// The copy is as new as the request.
    Confirmed,
    /// Unknown: the copy is checked again.
    Again,
    /// The watch misses changes: the copy must be made anew.
    Deaf,
}

impl CopyCheck {
    pub(crate) fn new(every: Duration, pauses: Pauses, now: Duration) -> Self {
        Self {
            every: every.min(LONGEST_UNCHECKED),
            check_at: now,
            checked_at: now,
            begun: now,
            rest_until: now,
            failures: 0,
            pauses,
            log: FailureLog::default(),
            doubt: None,
        }
    }

    /// While there is a watch: when the copy is checked next.
    pub(crate) fn check_at(&self) -> Duration {
        self.check_at
    }

    /// While there is no watch: when the copy may be made.
    pub(crate) fn rest_until(&self) -> Duration {
        self.rest_until
    }

    /// Notes that the copy was made, and is watched from here on.
    pub(crate) fn made(&mut self, now: Duration) {
        self.begun = now;
        self.check_at = now + self.every;
        self.failures = 0;
        self.log.succeeded();
        self.doubt = None;
    }

    /// Notes that the copy could not be made, and returns how this is logged.
    pub(crate) fn not_made(&mut self, is_stale_token: bool, now: Duration) -> Loudness {
        self.failures = self.failures.saturating_add(1);
        self.rest_until = now + pause(self.failures, self.pauses.longest) + self.pauses.jitter;
        self.log.failed_by(is_stale_token)
    }

    /// Notes that the watch has ended.
    pub(crate) fn ended(&mut self, now: Duration) {
        self.rest_until = (self.begun + SHORTEST_WATCH).max(now + self.pauses.jitter);
    }

    /// Notes that another member is asked now than the one with the watch, so the copy is checked soon.
    ///
    /// There is still a pause: a failed check also moves to another member, so if every member refuses at once, checks
    /// would follow each other without one.
    pub(crate) fn moved(&mut self, now: Duration) {
        self.check_at = now.max(self.checked_at + DOUBT);
    }

    /// Notes that a check begins.
    pub(crate) fn checking(&mut self, now: Duration) {
        self.checked_at = now;
    }

    /// Takes the result of a check: what was read, if it was answered, and the copy at this revision.
    pub(crate) fn checked(
        &mut self,
        read: Option<Digest>,
        copy: Digest,
        revision: i64,
        now: Duration,
    ) -> Checked {
        let Some(read) = read else {
            self.check_at = now + self.every;
            return Checked::Again;
        };
        if read == copy {
            self.check_at = now + self.every;
            self.doubt = None;
            return Checked::Confirmed;
        }
        self.check_at = now + DOUBT;
        // A change on its way will have arrived before the next check. If it has not, the watch misses
        // changes.
        match self.doubt.replace(revision) == Some(revision) {
            true => Checked::Deaf,
            false => Checked::Again,
        }
    }
}

const DOUBT: Duration = Duration::from_millis(300);
/// The longest pause before another attempt, if it need not be soon.
const LONGEST_REST: Duration = Duration::from_secs(2);
const LONGEST_JITTER: Duration = Duration::from_millis(500);
/// A watch that ends sooner is not restarted at once.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);
/// About how long a watch may miss changes before this is noticed.
const LONGEST_UNCHECKED: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::from_secs(1_000);
    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn digest(count: i64, newest: i64) -> Digest {
        Digest { count, newest }
    }

    /// One that was just made.
    fn made() -> CopyCheck {
        let mut check = CopyCheck::new(9 * SECOND, Pauses::SHORT, T0 - SECOND);
        assert_eq!(check.rest_until(), T0 - SECOND, "it is made at once");
        check.made(T0);
        check
    }

    #[test]
    fn it_is_checked_now_and_then_and_every_two_seconds_at_least() {
        for (every, checked) in [(9, 2), (1, 1)] {
            let mut check = CopyCheck::new(every * SECOND, Pauses::SHORT, T0);
            check.made(T0);
            assert_eq!(check.check_at(), T0 + checked * SECOND);
            // From the answer on, whether it agreed or did not come.
            for read in [Some(digest(1, 5)), None] {
                check.checking(T0 + SECOND);
                check.checked(read, digest(1, 5), 7, T0 + 2 * SECOND);
                assert_eq!(check.check_at(), T0 + 2 * SECOND + checked * SECOND);
            }
        }
    }

    #[test]
    fn a_read_that_disagrees_twice_with_the_same_copy_shows_that_the_watch_is_deaf() {
        let (copy, other) = (digest(2, 5), Some(digest(2, 6)));
        for differs in [digest(1, 5), digest(3, 5), digest(2, 4), digest(2, 6)] {
            let mut check = made();
            let mut checked = |read, revision| check.checked(read, copy, revision, T0);
            assert_eq!(checked(Some(differs), 5), Checked::Again);
            // It moved on meanwhile.
            assert_eq!(checked(Some(differs), 6), Checked::Again);
            assert_eq!(checked(None, 6), Checked::Again);
            assert_eq!(checked(Some(differs), 6), Checked::Deaf);
            assert_eq!(check.check_at(), T0 + DOUBT);
        }
        let mut check = made();
        let mut checked = |read| check.checked(read, copy, 5, T0);
        assert_eq!(checked(other), Checked::Again);
        assert_eq!(checked(Some(copy)), Checked::Confirmed);
        assert_eq!(checked(other), Checked::Again, "the first again");
        check.made(T0);
        let checked = check.checked(other, copy, 5, T0);
        assert_eq!(checked, Checked::Again, "of another watch");
    }

    #[test]
    fn where_the_members_change_it_is_checked_soon_but_with_a_pause() {
        let mut check = made();
        check.checking(T0);
        check.moved(T0 + 100 * MS);
        assert_eq!(check.check_at(), T0 + DOUBT);
        check.moved(T0 + SECOND);
        assert_eq!(check.check_at(), T0 + SECOND);
    }

    #[test]
    fn a_watch_that_ends_soon_is_not_begun_again_at_once() {
        let mut check = made();
        check.ended(T0);
        assert_eq!(check.rest_until(), T0 + SHORTEST_WATCH);
        check.ended(T0 + 3 * SECOND);
        assert_eq!(check.rest_until(), T0 + 3 * SECOND, "one that was long is");
    }

    #[test]
    fn a_thousand_processes_do_not_ask_at_the_same_moment() {
        let mut jitters: Vec<u128> = (0..1_000)
            .map(Pauses::spread)
            .map(|pauses| pauses.jitter.as_millis())
            .collect();
        jitters.sort_unstable();
        assert!(jitters[999] < 500 && jitters[0] < 5, "{jitters:?}");
        let busiest = (0..900).map(|at| jitters[at + 99] - jitters[at]).min();
        assert!(busiest > Some(20), "{busiest:?}");
        assert_eq!(Pauses::spread(1).longest, 2 * SECOND);
    }

    #[test]
    fn pauses_grow_and_differ_from_process_to_process() {
        let pauses = Pauses {
            longest: 350 * MS,
            jitter: 7 * MS,
        };
        let mut check = CopyCheck::new(SECOND, pauses, T0);
        assert_eq!(check.rest_until(), T0, "the first is made at once");
        for pause in [107, 207, 357, 357] {
            check.not_made(false, T0);
            assert_eq!(check.rest_until(), T0 + pause * MS);
        }
        check.made(T0);
        check.ended(T0 + 3 * SECOND);
        assert_eq!(check.rest_until(), T0 + 3 * SECOND + 7 * MS);
        check.not_made(false, T0);
        assert_eq!(check.rest_until(), T0 + 107 * MS, "from the beginning");
    }

    #[test]
    fn that_a_copy_cannot_be_made_is_news_once_and_a_token_that_expires_is_none() {
        let mut check = made();
        for round in 1..3 {
            let now = T0 + round * SECOND;
            assert_eq!(check.not_made(false, now), Loudness::Warn);
            assert_eq!(check.not_made(false, now + MS), Loudness::Silent);
            check.made(now);
            assert_eq!(check.not_made(true, now), Loudness::Debug);
            check.made(now);
        }
    }
}
