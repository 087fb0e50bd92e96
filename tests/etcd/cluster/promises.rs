//! What is promised of times: by a server that grants no short lease, and on a machine that was suspended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, PermissionType};
use overwatch_test_support::etcd::{Etcd, Version, enable_auth};
use tokio::time::sleep;

use super::nodes::{Node, Setup, TTL, config, within};

/// How many leases there are.
pub(super) async fn leases(etcd: &Etcd) -> usize {
    let leases = etcd.client().await.leases().await.expect("etcd answers");
    leases.leases().len()
}

/// One that was given back when its start was cut short is, at the latest, over with its time.
pub(super) async fn without_leases(etcd: &Etcd) {
    within(3 * TTL, "no lease is left", async {
        while leases(etcd).await > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

pub(super) async fn until_it_says(node: &Node, what: &[String]) {
    within(2 * TTL, &format!("{what:?} is said"), async {
        while !what.iter().all(|what| node.why().contains(what)) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// etcd lets no lease be shorter than one and a half of its election timeouts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_longer_than_was_asked_for_is_refused_and_given_back() {
    let slow = ["--heartbeat-interval=400", "--election-timeout=4000"];
    for version in [Version::V34, Version::V35] {
        let etcd = Etcd::start_version(version, 1, &slow).await.remove(0);
        let node = Setup::new(&etcd).start("a");
        let why = "needs a lease of 5 s, but etcd grants one of 6 s";
        until_it_says(&node, &[why.to_owned()]).await;
        node.stop().await;
        without_leases(&etcd).await;
    }
}

/// Else each try would leave one behind that other nodes wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_may_not_register_gives_its_lease_back() {
    let etcd = Etcd::start().await;
    enable_auth(&etcd, PermissionType::Read).await;
    let setup = Setup::new(&etcd).of_user("narrow", "right", "app/checker");
    let node = setup.start("a");
    until_it_says(
        &node,
        &["not registered: etcd denies permission".to_owned()],
    )
    .await;
    let options = ConnectOptions::new().with_user("root", "right");
    let client = Client::connect([etcd.url()], Some(options)).await;
    let mut client = client.expect("root is let in");
    // Before it would run out by itself.
    within(TTL / 2, "it is given back", async {
        while !client
            .leases()
            .await
            .expect("etcd answers")
            .leases()
            .is_empty()
        {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    node.stop().await;
}

/// What the system tells of it is made up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_was_suspended_beyond_its_lease_ends_its_work_and_joins_again() {
    let etcd = Etcd::start().await;
    let suspended: Arc<Mutex<Duration>> = Arc::default();
    let told = Arc::clone(&suspended);
    let by = config([etcd.url()]).suspended_by(Arc::new(move || *told.lock().expect("no panic")));
    let setup = Setup::new(&etcd).by(by);
    let node = setup.node("a").await;
    setup.balanced(&["a"]).await;
    let before = setup.record.runs();
    *suspended.lock().expect("no panic") += 2 * TTL;
    within(TTL, "the work ends, and begins again", async {
        while setup.record.runs().len() < 2 * before.len() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    setup.balanced(&["a"]).await;
    let outages = format!("{:?}", node.handle.outages());
    assert!(
        outages.contains("the machine was suspended for 12.0s"),
        "{outages}"
    );
    node.stop().await;
    setup.record.judge();
}
