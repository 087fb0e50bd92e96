//! Membership and shards against a real etcd, in real time: several nodes of one process.

mod blocked;
mod bounds;
mod busy;
mod clusters;
mod faults;
mod lists;
mod nodes;
mod promises;
mod record;
mod shard;
mod threads;
mod wiring;
mod work;

use std::time::Duration;

use etcd_client::PermissionType;
use overwatch_test_support::etcd::{Etcd, Version, enable_auth};
use tokio::time::{Instant, sleep};

use nodes::{PREFIX, Setup, TTL, keys, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_see_each_other_and_know_how_new_that_is() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let mut nodes = vec![setup.node("a").await, setup.node("b").await];
    let mut seen = nodes[0].membership.members();
    within(TTL, "both are seen", async {
        while seen.borrow_and_update().len() < 2 {
            seen.changed().await.expect("the membership lives");
        }
    })
    .await;
    let members = seen.borrow().clone();
    let (a, b) = (members.get("a"), members.get("b"));
    let (a, b) = (a.expect("a"), b.expect("b"));
    assert_eq!(a.metadata(), b"metadata of a");
    assert!(a.incarnation() < b.incarnation(), "later ones are higher");
    let ids: Vec<&str> = members.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);

    // Nothing changes, and yet it gets newer: as new as the last renewal.
    let later = Instant::now();
    within(TTL, "the list is confirmed", async {
        while seen.borrow_and_update().as_of() < Some(later) {
            seen.changed().await.expect("the membership lives");
        }
    })
    .await;
    assert_eq!(seen.borrow().get("b"), Some(b));

    let gone = nodes.pop().expect("b");
    gone.stop().await;
    within(TTL, "b has left", async {
        while seen.borrow_and_update().len() > 1 {
            seen.changed().await.expect("the membership lives");
        }
    })
    .await;
    let incarnation = a.incarnation();
    let restarted = setup.node("b").await;
    within(TTL, "b is back", async {
        while seen.borrow_and_update().len() < 2 {
            seen.changed().await.expect("the membership lives");
        }
    })
    .await;
    let again = seen.borrow().get("b").expect("b").incarnation();
    assert!(again > b.incarnation() && again > incarnation);

    // What etcd does not confirm, the list does not claim.
    etcd.hang();
    let hung = Instant::now();
    sleep(TTL / 2).await;
    assert!(seen.borrow().as_of() < Some(hung));
    etcd.resume();
    drop(restarted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_behind() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let nodes = [setup.node("a").await, setup.node("b").await];
    setup.balanced(&["a", "b"]).await;
    assert!(!keys(&etcd, PREFIX).await.is_empty());
    for node in nodes {
        node.stop().await;
    }
    let left = keys(&etcd, PREFIX).await;
    assert!(left.is_empty(), "{left:?}");
    setup.record.judge();
}

/// Claims are transactions within transactions, which etcd's authentication looks at in its own way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_to_its_own_prefix_is_enough() {
    for version in [Version::V34, Version::V35] {
        let etcd = Etcd::start_version(version, 1, &[]).await.remove(0);
        enable_auth(&etcd, PermissionType::Readwrite).await;
        let setup = Setup::new(&etcd).of_user("narrow", "right", "app/nodes");
        let (a, b) = (setup.node("a").await, setup.node("b").await);
        setup.balanced(&["a", "b"]).await;
        a.stop().await;
        setup.balanced(&["b"]).await;
        b.stop().await;
        setup.record.judge();

        // Where it has no right, the start says so.
        let elsewhere = setup.of_user("narrow", "right", "elsewhere").start("a");
        within(TTL, "refused", async {
            while !elsewhere.why().contains("permission denied") {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        elsewhere.stop().await;
    }
}

/// A machine that is busy with other tests keeps no promise to the second. (`tests/cluster`
/// measures with nothing beside it.)
const BUSY: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);
