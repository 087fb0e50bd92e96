//! Leases, and what goes with them.

use tonic::Code;

use super::super::{Keys, Renewal};
use super::*;

#[test]
fn the_keys_of_a_lease_go_with_it_in_one_revision() {
    for by_hand in [true, false] {
        let mut store = store();
        let lease = grant(&mut store, 5, 100);
        for key in ["a", "b", "c", "d"] {
            put_under(&mut store, key, "", lease);
        }
        // Another one's from here on, and nobody's.
        put(&mut store, "c", "");
        delete(&mut store, "d", "");
        let before = store.revision();
        if by_hand {
            store.revoke(lease).expect("it is there");
        } else {
            assert!(!store.expire(s(104.9)));
            assert!(store.expire(s(105.0)));
        }
        assert_eq!(store.revision(), before + 1);
        let left = store.range(&range("\0", "\0")).expect("a fair read");
        assert_eq!(keys_of(&left), ["c"]);
        let told = store.changes(&Keys::new(b"\0", b"\0"), before + 1);
        let gone: Vec<_> = told.iter().map(|event| event.r#type).collect();
        assert_eq!(gone, [1, 1], "two deletions");
        let refused = store.revoke(lease).expect_err("it is gone");
        assert_eq!(refused.code(), Code::NotFound);
    }
}

#[test]
fn a_lease_that_is_renewed_lives_on_and_one_that_has_run_out_is_not_renewed() {
    let mut store = store();
    let lease = grant(&mut store, 5, 0);
    assert_eq!(store.renew(lease, s(4.0)), Renewal::Renewed(5));
    assert!(!store.expire(s(8.9)));
    assert_eq!(ttl(&store, lease, 6.5), (2, 5), "whole seconds");
    assert_eq!(store.renew(lease, s(9.0)), Renewal::Ending);
    assert!(store.expire(s(9.0)));
    assert_eq!(store.renew(lease, s(9.0)), Renewal::Gone);
    assert_eq!(ttl(&store, lease, 9.0), (-1, 0));
}

#[test]
fn a_new_leader_begins_all_leases_anew() {
    let mut store = store();
    let lease = grant(&mut store, 5, 0);
    let term = store.term();
    // It has run out, and nobody could say so.
    store.begin_term(s(20.0));
    assert_eq!(store.term(), term + 1);
    assert!(!store.expire(s(25.9)));
    assert!(store.expire(s(26.0)));
    assert_eq!(store.renew(lease, s(26.0)), Renewal::Gone);
}

#[test]
fn a_short_ttl_is_raised_and_an_id_is_given_once() {
    let mut store = store();
    let asked = |ttl, id| PbLeaseGrantRequest { ttl, id };
    let granted = store.grant(&asked(1, 0), s(0.0)).expect("granted");
    assert_eq!(granted.ttl, 2);
    let other = store.grant(&asked(9, 0), s(0.0)).expect("granted");
    assert_eq!(other.ttl, 9);
    assert_ne!(granted.id, other.id);
    let refused = store.grant(&asked(9, other.id), s(0.0)).expect_err("twice");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let ids = store.leases().leases.into_iter().map(|lease| lease.id);
    assert_eq!(ids.collect::<Vec<_>>(), [granted.id, other.id]);
}
