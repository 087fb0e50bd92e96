//! One of the three questions that are asked again and again. Pure: it is told the time.

use std::time::Duration;

use tokio::time::Instant;

use super::cause::Cause;
use super::config;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Progress,
    Read,
    Write,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Progress, Self::Read, Self::Write];
}

/// One layer: when it is to be asked, and since when it owes an answer.
pub(super) struct Layer {
    pub(super) pace: config::Layer,
    /// When it is asked next.
    pub(super) due_at: Instant,
    /// When it was first asked after its last answer; none while nothing is owed.
    pub(super) owed_since: Option<Instant>,
    /// Whether a good answer came since judging began, or since it last failed.
    pub(super) proved: bool,
    /// Answers beyond the latency budget in a row, each asked for after the one before had come: what
    /// waits through one pause together is late together.
    pub(super) slow: u32,
    late_at: Option<Instant>,
    /// When that was asked which was answered well: what was asked before is settled by it.
    settled_at: Option<Instant>,
    /// Questions in a row that failed or went unanswered for the budget.
    failures: u32,
    /// Why the last question failed, while an answer is owed.
    pub(super) cause: Option<Cause>,
    /// The latency of the last answer.
    pub(super) latency: Option<Duration>,
}

impl Layer {
    pub(super) fn new(pace: config::Layer, now: Instant) -> Self {
        Self {
            pace,
            due_at: now,
            owed_since: None,
            proved: false,
            slow: 0,
            late_at: None,
            settled_at: None,
            failures: 0,
            cause: None,
            latency: None,
        }
    }

    /// Nothing that was heard before counts any more, and it is asked now.
    pub(super) fn demand(&mut self, now: Instant) {
        *self = Self {
            latency: self.latency,
            ..Self::new(self.pace, now)
        };
    }

    /// It is asked, or would be if anybody could be reached. Asked again in a while if no answer
    /// comes.
    pub(super) fn asked(&mut self, now: Instant, again_in: Duration) {
        self.owed_since.get_or_insert(now);
        self.due_at = now + again_in;
    }

    /// A good answer to what was asked at `asked_at`.
    pub(super) fn answered(&mut self, asked_at: Instant, every: Duration, now: Instant) {
        self.owed_since = None;
        self.failures = 0;
        self.cause = None;
        self.proved = true;
        self.slow = 0;
        self.late_at = None;
        self.settled_at = self.settled_at.max(Some(asked_at));
        self.latency = Some(now - asked_at);
        self.due_at = (asked_at + every).max(now);
    }

    /// An answer beyond the latency budget. It settles what is owed, but not a failure.
    pub(super) fn answered_late(&mut self, asked_at: Instant, every: Duration, now: Instant) {
        if self.is_settled(asked_at) {
            return;
        }
        if self.late_at.is_none_or(|at| asked_at >= at) {
            self.slow = self.slow.saturating_add(1);
            self.late_at = Some(now);
        }
        self.latency = Some(now - asked_at);
        if self.proved {
            self.owed_since = None;
            self.failures = 0;
            self.cause = None;
            self.due_at = self.due_at.min((asked_at + every).max(now));
        } else {
            // Things move again: the next answer may be a good one.
            self.due_at = now;
        }
    }

    /// A question failed. The first time it is asked again at once: of another member, or on another
    /// connection.
    pub(super) fn failed(
        &mut self,
        asked_at: Instant,
        cause: Cause,
        recheck: Duration,
        now: Instant,
    ) {
        if self.is_settled(asked_at) {
            return;
        }
        self.owed_since.get_or_insert(asked_at);
        self.failures = self.failures.saturating_add(1);
        self.due_at = if self.failures == 1 {
            now
        } else {
            self.due_at.min(now + recheck)
        };
        self.cause = Some(cause);
    }

    /// Somebody else has answered what was asked no earlier than this.
    fn is_settled(&self, asked_at: Instant) -> bool {
        self.settled_at >= Some(asked_at)
    }

    /// When its patience ends.
    pub(super) fn fails_at(&self) -> Option<Instant> {
        self.owed_since.map(|since| since + self.pace.patience)
    }

    /// Leaves a time out of account in which nobody could listen.
    pub(super) fn excuse(&mut self, time: Duration, now: Instant) {
        if let Some(since) = &mut self.owed_since {
            *since = now.min(*since + time);
        }
    }
}
