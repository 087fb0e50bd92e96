//! Which cluster each endpoint is of: all of them must be of one.
//!
//! Every answer of etcd names its cluster. The clients of a node pick their servers each by itself, and one
//! URL may lead to several, so only together do they see that there are two clusters. Whoever is built from
//! clones of one configuration shares this.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::latest::Latest;
use crate::shell::lock;

/// What each endpoint has shown.
pub(super) struct Clusters {
    endpoints: Mutex<Vec<Shown>>,
    /// The only cluster that is in there; [`NONE`] or [`SEVERAL`]. Mostly this is all that is looked at.
    only: AtomicU64,
    /// An endpoint has shown another cluster than before.
    changed: Latest<()>,
}

/// No cluster has this id: it is what an answer without one has.
const NONE: u64 = 0;
/// Nor this one: an id is a hash, and one in 2^64 is this.
const SEVERAL: u64 = u64::MAX;

/// What one endpoint has shown.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    last: Option<Sight>,
    /// Another cluster, which it showed at the same time.
    other: Option<Sight>,
    /// Nobody answers there any more. Whatever comes next is in the place of it, and not beside it.
    gone: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sight {
    cluster: u64,
    at: Instant,
}

impl Sight {
    fn is_recent(self, within: Duration, now: Instant) -> bool {
        now < self.at + within
    }
}

impl Shown {
    fn recent(self, within: Duration, now: Instant) -> impl Iterator<Item = u64> {
        let sights = [self.last.filter(|_| !self.gone), self.other];
        let recent = sights.into_iter().flatten();
        recent
            .filter(move |sight| sight.is_recent(within, now))
            .map(|sight| sight.cluster)
    }
}

impl Clusters {
    /// Of so many endpoints.
    pub(super) fn new(count: usize) -> Self {
        Self {
            endpoints: Mutex::new(vec![Shown::default(); count]),
            only: AtomicU64::new(NONE),
            changed: Latest::new(()),
        }
    }

    /// An endpoint has answered for this cluster. (A server that names none answers with 0.)
    pub(super) fn saw(&self, index: usize, cluster: u64, now: Instant) {
        if cluster == NONE {
            return;
        }
        let mut endpoints = self.lock();
        let Some(shown) = endpoints.get_mut(index) else {
            return;
        };
        let before = shown.last.replace(Sight { cluster, at: now });
        let was_gone = std::mem::replace(&mut shown.gone, false);
        let is_news = before.is_none_or(|before| before.cluster != cluster);
        if is_news && !was_gone {
            shown.other = before.map(|before| Sight { at: now, ..before });
        }
        let is_over = shown
            .other
            .is_some_and(|other| !other.is_recent(FORGOTTEN, now));
        if is_over {
            shown.other = None;
        }
        if !is_news && !is_over {
            return;
        }
        let sights = endpoints.iter().flat_map(|shown| [shown.last, shown.other]);
        let mut clusters = sights.flatten().map(|sight| sight.cluster);
        let are_one = clusters.all(|it| it == cluster);
        let only = if are_one { cluster } else { SEVERAL };
        self.only.store(only, Ordering::Release);
        drop(endpoints);
        if is_news {
            self.changed.set(());
        }
    }

    /// A connection with this cluster is lost, and no other one leads there yet.
    pub(super) fn lost(&self, index: usize, cluster: u64) {
        let mut endpoints = self.lock();
        let Some(shown) = endpoints.get_mut(index) else {
            return;
        };
        let is_of = |sight: Option<Sight>| sight.is_some_and(|sight| sight.cluster == cluster);
        if is_of(shown.last) {
            shown.gone = true;
        }
        if is_of(shown.other) {
            shown.other = None;
        }
    }

    /// How often an endpoint has shown another cluster than before.
    pub(super) fn changes(&self) -> u64 {
        self.changed.version()
    }

    /// Waits until that was more often.
    pub(super) async fn changed(&self, since: u64) {
        self.changed.changed(since).await;
    }

    /// The endpoints that have not answered lately.
    pub(super) fn unheard(&self, within: Duration, now: Instant) -> Vec<usize> {
        let endpoints = self.lock();
        let unheard = |(_, shown): &(usize, &Shown)| shown.recent(within, now).next().is_none();
        let all = endpoints.iter().enumerate().filter(unheard);
        all.map(|(index, _)| index).collect()
    }

    /// In words, if the endpoints that have answered lately are not of one cluster, or not of the one that is
    /// meant.
    pub(super) fn split(
        &self,
        endpoints: &[Endpoint],
        meant: impl IntoIterator<Item = u64>,
        within: Duration,
        now: Instant,
    ) -> Option<String> {
        let meant: Vec<u64> = meant.into_iter().collect();
        match self.only.load(Ordering::Acquire) {
            NONE => return None,
            SEVERAL => {}
            only if meant.iter().all(|&meant| meant == only) => return None,
            _ => {}
        }
        let shown = self.lock();
        let recent = shown.iter().flat_map(|shown| shown.recent(within, now));
        let mut all = recent.chain(meant.iter().copied());
        let first = all.next()?;
        if all.all(|cluster| cluster == first) {
            return None;
        }
        let mut text = String::new();
        for (endpoint, shown) in endpoints.iter().zip(&*shown) {
            let mut clusters = shown.recent(within, now);
            let Some(first) = clusters.next() else {
                continue;
            };
            let separator = if text.is_empty() { "" } else { ", " };
            let _ = write!(
                text,
                "{separator}{} is of cluster {first:x}",
                endpoint.url()
            );
            for other in clusters {
                let _ = write!(text, " and of cluster {other:x}");
            }
        }
        for meant in meant {
            let _ = write!(text, "; expected is cluster {meant:x}");
        }
        Some(text)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Shown>> {
        lock(&self.endpoints)
    }
}

/// What an endpoint has shown beside something else counts for nothing after that, whoever asks.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::EtcdConfig;

    const WITHIN: Duration = Duration::from_secs(10);

    struct Case {
        endpoints: Vec<Endpoint>,
        clusters: Clusters,
        begun: Instant,
    }

    impl Case {
        fn new() -> Self {
            let config = EtcdConfig::new(["http://a", "http://b"]).expect("valid endpoints");
            Self {
                endpoints: config.endpoints,
                clusters: Clusters::new(2),
                begun: Instant::now(),
            }
        }

        fn at(&self, second: u64) -> Instant {
            self.begun + Duration::from_secs(second)
        }

        fn saw(&self, index: usize, cluster: u64, second: u64) {
            self.clusters.saw(index, cluster, self.at(second));
        }

        fn split(&self, expected: Option<u64>, second: u64) -> Option<String> {
            let now = self.at(second);
            self.clusters.split(&self.endpoints, expected, WITHIN, now)
        }
    }

    #[test]
    fn two_endpoints_of_two_clusters_are_told_whichever_came_first() {
        for (first, second) in [(0, 1), (1, 0)] {
            let case = Case::new();
            case.saw(first, 0xa0 + first as u64, 0);
            assert_eq!(case.split(None, 0), None);
            case.saw(second, 0xa0 + second as u64, 1);
            let told = "http://a:2379 is of cluster a0, http://b:2379 is of cluster a1";
            assert_eq!(case.split(None, 1).as_deref(), Some(told));
            assert_eq!(case.split(None, 9).as_deref(), Some(told));
            // The first has not answered for so long that it counts no more.
            assert_eq!(case.split(None, 10), None);
        }
    }

    #[test]
    fn one_endpoint_that_leads_to_two_clusters_is_told() {
        let case = Case::new();
        case.saw(0, 0xa, 0);
        case.saw(0, 0xb, 1);
        let told = "http://a:2379 is of cluster b and of cluster a";
        assert_eq!(case.split(None, 1).as_deref(), Some(told));
        case.saw(0, 0xb, 9);
        assert!(case.split(None, 10).is_some());
        assert_eq!(case.split(None, 11), None, "for long it was only one");
    }

    #[test]
    fn a_cluster_in_the_place_of_one_that_is_gone_is_one_cluster() {
        let case = Case::new();
        case.saw(0, 0xa, 0);
        case.saw(1, 0xa, 0);
        case.clusters.lost(0, 0xa);
        case.saw(0, 0xb, 1);
        assert!(
            case.split(None, 1).is_some(),
            "the other one is there still"
        );
        case.clusters.lost(1, 0xa);
        assert_eq!(case.split(None, 1), None);
        case.saw(1, 0xb, 2);
        assert_eq!(case.split(None, 2), None);
    }

    #[test]
    fn what_is_lost_is_what_the_connection_led_to() {
        let case = Case::new();
        case.saw(0, 0xa, 0);
        // Somebody else was led to another one, which alone is left.
        case.saw(0, 0xb, 1);
        case.clusters.lost(0, 0xa);
        assert_eq!(case.split(None, 1), None);
        assert_eq!(case.clusters.unheard(WITHIN, case.at(1)), [1]);
        case.clusters.lost(0, 0xc);
        assert_eq!(case.clusters.unheard(WITHIN, case.at(1)), [1]);
        case.clusters.lost(0, 0xb);
        assert_eq!(case.clusters.unheard(WITHIN, case.at(1)), [0, 1]);
    }

    #[test]
    fn what_is_not_expected_is_told_even_if_all_agree() {
        let case = Case::new();
        assert_eq!(case.split(Some(0xa), 0), None, "nobody has answered");
        case.saw(0, 0xa, 0);
        assert_eq!(case.split(Some(0xa), 0), None);
        let told = "http://a:2379 is of cluster a; expected is cluster c";
        assert_eq!(case.split(Some(0xc), 0).as_deref(), Some(told));
    }

    #[test]
    fn who_was_not_heard_lately_is_to_be_asked() {
        let case = Case::new();
        assert_eq!(case.clusters.unheard(WITHIN, case.at(0)), [0, 1]);
        case.saw(1, 0xa, 0);
        // A server that names no cluster.
        case.saw(0, 0, 0);
        assert_eq!(case.clusters.unheard(WITHIN, case.at(9)), [0]);
        assert_eq!(case.clusters.unheard(WITHIN, case.at(10)), [0, 1]);
    }
}
