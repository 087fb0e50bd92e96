//! What the function of a shard gets: a condition for its own writes, tasks, and its span in the log.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{Client, PutOptions, Txn, TxnOp};
use overwatch::etcd::{Shard, Shards};
use overwatch::{Failure, Overwatch, no_dependency};
use overwatch_test_support::etcd::Etcd;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::nodes::{PREFIX, Setup, TTL, WORK, keys, policy, within};

/// Writes, unless the claim of this shard is gone.
async fn writes(etcd: &mut Client, shard: &Shard) -> bool {
    let put = TxnOp::put("elsewhere/result", shard.name(), None);
    let write = Txn::new().when([shard.guard()]).and_then([put]);
    etcd.txn(write).await.expect("etcd answers").succeeded()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_refused_once_the_claim_is_gone() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    let setup = Setup::new(&etcd).with_shards(3);
    let (tell, mut told) = mpsc::unbounded_channel();
    let node = setup.start_with("a", move |shard: Shard| async move {
        let _ = tell.send(shard.clone());
        shard.stopping().await;
        Ok(())
    });
    let mut shards = Vec::new();
    for _ in 0..3 {
        shards.extend(within(2 * TTL, "a runs all", told.recv()).await);
    }
    shards.sort_by_key(Shard::index);
    for shard in &shards {
        assert!(writes(&mut client, shard).await, "{shard:?}");
        assert_eq!(shard.epoch(), 1);
    }

    // Another one has claimed it, also if that was this node.
    let key = |index: u32| format!("{PREFIX}work/{WORK}/shard/{index}");
    let lease = client.get(key(0), None).await.expect("a claim").kvs()[0].lease();
    client.delete(key(0), None).await.expect("a delete");
    assert!(!writes(&mut client, &shards[0]).await, "the claim is gone");
    let options = Some(PutOptions::new().with_lease(lease));
    client
        .put(key(0), "b", options.clone())
        .await
        .expect("a put");
    assert!(!writes(&mut client, &shards[0]).await, "it is taken by b");
    client.put(key(0), "a", options).await.expect("a put");
    assert!(
        !writes(&mut client, &shards[0]).await,
        "it is a later claim"
    );
    // A claim that is there again is run again, and has a guard of its own.
    let again = async {
        loop {
            let shard = told.recv().await.expect("it runs on");
            if shard.index() == 0 && writes(&mut client, &shard).await {
                return;
            }
        }
    };
    within(3 * TTL, "the shard runs again", again).await;

    // The node has left in order.
    node.stop().await;
    assert!(!writes(&mut client, &shards[1]).await, "it was released");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_moves_when_its_tasks_have_ended() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let (record, of_a) = (setup.record.clone(), Duration::from_millis(1_500));
    let a = setup.start_with("a", move |shard: Shard| async move {
        let (task, working) = (shard.clone(), record.begin("a", &shard));
        shard.spawn(async move {
            let _working = working;
            task.stopping().await;
            sleep(of_a).await;
            // Until here no other node works on it, and the claim is still there.
            task.check()?;
            Ok(())
        });
        shard.stopping().await;
        Ok(())
    });
    setup.balanced(&["a"]).await;
    let b = setup.node("b").await;
    setup.balanced(&["a", "b"]).await;
    assert!(a.handle.is_ready() && b.handle.is_ready());
    b.stop().await;
    drop(a);
    setup.record.judge();
}

/// The spans around each event of the test, outermost first.
#[derive(Clone, Default)]
struct Scopes(Arc<Mutex<BTreeSet<String>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Scopes {
    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        if event.metadata().target() == "test" {
            let scope = ctx.event_scope(event).into_iter();
            let spans = scope.flat_map(|scope| scope.from_root());
            let spans: Vec<&str> = spans.map(|span| span.name()).collect();
            let name = event.metadata().fields().iter().next().expect("a field");
            let line = format!("{}: {}", name.name(), spans.join(" > "));
            self.0.lock().expect("no panic").insert(line);
        }
    }
}

/// In place, because the subscriber is that of this thread.
#[tokio::test]
async fn the_work_of_a_shard_is_in_one_span_of_its_component() {
    let scopes = Scopes::default();
    let log = tracing_subscriber::registry().with(scopes.clone());
    let _logging = tracing::subscriber::set_default(log);
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd).with_shards(1);
    let node = setup.start_with("a", |shard: Shard| async move {
        tracing::info!(target: "test", function = true);
        let told = shard.spawn(async move {
            tracing::info!(target: "test", task = true);
            Ok(())
        });
        told.await;
        let log = tracing::dispatcher::get_default(Clone::clone);
        let told = shard.spawn_blocking(move || {
            let _logging = tracing::dispatcher::set_default(&log);
            tracing::info!(target: "test", blocking = true);
            Ok(())
        });
        told.await;
        shard.stopping().await;
        Ok::<(), Failure>(())
    });
    let expected = [
        "blocking: component",
        "function: component",
        "task: component",
    ];
    let seen = async {
        while scopes.0.lock().expect("no panic").len() < expected.len() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    within(2 * TTL, "all are logged", seen).await;
    let seen = scopes.0.lock().expect("no panic").clone();
    assert_eq!(Vec::from_iter(seen), expected);
    node.stop().await;
}

/// A function or a task of a shard that cannot write what is left when the whole service stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_fails_in_the_last_stop_is_in_the_result() {
    let etcd = Etcd::start().await;
    for fails_in_task in [false, true] {
        let setup = Setup::new(&etcd).with_shards(2);
        let (tell, mut begun) = mpsc::unbounded_channel();
        let node = setup.start_with("a", move |shard: Shard| async move {
            let _ = tell.send(());
            let task = shard.clone();
            shard.spawn(async move {
                task.stopping().await;
                match fails_in_task && task.index() == 1 {
                    true => Err(Failure::new("the disk is full")),
                    false => Ok(()),
                }
            });
            shard.stopping().await;
            match !fails_in_task && shard.index() == 1 {
                true => Err(Failure::new("the disk is full")),
                false => Ok(()),
            }
        });
        for _ in 0..2 {
            within(2 * TTL, "both run", begun.recv()).await;
        }
        node.handle.shutdown();
        let report = within(TTL, "it ends", node.handle.wait_until_ended()).await;
        let unclean: Vec<_> = report
            .unclean_stops()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(unclean.len(), 1, "{unclean:?}");
        assert!(unclean[0].starts_with("\"checks\" "), "{unclean:?}");
        let expected = "shard 1: the disk is full";
        let error = node.ended().await.expect_err("unclean").to_string();
        assert!(error.contains(expected), "{error} {unclean:?}");
        // Nothing is left behind all the same.
        assert!(keys(&etcd, PREFIX).await.is_empty());
    }
}

/// The pool of a lower stage, in each epoch that of the epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_uses_the_pool_of_a_lower_stage_and_what_it_reports_trips() {
    struct Pool(u64);

    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    let membership = setup.membership("a").build().expect("valid");
    let (tell, mut told) = mpsc::unbounded_channel();
    let job = move |shard: Shard| async move {
        let pool = shard.resource::<Pool>()?;
        let _ = tell.send((shard.epoch(), pool.0));
        if shard.epoch() == 1 {
            shard.report(Failure::new("the replica is behind"));
        }
        shard.stopping().await;
        Ok(())
    };
    let shards = Shards::new(&membership, WORK, 1, job).expect("valid");
    let service = Overwatch::builder(no_dependency())
        .policy(policy())
        .task("pool", |ctx| async move {
            ctx.provide(Pool(ctx.epoch()));
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
        .lease_holder("membership", membership)
        .component("checks", shards)
        .build()
        .expect("a valid service");
    let handle = service.handle();
    let running = tokio::spawn(service.run());
    for epoch in [1, 2] {
        let seen = within(3 * TTL, "it runs", told.recv()).await;
        assert_eq!(seen, Some((epoch, epoch)));
    }
    let outages = handle.outages();
    let reason = outages
        .iter()
        .find(|it| it.number == 1)
        .map(|it| it.reason.to_string());
    let reason = reason.expect("an outage");
    assert!(
        reason.contains("checks") && reason.contains("the replica is behind"),
        "{reason}"
    );
    handle.shutdown();
    running.await.expect("no panic").expect("an orderly end");
}
