//! What etcd and the libraries below say, and what is made of it.

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
        assert_eq!(cause, EtcdError::passing(fault, words));
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
            "request is too large",
            Fault::WritePath,
            "request is too large",
        ),
        (
            INVALID_ARGUMENT,
            "too many operations in txn request",
            Fault::WritePath,
            "too many operations in txn request",
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
        assert_eq!(cause, EtcdError::sure(fault, text));
        assert_eq!(
            cause.of_cluster(),
            matches!(fault, Fault::NoSpace | Fault::Corrupt)
        );
        assert!(!cause.unsure().of_cluster(), "not beyond doubt");
    }
    assert_eq!(
        of_status(UNIMPLEMENTED, "unknown service etcdserverpb.Watch"),
        EtcdError::sure(
            Fault::Misdirected,
            "not an etcd server: unknown service etcdserverpb.Watch"
        )
    );
    assert_eq!(
        of_status(DEADLINE_EXCEEDED, "context deadline exceeded"),
        EtcdError::silent()
    );
}

/// etcd puts a status, as Go prints it, or its own words into the message that ends a watch.
#[test]
fn a_watch_that_the_server_ends_has_the_class_of_its_reason() {
    let canceled =
        |status: &str| EtcdError::of_canceled_watch(&format!("rpc error: code = {status}"));
    assert_eq!(
        canceled("PermissionDenied desc = etcdserver: permission denied"),
        EtcdError::sure(Fault::Permission, "permission denied")
    );
    assert_eq!(
        canceled("Unauthenticated desc = etcdserver: invalid auth token"),
        EtcdError::sure(
            Fault::Unauthenticated,
            "authentication failed: invalid auth token"
        )
    );
    assert_eq!(
        canceled("InvalidArgument desc = etcdserver: revision of auth store is old"),
        EtcdError::passing(Fault::Unauthenticated, "revision of auth store is old")
    );
    for other in [
        "etcdserver: mvcc: required revision has been compacted",
        "rpc error: code = Unavailable desc = etcdserver: server stopped",
        "rpc error: code = PermissionDenied",
        "",
    ] {
        assert_eq!(
            EtcdError::of_canceled_watch(other),
            EtcdError::passing(
                Fault::Unreachable,
                format!("the watch was canceled: {other}")
            )
        );
    }
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
    let bounded = |cause: EtcdError, most: usize| {
        let length = cause.text.chars().count();
        assert!(length <= most, "{length}");
        assert!(!cause.text.contains(char::is_control), "{}", cause.text);
    };
    bounded(of_status(PERMISSION_DENIED, &long), LONGEST);
    // With what is put in front of it.
    bounded(of_status(UNAUTHENTICATED, &long), LONGEST + 23);
    bounded(of_status(UNIMPLEMENTED, &long), LONGEST + 20);
    bounded(EtcdError::of_canceled_watch(&long), LONGEST);
    bounded(EtcdError::alarm(Fault::NoSpace, &[u64::MAX; 100]), LONGEST);
    bounded(tls(&long), LONGEST);
}

#[test]
fn what_failed_is_tried_again_unless_etcd_refuses_it_for_good() {
    for fault in Fault::ALL {
        let again = EtcdError::passing(fault, "why").again_in();
        assert_eq!(again, Some(RETRY_AFTER), "{fault}");
        let passes = [Fault::Unreachable, Fault::Unauthenticated].contains(&fault);
        let again = EtcdError::sure(fault, "why").again_in();
        assert_eq!(again, passes.then_some(RETRY_AFTER), "{fault}");
    }
}
