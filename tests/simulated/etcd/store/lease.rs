//! Leases, and the keys that live as long as they do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use etcd_client::proto::*;
use tonic::Status;

use super::Store;
use super::range::Keys;

/// All leases of a cluster.
#[derive(Clone)]
pub(super) struct Leases {
    all: BTreeMap<i64, Lease>,
    last_id: i64,
    /// In seconds. What is asked to be shorter is this long.
    shortest_ttl: i64,
}

#[derive(Clone)]
struct Lease {
    /// In seconds, as it was granted.
    ttl: i64,
    ends: Duration,
    keys: BTreeSet<Vec<u8>>,
}

/// What became of a question to renew a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It lives for so many seconds more.
    Renewed(i64),
    /// It has run out, and its end is not committed yet: only then can be said what became of it.
    Ending,
    /// There is no such lease.
    Gone,
}

impl Leases {
    pub(super) fn new(ids: i64, shortest_ttl: i64) -> Self {
        Self {
            all: BTreeMap::new(),
            last_id: ids,
            shortest_ttl,
        }
    }

    /// No id is given twice, also after that.
    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    pub(super) fn has(&self, id: i64) -> bool {
        self.all.contains_key(&id)
    }

    pub(super) fn begin_anew(&mut self, from: Duration) {
        for lease in self.all.values_mut() {
            lease.ends = from + seconds(lease.ttl);
        }
    }

    pub(super) fn attach(&mut self, id: i64, key: &[u8]) {
        if let Some(lease) = self.all.get_mut(&id) {
            lease.keys.insert(key.to_owned());
        }
    }

    pub(super) fn detach(&mut self, id: i64, key: &[u8]) {
        if let Some(lease) = self.all.get_mut(&id) {
            lease.keys.remove(key);
        }
    }
}

impl Store {
    pub(crate) fn grant(
        &mut self,
        grant: &PbLeaseGrantRequest,
        now: Duration,
    ) -> Result<PbLeaseGrantResponse, Status> {
        if grant.ttl > LONGEST_TTL {
            return Err(Status::out_of_range("etcdserver: too large lease TTL"));
        }
        let leases = &mut self.leases;
        let id = match grant.id {
            0 => {
                leases.last_id += 1;
                leases.last_id
            }
            id if leases.has(id) => {
                return Err(Status::failed_precondition(
                    "etcdserver: lease already exists",
                ));
            }
            id => id,
        };
        let ttl = grant.ttl.max(leases.shortest_ttl);
        leases.all.insert(
            id,
            Lease {
                ttl,
                ends: now + seconds(ttl),
                keys: BTreeSet::new(),
            },
        );
        Ok(PbLeaseGrantResponse {
            header: None,
            id,
            ttl,
            error: String::new(),
        })
    }

    /// Ends a lease, and deletes its keys in one revision.
    pub(crate) fn revoke(&mut self, id: i64) -> Result<(), Status> {
        let lease = self.leases.all.remove(&id).ok_or_else(not_found)?;
        let next = self.revision + 1;
        for key in &lease.keys {
            self.delete_at(next, &Keys::new(key, &[]));
        }
        self.commit(next);
        Ok(())
    }

    pub(crate) fn renew(&mut self, id: i64, now: Duration) -> Renewal {
        match self.leases.all.get_mut(&id) {
            None => Renewal::Gone,
            Some(lease) if lease.ends <= now => Renewal::Ending,
            Some(lease) => {
                lease.ends = now + seconds(lease.ttl);
                Renewal::Renewed(lease.ttl)
            }
        }
    }

    /// When a lease runs out, unless it is renewed until then; none if there is no such lease.
    /// A lease has run on for so long, from one moment to the next. Whether that was its end.
    pub(crate) fn age(&mut self, id: i64, time: Duration, now: Duration) -> bool {
        let Some(lease) = self.leases.all.get_mut(&id) else {
            return false;
        };
        lease.ends = lease.ends.saturating_sub(time);
        lease.ends <= now && self.revoke(id).is_ok()
    }

    pub(crate) fn ends(&self, id: i64) -> Option<Duration> {
        self.leases.all.get(&id).map(|lease| lease.ends)
    }

    /// Revokes what has run out. Whether anything had.
    pub(crate) fn expire(&mut self, now: Duration) -> bool {
        let leases = self.leases.all.iter();
        let mut over: Vec<(Duration, i64)> = leases
            .filter(|(_, lease)| lease.ends <= now)
            .map(|(id, lease)| (lease.ends, *id))
            .collect();
        over.sort_unstable();
        for (_, id) in &over {
            // It is there: it was just listed.
            let _ = self.revoke(*id);
        }
        !over.is_empty()
    }

    pub(crate) fn time_to_live(
        &self,
        asked: &PbLeaseTimeToLiveRequest,
        now: Duration,
    ) -> PbLeaseTimeToLiveResponse {
        let lease = self.leases.all.get(&asked.id);
        let keys = lease.filter(|_| asked.keys).map(|lease| &lease.keys);
        PbLeaseTimeToLiveResponse {
            header: None,
            id: asked.id,
            // That there is none is no error.
            ttl: lease.map_or(-1, |lease| lease.ends.saturating_sub(now).as_secs() as i64),
            granted_ttl: lease.map_or(0, |lease| lease.ttl),
            keys: keys.into_iter().flatten().cloned().collect(),
        }
    }

    pub(crate) fn leases(&self) -> PbLeaseLeasesResponse {
        let ids = self.leases.all.keys();
        PbLeaseLeasesResponse {
            header: None,
            leases: ids.map(|&id| PbLeaseStatus { id }).collect(),
        }
    }
}

pub(super) fn not_found() -> Status {
    Status::not_found("etcdserver: requested lease not found")
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.unsigned_abs())
}

/// In seconds, as etcd's own.
const LONGEST_TTL: i64 = 9_000_000_000;
