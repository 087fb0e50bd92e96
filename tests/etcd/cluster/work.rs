//! What becomes of the user's functions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use etcd_client::DeleteOptions;
use overwatch::etcd::{Shard, Shards};
use overwatch::{Failure, Overwatch, polled};
use overwatch_test_support::etcd::Etcd;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::BUSY;
use super::nodes::{PREFIX, Setup, TTL, WORK, keys, policy, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_in_one_shard_backs_off_that_shard_alone() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let record = setup.record.clone();
    let tries = Arc::new(AtomicU32::new(0));
    let tried = Arc::clone(&tries);
    let started = Instant::now();
    let node = setup.start_with("a", move |shard: Shard| async move {
        let _working = record.begin("a", &shard);
        if shard.index() == 3 {
            match tried.fetch_add(1, Ordering::Relaxed) {
                0 => return Err(Failure::new("not today")),
                1 => panic!("nor now"),
                _ => {}
            }
        }
        shard.stopping().await;
        Ok(())
    });
    within(2 * TTL, "tried again", async {
        while tries.load(Ordering::Relaxed) < 3 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // One second after the first failure and two after the next.
    assert!(started.elapsed() >= Duration::from_secs(3));
    setup.balanced(&["a"]).await;
    let runs = setup.record.runs();
    assert_eq!(runs.len(), setup.shards as usize + 2, "the others run on");
    let of_it = runs.iter().filter(|run| run.shard == 3);
    let tokens: Vec<i64> = of_it.map(|run| run.token).collect();
    assert_eq!(tokens, [tokens[0]; 3], "the claim was kept");
    assert!(node.handle.is_ready() && node.handle.outages().len() <= 1);
    node.stop().await;
    setup.record.judge();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fatal_failure_ends_the_run() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let node = setup.start_with("a", |shard: Shard| async move {
        if shard.index() == 3 {
            return Err(Failure::new("nothing can mend this").fatal());
        }
        shard.stopping().await;
        Ok(())
    });
    let ended = within(2 * TTL, "ended", node.ended()).await;
    let error = ended.expect_err("fatal").to_string();
    assert!(error.contains("nothing can mend this"), "{error}");
}

/// Nobody takes a shard over before the function has returned, however long that takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_moves_when_the_function_has_returned() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let (record, may_stop) = (setup.record.clone(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&may_stop);
    let a = setup.start_with("a", move |shard: Shard| async move {
        let _working = record.begin("a", &shard);
        shard.stopping().await;
        while !told.load(Ordering::Relaxed) {
            shard.check()?;
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    });
    setup.balanced(&["a"]).await;
    let b = setup.node("b").await;
    sleep(TTL).await;
    assert_eq!(
        setup.record.running().get("b"),
        None,
        "a still works on all"
    );
    may_stop.store(true, Ordering::Relaxed);
    setup.balanced(&["a", "b"]).await;
    assert!(a.handle.is_ready() && b.handle.is_ready());
    a.stop().await;
    b.stop().await;
    setup.record.judge();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_jobs_are_numbered_by_their_names() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let membership = setup.membership("a").build().expect("valid");
    let (tell, mut told) = mpsc::unbounded_channel();
    let job = move |shard: Shard| async move {
        let named = (shard.index(), shard.name().to_owned());
        tell.send(named).expect("somebody listens");
        shard.stopping().await;
        Ok(())
    };
    let shards = Shards::named(&membership, WORK, ["http", "dns", "tcp"], job);
    let every = Duration::from_millis(100);
    let service = Overwatch::builder(polled(every, 10 * every, || async { Ok(()) }))
        .policy(policy())
        .lease_holder("membership", membership.clone())
        .component("checks", shards.expect("valid"))
        .build()
        .expect("a valid service");
    let handle = service.handle();
    let running = tokio::spawn(service.run());
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.extend(within(TTL, "all run", told.recv()).await);
    }
    jobs.sort();
    let named = |index, name: &str| (index, name.to_owned());
    assert_eq!(jobs, [named(0, "dns"), named(1, "http"), named(2, "tcp")]);
    let prefix = format!("{PREFIX}work/{WORK}/shard/");
    let names = ["dns", "http", "tcp"].map(|name| format!("{prefix}{name}"));
    assert_eq!(keys(&etcd, &prefix).await, names);
    handle.shutdown();
    running.await.expect("no panic").expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_added_twice_is_refused_in_words() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let membership = setup.membership("a").build().expect("valid");
    let shards = || {
        let idle = |shard: Shard| async move {
            shard.stopping().await;
            Ok(())
        };
        Shards::new(&membership, WORK, 1, idle).expect("valid")
    };
    let every = Duration::from_millis(100);
    let service = || Overwatch::builder(polled(every, 10 * every, || async { Ok(()) }));
    let twice = service()
        .policy(policy())
        .lease_holder("membership", membership.clone())
        .component("checks", shards())
        .component("checks again", shards());
    let error = twice.build().expect_err("refused").to_string();
    assert!(
        error.contains("\"checks again\" does the work \"checks\""),
        "{error}"
    );

    let twice = service()
        .policy(policy())
        .lease_holder("membership", membership.clone())
        .component("membership again", membership.clone());
    let error = twice.build().expect_err("refused").to_string();
    assert!(error.contains("\"membership again\""), "{error}");
}

/// Tells that a function has ended, or was dropped.
struct Ended(mpsc::UnboundedSender<&'static str>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.send("ended");
    }
}

/// Others take the shard over a second after that, whatever this node is waiting for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_removed_ends_the_work_also_while_it_drains() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let membership = setup.membership("a").build().expect("valid");
    let (tell, mut told) = mpsc::unbounded_channel();
    let job = move |shard: Shard| async move {
        let _ended = Ended(tell.clone());
        let _ = tell.send("begun");
        shard.stopping().await;
        let _ = tell.send("drains");
        while shard.check().is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    let shards = Shards::new(&membership, WORK, 2, job).expect("valid");
    let every = Duration::from_millis(100);
    let service = Overwatch::builder(polled(every, 10 * every, || async { Ok(()) }))
        .policy(policy())
        .lease_holder("membership", membership.clone())
        .component("checks", shards)
        .build()
        .expect("a valid service");
    let handle = service.handle();
    let running = tokio::spawn(service.run());
    let mut all = async |what: &str| {
        for _ in 0..2 {
            let said = within(2 * TTL, what, told.recv()).await;
            assert_eq!(said, Some(what));
        }
    };
    all("begun").await;
    handle.shutdown();
    all("drains").await;
    let mut client = etcd.client().await;
    let claims = format!("{PREFIX}work/{WORK}/shard/");
    let options = DeleteOptions::new().with_prefix();
    let removed = Instant::now();
    let deleted = client.delete(claims, Some(options)).await;
    assert_eq!(deleted.expect("etcd answers").deleted(), 2);
    all("ended").await;
    assert!(removed.elapsed() <= BUSY, "{:?}", removed.elapsed());
    within(TTL, "stopped", running)
        .await
        .expect("no panic")
        .expect("an orderly end");
}
