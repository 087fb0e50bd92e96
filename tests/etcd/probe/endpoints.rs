//! Several endpoints, of one member or of a cluster.

use std::time::Duration;

use overwatch_test_support::etcd::{self, Etcd, free_port};
use overwatch_test_support::observe::*;
use overwatch_test_support::proxy::{Mode, Proxy};
use tokio::time::Instant;

#[tokio::test]
async fn one_dead_and_one_silent_endpoint_do_no_harm() {
    let etcd = Etcd::start().await;
    let silent = Silent::start();
    let dead = format!("http://127.0.0.1:{}", free_port());
    let probe = probe([dead.as_str(), &silent.url(), etcd.url()]);
    until_alive("start", &probe, SOON).await;
    stays_alive(&probe, Duration::from_secs(10)).await;
}

#[tokio::test]
async fn an_endpoint_that_dies_or_falls_silent_does_no_harm_while_another_lives() {
    let etcd = Etcd::start().await;
    let (first, second) = (
        Proxy::start(etcd.address()).await,
        Proxy::start(etcd.address()).await,
    );
    let probe = probe([first.url(), second.url()]);
    until_alive("start", &probe, SOON).await;
    first.set(Mode::BlackHole);
    // Another one is asked when the first has owed an answer for the latency budget.
    let budget = Duration::from_secs(1);
    stays_alive_through(budget, &probe, Duration::from_secs(6)).await;
    first.set(Mode::Pass);
    stays_alive(&probe, Duration::from_secs(3)).await;
    second.set(Mode::Cut);
    stays_alive(&probe, Duration::from_secs(3)).await;
    let cut = Instant::now();
    first.set(Mode::BlackHole);
    let reason = until_failing("both", &probe, FAULT_LIMIT, cut).await;
    for url in [first.url(), second.url()] {
        assert!(reason.contains(&url), "{reason} does not name {url}");
    }
}

#[tokio::test]
async fn d18_a_lost_quorum_is_seen_and_an_election_is_tolerated() {
    // Two election timeouts at most, and what the members need to find out.
    const ELECTION: Duration = Duration::from_millis(2_500);
    let mut members = Etcd::start_cluster(3).await;
    let probe = probe(members.iter().map(Etcd::url));
    until_alive("start", &probe, SOON).await;
    let leader = etcd::leader(&members).await;
    members[leader].kill();
    stays_alive_through(ELECTION, &probe, Duration::from_secs(8)).await;
    members[leader].restart().await;
    stays_alive(&probe, Duration::from_secs(3)).await;

    let leader = etcd::leader(&members).await;
    members[leader].hang();
    stays_alive_through(ELECTION, &probe, Duration::from_secs(8)).await;
    members[leader].resume();
    stays_alive(&probe, Duration::from_secs(3)).await;

    let lost = Instant::now();
    members[0].kill();
    members[1].kill();
    let reason = until_failing("quorum lost", &probe, FAULT_LIMIT, lost).await;
    assert!(reason.contains("connection refused"), "{reason}");
    assert!(reason.starts_with("no_leader|"), "{reason}");
    members[0].launch();
    let alive = async { until_alive("quorum again", &probe, BUSY_LIMIT).await };
    let answering = async {
        members[0].answering().await.expect("etcd starts again");
        Instant::now()
    };
    let (answering, alive) = tokio::join!(answering, alive);
    let took = alive.saturating_duration_since(answering);
    seen("quorum again, since it answers", took, RECOVERY_LIMIT);
}
