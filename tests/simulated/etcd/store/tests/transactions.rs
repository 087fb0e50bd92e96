//! Conditions, and what follows from them.

use super::*;

#[test]
fn conditions_compare_what_is_there_and_zeros_where_nothing_is() {
    let mut store = store();
    let lease = grant(&mut store, 5, 0);
    put(&mut store, "a", "1");
    put_under(&mut store, "a", "2", lease);
    use PbCompareTarget::{Create, Lease, Mod, Value, Version};
    use PbTargetUnion as To;
    let (equal, greater, less, other) = (0, 1, 2, 3);
    for (key, target, result, to, expected) in [
        ("a", Version, equal, To::Version(2), true),
        ("a", Version, greater, To::Version(2), false),
        ("a", Version, less, To::Version(3), true),
        ("a", Create, equal, To::CreateRevision(11), true),
        ("a", Create, other, To::CreateRevision(11), false),
        ("a", Mod, equal, To::ModRevision(12), true),
        ("a", Mod, greater, To::ModRevision(11), true),
        ("a", Value, equal, To::Value(b"2".to_vec()), true),
        ("a", Value, less, To::Value(b"2".to_vec()), false),
        ("a", Lease, equal, To::Lease(lease), true),
        ("a", Lease, equal, To::Lease(0), false),
        ("z", Create, equal, To::CreateRevision(0), true),
        ("z", Lease, equal, To::Lease(0), true),
        ("z", Version, greater, To::Version(0), false),
        ("z", Value, equal, To::Value(Vec::new()), false),
        ("z", Value, other, To::Value(b"2".to_vec()), false),
    ] {
        let when = compare(key, target, result, to);
        let txn = PbTxnRequest {
            compare: vec![when.clone()],
            ..PbTxnRequest::default()
        };
        let told = store.txn(&txn).expect("a fair transaction");
        assert_eq!(told.succeeded, expected, "{when:?}");
    }
}

#[test]
fn a_transaction_is_one_revision_and_goes_one_way() {
    let mut store = store();
    let absent = compare(
        "a",
        PbCompareTarget::Create,
        0,
        PbTargetUnion::CreateRevision(0),
    );
    let txn = PbTxnRequest {
        compare: vec![absent],
        success: vec![put_op("a", "1"), put_op("b", "1")],
        failure: vec![delete_op("b")],
    };
    assert!(store.txn(&txn).expect("a fair transaction").succeeded);
    assert_eq!(numbers(&store, "a"), Some((11, 11, 1)));
    assert_eq!(numbers(&store, "b"), Some((11, 11, 1)));
    assert!(!store.txn(&txn).expect("a fair transaction").succeeded);
    assert_eq!(numbers(&store, "b"), None);
    assert_eq!(store.revision(), 12);
}

#[test]
fn transactions_within_one_are_judged_by_what_was_before_it() {
    let mut store = store();
    let if_absent = |key: &str| {
        let absent = compare(
            key,
            PbCompareTarget::Create,
            0,
            PbTargetUnion::CreateRevision(0),
        );
        nested(PbTxnRequest {
            compare: vec![absent],
            success: vec![put_op(key, "claimed")],
            ..PbTxnRequest::default()
        })
    };
    put(&mut store, "b", "another's");
    let txn = PbTxnRequest {
        success: vec![if_absent("a"), if_absent("b"), if_absent("c")],
        ..PbTxnRequest::default()
    };
    let told = store.txn(&txn).expect("a fair transaction");
    let within = told
        .responses
        .iter()
        .map(|response| match &response.response {
            Some(PbTxnOpResponse::ResponseTxn(within)) => within.succeeded,
            other => panic!("{other:?}"),
        });
    assert_eq!(within.collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(numbers(&store, "a"), Some((12, 12, 1)));
    assert_eq!(numbers(&store, "b"), Some((11, 11, 1)));
    assert_eq!(numbers(&store, "c"), Some((12, 12, 1)));
}

#[test]
fn a_transaction_that_cannot_be_is_refused_as_a_whole_and_in_etcds_words() {
    let many = |count: usize| -> Vec<PbTxnRequestOp> {
        (0..count)
            .map(|n| put_op(&format!("many/{n}"), ""))
            .collect()
    };
    let within = |operations| {
        nested(PbTxnRequest {
            success: operations,
            ..PbTxnRequest::default()
        })
    };
    for (operations, says) in [
        (many(129), Some("too many operations")),
        (many(128), None),
        (vec![within(many(128))], Some("too many operations")),
        (vec![within(many(127))], None),
        (
            vec![put_op("a", ""), put_op("a", "")],
            Some("duplicate key"),
        ),
        (vec![put_op("a", ""), delete_op("a")], Some("duplicate key")),
        (
            vec![put_op("a", ""), within(vec![put_op("a", "")])],
            Some("duplicate key"),
        ),
        (vec![put_op("", "")], Some("key is not provided")),
        (
            vec![put_op("a", ""), put_op_under("b", 404)],
            Some("requested lease not found"),
        ),
    ] {
        let mut store = store();
        let txn = PbTxnRequest {
            success: operations,
            ..PbTxnRequest::default()
        };
        let refused = store
            .txn(&txn)
            .map_err(|refused| refused.message().to_owned());
        match says {
            None => assert_eq!((refused.map(drop), store.revision()), (Ok(()), 11)),
            Some(says) => {
                let refused = refused.expect_err(says);
                assert!(refused.contains(says), "{refused}, expected {says}");
                assert_eq!(store.revision(), 10, "{says}");
            }
        }
    }
}
