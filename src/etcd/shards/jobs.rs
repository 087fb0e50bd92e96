//! The shards that run here, for the worker and for whoever follows etcd's records.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::claims::View;
use super::job::Shard;
use super::reconcile::RunningShard;
use crate::shell::sync::lock;

/// A shard that runs.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) shard: Shard,
    pub(crate) begun: Duration,
}

impl Job {
    /// As it is for what decides.
    pub(crate) fn state(&self) -> RunningShard {
        RunningShard {
            claim: self.shard.claim(),
            begun: self.begun,
            stopping: self.shard.is_stopping(),
        }
    }
}

/// The shards that run under one lease. Clones are the same ones.
///
/// A view that says that a claim is gone ends the work under it, whatever the worker is waiting for. So who
/// makes the views looks as well, right after it has published one; and the worker does so right after it
/// has begun something. Whichever is later sees what the other did.
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

    /// Ends all work whose claim is not in this view, or is another one.
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
        // Not under the lock: whoever waits for it is woken.
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

    /// All that run now, as they are for what decides.
    pub(crate) fn states(&self) -> BTreeMap<usize, RunningShard> {
        let running = lock(&self.running);
        let jobs = running.iter();
        jobs.map(|(&place, job)| (place, job.state())).collect()
    }

    /// All that run now, by their places.
    pub(crate) fn all(&self) -> BTreeMap<usize, Shard> {
        let running = lock(&self.running);
        let shards = running.iter();
        shards
            .map(|(&place, job)| (place, job.shard.clone()))
            .collect()
    }
}
