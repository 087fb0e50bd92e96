//! What a cluster has stored: its keys, every change there was, and its leases.
//!
//! Nothing here waits, and no clock is read: who calls tells the time.

mod lease;
mod range;
mod txn;

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::proto::*;
use tonic::Status;

use lease::Leases;
pub(crate) use lease::Renewal;
pub(crate) use range::Keys;

/// The store of one cluster, as far as it was committed.
#[derive(Clone)]
pub(crate) struct Store {
    keys: BTreeMap<Vec<u8>, PbKeyValue>,
    /// Every change, oldest first. All changes of one transaction have one revision.
    history: Vec<PbEvent>,
    revision: i64,
    term: u64,
    leases: Leases,
}

/// etcd's number of an event that is no deletion, and of one that is.
const PUT: i32 = 0;
const DELETE: i32 = 1;

impl Store {
    /// A store that had so many changes before, of keys that are gone. Its leases have ids above this one.
    pub(crate) fn new(revision: i64, lease_ids: i64, shortest_ttl: i64) -> Self {
        Self {
            keys: BTreeMap::new(),
            history: Vec::new(),
            revision,
            term: FIRST_TERM,
            leases: Leases::new(lease_ids, shortest_ttl),
        }
    }

    /// All data is lost, and the history begins anew.
    pub(crate) fn wipe(&mut self) {
        self.keys.clear();
        self.history.clear();
        self.leases.clear();
        self.revision = 1;
        self.term = FIRST_TERM;
    }

    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    /// Another leader: it gives each lease its whole time, and an election timeout more, since it does not
    /// know what was left of it.
    pub(crate) fn begin_term(&mut self, now: Duration) {
        self.term += 1;
        self.leases.begin_anew(now + ELECTION_TIMEOUT);
    }

    pub(crate) fn put(&mut self, put: &PbPutRequest) -> Result<PbPutResponse, Status> {
        txn::check_put(put)?;
        self.check_lease(put)?;
        let next = self.revision + 1;
        let previous = self.put_at(next, put);
        self.revision = next;
        Ok(PbPutResponse {
            header: None,
            prev_kv: previous.filter(|_| put.prev_kv),
        })
    }

    pub(crate) fn delete_range(
        &mut self,
        delete: &PbDeleteRequest,
    ) -> Result<PbDeleteResponse, Status> {
        txn::check_key(&delete.key)?;
        let next = self.revision + 1;
        let deleted = self.delete_at(next, &Keys::new(&delete.key, &delete.range_end));
        self.commit(next);
        Ok(delete_response(delete, deleted))
    }

    /// The lease that this key is bound to; 0 without one.
    pub(crate) fn lease_of(&self, key: &str) -> i64 {
        self.get(key).map_or(0, |kv| kv.lease)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&PbKeyValue> {
        self.keys.get(key.as_bytes())
    }

    /// The changes of these keys from this revision on, up to now.
    pub(crate) fn changes(&self, keys: &Keys, from: i64) -> Vec<PbEvent> {
        let first = self
            .history
            .partition_point(|event| revision_of(event) < from);
        let changes = self.history[first..].iter();
        let of_these =
            changes.filter(|event| event.kv.as_ref().is_some_and(|kv| keys.has(&kv.key)));
        of_these.cloned().collect()
    }

    fn check_lease(&self, put: &PbPutRequest) -> Result<(), Status> {
        if put.lease == 0 || self.leases.has(put.lease) {
            return Ok(());
        }
        Err(lease::not_found())
    }

    /// Returns what was there before.
    fn put_at(&mut self, revision: i64, put: &PbPutRequest) -> Option<PbKeyValue> {
        let previous = self.keys.get(&put.key).cloned();
        let kv = PbKeyValue {
            key: put.key.clone(),
            create_revision: previous.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: previous.as_ref().map_or(1, |kv| kv.version + 1),
            value: put.value.clone(),
            lease: put.lease,
        };
        if let Some(previous) = &previous {
            self.leases.detach(previous.lease, &put.key);
        }
        self.leases.attach(put.lease, &put.key);
        self.keys.insert(put.key.clone(), kv.clone());
        self.note(PUT, kv, previous.clone());
        previous
    }

    /// Returns what was there.
    fn delete_at(&mut self, revision: i64, keys: &Keys) -> Vec<PbKeyValue> {
        let found: Vec<PbKeyValue> = self
            .keys
            .range(keys.bounds())
            .map(|(_, kv)| kv.clone())
            .collect();
        for kv in &found {
            self.keys.remove(&kv.key);
            self.leases.detach(kv.lease, &kv.key);
            let gone = PbKeyValue {
                key: kv.key.clone(),
                mod_revision: revision,
                ..PbKeyValue::default()
            };
            self.note(DELETE, gone, Some(kv.clone()));
        }
        found
    }

    fn note(&mut self, kind: i32, kv: PbKeyValue, prev_kv: Option<PbKeyValue>) {
        self.history.push(PbEvent {
            r#type: kind,
            kv: Some(kv),
            prev_kv,
        });
    }

    /// The revision is this one from now on, if anything was changed in it.
    fn commit(&mut self, revision: i64) {
        if self.history.last().map(revision_of) == Some(revision) {
            self.revision = revision;
        }
    }
}

fn revision_of(event: &PbEvent) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

fn delete_response(delete: &PbDeleteRequest, deleted: Vec<PbKeyValue>) -> PbDeleteResponse {
    PbDeleteResponse {
        header: None,
        deleted: deleted.len() as i64,
        prev_kvs: if delete.prev_kv { deleted } else { Vec::new() },
    }
}

const FIRST_TERM: u64 = 2;
/// etcd's, by default.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
