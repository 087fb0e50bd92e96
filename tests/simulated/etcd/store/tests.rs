//! What the store does, case by case.

mod keys;
mod leases;
mod transactions;

use std::time::Duration;

use etcd_client::proto::*;

use super::Store;

fn store() -> Store {
    Store::new(10, 700, 2)
}

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn put(store: &mut Store, key: &str, value: &str) {
    put_under(store, key, value, 0);
}

fn put_under(store: &mut Store, key: &str, value: &str, lease: i64) {
    let put = PbPutRequest {
        key: key.into(),
        value: value.into(),
        lease,
        ..PbPutRequest::default()
    };
    store.put(&put).expect("a fair put");
}

fn delete(store: &mut Store, key: &str, end: &str) -> i64 {
    let delete = PbDeleteRequest {
        key: key.into(),
        range_end: end.into(),
        prev_kv: false,
    };
    store
        .delete_range(&delete)
        .expect("a fair deletion")
        .deleted
}

fn grant(store: &mut Store, ttl: i64, now: u64) -> i64 {
    let asked = PbLeaseGrantRequest { ttl, id: 0 };
    let granted = store.grant(&asked, Duration::from_secs(now));
    granted.expect("granted").id
}

fn ttl(store: &Store, lease: i64, now: f64) -> (i64, i64) {
    let asked = PbLeaseTimeToLiveRequest {
        id: lease,
        keys: false,
    };
    let told = store.time_to_live(&asked, s(now));
    (told.ttl, told.granted_ttl)
}

/// Of its creation, of its last change, and how many changes there were.
fn numbers(store: &Store, key: &str) -> Option<(i64, i64, i64)> {
    let read = store.range(&range(key, "")).expect("a fair read");
    let kv = read.kvs.first()?;
    Some((kv.create_revision, kv.mod_revision, kv.version))
}

fn range(key: &str, end: &str) -> PbRangeRequest {
    PbRangeRequest {
        key: key.into(),
        range_end: end.into(),
        ..PbRangeRequest::default()
    }
}

fn keys_of(read: &PbRangeResponse) -> Vec<&str> {
    let keys = read.kvs.iter();
    keys.map(|kv| std::str::from_utf8(&kv.key).expect("text"))
        .collect()
}

fn compare(key: &str, target: PbCompareTarget, result: i32, to: PbTargetUnion) -> PbCompare {
    PbCompare {
        key: key.into(),
        target: target as i32,
        result,
        target_union: Some(to),
        ..PbCompare::default()
    }
}

fn operation(request: PbTxnOpRequest) -> PbTxnRequestOp {
    PbTxnRequestOp {
        request: Some(request),
    }
}

fn put_op(key: &str, value: &str) -> PbTxnRequestOp {
    operation(PbTxnOpRequest::RequestPut(PbPutRequest {
        key: key.into(),
        value: value.into(),
        ..PbPutRequest::default()
    }))
}

fn put_op_under(key: &str, lease: i64) -> PbTxnRequestOp {
    operation(PbTxnOpRequest::RequestPut(PbPutRequest {
        key: key.into(),
        lease,
        ..PbPutRequest::default()
    }))
}

fn delete_op(key: &str) -> PbTxnRequestOp {
    operation(PbTxnOpRequest::RequestDeleteRange(PbDeleteRequest {
        key: key.into(),
        ..PbDeleteRequest::default()
    }))
}

fn nested(txn: PbTxnRequest) -> PbTxnRequestOp {
    operation(PbTxnOpRequest::RequestTxn(txn))
}
