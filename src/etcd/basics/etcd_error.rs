//! Errors of requests to etcd, in words for operators. Pure: the answers of etcd are passed as text.

use core::time::Duration;

use super::backoff::RETRY_AFTER;
use super::fault::Fault;
use crate::text::redact;

/// Why a connection, or a request on one, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EtcdError {
    pub(crate) fault: Fault,
    /// Whether the error is certain: a second attempt would only confirm it.
    pub(crate) sure: bool,
    pub(crate) text: String,
    /// Whether the other side closed the connection without an error message.
    pub(crate) closed: bool,
}

impl EtcdError {
    /// No answer in time.
    pub(crate) fn silent() -> Self {
        Self::passing(Fault::Unreachable, "no answer")
    }

    /// A fault that may pass by itself, e.g. an election.
    pub(crate) fn passing(fault: Fault, text: impl Into<String>) -> Self {
        Self {
            fault,
            sure: false,
            text: text.into(),
            closed: false,
        }
    }

    /// A certain fault: a server answered, or nothing listens there.
    pub(crate) fn sure(fault: Fault, text: impl Into<String>) -> Self {
        Self {
            sure: true,
            ..Self::passing(fault, text)
        }
    }

    /// The connection was closed, e.g. by a proxy without a backend.
    pub(crate) fn closed() -> Self {
        Self {
            closed: true,
            ..Self::sure(Fault::Unreachable, "the connection was closed")
        }
    }

    pub(crate) fn without_header() -> Self {
        Self::sure(
            Fault::Misdirected,
            "not an etcd server: an answer without a header",
        )
    }

    /// An answer from another cluster than the expected one. The next member may belong to the expected one.
    pub(crate) fn of_another_cluster(url: &str, cluster: u64, meant: u64) -> Self {
        let text =
            format!("{url} is of cluster {cluster:x}, and not of cluster {meant:x} as expected");
        Self::passing(Fault::Misdirected, text)
    }

    /// An alarm that these members raised.
    pub(crate) fn alarm(fault: Fault, members: &[u64]) -> Self {
        let members: Vec<String> = members.iter().map(|id| format!("{id:x}")).collect();
        let members = members.join(", ");
        Self::sure(fault, shorten(&format!("alarm raised by member {members}")))
    }

    /// The pause before the next attempt; `None` if every member would give the same answer again.
    ///
    /// Silence passes, or the probe reports it. A token that has expired is replaced at the next attempt.
    pub(crate) fn again_in(&self) -> Option<Duration> {
        (!self.sure || self.fault.passes()).then_some(RETRY_AFTER)
    }

    /// Whether the failure concerns the whole cluster, whichever member reported it.
    pub(crate) fn of_cluster(&self) -> bool {
        self.sure && self.fault.of_cluster()
    }

    /// Whether the token of an authenticated client is not valid any more, e.g. because it has expired.
    ///
    /// The next attempt gets a new one.
    pub(crate) fn is_stale_token(&self) -> bool {
        let says = |words| self.text.contains(words);
        self.fault == Fault::Unauthenticated
            && (says("invalid auth token") || says("revision of auth store is old"))
    }

    /// The same error from a connection that has worked before. It is never final: the member may have restarted, or a
    /// token may have expired.
    pub(crate) fn unsure(mut self) -> Self {
        self.sure = false;
        self
    }

    /// The error of a watch that the server ended with a message rather than an error.
    pub(crate) fn of_canceled_watch(reason: &str) -> Self {
        // A gRPC status, as Go prints it.
        let codes = [
            ("InvalidArgument", INVALID_ARGUMENT),
            ("PermissionDenied", PERMISSION_DENIED),
            ("Unauthenticated", UNAUTHENTICATED),
        ];
        if let Some((code, message)) = reason
            .strip_prefix("rpc error: code = ")
            .and_then(|status| status.split_once(" desc = "))
            && let Some((_, code)) = codes.into_iter().find(|(name, _)| *name == code)
        {
            return of_status(code, message);
        }
        let text = shorten(&format!("the watch was canceled: {reason}"));
        Self::passing(Fault::Unreachable, text)
    }
}

/// The error of a gRPC status. The messages are those of etcd's `api/v3rpc/rpctypes/error.go`.
pub(crate) fn of_status(code: i32, message: &str) -> EtcdError {
    let text = shorten(message.strip_prefix("etcdserver: ").unwrap_or(message));
    let says = |words: &str| text.contains(words);
    match code {
        INVALID_ARGUMENT if says("revision of auth store is old") => {
            EtcdError::passing(Fault::Unauthenticated, text)
        }
        INVALID_ARGUMENT if says("too large") || says("too many operations") => {
            EtcdError::sure(Fault::WritePath, text)
        }
        UNAUTHENTICATED | INVALID_ARGUMENT => {
            let text = text
                .strip_prefix("authentication failed, ")
                .unwrap_or(&text);
            EtcdError::sure(
                Fault::Unauthenticated,
                format!("authentication failed: {text}"),
            )
        }
        PERMISSION_DENIED => EtcdError::sure(Fault::Permission, text),
        UNIMPLEMENTED => EtcdError::sure(Fault::Misdirected, format!("not an etcd server: {text}")),
        DEADLINE_EXCEEDED => EtcdError::silent(),
        _ if says("database space exceeded") => EtcdError::sure(Fault::NoSpace, text),
        _ if says("corrupt") => EtcdError::sure(Fault::Corrupt, text),
        _ if says("too many requests") => EtcdError::passing(Fault::TooSlow, text),
        // An election, a lost quorum, or a leader without progress: the server gave up first.
        _ if says("leader") || says("request timed out") => {
            EtcdError::passing(Fault::NoLeader, text)
        }
        _ => EtcdError::passing(Fault::Unreachable, text),
    }
}

pub(crate) fn tls(text: &str) -> EtcdError {
    EtcdError::sure(Fault::Tls, shorten(&format!("TLS: {text}")))
}

/// Bounds a server's message to one line of limited length without secrets, because it goes into logs and health pages.
pub(crate) fn shorten(text: &str) -> String {
    redact(text).chars().take(LONGEST).collect()
}

const LONGEST: usize = 200;

// gRPC's status codes, from its specification (doc/statuscodes.md).
const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const PERMISSION_DENIED: i32 = 7;
const UNIMPLEMENTED: i32 = 12;
const UNAUTHENTICATED: i32 = 16;

#[cfg(test)]
mod tests;
