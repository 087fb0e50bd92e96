//! Transactions: conditions, and what follows from them, all in one revision.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use etcd_client::proto::*;
use tonic::Status;

use super::range::Keys;
use super::{Store, delete_response};

/// Which way a transaction goes, and those within it.
struct Way {
    succeeded: bool,
    /// Of the transactions among the operations on this way, in their order.
    nested: Vec<Way>,
}

impl Store {
    pub(crate) fn txn(&mut self, txn: &PbTxnRequest) -> Result<PbTxnResponse, Status> {
        check(txn, MOST_OPERATIONS)?;
        // As in etcd, all conditions are judged before anything is done, those within others too.
        let way = self.way(txn);
        self.check_operations(txn, &way)?;
        let next = self.revision + 1;
        let response = self.carry_out(txn, &way, next);
        self.commit(next);
        response
    }

    fn way(&self, txn: &PbTxnRequest) -> Way {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let nested = operations(txn, succeeded).iter();
        let nested = nested.filter_map(|operation| match &operation.request {
            Some(PbTxnOpRequest::RequestTxn(txn)) => Some(self.way(txn)),
            _ => None,
        });
        Way {
            succeeded,
            nested: nested.collect(),
        }
    }

    /// Whether a condition holds, of each key of a range.
    fn holds(&self, compare: &PbCompare) -> bool {
        let keys = Keys::new(&compare.key, &compare.range_end);
        let mut found = self.keys.range(keys.bounds()).peekable();
        if found.peek().is_none() {
            // What is not there has no value, and all its numbers are 0.
            let is_value = compare.target == PbCompareTarget::Value as i32;
            return !is_value && holds_of(compare, &PbKeyValue::default());
        }
        found.all(|(_, kv)| holds_of(compare, kv))
    }

    /// What would fail in the midst.
    fn check_operations(&self, txn: &PbTxnRequest, way: &Way) -> Result<(), Status> {
        let mut nested = way.nested.iter();
        for operation in operations(txn, way.succeeded) {
            match &operation.request {
                Some(PbTxnOpRequest::RequestPut(put)) => self.check_lease(put)?,
                Some(PbTxnOpRequest::RequestRange(range)) => drop(self.range(range)?),
                Some(PbTxnOpRequest::RequestTxn(txn)) => {
                    if let Some(way) = nested.next() {
                        self.check_operations(txn, way)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        txn: &PbTxnRequest,
        way: &Way,
        revision: i64,
    ) -> Result<PbTxnResponse, Status> {
        let mut nested = way.nested.iter();
        let mut responses = Vec::new();
        for operation in operations(txn, way.succeeded) {
            let response = match &operation.request {
                Some(PbTxnOpRequest::RequestRange(range)) => {
                    PbTxnOpResponse::ResponseRange(self.range(range)?)
                }
                Some(PbTxnOpRequest::RequestPut(put)) => {
                    let previous = self.put_at(revision, put);
                    PbTxnOpResponse::ResponsePut(PbPutResponse {
                        header: None,
                        prev_kv: previous.filter(|_| put.prev_kv),
                    })
                }
                Some(PbTxnOpRequest::RequestDeleteRange(delete)) => {
                    let keys = Keys::new(&delete.key, &delete.range_end);
                    let deleted = self.delete_at(revision, &keys);
                    PbTxnOpResponse::ResponseDeleteRange(delete_response(delete, deleted))
                }
                Some(PbTxnOpRequest::RequestTxn(txn)) => match nested.next() {
                    Some(way) => PbTxnOpResponse::ResponseTxn(self.carry_out(txn, way, revision)?),
                    None => continue,
                },
                None => continue,
            };
            responses.push(PbResponseOp {
                response: Some(response),
            });
        }
        Ok(PbTxnResponse {
            header: None,
            succeeded: way.succeeded,
            responses,
        })
    }
}

fn operations(txn: &PbTxnRequest, succeeded: bool) -> &[PbTxnRequestOp] {
    if succeeded {
        &txn.success
    } else {
        &txn.failure
    }
}

fn holds_of(compare: &PbCompare, kv: &PbKeyValue) -> bool {
    let number = |has: i64, wanted: Option<i64>| has.cmp(&wanted.unwrap_or_default());
    let wanted = compare.target_union.as_ref();
    let order = if compare.target == PbCompareTarget::Version as i32 {
        let version = |wanted: &PbTargetUnion| match wanted {
            PbTargetUnion::Version(version) => Some(*version),
            _ => None,
        };
        number(kv.version, wanted.and_then(version))
    } else if compare.target == PbCompareTarget::Create as i32 {
        let created = |wanted: &PbTargetUnion| match wanted {
            PbTargetUnion::CreateRevision(revision) => Some(*revision),
            _ => None,
        };
        number(kv.create_revision, wanted.and_then(created))
    } else if compare.target == PbCompareTarget::Mod as i32 {
        let changed = |wanted: &PbTargetUnion| match wanted {
            PbTargetUnion::ModRevision(revision) => Some(*revision),
            _ => None,
        };
        number(kv.mod_revision, wanted.and_then(changed))
    } else if compare.target == PbCompareTarget::Lease as i32 {
        let lease = |wanted: &PbTargetUnion| match wanted {
            PbTargetUnion::Lease(lease) => Some(*lease),
            _ => None,
        };
        number(kv.lease, wanted.and_then(lease))
    } else {
        match wanted {
            Some(PbTargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value.as_slice().cmp(&[]),
        }
    };
    match compare.result {
        GREATER => order == Ordering::Greater,
        LESS => order == Ordering::Less,
        NOT_EQUAL => order != Ordering::Equal,
        _ => order == Ordering::Equal,
    }
}

/// What is refused whichever way it goes. Transactions within this one may have as many operations as it
/// leaves of these.
fn check(txn: &PbTxnRequest, most: usize) -> Result<(), Status> {
    let PbTxnRequest {
        compare,
        success,
        failure,
    } = txn;
    let count = compare.len().max(success.len()).max(failure.len());
    let Some(rest) = most.checked_sub(count) else {
        return Err(Status::invalid_argument(
            "etcdserver: too many operations in txn request",
        ));
    };
    for compare in compare {
        check_key(&compare.key)?;
    }
    for operation in success.iter().chain(failure) {
        match &operation.request {
            Some(PbTxnOpRequest::RequestRange(range)) => check_key(&range.key)?,
            Some(PbTxnOpRequest::RequestPut(put)) => check_put(put)?,
            Some(PbTxnOpRequest::RequestDeleteRange(delete)) => check_key(&delete.key)?,
            Some(PbTxnOpRequest::RequestTxn(txn)) => check(txn, rest)?,
            None => return Err(Status::invalid_argument("etcdserver: key not found")),
        }
    }
    changed_keys(success)?;
    changed_keys(failure)?;
    Ok(())
}

/// The keys that these operations put. One that is changed twice is refused, but for what only one of two
/// ways does.
fn changed_keys(operations: &[PbTxnRequestOp]) -> Result<BTreeSet<&[u8]>, Status> {
    let twice = || Status::invalid_argument("etcdserver: duplicate key given in txn request");
    let (mut puts, mut deletes) = (BTreeSet::new(), Vec::new());
    for operation in operations {
        match &operation.request {
            Some(PbTxnOpRequest::RequestPut(put)) if !puts.insert(&*put.key) => {
                return Err(twice());
            }
            Some(PbTxnOpRequest::RequestDeleteRange(delete)) => {
                deletes.push(Keys::new(&delete.key, &delete.range_end));
            }
            Some(PbTxnOpRequest::RequestTxn(txn)) => {
                let mut within = changed_keys(&txn.success)?;
                within.append(&mut changed_keys(&txn.failure)?);
                if !puts.is_disjoint(&within) {
                    return Err(twice());
                }
                puts.append(&mut within);
            }
            _ => {}
        }
    }
    if puts
        .iter()
        .any(|key| deletes.iter().any(|keys| keys.has(key)))
    {
        return Err(twice());
    }
    Ok(puts)
}

pub(super) fn check_key(key: &[u8]) -> Result<(), Status> {
    if key.is_empty() {
        return Err(Status::invalid_argument("etcdserver: key is not provided"));
    }
    Ok(())
}

pub(super) fn check_put(put: &PbPutRequest) -> Result<(), Status> {
    check_key(&put.key)?;
    if put.ignore_value || put.ignore_lease {
        return Err(Status::unimplemented(
            "not simulated: a put that keeps a value or a lease",
        ));
    }
    Ok(())
}

/// etcd's, by default.
const MOST_OPERATIONS: usize = 128;
// etcd's numbers of how two values are compared.
const GREATER: i32 = 1;
const LESS: i32 = 2;
const NOT_EQUAL: i32 = 3;
