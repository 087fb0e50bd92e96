//! When the connection with one endpoint is opened, and when it is given up. Pure: it is told what happened, and when.

use core::time::Duration;

use crate::etcd::basics::{EtcdError, Fault, pause};
use crate::etcd::client::Timing;
use crate::etcd::health::{Answer, CheckKind, CheckRequest};

/// What is known of the attempts to reach one endpoint.
pub(crate) struct Reconnect {
    limits: Limits,
    /// When the connection is opened next, while it is closed.
    next_at: Duration,
    /// The same when it is needed.
    urgent_at: Duration,
    /// When the last attempt to open one began.
    opened_at: Duration,
    /// Attempts in a row that opened no connection.
    failures: u32,
    /// Connections in a row that were lost soon after they were opened.
    short_lived: u32,
    /// Reads in a row that the member refused.
    refusals: u32,
    /// When the member last said anything on this connection.
    heard_at: Duration,
    /// When a read was last asked for only to look at the member.
    looked_at: Duration,
}

#[derive(Clone, Copy)]
struct Limits {
    request_timeout: Duration,
    recheck: Duration,
    reconnect: Duration,
    spare_reconnect: Duration,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Answered(Answer),
    /// It failed. If the connection is not `kept` it is closed, and lost by the same cause.
    Failed {
        cause: EtcdError,
        kept: bool,
    },
    /// It says nothing.
    Nothing,
}

impl Reconnect {
    pub(crate) fn new(timing: &Timing, now: Duration) -> Self {
        let Timing {
            request_timeout,
            recheck,
            reconnect,
            spare_reconnect,
            ..
        } = *timing;
        Self {
            limits: Limits {
                request_timeout,
                recheck,
                reconnect,
                spare_reconnect,
            },
            next_at: now,
            urgent_at: now,
            opened_at: now,
            failures: 0,
            short_lived: 0,
            refusals: 0,
            heard_at: now,
            looked_at: now,
        }
    }

    /// When a connection is to be opened, while there is none.
    pub(crate) fn next_at(&self) -> Duration {
        self.next_at
    }

    /// Whether it is time for that.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        now >= self.next_at
    }

    /// An attempt to open a connection begins.
    pub(crate) fn opening(&mut self, now: Duration) {
        self.opened_at = now;
    }

    /// A connection is open.
    pub(crate) fn opened(&mut self) {
        self.failures = 0;
    }

    /// A connection is needed as soon as it may be tried again.
    pub(crate) fn hurry(&mut self) {
        self.next_at = self.next_at.min(self.urgent_at);
    }

    /// No connection could be opened. `calm` if etcd is alive without this endpoint.
    pub(crate) fn not_opened(&mut self, cause: &EtcdError, calm: bool, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        let longest = if cause.sure && cause.fault != Fault::Unreachable {
            // A server that turns us away is not to be burdened more than that: checking a password
            // costs it much.
            self.limits.recheck
        } else {
            // Soon, so that a recovery is seen soon.
            self.limits.reconnect
        };
        // Counted from its beginning: one that was silent has taken long enough.
        let again_at = |longest| (self.opened_at + pause(self.failures, longest)).max(now);
        self.urgent_at = again_at(longest);
        self.next_at = if calm {
            again_at(self.limits.spare_reconnect.max(longest))
        } else {
            self.urgent_at
        };
    }

    /// The member has said something on the connection.
    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard_at = now;
    }

    /// What came of a question, if that was answered or failed now. `is_status` if it asked the member what it thinks,
    /// which is of no check.
    pub(crate) fn replied(
        &mut self,
        asked: &CheckRequest,
        is_status: bool,
        answer: Result<Answer, EtcdError>,
        now: Duration,
    ) -> Reply {
        match answer {
            Ok(answer) => {
                self.heard(now);
                if matches!(answer, Answer::Read(_)) {
                    self.refusals = 0;
                }
                Reply::Answered(answer)
            }
            // With require-leader, no call is taken by a member that has none.
            Err(cause) if is_status && cause.fault == Fault::NoLeader => {
                Reply::Answered(Answer::Status { leader: false })
            }
            // It says nothing of the cluster; what is owed tells enough.
            Err(_) if is_status => Reply::Nothing,
            Err(cause) => self.failed(asked, cause, now),
        }
    }

    /// When an answer is given up that the connection owes: to a question of this moment.
    pub(crate) fn overdue_at(&self, asked_at: Duration) -> Duration {
        asked_at + self.limits.request_timeout
    }

    /// Whether it is time to give it up.
    pub(crate) fn is_overdue(&self, asked_at: Duration, now: Duration) -> bool {
        now >= self.overdue_at(asked_at)
    }

    /// A question failed. The connection is kept if the member is heard on it and another connection
    /// would help in nothing: in an election, or if only proposals fail.
    pub(crate) fn failed(
        &mut self,
        asked: &CheckRequest,
        mut cause: EtcdError,
        now: Duration,
    ) -> Reply {
        if cause.fault == Fault::Permission && asked.kind == CheckKind::Read {
            // Rights are the same on a new connection. A second look confirms it.
            self.refusals = self.refusals.saturating_add(1);
            if self.refusals == 1 {
                cause = cause.unsure();
            }
        }
        let kept = match cause.fault {
            // The connection itself broke.
            Fault::Unreachable if cause.sure => false,
            Fault::Unreachable => asked.kind == CheckKind::Write || self.heard_at > asked.at,
            fault => !fault.ends_connection(),
        };
        if !kept {
            cause = self.closed(cause, now);
        }
        Reply::Failed { cause, kept }
    }

    /// The connection is given up. A new one is tried at once, for only that can tell whether the member
    /// is gone; but not so if the old one was short-lived, or a server that answers and hangs up
    /// would make this spin. Returns the cause, as far as it is certain.
    pub(crate) fn closed(&mut self, cause: EtcdError, now: Duration) -> EtcdError {
        if now >= self.opened_at + FRESH {
            self.short_lived = 0;
            (self.next_at, self.urgent_at) = (now, now);
            return cause.unsure();
        }
        self.short_lived = self.short_lived.saturating_add(1);
        // Once at once all the same: most that break for the first time can be made again.
        let pause = match self.short_lived {
            1 => Duration::ZERO,
            more => pause(more - 1, self.limits.recheck),
        };
        self.next_at = now + pause;
        self.urgent_at = self.next_at;
        // What a server says of a new connection is final; that one breaks is not.
        if cause.fault == Fault::Unreachable {
            cause.unsure()
        } else {
            cause
        }
    }

    /// This is asked on the connection.
    pub(crate) fn asked(&mut self, asked: &CheckRequest) {
        if asked.look && asked.kind == CheckKind::Read {
            self.looked_at = asked.at;
        }
    }

    /// Whether a member that does not work, and owes no read, is to be looked at again.
    pub(crate) fn look_is_due(&self, now: Duration) -> bool {
        now >= self.looked_at + self.limits.spare_reconnect
    }
}

/// A connection that is younger than that is not made anew at once, and what a server says on it of
/// rights is final: no token runs out so soon.
const FRESH: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
