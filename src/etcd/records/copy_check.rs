//! When a copy of etcd's keys is checked, the result of a check, and when the copy is made anew. Pure.
//!
//! A watch alone can be silent for ever. So at an interval a read asks for the number of keys and the last change.

use core::time::Duration;

use super::not_current::NotCurrent;
use crate::etcd::basics::{FailureLog, Loudness, RETRY_AFTER, mix, pause};

/// The times at which one copy is checked or made anew.
pub(crate) struct CopyCheck {
    /// How often it is checked.
    every: Duration,
    check_at: Duration,
    /// When the last check began.
    checked_at: Duration,
    /// The copy's revision at that moment.
    checked_from: i64,
    /// The last read, if it was ahead of the copy.
    ahead: Option<Ahead>,
    /// When the watch began.
    begun: Duration,
    /// When another watch may begin at the earliest.
    rest_until: Duration,
    /// How often in a row the copy could not be made.
    failures: u32,
    pauses: Pauses,
    /// Which failures to make the copy were logged.
    log: FailureLog,
    /// Which failures to check it were logged.
    check_log: FailureLog,
    /// The copy's revision when a read last disagreed with it.
    doubt: Option<i64>,
}

/// A read that was ahead of the copy.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    /// When its request was sent.
    sent: Duration,
    /// The revision of the store when it was read.
    revision: i64,
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

/// The answer to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadState {
    /// The state of the keys.
    pub(crate) digest: Digest,
    /// The revision of the store when they were read.
    pub(crate) revision: i64,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// The copy contains all changes up to this moment.
    Confirmed(Duration),
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
            checked_from: 0,
            ahead: None,
            begun: now,
            rest_until: now,
            failures: 0,
            pauses,
            log: FailureLog::default(),
            check_log: FailureLog::default(),
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
        self.ahead = None;
    }

    /// Notes that the copy could not be made, and returns how this is logged.
    ///
    /// An attempt that finds too much has read as much as the copy may hold. So these attempts become rare.
    pub(crate) fn not_made(&mut self, cause: &NotCurrent, now: Duration) -> Loudness {
        let longest = match cause.is_too_large() {
            true => LONGEST_REST_IF_TOO_LARGE,
            false => self.pauses.longest,
        };
        self.failures = self.failures.saturating_add(1);
        self.rest_until = now + pause(self.failures, longest) + self.pauses.jitter;
        self.log.failed_by(cause.is_stale_token())
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

    /// Notes that the request of a check is sent, and the copy's revision at this moment.
    pub(crate) fn checking(&mut self, revision: i64, now: Duration) {
        self.checked_at = now;
        self.checked_from = revision;
    }

    /// Notes that a check was not answered, and returns how this is logged.
    pub(crate) fn not_checked(&mut self, cause: &NotCurrent, now: Duration) -> Loudness {
        self.check_at = now + self.every;
        self.check_log.failed_by(cause.is_stale_token())
    }

    /// Takes the answer to a check, and the copy at this revision.
    ///
    /// If keys are written all the time, the read and the copy are hardly ever of the same moment. But etcd delivers the
    /// changes in order, so a copy of a later revision than the read contains all that was read.
    pub(crate) fn checked(
        &mut self,
        read: ReadState,
        copy: Digest,
        revision: i64,
        now: Duration,
    ) -> Checked {
        self.check_log.succeeded();
        // A quorum answers with all changes that anybody has seen before, unless the store was wiped or restored.
        // Then revisions cannot be compared.
        let went_back = read.revision < self.checked_from;
        if !went_back && (read.digest == copy || revision > read.revision) {
            return Checked::Confirmed(self.confirmed(self.checked_at, now));
        }
        self.check_at = now + DOUBT;
        self.ahead = (!went_back).then_some(Ahead {
            sent: self.checked_at,
            revision: read.revision,
        });
        // A change on its way will have arrived before the next check. If it has not, the watch misses
        // changes.
        match self.doubt.replace(revision) == Some(revision) {
            true => Checked::Deaf,
            false => Checked::Again,
        }
    }

    /// Notes that the watch has brought the copy to this revision. If the last read is now behind it, this confirms the
    /// copy: it contains all changes up to the moment that is returned.
    ///
    /// Only changes count. Members of etcd 3.4 and 3.5 may send a progress notification before the changes that it
    /// includes.
    pub(crate) fn advanced(&mut self, revision: i64, now: Duration) -> Option<Duration> {
        let ahead = self.ahead.filter(|ahead| revision > ahead.revision)?;
        Some(self.confirmed(ahead.sent, now))
    }

    fn confirmed(&mut self, as_of: Duration, now: Duration) -> Duration {
        self.check_at = now + self.every;
        self.doubt = None;
        self.ahead = None;
        as_of
    }
}

const DOUBT: Duration = Duration::from_millis(300);
/// The longest pause before another attempt, if it need not be soon.
const LONGEST_REST: Duration = Duration::from_secs(2);
/// The same if there is too much below the prefix, which somebody must mend.
const LONGEST_REST_IF_TOO_LARGE: Duration = Duration::from_secs(30);
const LONGEST_JITTER: Duration = Duration::from_millis(500);
/// A watch that ends sooner is not restarted at once.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);
/// The longest time between two checks: about how long a watch may miss changes before this is noticed.
pub(crate) const LONGEST_UNCHECKED: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::basics::{EtcdError, Fault};

    const T0: Duration = Duration::from_secs(1_000);
    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn digest(count: i64, newest: i64) -> Digest {
        Digest { count, newest }
    }

    /// What is read of a store at this revision.
    fn read(digest: Digest, revision: i64) -> ReadState {
        ReadState { digest, revision }
    }

    fn silence() -> NotCurrent {
        EtcdError::silent().into()
    }

    fn too_large() -> NotCurrent {
        NotCurrent::TooLarge("too much".into())
    }

    fn expired() -> NotCurrent {
        EtcdError::sure(Fault::Unauthenticated, "invalid auth token").into()
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
            for answered in [true, false] {
                check.checking(7, T0 + SECOND);
                match answered {
                    true => assert_eq!(
                        check.checked(read(digest(1, 5), 7), digest(1, 5), 7, T0 + 2 * SECOND),
                        Checked::Confirmed(T0 + SECOND)
                    ),
                    false => drop(check.not_checked(&silence(), T0 + 2 * SECOND)),
                }
                assert_eq!(check.check_at(), T0 + 2 * SECOND + checked * SECOND);
            }
        }
    }

    #[test]
    fn a_read_that_disagrees_twice_with_the_same_copy_shows_that_the_watch_is_deaf() {
        let copy = digest(2, 5);
        for differs in [digest(1, 5), digest(3, 5), digest(2, 4), digest(2, 6)] {
            let mut check = made();
            let mut checked = |revision| check.checked(read(differs, 9), copy, revision, T0);
            assert_eq!(checked(5), Checked::Again);
            // It moved on meanwhile.
            assert_eq!(checked(6), Checked::Again);
            check.not_checked(&silence(), T0);
            let mut checked = |revision| check.checked(read(differs, 9), copy, revision, T0);
            assert_eq!(checked(6), Checked::Deaf);
            assert_eq!(check.check_at(), T0 + DOUBT);
        }
        let mut check = made();
        let other = digest(2, 6);
        let mut checked = |digest| check.checked(read(digest, 9), copy, 5, T0);
        assert_eq!(checked(other), Checked::Again);
        assert!(matches!(checked(copy), Checked::Confirmed(_)));
        assert_eq!(checked(other), Checked::Again, "the first again");
        check.made(T0);
        let checked = check.checked(read(other, 9), copy, 5, T0);
        assert_eq!(checked, Checked::Again, "of another watch");
    }

    /// The read and the copy are never of the same moment, and yet each check must succeed.
    #[test]
    fn keys_that_are_written_all_the_time_are_confirmed_by_what_is_written_after_the_read() {
        // One key, written each ms at the revision of that ms. A check takes 4 ms, and is read in the middle. The watch
        // is behind the store by this much.
        for lag in 0..20_i64 {
            let mut check = made();
            let (mut begun, mut as_of) = (None::<i64>, vec![T0]);
            for ms in 1..60_000_i64 {
                let now = T0 + ms as u32 * MS;
                let copy = ms - lag;
                as_of.extend(check.advanced(copy, now));
                match begun {
                    None if now >= check.check_at() => {
                        check.checking(copy, now);
                        begun = Some(ms);
                    }
                    Some(sent) if ms == sent + 4 => {
                        begun = None;
                        let told = read(digest(1, sent + 2), sent + 2);
                        match check.checked(told, digest(1, copy), copy, now) {
                            Checked::Confirmed(at) => as_of.push(at),
                            Checked::Again => {}
                            Checked::Deaf => panic!("it hears everything"),
                        }
                    }
                    _ => {}
                }
            }
            as_of.push(T0 + 60 * SECOND);
            assert!(as_of.is_sorted(), "{as_of:?}");
            let oldest = as_of.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(oldest < Some(2_100 * MS), "lag {lag}: {oldest:?}");
        }
    }

    #[test]
    fn a_copy_that_is_later_than_the_read_contains_it_and_one_of_the_same_revision_may_not() {
        let (copy, other) = (digest(1, 8), digest(1, 7));
        let mut check = made();
        check.checking(6, T0 + SECOND);
        let checked = check.checked(read(other, 7), copy, 8, T0 + 2 * SECOND);
        assert_eq!(checked, Checked::Confirmed(T0 + SECOND));
        let mut check = made();
        check.checking(6, T0 + SECOND);
        let checked = check.checked(read(other, 8), copy, 8, T0 + 2 * SECOND);
        assert_eq!(checked, Checked::Again);
        // What comes later decides.
        assert_eq!(check.advanced(8, T0 + 2 * SECOND), None);
        let confirmed = check.advanced(9, T0 + 2 * SECOND + MS);
        assert_eq!(confirmed, Some(T0 + SECOND), "as of the request");
        assert_eq!(check.check_at(), T0 + 4 * SECOND + MS);
        assert_eq!(check.advanced(10, T0 + 3 * SECOND), None, "no read waits");
    }

    /// The watch is still that of the store before, whose revisions were higher.
    #[test]
    fn a_store_that_went_back_confirms_nothing() {
        for theirs in [digest(1, 5), digest(1, 8)] {
            let mut check = made();
            check.checking(8, T0);
            let mut checked = || check.checked(read(theirs, 7), digest(1, 8), 8, T0);
            assert_eq!(checked(), Checked::Again);
            assert_eq!(checked(), Checked::Deaf);
            assert_eq!(check.advanced(9, T0), None);
        }
    }

    #[test]
    fn a_read_that_waits_is_none_of_the_next_copy() {
        let mut check = made();
        check.checking(6, T0);
        check.checked(read(digest(1, 7), 7), digest(1, 6), 6, T0);
        check.made(T0);
        assert_eq!(check.advanced(9, T0), None);
    }

    #[test]
    fn where_the_members_change_it_is_checked_soon_but_with_a_pause() {
        let mut check = made();
        check.checking(7, T0);
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
            check.not_made(&silence(), T0);
            assert_eq!(check.rest_until(), T0 + pause * MS);
        }
        check.made(T0);
        check.ended(T0 + 3 * SECOND);
        assert_eq!(check.rest_until(), T0 + 3 * SECOND + 7 * MS);
        check.not_made(&silence(), T0);
        assert_eq!(check.rest_until(), T0 + 107 * MS, "from the beginning");
    }

    /// Each attempt reads as much as the copy may hold, and somebody must mend it first.
    #[test]
    fn too_much_is_read_again_soon_at_first_and_then_every_half_minute() {
        let mut check = CopyCheck::new(SECOND, Pauses::spread(1), T0);
        let jitter = Pauses::spread(1).jitter;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            check.not_made(&too_large(), T0);
            pauses.push((check.rest_until() - T0 - jitter).as_millis());
        }
        let expected = [
            100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000,
        ];
        assert_eq!(pauses, expected);
        check.not_made(&silence(), T0);
        assert_eq!(check.rest_until() - T0 - jitter, 2 * SECOND);
    }

    #[test]
    fn that_a_copy_cannot_be_made_is_news_once_and_a_token_that_expires_is_none() {
        let mut check = made();
        for round in 1..3 {
            let now = T0 + round * SECOND;
            assert_eq!(check.not_made(&silence(), now), Loudness::Warn);
            assert_eq!(check.not_made(&silence(), now + MS), Loudness::Silent);
            check.made(now);
            assert_eq!(check.not_made(&expired(), now), Loudness::Debug);
            check.made(now);
        }
    }

    /// The watch may live on, e.g. if the right to read was revoked: nothing else would say so.
    #[test]
    fn that_a_copy_cannot_be_checked_is_news_once_until_an_answer_comes() {
        let mut check = made();
        let same = digest(1, 5);
        for _ in 0..2 {
            assert_eq!(check.not_checked(&silence(), T0), Loudness::Warn);
            assert_eq!(check.not_checked(&silence(), T0), Loudness::Silent);
            check.checked(read(same, 7), same, 7, T0);
            assert_eq!(check.not_checked(&expired(), T0), Loudness::Debug);
            // An answer that disagrees is one as well.
            check.checked(read(same, 7), digest(1, 6), 6, T0);
        }
        // Those to make it are told apart.
        assert_eq!(check.not_checked(&silence(), T0), Loudness::Warn);
        assert_eq!(check.not_made(&silence(), T0), Loudness::Warn);
    }
}
