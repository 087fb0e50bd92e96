//! Which cluster each endpoint is of, as all clients of a node see it together.
//!
//! Every answer of etcd names its cluster. The clients of a node pick their servers each by itself, and one
//! URL may lead to several, so only together do they see that there are two clusters. Whoever is built from
//! clones of one configuration shares this.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::cluster_map::{ClusterMap, Only};
use super::endpoint::Endpoint;
use crate::etcd::host::Latest;
use crate::shell::sync::lock;

/// What each endpoint has shown.
pub(crate) struct Clusters {
    map: Mutex<ClusterMap>,
    /// The only cluster that is in there; [`NOTHING`] or [`SEVERAL`]. Mostly this is all that is looked at.
    only: AtomicU64,
    /// An endpoint has shown another cluster than before.
    changed: Latest<()>,
}

/// No cluster has this id.
const NOTHING: u64 = 0;
/// Nor this one: an id is a hash, and one in 2^64 is this.
const SEVERAL: u64 = u64::MAX;

impl Clusters {
    /// Of so many endpoints.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            map: Mutex::new(ClusterMap::new(count)),
            only: AtomicU64::new(NOTHING),
            changed: Latest::new(()),
        }
    }

    /// An endpoint has answered for this cluster.
    pub(crate) fn saw(&self, index: usize, cluster: u64, now: Duration) {
        self.with(|map| map.saw(index, cluster, now));
    }

    /// Does something with the map, and lets others know what is new in it. Others wait for the map meanwhile.
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

    /// Waits until that was more often.
    pub(crate) async fn changed(&self, since: u64) {
        self.changed.changed(since).await;
    }

    /// The endpoints that have not answered lately, but for one that is asked anyhow.
    pub(crate) fn unheard(&self, except: usize, within: Duration, now: Duration) -> Vec<usize> {
        self.lock().unheard(except, within, now)
    }

    /// In words, if the endpoints that have answered lately are not of one cluster, or not of those that are
    /// meant.
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
