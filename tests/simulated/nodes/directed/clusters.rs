//! Endpoints that belong to two clusters.

use std::time::Duration;

use super::super::SHARDS;
use super::super::fleet::{Fleet, Setup, Told};
use super::{many, s};

/// Hosts 0 and 1 are a cluster each. The nodes heed their probes.
fn two_clusters(endpoints: [&[usize]; 2]) -> Setup {
    let told = |endpoints: &[usize]| Told {
        endpoints: endpoints.to_vec(),
        ..Told::usual()
    };
    Setup {
        clusters: 2,
        nodes: endpoints.map(told).to_vec(),
        heeds_probes: true,
        ..Setup::of(2)
    }
}

impl Fleet {
    fn runs(&self) -> usize {
        self.record.runs().len()
    }

    fn says_misdirected(&self) -> bool {
        let trace = self.trace.lines();
        ["node-0", "node-1"].iter().all(|node| {
            trace.lines().any(|line| {
                line.contains(node)
                    && line.contains("misdirected")
                    && line.contains("cluster c1")
                    && line.contains("cluster c2")
            })
        })
    }

    /// The nodes see nothing of the second cluster yet, and work in the first one.
    fn begin_in_the_first(&mut self) {
        for node in [0, 1] {
            self.cut(node, 1);
        }
        self.until_spread_over(2);
    }

    fn cut(&mut self, node: usize, host: usize) {
        let host = self.all_hosts()[host].clone();
        self.sim.partition(self.nodes[node].id(), host);
    }

    fn join(&mut self, node: usize, host: usize) {
        let host = self.all_hosts()[host].clone();
        self.sim.repair(self.nodes[node].id(), host);
    }

    fn all_hosts(&self) -> Vec<String> {
        super::super::hosts(self.members * self.clusters.len())
    }
}

/// Whichever is named first, and whichever answers first.
#[test]
fn while_endpoints_are_of_two_clusters_nothing_is_begun() {
    many(|seed| {
        for endpoints in [[&[0, 1][..], &[0, 1]], [&[0, 1], &[1, 0]]] {
            // By their probes, or by the memberships alone.
            for heeds_probes in [true, false] {
                let mut fleet = Fleet::new(&Setup {
                    heeds_probes,
                    ..two_clusters(endpoints).seeded(seed)
                });
                fleet.run_for(s(20.0));
                assert_eq!(fleet.runs(), 0, "{endpoints:?} {heeds_probes}");
                assert!(fleet.says_misdirected(), "{}", fleet.trace.lines());
                assert!(fleet.nodes.iter().all(|node| !node.is_ready()));
            }
        }
    });
}

/// The connections of one node with the first cluster are closed for three seconds, so that its clients go on
/// to the other one. That is shorter than a window.
#[test]
fn a_node_that_cannot_reach_one_cluster_for_a_while_does_no_work_in_the_other() {
    many(|seed| {
        for boots in [0.0, 5.0] {
            let mut fleet = Fleet::new(&Setup {
                window: s(5.0),
                ..two_clusters([&[0, 1], &[0, 1]]).seeded(seed)
            });
            fleet.run_for(s(0.5 + boots));
            fleet.cut(0, 0);
            fleet.run_for(s(3.0));
            fleet.join(0, 0);
            fleet.run_for(s(20.0));
            assert_eq!(fleet.runs(), 0);
        }
    });
}

/// The first cluster is down for a while, so that nobody has a connection with it any more. At boot nothing but the
/// probe sees to it that the other one was alone for a whole window.
#[test]
fn one_of_two_clusters_is_not_accepted_while_the_other_is_down_for_less_than_a_window() {
    many(|seed| {
        for boots in [0.5, 5.0] {
            let mut fleet = Fleet::new(&Setup {
                window: s(5.0),
                ..two_clusters([&[0, 1], &[0, 1]]).seeded(seed)
            });
            fleet.run_for(s(boots));
            fleet.sim.crash("etcd-0");
            fleet.run_for(s(3.0));
            assert_eq!(fleet.runs(), 0);
            fleet.sim.bounce("etcd-0");
            fleet.run_for(s(20.0));
            assert_eq!(fleet.runs(), 0);
        }
    });
}

/// The other nodes work in the first cluster, and so did this one, which cannot reach it any more.
#[test]
fn a_node_that_works_does_not_go_on_in_another_cluster() {
    many(|seed| {
        let mut fleet = Fleet::new(&Setup {
            window: s(5.0),
            ..two_clusters([&[0, 1], &[0]]).seeded(seed)
        });
        fleet.cut(0, 1);
        fleet.until_spread_over(2);
        fleet.cut(0, 0);
        fleet.join(0, 1);
        let mut longest = 0;
        for _ in 0..400 {
            fleet.go_on();
            longest = longest.max(fleet.clusters[1].backup().leases().leases.len());
        }
        fleet.join(0, 0);
        fleet.run_for(s(20.0));
        assert_eq!(
            longest, 0,
            "no lease was taken in the other one within the window"
        );
        assert_eq!(fleet.runs_of(1).len(), SHARDS as usize);
    });
}

/// The second cluster is there only later. Whoever works already stops.
#[test]
fn a_cluster_that_comes_to_light_later_ends_the_work() {
    many(|seed| {
        let mut fleet = Fleet::new(&two_clusters([&[0, 1], &[0, 1]]).seeded(seed));
        fleet.begin_in_the_first();
        for node in [0, 1] {
            fleet.join(node, 1);
        }
        fleet.until("the work ends", s(12.0), |fleet| {
            fleet.record.unfinished().is_empty()
        });
        let runs = fleet.runs();
        fleet.run_for(s(20.0));
        assert_eq!(fleet.runs(), runs, "nothing is begun again");
        // It is gone again, and that is proved for the whole window.
        for node in [0, 1] {
            fleet.cut(node, 1);
        }
        fleet.until("all is well again", s(60.0), |fleet| {
            fleet.record.unfinished().len() == SHARDS as usize
        });
    });
}

/// No probe tells, and the lease alone is left: it is of one cluster.
#[test]
fn a_lease_is_renewed_and_worked_under_in_the_cluster_that_granted_it_only() {
    many(|seed| {
        let mut fleet = Fleet::new(&Setup {
            heeds_probes: false,
            ..two_clusters([&[0, 1], &[0, 1]]).seeded(seed)
        });
        fleet.begin_in_the_first();
        // From now on the clients of one of them find the other cluster, again and again.
        for node in [0, 1] {
            fleet.join(node, 1);
        }
        for _ in 0..4 {
            fleet.cut(0, 0);
            fleet.run_for(s(1.0));
            fleet.join(0, 0);
            fleet.run_for(s(3.0));
            assert_eq!(fleet.record.unfinished().len(), SHARDS as usize);
        }
        let foreign = fleet.clusters[1].backup();
        assert_eq!(foreign.leases().leases.len(), 0, "no lease was taken there");
    });
}

/// Each connection leads to the other cluster than the one before.
#[test]
fn one_url_that_leads_to_two_clusters_is_found_out() {
    many(|seed| {
        let balanced = Told {
            endpoints: vec![0, 1],
            is_balanced: true,
            ..Told::usual()
        };
        let mut fleet = Fleet::new(&Setup {
            nodes: vec![balanced; 2],
            ..two_clusters([&[], &[]]).seeded(seed)
        });
        fleet.run_for(s(20.0));
        // A start may go well by chance; but not two of them in two clusters, which the laws say.
        assert!(fleet.says_misdirected(), "{}", fleet.trace.lines());
    });
}

#[test]
fn a_cluster_that_is_not_the_expected_one_is_not_worked_in() {
    many(|seed| {
        const FIRST: u64 = 0xc1;
        let told = |expects| Told {
            endpoints: vec![0],
            expects: Some(expects),
            ..Told::usual()
        };
        let mut fleet = Fleet::new(&Setup {
            nodes: vec![told(FIRST), told(FIRST + 1)],
            ..two_clusters([&[0], &[0]]).seeded(seed)
        });
        fleet.until("all is at one node", s(10.0), |fleet| {
            fleet.runs_of(0).len() == SHARDS as usize
        });
        fleet.run_for(s(10.0));
        assert_eq!(fleet.runs_of(1).len(), 0);
        let trace = fleet.trace.lines();
        let told = "is of cluster c1; expected is cluster c2";
        assert!(trace.contains(told), "{trace}");
    });
}

/// All of a cluster is replaced by another one: that is accepted once it has proved itself.
#[test]
fn another_cluster_in_the_place_of_the_first_is_accepted_after_a_whole_window() {
    many(|seed| {
        let mut fleet = Fleet::new(&two_clusters([&[0, 1], &[0, 1]]).seeded(seed));
        fleet.begin_in_the_first();
        for node in [0, 1] {
            fleet.cut(node, 0);
            fleet.join(node, 1);
        }
        let swapped = fleet.sim.elapsed();
        fleet.until("they work in the second one", s(60.0), |fleet| {
            let second = fleet.clusters[1].backup();
            second.leases().leases.len() == 2 && fleet.record.unfinished().len() == SHARDS as usize
        });
        assert!(fleet.sim.elapsed() > swapped + Duration::from_secs(3));
        let trace = fleet.trace.lines();
        assert!(
            trace.contains("the cluster is another one (c2, and was c1)"),
            "{trace}"
        );
    });
}
