//! etcd itself revokes leases that were renewed: a leader of 3.4 that was stopped for longer than they live.

use super::super::SHARDS;
use super::super::fleet::{Fleet, Setup};
use super::{many, s};

/// All leases at one moment, also that of a node that hears of it nearly a second later than the others.
#[test]
fn whoever_hears_of_it_within_the_grace_is_not_overtaken() {
    many(|seed| {
        for way in [0.01, 0.2, 0.9] {
            let mut fleet = Fleet::new(&Setup {
                starts: vec![s(0.0); 3],
                ..Setup::of(3).seeded(seed)
            });
            fleet.until_spread_over(3);
            fleet.sim.set_link_latency("node-0", "etcd-0", s(way));
            fleet.run_for(s(0.02));
            fleet.revoke_all();
            // The laws say that no shard runs twice, and that nobody works on a second later.
            fleet.run_for(s(1.5));
            fleet.sim.set_link_latency("node-0", "etcd-0", s(0.01));
            fleet.until("all is well again", s(15.0), |fleet| {
                fleet.record.unfinished().len() == SHARDS as usize
            });
            fleet.until_spread_over(3);
        }
    });
}
