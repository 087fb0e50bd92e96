//! When failures of endpoints are told, and how often.

use super::*;

#[test]
fn certain_failures_of_all_endpoints_are_told_at_once() {
    let mut case = Case::new(config(["http://a", "http://b"]));
    case.lost(0, refused(), case.t0);
    assert_eq!(case.next(0), None);
    case.lost(1, EtcdError::closed(), case.t0);
    let (class, text) = case.fails(0);
    assert_eq!(class, "unreachable");
    assert!(
        text.starts_with(
            "etcd is unreachable: http://a:2379: refused; http://b:2379: the connection was closed"
        ),
        "{text}"
    );
}

#[test]
fn other_failures_are_told_after_the_grace_period_and_then_once_an_interval() {
    let mut case = Case::new(config(["http://a", "http://b"]));
    case.lost(0, refused(), case.t0);
    case.opened(1, Some(1), case.t0);
    case.ask(0);
    case.fail(1, CheckKind::Read, no_leader(), 0, 0);
    assert_eq!(case.next(3_349), None);
    let (class, text) = case.fails(3_350);
    assert_eq!(class, "no_leader");
    assert_eq!(
        text,
        "etcd has no leader or no quorum: no read was confirmed by a quorum for 3.35s (no leader); \
         http://a:2379: refused; http://b:2379: no leader. To do: bring back a majority of etcd's \
         members"
    );
    assert_eq!(case.next(4_749), None);
    case.fails(4_750);
    assert_eq!(case.next(4_760), None);
    // It goes on when everything is answered again, and not before.
    case.read(1, 7, 4_800);
    case.progress(1, 4_800);
    assert_eq!(case.next(4_800), None);
    case.write(1, 4_800);
    case.lives(4_800);
}

#[test]
fn a_second_look_is_taken_at_who_was_lost_before() {
    let mut case = Case::new(config(["http://a", "http://b"]));
    case.opened(1, Some(1), case.t0);
    case.lost(0, refused(), case.t0);
    case.all_from(1, 0);
    case.lives(0);
    // The one that worked is gone; the other was lost long ago, and may be back by now.
    case.lost(1, refused(), case.at(60_000));
    assert_eq!(case.next(60_000), None);
    case.lost(0, refused(), case.at(60_010));
    assert_eq!(case.fails(60_010).0, "unreachable");
}
