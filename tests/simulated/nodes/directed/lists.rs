//! Nodes that were given several lists of shards, as when one version of a service takes the place of another.

use std::collections::BTreeSet;

use overwatch::etcd::Owner;

use super::super::fleet::{Fleet, Setup, Told};
use super::super::node::claim_on;
use super::{many, s};

fn lists(shards: &[u32]) -> Setup {
    let told = |&shards: &u32| Told {
        shards,
        ..Told::usual()
    };
    Setup {
        nodes: shards.iter().map(told).collect(),
        ..Setup::of(shards.len())
    }
}

impl Fleet {
    /// The shards that run, each once.
    fn shards(&self) -> BTreeSet<u32> {
        let runs = self.record.unfinished();
        runs.iter().map(|run| run.shard).collect()
    }

    fn counts(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .map(|node| self.runs_of(node).len())
            .collect()
    }
}

#[test]
fn whatever_the_lists_no_shard_of_any_is_without_an_owner() {
    many(|seed| {
        for (shards, most) in [
            (&[8, 8, 24][..], [3, 3, 19]),
            (&[24, 8, 8], [19, 3, 3]),
            (&[4, 12, 24], [2, 6, 18]),
            (&[4, 2, 2], [3, 1, 1]),
        ] {
            let mut fleet = Fleet::new(&lists(shards).seeded(seed));
            let all = shards.iter().copied().max().unwrap_or_default();
            fleet.until("all run", s(10.0), |fleet| {
                fleet.shards().len() == all as usize
            });
            fleet.run_for(s(3.0));
            assert_eq!(fleet.shards().len(), all as usize, "{shards:?}");
            let counts = fleet.counts();
            let is_fair = counts.iter().zip(most).all(|(&count, most)| count <= most);
            assert!(is_fair, "{shards:?}: {counts:?}");
            for (node, &known) in fleet.nodes.iter().zip(shards) {
                let owners = node.owners();
                assert_eq!(owners.unowned().count(), 0);
                assert_eq!(owners.iter().count(), known as usize);
            }
        }
    });
}

/// One node after the other is started anew, with the new list.
#[test]
fn nothing_rests_while_a_deployment_goes_on() {
    many(|seed| {
        let mut fleet = Fleet::new(&Setup {
            starts: vec![s(0.0), s(0.0), s(6.0)],
            ..lists(&[8, 8, 24]).seeded(seed)
        });
        fleet.until("the old ones run all that they know", s(5.0), |fleet| {
            fleet.shards().len() == 8
        });
        let old: BTreeSet<u32> = (0..8).collect();
        // What runs moves, if it does, within a moment.
        let mut rested = 0;
        while fleet.sim.elapsed() < s(12.0) {
            fleet.go_on();
            rested = match fleet.shards().is_superset(&old) {
                true => 0,
                false => rested + 1,
            };
            assert!(rested < 50, "for half a second: {:?}", fleet.shards());
        }
        assert_eq!(fleet.shards().len(), 24);
        // The new one goes: what only it knew is nobody's, and what the others know is theirs.
        fleet.nodes[2].want(false);
        fleet.until("the old ones have what they know", s(3.0), |fleet| {
            fleet.counts() == [4, 4, 0]
        });
        assert_eq!(fleet.shards(), old);
        assert!(
            fleet.cluster.stored(&claim_on(20)).is_none(),
            "it was released"
        );
    });
}

/// What is in the way of a claim, and was written by no node, leaves the shard without an owner. That is seen.
#[test]
fn what_nobody_owns_is_told_with_its_time() {
    let mut fleet = Fleet::new(&Setup {
        starts: vec![s(1.0); 2],
        ..Setup::of(2)
    });
    fleet.run_for(s(0.5));
    fleet.put_by_hand(&claim_on(5));
    fleet.until("the others run", s(5.0), |fleet| {
        fleet.counts().iter().sum::<usize>() == 11
    });
    fleet.until("it is told", s(2.0), |fleet| {
        let told = |owners: &overwatch::etcd::Owners| {
            owners
                .unowned()
                .map(|(name, _)| name.to_owned())
                .collect::<Vec<_>>()
        };
        fleet.nodes.iter().all(|node| told(&node.owners()) == ["5"])
    });
    for node in &fleet.nodes {
        let owners = node.owners();
        let ours = owners
            .iter()
            .filter(|(_, owner)| *owner == Owner::Node(&node.id()))
            .count();
        let here = owners.here();
        assert_eq!(here.len(), ours);
        assert!(here.iter().all(|shard| shard.check().is_ok()));
    }
}

/// Half of twelve shards are to go to a node that comes, two at a time.
#[test]
fn no_more_shards_move_at_once_than_is_allowed() {
    many(|seed| {
        let slow = Told {
            with_max_moving: Some(2),
            ..Told::usual()
        };
        let mut fleet = Fleet::new(&Setup {
            starts: vec![s(0.0), s(4.0)],
            nodes: vec![slow; 2],
            drains_for: s(0.4),
            ..Setup::of(2).seeded(seed)
        });
        fleet.until_spread_over(1);
        let mut least = 12;
        while fleet.sim.elapsed() < s(9.0) {
            fleet.go_on();
            least = least.min(fleet.record.unfinished().len());
        }
        assert_eq!(fleet.counts(), [6, 6]);
        assert!((10..12).contains(&least), "{least} ran at the least");
    });
}
