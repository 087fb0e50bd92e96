//! Why an attempt gave no evidence, in words an operator understands.

use std::error::Error as StdError;
use std::io;

use etcd_client::Error;

/// Why one attempt on one endpoint gave no evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No answer in time.
    Silent,
    /// A fault that passes by itself as a rule, an election for one.
    Passing(String),
    /// Nobody listens there.
    Refused,
    /// The connection was closed, by a proxy without a backend for one.
    Closed,
    /// A server answered, and a second look would only confirm what it said.
    Certain(String),
}

impl Cause {
    /// Whether a second look would only confirm it.
    pub(super) fn is_certain(&self) -> bool {
        matches!(self, Self::Refused | Self::Closed | Self::Certain(_))
    }

    /// The same, if an open connection said so. That is never final: the member may have restarted,
    /// a token may have run out.
    pub(super) fn on_open_connection(self) -> Self {
        match self {
            Self::Closed => Self::Passing("the connection was closed".into()),
            Self::Certain(text) => Self::Passing(text),
            other => other,
        }
    }

    /// A watch that the server ended, which it tells in a message and not by an error.
    pub(super) fn of_canceled_watch(reason: &str) -> Self {
        if reason.contains("permission denied") {
            return of_status(PERMISSION_DENIED, "permission denied");
        }
        Self::Passing(shorten(&format!("the watch was canceled: {reason}")))
    }
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        match error {
            Error::GRpcStatus(status) => {
                // tonic's code as its number in the gRPC specification: the type itself is not ours
                // to name.
                let code = i32::from(status.code());
                of_transport(&status).unwrap_or_else(|| of_status(code, status.message()))
            }
            // URLs are checked beforehand, so this is about certificates and keys.
            Error::TransportError(error) => {
                Self::Certain(shorten(&format!("TLS: {}", deepest(&error))))
            }
            other => Self::Passing(shorten(&other.to_string())),
        }
    }
}

/// Whether the server refuses credentials because it does not ask for any.
pub(super) fn is_auth_disabled(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status)
        if status.message().contains("authentication is not enabled"))
}

/// Faults below gRPC. They are told from one another by the errors underneath the status, since all
/// come as `Unavailable` or `Unknown`. A status that the server sent has none.
fn of_transport(status: &(dyn StdError + 'static)) -> Option<Cause> {
    let source = status.source()?;
    let text = deepest(source);
    if let Some(kind) = io_kind(source) {
        use io::ErrorKind as Kind;
        return Some(match kind {
            Kind::ConnectionRefused => Cause::Refused,
            Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected
            | Kind::UnexpectedEof => Cause::Closed,
            Kind::TimedOut => Cause::Silent,
            // rustls reports through an io::Error of this kind.
            Kind::InvalidData => Cause::Certain(shorten(&format!("TLS: {text}"))),
            _ => Cause::Passing(shorten(&text)),
        });
    }
    // hyper and h2 do not export what would tell these apart, only their words.
    if text == "connection closed" {
        return Some(Cause::Closed);
    }
    if text.contains("frame") || text.contains("invalid HTTP") || text.contains("protocol error") {
        return Some(Cause::Certain(shorten(&format!(
            "not an etcd server: it does not speak gRPC ({text})"
        ))));
    }
    None
}

fn of_status(code: i32, message: &str) -> Cause {
    let text = shorten(message.strip_prefix("etcdserver: ").unwrap_or(message));
    match code {
        INVALID_ARGUMENT if text.contains("revision of auth store is old") => Cause::Passing(text),
        UNAUTHENTICATED | INVALID_ARGUMENT => {
            let text = text
                .strip_prefix("authentication failed, ")
                .unwrap_or(&text);
            Cause::Certain(format!("authentication failed: {text}"))
        }
        PERMISSION_DENIED if text == "permission denied" => Cause::Certain(
            "permission denied: let the user read the sentinel key, or name one that it may read"
                .into(),
        ),
        PERMISSION_DENIED => Cause::Certain(format!("permission denied: {text}")),
        UNIMPLEMENTED => Cause::Certain(format!("not an etcd server: {text}")),
        DEADLINE_EXCEEDED => Cause::Silent,
        _ => Cause::Passing(text),
    }
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .next()
}

/// The words of the innermost error: the outer ones say "transport error" and the like.
fn deepest(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What a server says goes into logs and health pages, so it is bounded and on one line.
fn shorten(text: &str) -> String {
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
