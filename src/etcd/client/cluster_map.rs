//! The cluster that each endpoint has shown: all endpoints must belong to one cluster. Pure.

use core::time::Duration;
use std::fmt::Write;

/// The clusters that each endpoint has shown.
pub(crate) struct ClusterMap {
    endpoints: Vec<Shown>,
    only: Only,
    /// How often an endpoint has shown another cluster than before.
    changes: u64,
}

/// A summary of all clusters in the map, whenever they were shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    Nothing,
    /// This cluster, and no other.
    One(u64),
    Several,
}

impl Only {
    /// Whether this summary alone shows that all endpoints belong to one cluster, and to the expected one, if any.
    ///
    /// `false` if the times at which the clusters were shown must be checked.
    pub(crate) fn is_one(self, mut meant: impl Iterator<Item = u64>) -> bool {
        match self {
            Self::Nothing => true,
            Self::One(only) => meant.all(|meant| meant == only),
            Self::Several => false,
        }
    }
}

/// The clusters that one endpoint has shown.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    last: Option<Sight>,
    /// Another cluster that it showed at the same time.
    other: Option<Sight>,
    /// Whether nothing answers there any more. The next cluster then replaces the last one, and is not beside it.
    gone: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sight {
    cluster: u64,
    at: Duration,
}

impl Sight {
    fn is_recent(self, within: Duration, now: Duration) -> bool {
        now < self.at + within
    }
}

impl Shown {
    fn recent(self, within: Duration, now: Duration) -> impl Iterator<Item = u64> {
        let sights = [self.last.filter(|_| !self.gone), self.other];
        let recent = sights.into_iter().flatten();
        recent
            .filter(move |sight| sight.is_recent(within, now))
            .map(|sight| sight.cluster)
    }
}

impl ClusterMap {
    /// An empty map for this number of endpoints.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            endpoints: vec![Shown::default(); count],
            only: Only::Nothing,
            changes: 0,
        }
    }

    /// How often an endpoint has shown another cluster than before.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn only(&self) -> Only {
        self.only
    }

    /// Notes that an endpoint has answered with this cluster. (An answer without a cluster has the id 0.)
    pub(crate) fn saw(&mut self, index: usize, cluster: u64, now: Duration) {
        if cluster == NONE {
            return;
        }
        let Some(shown) = self.endpoints.get_mut(index) else {
            return;
        };
        let before = shown.last.replace(Sight { cluster, at: now });
        let was_gone = core::mem::replace(&mut shown.gone, false);
        let is_news = before.is_none_or(|before| before.cluster != cluster);
        self.changes += u64::from(is_news);
        if is_news && !was_gone {
            shown.other = before.map(|before| Sight { at: now, ..before });
        }
        let is_over = shown
            .other
            .is_some_and(|other| !other.is_recent(FORGOTTEN, now));
        if is_over {
            shown.other = None;
        }
        if is_news || is_over {
            let sights = self
                .endpoints
                .iter()
                .flat_map(|shown| [shown.last, shown.other]);
            let mut clusters = sights.flatten().map(|sight| sight.cluster);
            let are_one = clusters.all(|it| it == cluster);
            self.only = if are_one {
                Only::One(cluster)
            } else {
                Only::Several
            };
        }
    }

    /// Notes that a connection to this cluster is lost, and that no new one is open yet.
    pub(crate) fn lost(&mut self, index: usize, cluster: u64) {
        let Some(shown) = self.endpoints.get_mut(index) else {
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

    /// The endpoints that have not answered lately, except one that is asked anyway.
    pub(crate) fn unheard(&self, except: usize, within: Duration, now: Duration) -> Vec<usize> {
        let unheard = |(_, shown): &(usize, &Shown)| shown.recent(within, now).next().is_none();
        let all = self.endpoints.iter().enumerate().filter(unheard);
        let indexes = all.map(|(index, _)| index);
        indexes.filter(|&index| index != except).collect()
    }

    /// A description of the problem if the endpoints that have answered lately belong to several clusters, or not to
    /// the expected ones.
    pub(crate) fn split<'a>(
        &self,
        urls: impl Iterator<Item = &'a str>,
        meant: impl Iterator<Item = u64> + Clone,
        within: Duration,
        now: Duration,
    ) -> Option<String> {
        if self.only.is_one(meant.clone()) {
            return None;
        }
        let shown = &self.endpoints;
        let recent = shown.iter().flat_map(|shown| shown.recent(within, now));
        let mut all = recent.chain(meant.clone());
        let first = all.next()?;
        if all.all(|cluster| cluster == first) {
            return None;
        }
        let mut text = String::new();
        for (url, shown) in urls.zip(shown) {
            let mut clusters = shown.recent(within, now);
            let Some(first) = clusters.next() else {
                continue;
            };
            let separator = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{separator}{url} is of cluster {first:x}");
            for other in clusters {
                let _ = write!(text, " and of cluster {other:x}");
            }
        }
        for meant in meant {
            let _ = write!(text, "; expected is cluster {meant:x}");
        }
        Some(text)
    }
}

/// The clusters that the endpoints must belong to, if an answer is of `cluster`; an error if that cannot be checked.
///
/// `cluster` is 0 if a proxy does not pass on the id.
pub(crate) fn meant(cluster: u64, expected: Option<u64>) -> Result<Vec<u64>, String> {
    match (cluster, expected) {
        (NONE, None) => Ok(Vec::new()),
        (NONE, Some(expected)) => Err(format!(
            "what answers names no cluster; expected is cluster {expected:x}"
        )),
        _ => Ok([cluster].into_iter().chain(expected).collect()),
    }
}

/// The id in an answer without a cluster. No cluster has this id.
const NONE: u64 = 0;
/// After this time a second cluster of an endpoint no longer counts.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    struct Case {
        clusters: ClusterMap,
    }

    impl Case {
        fn new() -> Self {
            Self {
                clusters: ClusterMap::new(2),
            }
        }

        fn at(&self, second: u64) -> Duration {
            Duration::from_secs(1_000_000 + second)
        }

        /// `true` if that is news.
        fn saw(&mut self, index: usize, cluster: u64, second: u64) -> bool {
            let before = self.clusters.changes();
            self.clusters.saw(index, cluster, self.at(second));
            match self.clusters.changes() - before {
                0 => false,
                1 => true,
                more => panic!("{more} changes at once"),
            }
        }

        fn split(&self, expected: Option<u64>, second: u64) -> Option<String> {
            let urls = ["http://a:2379", "http://b:2379"].into_iter();
            let (expected, now) = (expected.into_iter(), self.at(second));
            self.clusters.split(urls, expected, WITHIN, now)
        }
    }

    #[test]
    fn two_endpoints_of_two_clusters_are_told_whichever_came_first() {
        for (first, second) in [(0, 1), (1, 0)] {
            let mut case = Case::new();
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
        let mut case = Case::new();
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
        let mut case = Case::new();
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
        let mut case = Case::new();
        case.saw(0, 0xa, 0);
        // Somebody else was led to another one, which alone is left.
        case.saw(0, 0xb, 1);
        case.clusters.lost(0, 0xa);
        assert_eq!(case.split(None, 1), None);
        assert_eq!(case.clusters.unheard(9, WITHIN, case.at(1)), [1]);
        case.clusters.lost(0, 0xc);
        assert_eq!(case.clusters.unheard(9, WITHIN, case.at(1)), [1]);
        case.clusters.lost(0, 0xb);
        assert_eq!(case.clusters.unheard(9, WITHIN, case.at(1)), [0, 1]);
    }

    #[test]
    fn what_is_not_expected_is_told_even_if_all_agree() {
        let mut case = Case::new();
        assert_eq!(case.split(Some(0xa), 0), None, "nobody has answered");
        case.saw(0, 0xa, 0);
        assert_eq!(case.split(Some(0xa), 0), None);
        let told = "http://a:2379 is of cluster a; expected is cluster c";
        assert_eq!(case.split(Some(0xc), 0).as_deref(), Some(told));
    }

    #[test]
    fn who_was_not_heard_lately_is_to_be_asked() {
        let mut case = Case::new();
        assert_eq!(case.clusters.unheard(9, WITHIN, case.at(0)), [0, 1]);
        case.saw(1, 0xa, 0);
        // A server that names no cluster.
        case.saw(0, 0, 0);
        assert_eq!(case.clusters.unheard(9, WITHIN, case.at(9)), [0]);
        assert_eq!(case.clusters.unheard(9, WITHIN, case.at(10)), [0, 1]);
        assert_eq!(case.clusters.unheard(0, WITHIN, case.at(10)), [1]);
        assert_eq!(case.clusters.unheard(1, WITHIN, case.at(9)), [0]);
    }

    /// Or the map would be looked through for ever, and a clock that is asked about long ago would show it again.
    #[test]
    fn what_was_shown_beside_another_one_is_forgotten_after_an_hour() {
        for (second, only) in [(3_600, Only::Several), (3_601, Only::One(0xb))] {
            let mut case = Case::new();
            case.saw(0, 0xa, 0);
            assert!(case.saw(0, 0xb, 1));
            assert_eq!(case.clusters.only(), Only::Several);
            assert!(!case.saw(0, 0xb, second), "no news");
            assert_eq!(case.clusters.only(), only, "after {second} s");
        }
    }

    #[test]
    fn the_lease_and_what_is_expected_are_both_meant() {
        assert_eq!(meant(0xa, None), Ok(vec![0xa]));
        assert_eq!(meant(0xa, Some(0xb)), Ok(vec![0xa, 0xb]));
        assert_eq!(meant(0, None), Ok(vec![]));
        let why = "what answers names no cluster; expected is cluster b";
        assert_eq!(meant(0, Some(0xb)), Err(why.to_owned()));
    }

    #[test]
    fn mostly_no_clock_is_needed_to_see_that_all_is_well() {
        let is_one = |only: Only, meant: &[u64]| only.is_one(meant.iter().copied());
        assert!(is_one(Only::Nothing, &[7]));
        assert!(is_one(Only::One(7), &[]) && is_one(Only::One(7), &[7, 7]));
        assert!(!is_one(Only::One(7), &[7, 8]) && !is_one(Only::Several, &[]));
    }
}
