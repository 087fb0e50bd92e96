//! The clusters of the endpoints, shared by all clients of a node.
//!
//! Every answer of etcd contains the id of its cluster. Each client of a node picks its server by itself, and one URL
//! may lead to several servers, so only together the clients see that there are two clusters. Everything that is built
//! from clones of one configuration shares this.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::cluster_map::{ClusterMap, Only};
use super::endpoint::Endpoint;
use crate::etcd::host::Latest;
use crate::shell::sync::lock;

/// The clusters that each endpoint has shown.
pub(crate) struct Clusters {
    map: Mutex<ClusterMap>,
    /// The only cluster in the map, or [`NOTHING`] or [`SEVERAL`]. Mostly this can be checked without the lock.
    only: AtomicU64,
    /// Changes when an endpoint shows another cluster than before.
    changed: Latest<()>,
}

/// No cluster has this id.
const NOTHING: u64 = 0;
/// An id is a hash, so a cluster has this id with a probability of one in 2^64.
const SEVERAL: u64 = u64::MAX;

impl Clusters {
    /// Empty, for this number of endpoints.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            map: Mutex::new(ClusterMap::new(count)),
            only: AtomicU64::new(NOTHING),
            changed: Latest::new(()),
        }
    }

    /// Notes that an endpoint has answered with this cluster.
    pub(crate) fn saw(&self, index: usize, cluster: u64, now: Duration) {
        self.with(|map| map.saw(index, cluster, now));
    }

    /// Calls a function with the locked map, and wakes waiters if the map has changed.
    pub(crate) fn with<T>(&self, what: impl FnOnce(&mut ClusterMap) -> T) -> T {
        let (done, is_news) = {
            let mut map = self.lock();
            let before = map.changes();
            let done = what(&mut map);
            let only = match map.only() {
                Only::Nothing => NOTHING,
                Only::One(cluster) => cluster,
                Only::Several => SEVERAL,
            };
            self.only.store(only, Ordering::Release);
            (done, map.changes() != before)
        };
        if is_news {
            self.changed.set(());
        }
        done
    }

    /// How often an endpoint has shown another cluster than before.
    pub(crate) fn changes(&self) -> u64 {
        self.changed.version()
    }

    /// Waits until that number is greater than `since`.
    pub(crate) async fn changed(&self, since: u64) {
        self.changed.changed(since).await;
    }

    /// The endpoints that have not answered lately, except one that is asked anyway.
    pub(crate) fn unheard(&self, except: usize, within: Duration, now: Duration) -> Vec<usize> {
        self.lock().unheard(except, within, now)
    }

    /// A description of the problem if the endpoints that have answered lately belong to several clusters, or not to
    /// the expected ones.
    pub(crate) fn split(
        &self,
        endpoints: &[Endpoint],
        meant: impl IntoIterator<Item = u64, IntoIter: Clone>,
        within: Duration,
        now: Duration,
    ) -> Option<String> {
        let only = match self.only.load(Ordering::Acquire) {
            NOTHING => Only::Nothing,
            SEVERAL => Only::Several,
            cluster => Only::One(cluster),
        };
        let meant = meant.into_iter();
        if only.is_one(meant.clone()) {
            return None;
        }
        let urls = endpoints.iter().map(Endpoint::url);
        self.lock().split(urls, meant, within, now)
    }

    fn lock(&self) -> MutexGuard<'_, ClusterMap> {
        lock(&self.map)
    }
}
