//! The shards that run here, for the worker and for whoever follows etcd's records.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::claims::{Claim, View};
use super::job::Shard;
use crate::shell::lock;

/// A shard that runs.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) shard: Shard,
    pub(super) begun: Instant,
}

/// The shards that run under one lease. Clones are the same ones.
///
/// A view that says that a claim is gone ends the work under it, whatever the worker is waiting for. So who
/// makes the views looks as well, right after it has published one; and the worker does so right after it
/// has begun something. Whichever is later sees what the other did.
#[derive(Clone)]
pub(super) struct Jobs {
    lease: i64,
    running: Arc<Mutex<BTreeMap<usize, Job>>>,
}

impl Jobs {
    pub(super) fn new(lease: i64) -> Self {
        Self {
            lease,
            running: Arc::default(),
        }
    }

    /// The revision of the claim under which this node has a shard.
    pub(super) fn own(&self, claim: &Claim) -> Option<i64> {
        match *claim {
            Claim::Held {
                lease, revision, ..
            } if lease == self.lease => Some(revision),
            _ => None,
        }
    }

    /// Ends all work whose claim is not in this view, or is another one.
    pub(super) fn check(&self, view: &View) {
        let is_own = |(place, job): &(&usize, &Job)| {
            let claim = view.claims.get(**place);
            claim.and_then(|claim| self.own(claim)) == Some(job.shard.claim())
        };
        let lost: Vec<Shard> = {
            let running = lock(&self.running);
            let others = running.iter().filter(|job| !is_own(job));
            others.map(|(_, job)| job.shard.clone()).collect()
        };
        // Not under the lock: whoever waits for it is woken.
        lost.iter().for_each(Shard::lose);
    }

    pub(super) fn begin(&self, place: usize, job: Job) {
        lock(&self.running).insert(place, job);
    }

    pub(super) fn end(&self, place: usize) -> Option<Job> {
        lock(&self.running).remove(&place)
    }

    pub(super) fn shard(&self, place: usize) -> Option<Shard> {
        let running = lock(&self.running);
        running.get(&place).map(|job| job.shard.clone())
    }

    pub(super) fn runs(&self, place: usize) -> bool {
        lock(&self.running).contains_key(&place)
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.running).len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// All that run now, by their places.
    pub(super) fn all(&self) -> BTreeMap<usize, Shard> {
        let running = lock(&self.running);
        let shards = running.iter();
        shards
            .map(|(&place, job)| (place, job.shard.clone()))
            .collect()
    }
}
