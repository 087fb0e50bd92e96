//! The shards that run on this node, shared by the worker and the task that follows etcd's records.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::claims::View;
use super::job::Shard;
use super::reconcile::RunningShard;
use crate::shell::sync::lock;

/// A running shard.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) shard: Shard,
    pub(crate) begun: Duration,
}

impl Job {
    /// The state that the reconciler decides by.
    pub(crate) fn state(&self) -> RunningShard {
        RunningShard {
            claim: self.shard.claim(),
            begun: self.begun,
            stopping: self.shard.is_moving(),
        }
    }
}

/// The shards that run under one lease. Clones are the same shards.
///
/// A view in which a claim is gone must end the work under that claim, even while the worker waits for something else.
/// So the task that makes the views checks the running shards right after it has published a view, and the worker
/// checks them right after it has begun a shard. The later of the two sees what the other one did.
#[derive(Clone)]
pub(crate) struct Jobs {
    lease: i64,
    running: Arc<Mutex<BTreeMap<usize, Job>>>,
}

impl Jobs {
    pub(crate) fn new(lease: i64) -> Self {
        Self {
            lease,
            running: Arc::default(),
        }
    }

    /// Ends all work whose claim is missing in this view, or is another one.
    pub(crate) fn check(&self, view: &View) {
        let lost: Vec<Shard> = {
            let running = lock(&self.running);
            let claims = running
                .iter()
                .map(|(&place, job)| (place, job.shard.claim()));
            let lost = view.lost(self.lease, claims).into_iter();
            lost.filter_map(|place| running.get(&place))
                .map(|job| job.shard.clone())
                .collect()
        };
        // Not under the lock, because this calls wakers.
        lost.iter().for_each(Shard::lose);
    }

    pub(crate) fn begin(&self, place: usize, job: Job) {
        lock(&self.running).insert(place, job);
    }

    pub(crate) fn end(&self, place: usize) -> Option<Job> {
        lock(&self.running).remove(&place)
    }

    pub(crate) fn shard(&self, place: usize) -> Option<Shard> {
        let running = lock(&self.running);
        running.get(&place).map(|job| job.shard.clone())
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.running).len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The states of all running shards, by their places.
    pub(crate) fn states(&self) -> BTreeMap<usize, RunningShard> {
        let running = lock(&self.running);
        let jobs = running.iter();
        jobs.map(|(&place, job)| (place, job.state())).collect()
    }

    /// All running shards, by their places.
    pub(crate) fn all(&self) -> BTreeMap<usize, Shard> {
        let running = lock(&self.running);
        let shards = running.iter();
        shards
            .map(|(&place, job)| (place, job.shard.clone()))
            .collect()
    }
}
