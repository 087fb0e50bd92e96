//! A machine that is suspended while leases run on.

use super::super::SHARDS;
use super::super::fleet::{Fleet, Setup, Told};
use super::{many, s};

/// For longer than its lease: nothing of it goes on, and the others have its work.
#[test]
fn nothing_goes_on_after_a_suspension_that_has_cost_the_lease() {
    many(|seed| {
        let mut fleet = Fleet::new(&Setup::of(2).seeded(seed));
        fleet.until_spread_over(2);
        fleet.cut_off(0);
        fleet.suspend(0, s(6.0));
        let told = "the machine was suspended for 6.0s";
        fleet.until("it is told", s(0.05), |fleet| {
            fleet.nodes[0].reason().contains(told)
        });
        // One step for each of its hosts to have its turn.
        fleet.run_for(s(0.04));
        assert!(fleet.runs_of(0).is_empty(), "{:?}", fleet.runs_of(0));
        fleet.until("the other one has it all", s(3.0), |fleet| {
            fleet.runs_of(1).len() == SHARDS as usize
        });
    });
}

/// For less than its lease, and etcd cannot be reached since. The law of leases says when its work must have
/// ended.
#[test]
fn a_suspension_takes_its_time_off_the_lease() {
    many(|seed| {
        for time in [1.0, 2.5, 4.0] {
            let mut fleet = Fleet::new(&Setup {
                drains_for: s(60.0),
                ..Setup::of(2).seeded(seed)
            });
            fleet.until_spread_over(2);
            fleet.until_renewed(0);
            fleet.cut_off(0);
            fleet.suspend(0, s(time));
            let at = fleet.sim.elapsed();
            fleet.until("its work ends", s(6.0 - time), |fleet| {
                fleet.runs_of(0).is_empty()
            });
            assert!(
                fleet.sim.elapsed() <= at + s(5.0 - time),
                "it had 5 s in all"
            );
        }
    });
}

/// For less than its lease, and etcd is there: it is renewed at once, and nothing happens.
#[test]
fn a_short_suspension_costs_nothing() {
    many(|seed| {
        let mut fleet = Fleet::new(&Setup::of(2).seeded(seed));
        fleet.until_spread_over(2);
        let before = fleet.record.unfinished();
        for _ in 0..4 {
            fleet.until_renewed(0);
            fleet.suspend(0, s(1.5));
            fleet.run_for(s(2.0));
        }
        let after = fleet.record.unfinished();
        assert!(after == before, "{}", fleet.trace.lines());
    });
}

/// The functions wait for something that never comes, and are dropped in time all the same, by the law of leases.
#[test]
fn what_waits_and_asks_nothing_is_dropped_in_time_after_a_suspension() {
    many(|seed| {
        let waits = Told {
            asks_never: true,
            // Or that would stop it before.
            is_fenced: false,
            ..Told::usual()
        };
        let mut fleet = Fleet::new(&Setup {
            nodes: vec![waits; 2],
            ..Setup::slowly_renewed(2).seeded(seed)
        });
        fleet.until_spread_over(2);
        fleet.until_renewed(0);
        fleet.cut_off(0);
        fleet.suspend(0, s(9.0));
        fleet.until("its work ends", s(6.0), |fleet| fleet.runs_of(0).is_empty());
    });
}

/// The lease has 5 s; after 2.4 s of them the fence leaves little more than it takes to stop. It holds only if the
/// lease is renewed as soon as the suspension is noticed.
#[test]
fn a_lease_is_renewed_as_soon_as_a_suspension_is_noticed() {
    let mut fleet = Fleet::new(&Setup::of(2));
    fleet.until_spread_over(2);
    let before = fleet.record.unfinished();
    fleet.until_renewed(0);
    fleet.suspend(0, s(2.4));
    fleet.run_for(s(4.0));
    let after = fleet.record.unfinished();
    assert!(after == before, "{}", fleet.trace.lines());
}

/// It cannot be renewed, and the fence is told what is left: readiness goes off long before it would otherwise.
#[test]
fn the_fence_is_told_what_a_suspension_has_left() {
    let mut fleet = Fleet::new(&Setup::of(2));
    fleet.until_spread_over(2);
    fleet.until_renewed(0);
    fleet.cut_off(0);
    fleet.suspend(0, s(2.4));
    fleet.until("it is not ready", s(1.0), |fleet| {
        !fleet.nodes[0].is_ready()
    });
}
