//! One of the three periodic checks. Pure: the time is a parameter.

use core::time::Duration;

use crate::etcd::basics::EtcdError;
use crate::etcd::client::CheckTiming;

/// The kind of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CheckKind {
    Progress,
    Read,
    Write,
}

impl CheckKind {
    pub(crate) const ALL: [Self; 3] = [Self::Progress, Self::Read, Self::Write];
}

/// One check: when it is due, and since when an answer is missing.
pub(crate) struct Check {
    pub(crate) timing: CheckTiming,
    /// When the next request is due.
    pub(crate) due_at: Duration,
    /// When the first request after the last answer was sent; `None` while no answer is missing.
    pub(crate) owed_since: Option<Duration>,
    /// Whether a good answer came since judging began, or since it last failed.
    pub(crate) proved: bool,
    /// How many more good answers that takes.
    pub(crate) wanted: u32,
    /// Answers beyond the latency budget in a row, each to a request that was sent after the answer before: requests
    /// that wait through the same pause count once.
    pub(crate) slow: u32,
    pub(crate) late_at: Option<Duration>,
    /// When the request of the last good answer was sent. It settles all requests before.
    settled_at: Option<Duration>,
    /// Requests that were sent before this prove nothing.
    since: Duration,
    /// Requests in a row that failed or were not answered within the budget.
    pub(crate) failures: u32,
    /// Why the last request failed, while an answer is missing.
    pub(crate) cause: Option<EtcdError>,
    /// The latency of the last answer.
    pub(crate) latency: Option<Duration>,
    /// The member that gave it.
    pub(crate) by: Option<usize>,
}

impl Check {
    pub(crate) fn new(timing: CheckTiming, now: Duration) -> Self {
        Self {
            timing,
            due_at: now,
            owed_since: None,
            proved: false,
            wanted: 1,
            slow: 0,
            late_at: None,
            settled_at: None,
            since: now,
            failures: 0,
            cause: None,
            latency: None,
            by: None,
        }
    }

    /// Makes the check due now. Answers from before no longer count.
    pub(crate) fn demand(&mut self, now: Duration) {
        *self = Self {
            latency: self.latency,
            by: self.by,
            ..Self::new(self.timing, now)
        };
    }

    /// Notes that the request is sent, or would be if a member could be reached. It is due again after `again_in`.
    pub(crate) fn asked(&mut self, now: Duration, again_in: Duration) {
        self.owed_since.get_or_insert(now);
        self.due_at = now + again_in;
    }

    /// Clears past failures, unless an answer is missing now.
    pub(crate) fn forgive(&mut self) {
        if self.owed_since.is_none() {
            self.slow = 0;
            self.failures = 0;
        }
    }

    /// Takes a good answer to the request of `asked_at`.
    pub(crate) fn answered(&mut self, asked_at: Duration, every: Duration, now: Duration) {
        if asked_at < self.since {
            return;
        }
        self.owed_since = None;
        self.failures = 0;
        self.cause = None;
        self.wanted = self.wanted.saturating_sub(1);
        self.proved = self.wanted == 0;
        self.slow = 0;
        self.late_at = None;
        self.settled_at = self.settled_at.max(Some(asked_at));
        self.latency = Some(now.saturating_sub(asked_at));
        self.due_at = if self.proved {
            (asked_at + every).max(now)
        } else {
            now
        };
    }

    /// Takes an answer beyond the latency budget. It is the missing answer, but does not end a failure.
    pub(crate) fn answered_late(&mut self, asked_at: Duration, every: Duration, now: Duration) {
        if self.is_settled(asked_at) {
            return;
        }
        if self.late_at.is_none_or(|at| asked_at >= at) {
            self.slow = self.slow.saturating_add(1);
            self.late_at = Some(now);
        }
        self.latency = Some(now.saturating_sub(asked_at));
        if self.proved {
            self.owed_since = None;
            self.failures = 0;
            self.cause = None;
            self.due_at = self.due_at.min((asked_at + every).max(now));
        } else {
            // The member answers again: the next answer may be a good one.
            self.due_at = now;
        }
    }

    /// Takes the failure of a request. The first time it is repeated at once, at another member or on another
    /// connection.
    ///
    /// If no answer was missing, one is missing since `since`. This is later than the request if the process did not
    /// run for a while.
    pub(crate) fn failed(
        &mut self,
        asked_at: Duration,
        since: Duration,
        cause: EtcdError,
        recheck: Duration,
        now: Duration,
    ) {
        if self.is_settled(asked_at) {
            return;
        }
        self.owed_since.get_or_insert(since);
        self.failures = self.failures.saturating_add(1);
        self.due_at = if self.failures == 1 {
            now
        } else {
            self.due_at.min(now + recheck)
        };
        self.cause = Some(cause);
    }

    /// Whether a later request than this was answered well.
    pub(crate) fn is_settled(&self, asked_at: Duration) -> bool {
        self.settled_at > Some(asked_at)
    }

    /// When its grace period ends.
    pub(crate) fn fails_at(&self) -> Option<Duration> {
        self.owed_since
            .map(|since| since + self.timing.grace_period)
    }

    /// Excludes a time in which the process did not run.
    pub(crate) fn excuse(&mut self, time: Duration, now: Duration) {
        if let Some(since) = &mut self.owed_since {
            *since = now.min(*since + time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::basics::Fault;

    #[test]
    fn a_good_answer_settles_everything_and_the_next_question_is_timed_from_the_last() {
        let (mut check, t0) = check();
        check.asked(t0, ms(500));
        assert_eq!((check.owed_since, check.due_at), (Some(t0), t0 + ms(500)));
        assert_eq!(check.fails_at(), Some(t0 + ms(3_000)));
        // CheckRequest again: owed since the first time.
        check.asked(t0 + ms(500), ms(500));
        assert_eq!(check.owed_since, Some(t0));
        check.answered(t0 + ms(500), ms(1_000), t0 + ms(600));
        assert_eq!((check.owed_since, check.proved), (None, true));
        assert_eq!(check.due_at, t0 + ms(1_500));
        assert_eq!(check.latency, Some(ms(100)));
        // One that took longer than the period is followed at once.
        check.answered(t0 + ms(1_500), ms(1_000), t0 + ms(2_600));
        assert_eq!(check.due_at, t0 + ms(2_600));
    }

    #[test]
    fn what_fails_is_asked_again_at_once_and_then_at_the_pace_of_doubt() {
        let (mut check, t0) = check();
        check.asked(t0, ms(1_000));
        for (at, due_at) in [(100, 100), (200, 700), (300, 700), (900, 1_400)] {
            let now = t0 + ms(at);
            if now >= check.due_at {
                check.asked(now, ms(1_000));
            }
            check.failed(t0, t0, silent(), ms(500), now);
            assert_eq!(check.due_at, t0 + ms(due_at), "failed at {at}");
        }
        assert_eq!(check.fails_at(), Some(t0 + ms(3_000)));
        assert_eq!(check.cause, Some(silent()));
        check.answered(t0 + ms(900), ms(1_000), t0 + ms(950));
        assert_eq!(check.cause, None);
        let later = t0 + ms(5_000);
        check.failed(later, later, silent(), ms(500), later);
        assert_eq!(check.due_at, later, "the first failure again");
    }

    #[test]
    fn a_late_answer_settles_what_is_owed_but_no_failure() {
        let (mut check, t0) = check();
        check.asked(t0, ms(500));
        check.answered_late(t0, ms(1_000), t0 + ms(2_000));
        assert!(!check.proved);
        assert_eq!(check.fails_at(), Some(t0 + ms(3_000)));
        assert_eq!(check.due_at, t0 + ms(2_000), "the next may be good");
        check.answered(t0 + ms(2_000), ms(1_000), t0 + ms(2_100));
        check.asked(t0 + ms(3_000), ms(500));
        check.failed(
            t0 + ms(3_000),
            t0 + ms(3_000),
            silent(),
            ms(500),
            t0 + ms(3_500),
        );
        check.answered_late(t0 + ms(3_000), ms(5_000), t0 + ms(5_000));
        assert_eq!((check.owed_since, check.cause.as_ref()), (None, None));
        assert_eq!(check.due_at, t0 + ms(3_500), "no later than it was");
        assert_eq!(check.slow, 1);
    }

    /// But never later than it was due anyhow, and never in the past.
    #[test]
    fn after_a_late_answer_the_next_request_is_due_one_interval_after_the_last() {
        for (every, answered_at, due_at) in [
            (1_000, 2_000, 2_000),
            (1_500, 2_000, 2_500),
            (9_000, 2_000, 5_000),
        ] {
            let (mut check, t0) = check();
            check.answered(t0, ms(5_000), t0);
            check.answered_late(t0 + ms(1_000), ms(every), t0 + ms(answered_at));
            assert_eq!(check.due_at, t0 + ms(due_at), "every {every} ms");
        }
    }

    #[test]
    fn late_answers_count_once_for_each_pause() {
        let (mut check, t0) = check();
        for (asked_at, at, slow) in [
            (0, 2_000, 1),
            (500, 2_000, 1),
            (1_999, 3_500, 1),
            (2_000, 4_000, 2),
            (4_000, 6_000, 3),
        ] {
            check.answered_late(t0 + ms(asked_at), ms(1_000), t0 + ms(at));
            assert_eq!(check.slow, slow, "asked at {asked_at}");
        }
        check.answered(t0 + ms(6_000), ms(1_000), t0 + ms(6_100));
        assert_eq!(check.slow, 0);
    }

    #[test]
    fn what_somebody_else_has_answered_since_is_settled() {
        let (mut check, t0) = check();
        check.asked(t0, ms(500));
        check.answered(t0 + ms(500), ms(1_000), t0 + ms(600));
        check.failed(t0, t0, silent(), ms(500), t0 + ms(700));
        check.answered_late(t0 + ms(499), ms(1_000), t0 + ms(2_000));
        assert_eq!((check.owed_since, check.slow), (None, 0));
        assert_eq!(check.cause, None);
        // An earlier question that is answered late does not unsettle it either.
        check.answered(t0 + ms(400), ms(1_000), t0 + ms(800));
        check.failed(t0 + ms(499), t0 + ms(499), silent(), ms(500), t0 + ms(900));
        assert_eq!(check.cause, None);
        check.failed(t0 + ms(501), t0 + ms(501), silent(), ms(500), t0 + ms(900));
        assert_eq!(check.cause, Some(silent()));
        assert_eq!(check.owed_since, Some(t0 + ms(501)));
    }

    #[test]
    fn a_freeze_is_left_out_of_account_but_never_the_time_to_come() {
        let (mut check, t0) = check();
        check.excuse(ms(1_000), t0);
        assert_eq!(check.fails_at(), None);
        check.asked(t0, ms(500));
        check.excuse(ms(10_000), t0 + ms(10_500));
        assert_eq!(check.owed_since, Some(t0 + ms(10_000)));
        check.excuse(ms(60_000), t0 + ms(11_000));
        assert_eq!(check.owed_since, Some(t0 + ms(11_000)));
    }

    #[test]
    fn what_is_demanded_is_asked_now_and_nothing_heard_before_counts() {
        let (mut check, t0) = check();
        check.answered(t0, ms(1_000), t0 + ms(100));
        check.answered_late(t0 + ms(100), ms(1_000), t0 + ms(3_000));
        check.failed(
            t0 + ms(200),
            t0 + ms(200),
            silent(),
            ms(500),
            t0 + ms(3_000),
        );
        let now = t0 + ms(3_100);
        check.demand(now);
        assert_eq!((check.proved, check.slow, check.due_at), (false, 0, now));
        assert_eq!((check.owed_since, check.cause.as_ref()), (None, None));
        assert_eq!(check.latency, Some(ms(2_900)), "for the evidence");
    }

    fn check() -> (Check, Duration) {
        let t0 = Duration::from_secs(1_000);
        let timing = CheckTiming {
            every: ms(1_000),
            grace_period: ms(3_000),
        };
        (Check::new(timing, t0), t0)
    }

    fn silent() -> EtcdError {
        EtcdError::passing(Fault::Unreachable, "no answer")
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
}
