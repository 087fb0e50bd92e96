//! Starts that take longer than a lease lives, and stops that are delayed under one.

use std::time::Duration;

use super::super::fleet::{Fleet, Setup, Told};
use super::{many, s};

/// A node whose lease of 7 s is renewed every 1.4 s, with these times.
fn node(told: Told) -> Setup {
    Setup {
        ttl: s(8.0),
        nodes: vec![told],
        ..Setup::of(1)
    }
}

fn slow(starts_within: Duration) -> Told {
    Told {
        last_stage: Some(starts_within),
        ..Told::usual()
    }
}

fn delayed(unready_delay: Duration) -> Told {
    Told {
        unready_delay,
        ..Told::usual()
    }
}

/// The shards run meanwhile under the same lease, by the law of leases.
#[test]
fn the_lease_is_renewed_while_a_later_stage_starts_slower_than_it_lasts() {
    many(|seed| {
        let mut fleet = Fleet::new(&node(slow(s(30.0))).seeded(seed));
        fleet.until_spread_over(1);
        let before = fleet.record.unfinished();
        assert!(!fleet.nodes[0].is_ready());
        fleet.until("it is ready", s(32.0), |fleet| fleet.nodes[0].is_ready());
        assert!(fleet.sim.elapsed() > s(30.0));
        assert!(
            fleet.record.unfinished() == before,
            "{}",
            fleet.trace.lines()
        );
        assert_eq!(fleet.nodes[0].epoch(), 1);
    });
}

/// With three stages there are 4.25 s for work without a renewal. The shards' own protection ends them after 6.5 s.
#[test]
fn the_fence_trips_also_while_a_later_stage_starts() {
    many(|seed| {
        let mut fleet = Fleet::new(&node(slow(s(30.0))).seeded(seed));
        fleet.until_spread_over(1);
        fleet.until_renewed(0);
        fleet.cut_off(0);
        fleet.run_for(s(4.0));
        assert!(!fleet.runs_of(0).is_empty(), "{}", fleet.trace.lines());
        fleet.until("the work ends", s(1.3), |fleet| fleet.runs_of(0).is_empty());
    });
}

#[test]
fn during_the_unready_delay_the_lease_is_renewed_and_the_work_goes_on() {
    many(|seed| {
        let mut fleet = Fleet::new(&node(delayed(s(3.0))).seeded(seed));
        fleet.until_spread_over(1);
        let before = fleet.record.unfinished();
        fleet.nodes[0].want(false);
        fleet.run_for(s(0.1));
        assert!(!fleet.nodes[0].is_ready());
        fleet.run_for(s(2.7));
        assert!(
            fleet.record.unfinished() == before,
            "{}",
            fleet.trace.lines()
        );
        fleet.until("it has left", s(1.5), |fleet| {
            let registered = fleet.cluster.stored(&fleet.nodes[0].registration());
            fleet.runs_of(0).is_empty() && registered.is_none()
        });
    });
}

/// With two stages there are 5 s for work without a renewal, of which 4 s are over when it is asked to stop.
#[test]
fn a_lease_that_is_not_renewed_cuts_the_unready_delay_short() {
    many(|seed| {
        let mut fleet = Fleet::new(&node(delayed(s(3.0))).seeded(seed));
        fleet.until_spread_over(1);
        fleet.until_renewed(0);
        fleet.cut_off(0);
        fleet.run_for(s(4.0));
        fleet.nodes[0].want(false);
        fleet.run_for(s(0.5));
        assert!(!fleet.runs_of(0).is_empty(), "{}", fleet.trace.lines());
        fleet.until("the work ends", s(0.8), |fleet| fleet.runs_of(0).is_empty());
    });
}
