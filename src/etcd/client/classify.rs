//! Converts the errors of the client library.

use std::error::Error as StdError;
use std::io;

use etcd_client::Error;

use crate::etcd::basics::{EtcdError, Fault, of_status, shorten, tls};
use crate::shell::placement::RuntimeGone;

impl From<Error> for EtcdError {
    fn from(error: Error) -> Self {
        match error {
            Error::GRpcStatus(status) => {
                // tonic's code as its number in the gRPC specification: tonic is not a direct dependency, so its
                // type cannot be named here.
                let code = i32::from(status.code());
                of_transport(&status).unwrap_or_else(|| of_status(code, status.message()))
            }
            // URLs are checked beforehand, so this is about certificates and keys.
            Error::TransportError(error) => tls(&deepest(&error)),
            other => Self::passing(Fault::Unreachable, shorten(&other.to_string())),
        }
    }
}

impl From<RuntimeGone> for EtcdError {
    fn from(_: RuntimeGone) -> Self {
        Self::passing(Fault::Unreachable, "the thread of etcd's clients has ended")
    }
}

/// Whether the server refuses credentials because authentication is not enabled.
pub(crate) fn is_auth_disabled(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status)
        if status.message().contains("authentication is not enabled"))
}

/// Whether a lease has run out, or was revoked.
pub(crate) fn is_lease_gone(error: &Error) -> bool {
    match error {
        Error::GRpcStatus(status) => status.message().contains("requested lease not found"),
        Error::LeaseKeepAliveError(text) => text == "lease not found",
        _ => false,
    }
}

/// Converts a fault below gRPC.
///
/// Such faults are distinguished by the source errors of the status, because all of them come as `Unavailable` or
/// `Unknown`. A status that the server sent has no source.
fn of_transport(status: &(dyn StdError + 'static)) -> Option<EtcdError> {
    let source = status.source()?;
    let text = deepest(source);
    if let Some(kind) = io_kind(source) {
        use io::ErrorKind as Kind;
        return Some(match kind {
            Kind::ConnectionRefused => EtcdError::sure(Fault::Unreachable, "connection refused"),
            Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected
            | Kind::UnexpectedEof => EtcdError::closed(),
            Kind::TimedOut => EtcdError::silent(),
            // rustls reports through an io::Error of this kind.
            Kind::InvalidData => tls(&text),
            _ => EtcdError::passing(Fault::Unreachable, shorten(&text)),
        });
    }
    // hyper and h2 do not export types that distinguish these errors, only their texts. The first one is of a ping
    // that was not answered.
    if text == "operation timed out" {
        return Some(EtcdError::silent());
    }
    if text == "connection closed" || text == "stream closed because of a broken pipe" {
        return Some(EtcdError::closed());
    }
    if text.contains("frame") || text.contains("invalid HTTP") || text.contains("protocol error") {
        let text = shorten(&format!(
            "not an etcd server: it does not speak gRPC ({text})"
        ));
        return Some(EtcdError::sure(Fault::Misdirected, text));
    }
    None
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .next()
}

/// The text of the innermost error: the outer errors only say e.g. "transport error".
fn deepest(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests;
