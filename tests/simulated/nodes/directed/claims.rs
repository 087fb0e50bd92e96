//! Who may claim.

use super::super::fleet::{Fleet, Setup};
use super::{Side, Taken, s, writes_claims};

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
