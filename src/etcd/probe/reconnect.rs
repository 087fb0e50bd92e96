//! When the connection to one endpoint is opened, and when it is given up. Pure: events and times are parameters.

use core::time::Duration;

use crate::etcd::basics::{EtcdError, Fault, pause};
use crate::etcd::client::Timing;
use crate::etcd::health::{Answer, CheckKind, CheckRequest};

/// The state of the attempts to reach one endpoint.
pub(crate) struct Reconnect {
    limits: Limits,
    /// While the connection is closed: when it is opened next.
    next_at: Duration,
    /// The same if the connection is needed.
    urgent_at: Duration,
    /// When the last attempt to open a connection began.
    opened_at: Duration,
    /// Attempts in a row that opened no connection.
    failures: u32,
    /// Connections in a row that were lost soon after they were opened.
    short_lived: u32,
    /// Reads in a row that the member refused.
    refusals: u32,
    /// When the member last sent anything on this connection.
    heard_at: Duration,
    /// When a read was last sent only to check the state of the member.
    looked_at: Duration,
}

#[derive(Clone, Copy)]
struct Limits {
    request_timeout: Duration,
    recheck: Duration,
    reconnect: Duration,
    spare_reconnect: Duration,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Answered(Answer),
    /// The request failed. If the connection is not `kept`, it is closed, and lost for the same cause.
    Failed {
        cause: EtcdError,
        kept: bool,
    },
    /// The result has no meaning for any check.
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

    /// When a connection should be opened, while there is none.
    pub(crate) fn next_at(&self) -> Duration {
        self.next_at
    }

    /// Whether that time has come.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        now >= self.next_at
    }

    /// Notes that an attempt to open a connection begins.
    pub(crate) fn opening(&mut self, now: Duration) {
        self.opened_at = now;
    }

    /// Notes that a connection is open.
    pub(crate) fn opened(&mut self) {
        self.failures = 0;
    }

    /// Notes that a connection is needed as soon as the next attempt is allowed.
    pub(crate) fn hurry(&mut self) {
        self.next_at = self.next_at.min(self.urgent_at);
    }

    /// Notes that no connection could be opened. `calm` if etcd is alive without this endpoint.
    pub(crate) fn not_opened(&mut self, cause: &EtcdError, calm: bool, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        let longest = if cause.sure && cause.fault != Fault::Unreachable {
            // A server that refuses the client must not get more load: checking a password is expensive.
            self.limits.recheck
        } else {
            // A short pause, so that a recovery is seen soon.
            self.limits.reconnect
        };
        // Counted from the beginning of the attempt: a silent one has taken long enough.
        let again_at = |longest| (self.opened_at + pause(self.failures, longest)).max(now);
        self.urgent_at = again_at(longest);
        self.next_at = if calm {
            again_at(self.limits.spare_reconnect.max(longest))
        } else {
            self.urgent_at
        };
    }

    /// Notes that the member has sent something on the connection.
    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard_at = now;
    }

    /// The result of a request that was answered or failed now.
    ///
    /// `is_status` if it asked for the status of the member, which belongs to no check.
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
            // With require-leader, a member without a leader refuses every call.
            Err(cause) if is_status && cause.fault == Fault::NoLeader => {
                Reply::Answered(Answer::Status { leader: false })
            }
            // This says nothing about the cluster; the unanswered requests say enough.
            Err(_) if is_status => Reply::Nothing,
            Err(cause) => self.failed(asked, cause, now),
        }
    }

    /// When to give up waiting for the answer to a request of this moment.
    pub(crate) fn overdue_at(&self, asked_at: Duration) -> Duration {
        asked_at + self.limits.request_timeout
    }

    /// Whether that time has come.
    pub(crate) fn is_overdue(&self, asked_at: Duration, now: Duration) -> bool {
        now >= self.overdue_at(asked_at)
    }

    /// Handles a failed request.
    ///
    /// The connection is kept if the member still sends on it and a new connection would not help: in an election, or
    /// if only proposals fail.
    pub(crate) fn failed(
        &mut self,
        asked: &CheckRequest,
        mut cause: EtcdError,
        now: Duration,
    ) -> Reply {
        if cause.fault == Fault::Permission && asked.kind == CheckKind::Read {
            // Rights are the same on a new connection. A second attempt confirms it.
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

    /// Notes that the connection is given up, and returns the cause, as far as it is certain.
    ///
    /// A new connection is tried at once, because only this shows whether the member is gone. But if the old connection
    /// was short-lived, there is a pause: otherwise a server that accepts and closes connections would cause a busy
    /// loop.
    pub(crate) fn closed(&mut self, cause: EtcdError, now: Duration) -> EtcdError {
        if now >= self.opened_at + FRESH {
            self.short_lived = 0;
            (self.next_at, self.urgent_at) = (now, now);
            return cause.unsure();
        }
        self.short_lived = self.short_lived.saturating_add(1);
        // The first time there is still no pause: most connections that break once can be made again.
        let pause = match self.short_lived {
            1 => Duration::ZERO,
            more => pause(more - 1, self.limits.recheck),
        };
        self.next_at = now + pause;
        self.urgent_at = self.next_at;
        // A server's error on a new connection is final; a broken connection is not.
        if cause.fault == Fault::Unreachable {
            cause.unsure()
        } else {
            cause
        }
    }

    /// Notes that this request is sent on the connection.
    pub(crate) fn asked(&mut self, asked: &CheckRequest) {
        if asked.look && asked.kind == CheckKind::Read {
            self.looked_at = asked.at;
        }
    }

    /// Whether a member that does not work, and owes no read, should be checked again.
    pub(crate) fn look_is_due(&self, now: Duration) -> bool {
        now >= self.looked_at + self.limits.spare_reconnect
    }
}

/// A connection that breaks before this age is not reopened at once.
///
/// A server's answer about rights on such a connection is final, because no token expires so soon.
const FRESH: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
