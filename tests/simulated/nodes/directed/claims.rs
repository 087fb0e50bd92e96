//! Who may claim.

use super::super::fleet::{Fleet, Setup};
use super::{Side, Taken, many, s, writes_claims};

/// A claim that arrives when its node is no member by its lease any more. The lease lives on.
#[test]
fn who_is_no_member_by_its_own_lease_claims_nothing() {
    for how in [Taken::Removed, Taken::Overwritten] {
        let mut fleet = Fleet::new(&Setup::of(1));
        let late = fleet.hold(Side::Before, 1, writes_claims("node-0".to_owned()));
        fleet.until("a claim", s(5.0), |_| late.came() == 1);
        let registered = fleet.cluster.stored(&fleet.nodes[0].registration());
        let lease = registered.expect("it is registered").lease;
        fleet.take_registration(0, how);
        late.let_go();
        for _ in 0..10 {
            fleet.go_on();
            assert_eq!(fleet.claimed_by(0), 0, "{how:?}");
        }
        assert!(fleet.cluster.lives(lease), "else etcd had refused it");
    }
}

/// Its node was told to stop, and its functions take their time. Others claim it a second later.
#[test]
fn a_claim_that_is_removed_ends_the_work_also_while_it_drains() {
    many(|seed| {
        let mut fleet = Fleet::new(&Setup {
            drains_for: s(0.4),
            ..Setup::of(2).seeded(seed)
        });
        fleet.until_spread_over(2);
        fleet.nodes[0].want(false);
        fleet.run_for(s(0.1));
        let before = fleet.runs_of(0);
        assert_eq!(before.len(), 6, "they drain");
        fleet.remove_claims_of(0);
        fleet.run_for(s(0.1));
        let left = fleet.runs_of(0);
        let is_left = |shard: u32| left.iter().any(|run| run.shard == shard);
        for run in before {
            assert_eq!(is_left(run.shard), run.shard % 2 == 1, "{run:?}");
        }
        fleet.until("the other one has it all", s(4.0), |fleet| {
            fleet.runs_of(1).len() == 12
        });
    });
}
