//! Whatever happens, no shard runs twice, and none is idle for longer than is promised.

use std::time::Duration;

use etcd_client::{DeleteOptions, GetOptions};
use overwatch_test_support::etcd::Etcd;
use overwatch_test_support::proxy::{Mode, Proxy};
use tokio::time::{Instant, sleep};

use super::nodes::{Node, PREFIX, Setup, TTL, WORK, keys, within};
use super::{BUSY, SECOND};

/// Two that share the work.
async fn two_nodes() -> (Etcd, Setup, Node, Node) {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let (a, b) = (setup.node("a").await, setup.node("b").await);
    setup.balanced(&["a", "b"]).await;
    (etcd, setup, a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_hands_its_work_over_at_once() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let (a, b) = (setup.node("a").await, setup.node("b").await);
    let c = setup.node("c").await;
    setup.balanced(&["a", "b", "c"]).await;
    let left = Instant::now();
    c.stop().await;
    setup.balanced(&["a", "b"]).await;
    assert_eq!(setup.record.moves(left), 4, "only what it had");
    let gap = setup.record.longest_gap(left);
    assert!(gap <= SECOND + BUSY, "{gap:?}");

    let back = Instant::now();
    let c = setup.node("c").await;
    setup.balanced(&["a", "b", "c"]).await;
    assert_eq!(setup.record.moves(back), 4, "only what it takes");
    let gap = setup.record.longest_gap(back);
    assert!(gap <= SECOND + BUSY, "{gap:?}");
    for node in [a, b, c] {
        node.stop().await;
    }
    setup.record.judge();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dies_is_replaced_when_its_lease_has_run_out() {
    let (_etcd, setup, a, b) = two_nodes().await;
    let died = Instant::now();
    b.kill();
    setup.balanced(&["a"]).await;
    let gap = setup.record.longest_gap(died);
    assert!(gap <= TTL + SECOND + BUSY, "{gap:?}");
    assert_eq!(setup.record.moves(died), 6);
    a.stop().await;
    setup.record.judge();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_before_its_lease_runs_out_finds_its_work() {
    let (_etcd, setup, a, b) = two_nodes().await;
    let died = Instant::now();
    b.kill();
    sleep(Duration::from_millis(500)).await;
    let b = setup.node("b").await;
    setup.balanced(&["a", "b"]).await;
    assert_eq!(setup.record.moves(died), 0, "{:#?}", setup.record.runs());
    let gap = setup.record.longest_gap(died);
    assert!(gap <= TTL + SECOND + BUSY, "{gap:?}");
    a.stop().await;
    b.stop().await;
    setup.record.judge();
}

/// The fence stops it before its lease is gone, and so before anybody else can begin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_off_stops_before_others_begin() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let proxy = Proxy::start(etcd.address()).await;
    let a = setup.node("a").await;
    let b = setup.through(proxy.url()).node("b").await;
    setup.balanced(&["a", "b"]).await;
    let cut = Instant::now();
    proxy.set(Mode::BlackHole);
    setup.balanced(&["a"]).await;
    let gap = setup.record.longest_gap(cut);
    assert!(gap <= TTL + SECOND + BUSY, "{gap:?}");
    assert!(!b.handle.is_ready());
    let outages = b.handle.outages();
    let why = outages.last().map(|outage| outage.reason.to_string());
    let fence = "the lease would run out";
    assert!(why.is_some_and(|why| why.contains(fence)), "{outages:?}");
    proxy.set(Mode::Pass);
    setup.balanced(&["a", "b"]).await;
    a.stop().await;
    b.stop().await;
    assert!(keys(&etcd, PREFIX).await.is_empty());
    setup.record.judge();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_revoked_from_outside_is_noticed_before_others_begin() {
    let (etcd, setup, a, b) = two_nodes().await;
    let revoked = Instant::now();
    let mut client = etcd.client().await;
    let read = client.get(format!("{PREFIX}members/b"), None).await;
    let lease = read.expect("etcd answers").kvs()[0].lease();
    client.lease_revoke(lease).await.expect("it was there");
    within(TTL, "noticed", b.handle.wait_for(|status| !status.ready))
        .await
        .expect("it runs on");
    assert!(b.why().contains("is lost"), "{}", b.why());
    // Its tasks may not have had their turn yet.
    within(TTL, "b has stopped", async {
        while setup.record.running().contains_key("b") {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    setup.balanced(&["a", "b"]).await;
    let first = setup.record.runs().into_iter();
    let mut first = first.filter(|run| run.begun > revoked).map(|run| run.begun);
    assert!(first.next().is_some_and(|begun| begun >= revoked + SECOND));
    a.stop().await;
    b.stop().await;
    setup.record.judge();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stop_when_etcd_hangs_and_come_back_with_it() {
    let (etcd, setup, a, b) = two_nodes().await;
    etcd.hang();
    for node in [&a, &b] {
        within(TTL, "stopped", node.handle.wait_for(|status| !status.ready))
            .await
            .expect("it runs on");
    }
    sleep(TTL).await;
    assert!(setup.record.running().is_empty());
    etcd.resume();
    setup.balanced(&["a", "b"]).await;
    a.stop().await;
    b.stop().await;
    assert!(keys(&etcd, PREFIX).await.is_empty());
    setup.record.judge();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_under_the_same_id_is_refused_in_words() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let first = setup.node("a").await;
    setup.balanced(&["a"]).await;
    let second = setup.start("a");
    let started = Instant::now();
    within(2 * TTL, "refused", async {
        while !second.why().contains("another node is alive under the id") {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(started.elapsed() < TTL, "{:?}", started.elapsed());
    // The first one has noticed nothing.
    assert!(first.handle.is_ready() && first.handle.outages().len() <= 1);
    setup.balanced(&["a"]).await;
    assert_eq!(setup.record.runs().len(), setup.shards as usize);
    second.stop().await;
    first.stop().await;
    setup.record.judge();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_is_left_alone_and_a_claim_that_is_removed_ends_the_work() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let mut client = etcd.client().await;
    let junk: &[(&[u8], &[u8])] = &[
        (b"nodes/junk", b"x"),
        (b"nodes/members/", b"x"),
        (b"nodes/members/a/b", b"x"),
        (b"nodes/members/stranger", b"x"),
        (b"nodes/work/checks/on/stranger/12", b"x"),
        (b"nodes/work/checks/shard/999", b"x"),
        (b"nodes/work/checks/shard/\xff\xfe", b"\xff"),
        (b"nodes/work/checks/\xff", b""),
        (b"nodes/work/other/shard/1", b"x"),
    ];
    for &(key, value) in junk {
        client.put(key, value, None).await.expect("etcd answers");
    }
    let a = setup.node("a").await;
    setup.balanced(&["a"]).await;
    assert_eq!(a.membership.members().borrow().len(), 1);

    let removed = Instant::now();
    let key = format!("{PREFIX}work/{WORK}/shard/3");
    client.delete(key, None).await.expect("etcd answers");
    within(TTL, "it stopped", async {
        while setup.record.running().values().sum::<usize>() == setup.shards as usize {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    setup.balanced(&["a"]).await;
    let again = setup.record.runs().pop().expect("a run");
    assert_eq!(again.shard, 3);
    assert!(
        again.begun >= removed + SECOND,
        "as after a lease that was lost"
    );
    // Nobody counts on it any more: it says so again.
    let on = format!("{PREFIX}work/{WORK}/on/a/");
    let options = DeleteOptions::new().with_prefix();
    client
        .delete(&*on, Some(options))
        .await
        .expect("etcd answers");
    within(TTL, "it takes part again", async {
        while keys(&etcd, &on).await.is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    setup.balanced(&["a"]).await;
    assert!(a.handle.is_ready());
    a.stop().await;
    setup.record.judge();

    let options = GetOptions::new().with_prefix();
    let left = client
        .get(PREFIX, Some(options))
        .await
        .expect("etcd answers");
    let left: Vec<(&[u8], &[u8])> = left.kvs().iter().map(|kv| (kv.key(), kv.value())).collect();
    let mut junk = junk.to_owned();
    junk.sort_unstable();
    assert_eq!(left, junk);
}
