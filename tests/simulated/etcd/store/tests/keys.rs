//! Keys, their numbers and their history.

use tonic::Code;

use super::super::Keys;
use super::*;

#[test]
fn a_key_remembers_its_creation_its_last_change_and_how_many_there_were() {
    let mut store = store();
    put(&mut store, "a", "1");
    put(&mut store, "b", "1");
    put(&mut store, "a", "2");
    assert_eq!(numbers(&store, "a"), Some((11, 13, 2)));
    assert_eq!(numbers(&store, "b"), Some((12, 12, 1)));
    assert_eq!(delete(&mut store, "a", ""), 1);
    assert_eq!(numbers(&store, "a"), None);
    put(&mut store, "a", "3");
    assert_eq!(numbers(&store, "a"), Some((15, 15, 1)), "it begins anew");
}

#[test]
fn what_changes_nothing_has_no_revision() {
    let mut store = store();
    assert_eq!(delete(&mut store, "a", ""), 0);
    let nothing = PbTxnRequest {
        success: vec![delete_op("a")],
        ..PbTxnRequest::default()
    };
    store.txn(&nothing).expect("a fair transaction");
    assert_eq!(store.revision(), 10);
}

#[test]
fn reads_are_of_one_key_of_a_range_or_of_all_from_a_key_on() {
    let mut store = store();
    for key in ["a", "b", "c/1", "c/2", "d"] {
        put(&mut store, key, key);
    }
    for (key, end, expected) in [
        ("a", "", &["a"][..]),
        ("c", "", &[]),
        ("c/", "c0", &["c/1", "c/2"]),
        ("b", "d", &["b", "c/1", "c/2"]),
        ("c/2", "\0", &["c/2", "d"]),
        ("d", "b", &[]),
    ] {
        let read = store.range(&range(key, end)).expect("a fair read");
        assert_eq!(keys_of(&read), expected, "{key} {end}");
        assert_eq!(read.count, expected.len() as i64);
        let of = Keys::new(key.as_bytes(), end.as_bytes());
        for key in ["a", "b", "c/1", "c/2", "d"] {
            assert_eq!(of.has(key.as_bytes()), expected.contains(&key), "{key}");
        }
    }
}

#[test]
fn a_read_is_limited_sorted_and_stripped() {
    let mut store = store();
    for key in ["b", "c", "a"] {
        put(&mut store, key, key);
    }
    let all = range("\0", "\0");
    let newest = PbRangeRequest {
        limit: 1,
        sort_order: 2,
        sort_target: 3,
        keys_only: true,
        ..all.clone()
    };
    let read = store.range(&newest).expect("a fair read");
    assert_eq!(
        (keys_of(&read), read.more, read.count),
        (vec!["a"], true, 3)
    );
    assert!(read.kvs[0].value.is_empty());
    let count = PbRangeRequest {
        count_only: true,
        ..all.clone()
    };
    let read = store.range(&count).expect("a fair read");
    assert_eq!((read.kvs.len(), read.count), (0, 3));
    let between = PbRangeRequest {
        min_mod_revision: 12,
        max_mod_revision: 12,
        ..all
    };
    let read = store.range(&between).expect("a fair read");
    assert_eq!(keys_of(&read), ["c"]);
}

#[test]
fn the_past_is_read_as_it_was_and_the_future_is_not() {
    let mut store = store();
    put(&mut store, "a", "1");
    put(&mut store, "a", "2");
    delete(&mut store, "a", "");
    for (revision, value) in [(10, None), (11, Some("1")), (12, Some("2")), (13, None)] {
        let then = PbRangeRequest {
            revision,
            ..range("a", "")
        };
        let read = store.range(&then).expect("it was");
        let found = read.kvs.first().map(|kv| kv.value.as_slice());
        assert_eq!(found, value.map(str::as_bytes), "{revision}");
    }
    let future = PbRangeRequest {
        revision: 14,
        ..range("a", "")
    };
    let refused = store.range(&future).expect_err("it is not yet");
    assert_eq!(refused.code(), Code::OutOfRange);
}

#[test]
fn changes_are_told_from_any_revision_on_with_what_was_before() {
    let mut store = store();
    put(&mut store, "a", "1");
    put(&mut store, "b", "1");
    put(&mut store, "a", "2");
    delete(&mut store, "a", "");
    let of_a = Keys::new(b"a", b"");
    let told = |from| -> Vec<(i64, i32, Option<Vec<u8>>)> {
        let changes = store.changes(&of_a, from).into_iter();
        let told = changes.map(|event| {
            let revision = event.kv.expect("a key").mod_revision;
            (revision, event.r#type, event.prev_kv.map(|kv| kv.value))
        });
        told.collect()
    };
    let (one, two) = (Some(b"1".to_vec()), Some(b"2".to_vec()));
    assert_eq!(
        told(0),
        [(11, 0, None), (13, 0, one.clone()), (14, 1, two.clone())]
    );
    assert_eq!(told(12), [(13, 0, one), (14, 1, two.clone())]);
    assert_eq!(told(14), [(14, 1, two)]);
    assert_eq!(told(15), []);
}

#[test]
fn nothing_is_left_of_a_store_that_is_wiped() {
    let mut store = store();
    let lease = grant(&mut store, 5, 0);
    put_under(&mut store, "a", "", lease);
    store.begin_term(s(1.0));
    store.wipe();
    assert_eq!((store.revision(), store.term()), (1, 2));
    assert_eq!(store.renew(lease, s(1.0)), super::super::Renewal::Gone);
    assert_eq!(numbers(&store, "a"), None);
    assert_ne!(
        grant(&mut store, 5, 2),
        lease,
        "an id of its own all the same"
    );
}
