//! What etcd and the libraries below say, and what is made of it.

use std::fmt;

use super::*;

/// The words are those of 3.4.23 and 3.5.1, found in both binaries unless it is said otherwise.
#[test]
fn each_answer_of_etcd_has_its_class() {
    const UNKNOWN: i32 = 2;
    const RESOURCE_EXHAUSTED: i32 = 8;
    const FAILED_PRECONDITION: i32 = 9;
    const UNAVAILABLE: i32 = 14;
    const DATA_LOSS: i32 = 15;
    let passing = [
        (UNAVAILABLE, "no leader", Fault::NoLeader),
        (UNAVAILABLE, "leader changed", Fault::NoLeader),
        (FAILED_PRECONDITION, "not leader", Fault::NoLeader),
        (UNAVAILABLE, "request timed out", Fault::NoLeader),
        (
            UNAVAILABLE,
            "request timed out, possibly due to previous leader failure",
            Fault::NoLeader,
        ),
        (
            UNAVAILABLE,
            "request timed out, possibly due to connection lost",
            Fault::NoLeader,
        ),
        // 3.4.23, and later versions of 3.5.
        (
            UNAVAILABLE,
            "request timed out, waiting for the applied index took too long",
            Fault::NoLeader,
        ),
        (RESOURCE_EXHAUSTED, "too many requests", Fault::TooSlow),
        // 3.4.23, and later versions of 3.5.
        (
            INVALID_ARGUMENT,
            "revision of auth store is old",
            Fault::Unauthenticated,
        ),
        (UNAVAILABLE, "server stopped", Fault::Unreachable),
        (UNAVAILABLE, "unhealthy cluster", Fault::Unreachable),
        (UNAVAILABLE, "not capable", Fault::Unreachable),
        (
            UNAVAILABLE,
            "rpc not supported for learner",
            Fault::Unreachable,
        ),
        (UNKNOWN, "something new", Fault::Unreachable),
    ];
    for (code, words, fault) in passing {
        let cause = of_status(code, &format!("etcdserver: {words}"));
        assert_eq!(cause, Cause::passing(fault, words));
        assert!(!cause.sure && !cause.closed);
    }
    let sure = [
        (
            RESOURCE_EXHAUSTED,
            "mvcc: database space exceeded",
            Fault::NoSpace,
            "mvcc: database space exceeded",
        ),
        (
            DATA_LOSS,
            "corrupt cluster",
            Fault::Corrupt,
            "corrupt cluster",
        ),
        (
            INVALID_ARGUMENT,
            "authentication failed, invalid user ID or password",
            Fault::Unauthenticated,
            "authentication failed: invalid user ID or password",
        ),
        (
            INVALID_ARGUMENT,
            "user name is empty",
            Fault::Unauthenticated,
            "authentication failed: user name is empty",
        ),
        (
            UNAUTHENTICATED,
            "invalid auth token",
            Fault::Unauthenticated,
            "authentication failed: invalid auth token",
        ),
        (
            PERMISSION_DENIED,
            "permission denied",
            Fault::Permission,
            "permission denied",
        ),
    ];
    for (code, words, fault, text) in sure {
        let cause = of_status(code, &format!("etcdserver: {words}"));
        assert_eq!(cause, Cause::sure(fault, text));
        assert_eq!(
            cause.of_cluster(),
            matches!(fault, Fault::NoSpace | Fault::Corrupt)
        );
        assert!(!cause.unsure().of_cluster(), "not beyond doubt");
    }
    assert_eq!(
        of_status(UNIMPLEMENTED, "unknown service etcdserverpb.Watch"),
        Cause::sure(
            Fault::Misdirected,
            "not an etcd server: unknown service etcdserverpb.Watch"
        )
    );
    assert_eq!(
        of_status(DEADLINE_EXCEEDED, "context deadline exceeded"),
        Cause::silent()
    );
}

/// etcd puts a status, as Go prints it, or its own words into the message that ends a watch.
#[test]
fn a_watch_that_the_server_ends_has_the_class_of_its_reason() {
    let canceled = |status: &str| Cause::of_canceled_watch(&format!("rpc error: code = {status}"));
    assert_eq!(
        canceled("PermissionDenied desc = etcdserver: permission denied"),
        Cause::sure(Fault::Permission, "permission denied")
    );
    assert_eq!(
        canceled("Unauthenticated desc = etcdserver: invalid auth token"),
        Cause::sure(
            Fault::Unauthenticated,
            "authentication failed: invalid auth token"
        )
    );
    assert_eq!(
        canceled("InvalidArgument desc = etcdserver: revision of auth store is old"),
        Cause::passing(Fault::Unauthenticated, "revision of auth store is old")
    );
    for other in [
        "etcdserver: mvcc: required revision has been compacted",
        "rpc error: code = Unavailable desc = etcdserver: server stopped",
        "rpc error: code = PermissionDenied",
        "",
    ] {
        assert_eq!(
            Cause::of_canceled_watch(other),
            Cause::passing(
                Fault::Unreachable,
                format!("the watch was canceled: {other}")
            )
        );
    }
}

#[test]
fn what_breaks_below_grpc_is_told_by_the_kind_of_the_io_error() {
    use io::ErrorKind as Kind;
    for (kind, text, cause) in [
        (
            Kind::ConnectionRefused,
            "os error 111",
            Cause::sure(Fault::Unreachable, "connection refused"),
        ),
        (Kind::ConnectionReset, "os error 104", Cause::closed()),
        (Kind::ConnectionAborted, "aborted", Cause::closed()),
        (Kind::BrokenPipe, "stream closed", Cause::closed()),
        (Kind::NotConnected, "not connected", Cause::closed()),
        (Kind::UnexpectedEof, "tls handshake eof", Cause::closed()),
        (Kind::TimedOut, "deadline has elapsed", Cause::silent()),
        (
            Kind::InvalidData,
            "invalid peer certificate: UnknownIssuer",
            Cause::sure(Fault::Tls, "TLS: invalid peer certificate: UnknownIssuer"),
        ),
        (
            Kind::HostUnreachable,
            "no route to host",
            Cause::passing(Fault::Unreachable, "no route to host"),
        ),
        (
            Kind::Other,
            "failed to lookup address information",
            Cause::passing(Fault::Unreachable, "failed to lookup address information"),
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
        assert_eq!(below(Says(words)), Some(Cause::closed()), "{words}");
    }
    // A ping was not answered.
    assert_eq!(below(Says("operation timed out")), Some(Cause::silent()));
    for words in [
        "connection error detected: frame with invalid size",
        "invalid HTTP version parsed",
        "connection error detected: unspecific protocol error detected",
    ] {
        let text = format!("not an etcd server: it does not speak gRPC ({words})");
        let cause = Cause::sure(Fault::Misdirected, text);
        assert_eq!(below(Says(words)), Some(cause), "{words}");
    }
    assert_eq!(below(Says("something new")), None, "its status tells");
    assert_eq!(of_transport(&Says("no source: the server said so")), None);
}

#[test]
fn what_a_server_says_is_kept_on_one_line_and_short() {
    assert_eq!(
        shorten("a\r\nb\tc\u{1b}[31m\u{7f}\u{85}d"),
        "a  b c [31m  d"
    );
    assert_eq!(shorten(&"é".repeat(200)), "é".repeat(200));
    assert_eq!(shorten(&"é".repeat(201)), "é".repeat(200));
    let long = format!("etcdserver: permission\ndenied {}", "x".repeat(10_000));
    let bounded = |cause: Cause, most: usize| {
        let length = cause.text.chars().count();
        assert!(length <= most, "{length}");
        assert!(!cause.text.contains(char::is_control), "{}", cause.text);
    };
    bounded(of_status(PERMISSION_DENIED, &long), LONGEST);
    // With what is put in front of it.
    bounded(of_status(UNAUTHENTICATED, &long), LONGEST + 23);
    bounded(of_status(UNIMPLEMENTED, &long), LONGEST + 20);
    bounded(Cause::of_canceled_watch(&long), LONGEST);
    bounded(Cause::alarm(Fault::NoSpace, &[u64::MAX; 100]), LONGEST);
    bounded(tls(&long), LONGEST);
    let error = io::Error::new(io::ErrorKind::HostUnreachable, long.clone());
    bounded(below(error).expect("an I/O error"), LONGEST);
}

/// The cause of a status that tonic made of an error which came from this one.
fn below(error: impl StdError + 'static) -> Option<Cause> {
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
