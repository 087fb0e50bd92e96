//! Why an attempt gave no evidence, in words an operator understands. Pure: what etcd says is given as text.

use core::time::Duration;

use super::backoff::RETRY_AFTER;
use super::fault::Fault;

/// Why a connection, or a question on one, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EtcdError {
    pub(crate) fault: Fault,
    /// Whether a second look would only confirm it.
    pub(crate) sure: bool,
    pub(crate) text: String,
    /// The other side closed the connection and said nothing.
    pub(crate) closed: bool,
}

impl EtcdError {
    /// No answer in time.
    pub(crate) fn silent() -> Self {
        Self::passing(Fault::Unreachable, "no answer")
    }

    /// A fault that may pass by itself, an election for one.
    pub(crate) fn passing(fault: Fault, text: impl Into<String>) -> Self {
        Self {
            fault,
            sure: false,
            text: text.into(),
            closed: false,
        }
    }

    /// A server answered, or nobody listens: a second look would only confirm it.
    pub(crate) fn sure(fault: Fault, text: impl Into<String>) -> Self {
        Self {
            sure: true,
            ..Self::passing(fault, text)
        }
    }

    /// The connection was closed, by a proxy without a backend for one.
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

    /// An answer for another cluster than the one that is meant. The next member may be of that one.
    pub(crate) fn of_another_cluster(url: &str, cluster: u64, meant: u64) -> Self {
        let text =
            format!("{url} is of cluster {cluster:x}, and the lease is of cluster {meant:x}");
        Self::passing(Fault::Misdirected, text)
    }

    /// An alarm that these members raise.
    pub(crate) fn alarm(fault: Fault, members: &[u64]) -> Self {
        let members: Vec<String> = members.iter().map(|id| format!("{id:x}")).collect();
        let members = members.join(", ");
        Self::sure(fault, shorten(&format!("alarm raised by member {members}")))
    }

    /// After which pause what failed is tried again. None if etcd goes on saying so, whoever is asked: silence passes, or
    /// the probe tells of it, and a token that has expired is replaced at the next try.
    pub(crate) fn again_in(&self) -> Option<Duration> {
        (!self.sure || self.fault.passes()).then_some(RETRY_AFTER)
    }

    /// Whether it is about the whole cluster, whichever member said it.
    pub(crate) fn of_cluster(&self) -> bool {
        self.sure && self.fault.of_cluster()
    }

    /// The same, if a connection said so that has worked before. That is never final: the member may
    /// have restarted, a token may have run out.
    pub(crate) fn unsure(mut self) -> Self {
        self.sure = false;
        self
    }

    /// A watch that the server ended, which it tells in a message and not by an error.
    pub(crate) fn of_canceled_watch(reason: &str) -> Self {
        // A status, as Go prints it.
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

/// What a server says. Its words are those of etcd's `api/v3rpc/rpctypes/error.go`.
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
        // An election, a lost quorum, or a leader that does not get on: the server gave up first.
        _ if says("leader") || says("request timed out") => {
            EtcdError::passing(Fault::NoLeader, text)
        }
        _ => EtcdError::passing(Fault::Unreachable, text),
    }
}

pub(crate) fn tls(text: &str) -> EtcdError {
    EtcdError::sure(Fault::Tls, shorten(&format!("TLS: {text}")))
}

/// What a server says goes into logs and health pages, so it is bounded and on one line.
pub(crate) fn shorten(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect()
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
