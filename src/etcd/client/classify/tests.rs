//! What breaks below gRPC, and what is made of it.

use std::fmt;

use super::*;

#[test]
fn what_breaks_below_grpc_is_told_by_the_kind_of_the_io_error() {
    use io::ErrorKind as Kind;
    for (kind, text, cause) in [
        (
            Kind::ConnectionRefused,
            "os error 111",
            EtcdError::sure(Fault::Unreachable, "connection refused"),
        ),
        (Kind::ConnectionReset, "os error 104", EtcdError::closed()),
        (Kind::ConnectionAborted, "aborted", EtcdError::closed()),
        (Kind::BrokenPipe, "stream closed", EtcdError::closed()),
        (Kind::NotConnected, "not connected", EtcdError::closed()),
        (
            Kind::UnexpectedEof,
            "tls handshake eof",
            EtcdError::closed(),
        ),
        (Kind::TimedOut, "deadline has elapsed", EtcdError::silent()),
        (
            Kind::InvalidData,
            "invalid peer certificate: UnknownIssuer",
            EtcdError::sure(Fault::Tls, "TLS: invalid peer certificate: UnknownIssuer"),
        ),
        (
            Kind::HostUnreachable,
            "no route to host",
            EtcdError::passing(Fault::Unreachable, "no route to host"),
        ),
        (
            Kind::Other,
            "failed to lookup address information",
            EtcdError::passing(Fault::Unreachable, "failed to lookup address information"),
        ),
    ] {
        let error = io::Error::new(kind, text);
        assert_eq!(below(error), Some(cause), "{kind:?}");
    }
}

#[test]
fn what_hyper_and_h2_say_is_told_by_their_words() {
    for words in [
        "connection closed",
        "stream closed because of a broken pipe",
    ] {
        assert_eq!(below(Says(words)), Some(EtcdError::closed()), "{words}");
    }
    // A ping was not answered.
    assert_eq!(
        below(Says("operation timed out")),
        Some(EtcdError::silent())
    );
    for words in [
        "connection error detected: frame with invalid size",
        "invalid HTTP version parsed",
        "connection error detected: unspecific protocol error detected",
    ] {
        let text = format!("not an etcd server: it does not speak gRPC ({words})");
        let cause = EtcdError::sure(Fault::Misdirected, text);
        assert_eq!(below(Says(words)), Some(cause), "{words}");
    }
    assert_eq!(below(Says("something new")), None, "its status tells");
    assert_eq!(of_transport(&Says("no source: the server said so")), None);
}

#[test]
fn what_an_io_error_says_is_kept_short() {
    let error = io::Error::new(io::ErrorKind::HostUnreachable, "é".repeat(10_000));
    let cause = below(error).expect("an I/O error");
    assert_eq!(cause.text, "é".repeat(200));
}

/// The cause of a status that tonic made of an error which came from this one.
fn below(error: impl StdError + 'static) -> Option<EtcdError> {
    of_transport(&Status(Transport(error)))
}

/// As tonic's: its words say nothing, its source does.
#[derive(Debug)]
struct Status<E>(Transport<E>);

#[derive(Debug)]
struct Transport<E>(E);

#[derive(Debug)]
struct Says(&'static str);

impl<E: fmt::Debug> fmt::Display for Status<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("status: Unknown")
    }
}

impl<E: StdError + 'static> StdError for Status<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

impl<E> fmt::Display for Transport<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("transport error")
    }
}

impl<E: StdError + 'static> StdError for Transport<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Says {}
