//! Nodes that were given several lists of shards.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::etcd::{Shard, Shards};
use overwatch::{Overwatch, polled};
use overwatch_test_support::etcd::Etcd;
use tokio::time::sleep;

use super::BUSY;
use super::nodes::{PREFIX, Setup, TTL, WORK, keys, policy, within};

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
        let service = Overwatch::builder(polled(every, 10 * every, || async { Ok(()) }))
            .policy(policy())
            .lease_holder("membership", membership)
            .component("jobs", shards)
            .build()
            .expect("a valid service");
        let handle = service.handle();
        tokio::spawn(service.run());
        handle
    }

    /// At which node each job runs, sorted.
    fn nodes(&self) -> Vec<String> {
        let running = self.0.lock().expect("no panic");
        let mut nodes: Vec<String> = running.iter().map(|(_, id)| id.clone()).collect();
        nodes.sort();
        nodes
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

/// Nobody else could know what the others have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_who_wrote_down_a_list_goes_another_one_does() {
    let etcd = Etcd::start().await;
    let (setup, jobs) = (Setup::new(&etcd), Jobs(Arc::default()));
    let lists = format!("{PREFIX}work/{WORK}/list/");
    let a = jobs.start(&setup, "a", ["dns", "http"]);
    within(TTL, "it is written", async {
        while keys(&etcd, &lists).await.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let b = jobs.start(&setup, "b", ["dns", "http"]);
    within(TTL, "both have one", async {
        while jobs.nodes() != ["a", "b"] {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let written = keys(&etcd, &lists).await;
    assert_eq!(written.len(), 1);
    a.shutdown();
    within(TTL, "b has both", async {
        while jobs.nodes() != ["b", "b"] {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    within(TTL, "it is written again", async {
        while keys(&etcd, &lists).await != written {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    b.shutdown();
}
