//! Etcds that are odd: endpoints of two clusters, a server that grants no short lease; and what is odd with the
//! nodes: several lists of shards, a machine that was suspended.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe, Shard, Shards};
use overwatch::{Overwatch, polled};
use tokio::time::sleep;

use super::nodes::{Node, PREFIX, Setup, TTL, WORK, keys, within};
use super::{BUSY, SECOND};
use crate::support::etcd::{Etcd, Version};
use crate::support::proxy::{Mode, Proxy};

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
    EtcdConfig::new(urls).expect("valid endpoints")
}

/// How many leases there are.
async fn leases(etcd: &Etcd) -> usize {
    let leases = etcd.client().await.leases().await.expect("etcd answers");
    leases.leases().len()
}

/// One that was given back when its start was cut short is, at the latest, over with its time.
async fn without_leases(etcd: &Etcd) {
    within(3 * TTL, "no lease is left", async {
        while leases(etcd).await > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

async fn until_it_says(node: &Node, what: &[String]) {
    within(2 * TTL, &format!("{what:?} is said"), async {
        while !what.iter().all(|what| node.why().contains(what)) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
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
    let expecting = |id| config(&[etcd.url()]).expect_cluster(id);
    let refused = setup.by(expecting(id + 1)).start("a");
    let why = format!("is of cluster {id:x}; expected is cluster {:x}", id + 1);
    until_it_says(&refused, &[why]).await;
    refused.stop().await;
    let node = setup.by(expecting(id)).node("a").await;
    node.stop().await;
}

/// etcd lets no lease be shorter than one and a half of its election timeouts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_longer_than_was_asked_for_is_refused_and_given_back() {
    let slow = ["--heartbeat-interval=400", "--election-timeout=4000"];
    for version in [Version::V34, Version::V35] {
        let etcd = Etcd::start_version(version, 1, &slow).await.remove(0);
        let node = Setup::new(&etcd).start("a");
        let why = "etcd grants no lease of 5 s, but one of 6 s";
        until_it_says(&node, &[why.to_owned()]).await;
        node.stop().await;
        without_leases(&etcd).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_lists_no_shard_of_any_is_without_an_owner() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let (small, large) = (setup.with_shards(8), setup.with_shards(24));
    let (a, b) = (small.node("a").await, small.node("b").await);
    small.balanced(&["a", "b"]).await;
    let c = large.node("c").await;
    let shards = || {
        let runs = setup.record.runs();
        let running = runs.iter().filter(|run| run.ended.is_none());
        running.map(|run| run.shard).collect::<BTreeSet<u32>>()
    };
    within(2 * TTL, "all 24 run", async {
        while shards().len() < 24 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    sleep(BUSY).await;
    assert_eq!(shards(), (0..24).collect());
    for node in [&a, &b, &c] {
        assert!(node.handle.is_ready());
        let why = node.why();
        assert!(why.contains("runs ") && !why.contains("no owner"), "{why}");
    }
    // With the large list goes what only it has.
    c.stop().await;
    small.balanced(&["a", "b"]).await;
    a.stop().await;
    b.stop().await;
    setup.record.judge();
    assert!(keys(&etcd, PREFIX).await.is_empty());
}

/// A service of jobs with names, and what of them runs.
struct Jobs(Arc<Mutex<BTreeSet<(String, String)>>>);

impl Jobs {
    fn start(&self, setup: &Setup, id: &str, names: [&str; 2]) -> overwatch::Handle {
        let membership = setup.membership(id).build().expect("valid");
        let (running, id) = (Arc::clone(&self.0), id.to_owned());
        let job = move |shard: Shard| async move {
            let job = (shard.name().to_owned(), id);
            running.lock().expect("no panic").insert(job.clone());
            shard.stopping().await;
            running.lock().expect("no panic").remove(&job);
            Ok(())
        };
        let shards = Shards::named(&membership, WORK, names, job).expect("valid");
        let every = Duration::from_millis(100);
        let service = Overwatch::watching(polled(every, 10 * every, || async { Ok(()) }))
            .component("membership", membership)
            .then()
            .component("jobs", shards)
            .build()
            .expect("a valid service");
        let handle = service.handle();
        tokio::spawn(service.run());
        handle
    }

    fn running(&self) -> Vec<String> {
        let running = self.0.lock().expect("no panic");
        running.iter().map(|(job, _)| job.clone()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_several_lists_name_run_at_one_of_their_nodes() {
    let etcd = Etcd::start().await;
    let (setup, jobs) = (Setup::new(&etcd), Jobs(Arc::default()));
    let a = jobs.start(&setup, "a", ["dns", "http"]);
    let b = jobs.start(&setup, "b", ["http", "tcp"]);
    let jobs = &jobs;
    let until = |names: &'static [&str]| {
        within(2 * TTL, "all jobs run once", async move {
            while jobs.running() != names {
                sleep(Duration::from_millis(20)).await;
            }
        })
    };
    until(&["dns", "http", "tcp"]).await;
    let lists = keys(&etcd, &format!("{PREFIX}work/{WORK}/list/")).await;
    assert_eq!(lists.len(), 2, "{lists:?}");
    a.shutdown();
    until(&["http", "tcp"]).await;
    b.shutdown();
    until(&[]).await;
}

/// What the system tells of it is made up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_was_suspended_beyond_its_lease_ends_its_work_and_joins_again() {
    let etcd = Etcd::start().await;
    let suspended: Arc<Mutex<Duration>> = Arc::default();
    let told = Arc::clone(&suspended);
    let by = config(&[etcd.url()]).suspended_by(Arc::new(move || *told.lock().expect("no panic")));
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
