//! A claim that has vanished is left alone for a second.

use overwatch::etcd::Membership;

use super::super::fleet::{Fleet, Setup};
use super::s;

/// Brings about that all claims of the first node vanish, and sees when the other one claims them.
fn is_left_alone(vanish: impl FnOnce(&mut Fleet)) {
    let mut fleet = Fleet::new(&Setup::of(2));
    fleet.until_spread_over(2);
    let began = fleet.sim.elapsed();
    vanish(&mut fleet);
    fleet.until("the claims vanish", s(6.0), |fleet| {
        fleet.claimed_by(0) == 0
    });
    let vanished = fleet.sim.elapsed();
    fleet.until("another claim", s(3.0), |fleet| {
        fleet.claims().iter().flatten().count() > 6
    });
    let claimed = fleet.sim.elapsed();
    assert!(
        claimed >= vanished + Membership::GRACE,
        "vanished at {vanished:?}, claimed at {claimed:?}"
    );
    // What the time to live promises.
    fleet.until("all is claimed", s(3.0), |fleet| fleet.claimed_by(1) == 12);
    let all = fleet.sim.elapsed();
    assert!(all <= began + s(7.0), "began at {began:?}, all at {all:?}");
}

#[test]
fn a_claim_whose_lease_has_run_out_is_left_alone_for_the_grace() {
    is_left_alone(|fleet| fleet.sim.crash("node-0"));
}

/// Its node is cut off at that moment, and does not come back for it.
#[test]
fn a_claim_whose_lease_was_revoked_is_left_alone_for_the_grace() {
    is_left_alone(|fleet| {
        fleet.sim.crash("node-0");
        fleet.revoke_lease_of(0);
    });
}
