//! Endpoints that are of two clusters, or of another one than is expected.

use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe};
use overwatch_test_support::etcd::{Etcd, Version};
use overwatch_test_support::proxy::{Mode, Proxy};
use tokio::time::sleep;

use super::nodes::{Setup, TTL, keys, within};
use super::promises::{leases, until_it_says, without_leases};
use super::{BUSY, SECOND};

/// Two clusters of one member each, of two versions.
async fn two_clusters() -> [Etcd; 2] {
    let mut members = Vec::new();
    for version in [Version::V34, Version::V35] {
        members.extend(Etcd::start_version(version, 1, &[]).await);
    }
    members.try_into().ok().expect("two of them")
}

async fn cluster_id(etcd: &Etcd) -> u64 {
    let status = etcd.client().await.status().await.expect("etcd answers");
    status.header().expect("etcd has one").cluster_id()
}

fn config(urls: &[&str]) -> EtcdConfig {
    let config = EtcdConfig::new(urls).expect("valid endpoints");
    // There is one member, so an election is short. A longer one is not for leases as short as these.
    config.with_election_timeout(Duration::from_millis(500))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_endpoints_are_of_two_clusters_no_lease_is_taken() {
    let [one, other] = two_clusters().await;
    let ids = [cluster_id(&one).await, cluster_id(&other).await];
    assert_ne!(ids[0], ids[1]);
    let both: Vec<String> = ids
        .iter()
        .map(|id| format!("is of cluster {id:x}"))
        .collect();
    for urls in [[one.url(), other.url()], [other.url(), one.url()]] {
        // By its probe, and by the membership alone.
        let etcd = config(&urls);
        let setup = Setup::new(&one).by(etcd.clone());
        let probe = EtcdProbe::new(etcd).expect("valid");
        for node in [setup.observed_by("a", probe), setup.start("b")] {
            until_it_says(&node, &both).await;
            assert!(!node.handle.is_ready());
            node.stop().await;
        }
        assert!(setup.record.runs().is_empty());
    }
    without_leases(&one).await;
    without_leases(&other).await;
}

/// Its clients find the other cluster when they cannot reach theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_renewed_and_worked_under_in_its_cluster_alone() {
    let [one, other] = two_clusters().await;
    let proxy = Proxy::start(one.address()).await;
    // The other one is there only later, so that a lease is taken.
    other.hang();
    let setup = Setup::new(&one).by(config(&[&proxy.url(), other.url()]));
    let node = setup.node("a").await;
    setup.balanced(&["a"]).await;
    other.resume();
    let runs = setup.record.runs();
    for _ in 0..3 {
        proxy.set(Mode::Cut);
        sleep(SECOND).await;
        proxy.set(Mode::Pass);
        sleep(2 * SECOND).await;
    }
    assert_eq!(
        setup.record.runs().len(),
        runs.len(),
        "nothing ended, and began again"
    );
    setup.balanced(&["a"]).await;
    assert_eq!(node.handle.outages().len(), 1, "its boot");
    assert!(keys(&other, "").await.is_empty());
    assert_eq!([leases(&one).await, leases(&other).await], [1, 0]);
    node.stop().await;
    setup.record.judge();
    assert_eq!(leases(&one).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_not_the_expected_one_is_refused() {
    let etcd = Etcd::start().await;
    let id = cluster_id(&etcd).await;
    let setup = Setup::new(&etcd);
    let expecting = |id| config(&[etcd.url()]).with_expected_cluster(id);
    let refused = setup.by(expecting(id + 1)).start("a");
    let why = format!("is of cluster {id:x}; expected is cluster {:x}", id + 1);
    until_it_says(&refused, &[why]).await;
    refused.stop().await;
    let node = setup.by(expecting(id)).node("a").await;
    node.stop().await;
}

/// A URL whose connections lead to one cluster and to the other in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_url_that_leads_to_two_clusters_is_found_out() {
    let [one, other] = two_clusters().await;
    let ids = [cluster_id(&one).await, cluster_id(&other).await];
    let both: Vec<String> = ids.iter().map(|id| format!("of cluster {id:x}")).collect();
    let balancer = Proxy::start(&format!("{},{}", one.address(), other.address())).await;
    let etcd = config(&[&balancer.url()]);
    let probe = EtcdProbe::new(etcd.clone()).expect("valid");
    let node = Setup::new(&one).by(etcd).observed_by("a", probe);
    until_it_says(&node, &both).await;
    assert!(!node.handle.is_ready());
    node.stop().await;
}

/// Whoever works already stops; and when the first cluster is gone the other one is accepted, once it was alone for
/// the whole window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_comes_to_light_ends_the_work_and_is_accepted_when_it_is_alone() {
    let [one, other] = two_clusters().await;
    let first = Proxy::start(one.address()).await;
    let second = Proxy::start(other.address()).await;
    second.set(Mode::Cut);
    let etcd = config(&[&first.url(), &second.url()]);
    let setup = Setup::new(&one).by(etcd.clone());
    let node = setup.observed_by("a", EtcdProbe::new(etcd).expect("valid"));
    setup.balanced(&["a"]).await;
    second.set(Mode::Pass);
    // A spare member is tried again within some seconds.
    within(3 * TTL, "the work ends", async {
        while setup.record.running().contains_key("a") {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let runs = setup.record.runs().len();
    sleep(BUSY).await;
    assert_eq!(
        (setup.record.runs().len(), node.handle.is_ready()),
        (runs, false)
    );
    first.set(Mode::Cut);
    setup.balanced(&["a"]).await;
    assert_eq!(leases(&other).await, 1);
    node.stop().await;
}
