//! What the function of a shard gets: a condition for its own writes, tasks, and its span in the log.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{Client, PutOptions, Txn, TxnOp};
use overwatch::Failure;
use overwatch::etcd::Shard;
use overwatch_test_support::etcd::Etcd;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::nodes::{PREFIX, Setup, TTL, WORK, within};

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
        shard.stopping().await;
        Ok::<(), Failure>(())
    });
    let expected = ["function: component", "task: component"];
    let seen = async {
        while scopes.0.lock().expect("no panic").len() < expected.len() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    within(2 * TTL, "both are logged", seen).await;
    let seen = scopes.0.lock().expect("no panic").clone();
    assert_eq!(Vec::from_iter(seen), expected);
    node.stop().await;
}
