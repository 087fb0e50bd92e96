//! What is promised of times.

use super::super::fleet::{Fleet, Setup};
use super::s;

/// A server that lets no lease be as short as is asked. Others would take over later than is promised.
#[test]
fn a_lease_that_is_longer_than_was_asked_for_is_refused_and_given_back() {
    let mut fleet = Fleet::new(&Setup {
        shortest_ttl: 8,
        ..Setup::of(1)
    });
    fleet.until("it says why", s(5.0), |fleet| {
        let failure = fleet.nodes[0].last_failure();
        failure.contains("a ttl of 6s needs a lease of 5 s, but etcd grants one of 8 s")
            && failure.contains("a ttl of 9s")
    });
    fleet.run_for(s(5.0));
    assert!(fleet.record.runs().is_empty());
    let left = fleet.cluster.backup().leases().leases.len();
    assert!(left <= 1, "{left} leases");
}
