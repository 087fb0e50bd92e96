//! Which thread does what: what users write runs on the service's, and etcd's clients do not.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe, Shard};
use overwatch::machine::Cause;
use overwatch::{Failure, Observation, Overwatch, Policy, Probe, isolated};
use overwatch_test_support::etcd::Etcd;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};
use tracing::field::Field;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};

use super::nodes::{PREFIX, Setup, TTL, within};
use super::{BUSY, SECOND};

/// On which threads each kind of code was seen.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<&'static str, BTreeSet<String>>>>);

impl Seen {
    fn note(&self, what: &'static str) {
        let name = thread::current().name().unwrap_or_default().to_owned();
        let mut seen = self.0.lock().expect("no panic");
        seen.entry(what).or_default().insert(name);
    }
}

/// What a user's function holds, and awaits.
struct Noted(Seen);

impl Future for Noted {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.0.note("polled");
        Poll::Pending
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.note("dropped");
    }
}

#[test]
fn what_users_write_never_runs_on_the_threads_of_the_clients() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("service")
        .enable_all()
        .build()
        .expect("a runtime");
    let seen = Seen::default();
    let noted = seen.clone();
    runtime.block_on(async move {
        let etcd = Etcd::start().await;
        let setup = Setup::new(&etcd);
        let seen = noted.clone();
        let node = setup.start_with("a", move |shard: Shard| {
            seen.note("called");
            let held = Noted(seen.clone());
            async move {
                match shard.index() % 4 {
                    // Each way to end.
                    0 => shard.until_stopping(held).await.map_or(Ok(()), Ok),
                    1 => {
                        shard.stopping().await;
                        drop(held);
                        Ok(())
                    }
                    2 => {
                        // Is dropped when the lease is lost.
                        held.await;
                        Ok(())
                    }
                    _ => {
                        seen.note("fails");
                        drop(held);
                        Err(Failure::new("not today"))
                    }
                }
            }
        });
        within(2 * TTL, "ready", node.handle.wait_until_ready())
            .await
            .expect("it runs on");
        within(TTL, "each kind has begun", async {
            while noted.0.lock().expect("no panic").len() < 4 {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let mut client = etcd.client().await;
        let read = client.get(format!("{PREFIX}members/a"), None).await;
        let lease = read.expect("etcd answers").kvs()[0].lease();
        client.lease_revoke(lease).await.expect("it was there");
        within(
            2 * TTL,
            "noticed",
            node.handle.wait_for(|status| !status.ready),
        )
        .await
        .expect("it runs on");
        assert!(node.why().contains("is lost"), "{}", node.why());
        within(4 * TTL, "back", node.handle.wait_until_ready())
            .await
            .expect("it runs on");
        node.kill();
        // All that is left of it is dropped with the runtime, at the latest.
    });
    runtime.shutdown_timeout(20 * SECOND);
    let seen = seen.0.lock().expect("no panic").clone();
    println!("{seen:?}");
    let kinds: Vec<&str> = seen.keys().copied().collect();
    assert_eq!(kinds, ["called", "dropped", "fails", "polled"]);
    for (what, threads) in &seen {
        let mut others = threads.iter().filter(|name| name.starts_with("overwatch"));
        assert_eq!(others.next(), None, "{what}: {threads:?}");
    }
}

/// Where a run is supervised can be chosen, and its membership goes there with it.
#[test]
fn a_membership_is_apart_or_in_place_as_its_run_is() {
    let two = || {
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
    };
    let one = || Builder::new_current_thread().enable_all().build();
    for (apart, runtime) in [(false, two()), (true, one()), (false, one())] {
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            let etcd = Etcd::start().await;
            let setup = Setup::new(&etcd).control_thread(apart);
            let (a, b) = (setup.node("a").await, setup.node("b").await);
            setup.balanced(&["a", "b"]).await;
            // Longer than a lease lives without renewals.
            sleep(TTL + SECOND).await;
            for node in [a, b] {
                assert!(node.handle.is_ready(), "{apart}: {}", node.why());
                assert_eq!(node.handle.outages().len(), 1, "{apart}: {}", node.why());
                node.stop().await;
            }
            setup.record.judge();
        });
    }
}

/// A thread that waits until it is let go, or for as long as a test may take.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn block(&self) {
        let (open, opened) = &*self.0;
        let open = open.lock().expect("no panic");
        let limit = Duration::from_secs(100);
        drop(opened.wait_timeout_while(open, limit, |open| !*open));
    }

    fn open(&self) {
        *self.0.0.lock().expect("no panic") = true;
        self.0.1.notify_all();
    }
}

/// Alive for a while, and then it blocks its thread.
struct BlocksAtLast {
    gate: Gate,
    calls: Mutex<u32>,
    blocked: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl Probe for BlocksAtLast {
    async fn observe(&self) -> Observation {
        sleep(Duration::from_millis(100)).await;
        let calls = {
            let mut calls = self.calls.lock().expect("no panic");
            *calls += 1;
            *calls
        };
        if calls == 5 {
            self.blocked.store(true, Ordering::Release);
            self.gate.block();
        }
        Observation::alive("not blocked")
    }
}

/// On one worker: whoever blocks that holds up everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_isolated_probe_that_blocks_is_silent_and_holds_up_nothing_else() {
    const SILENCE: Duration = Duration::from_secs(1);
    let etcd = Etcd::start().await;
    // Another service of the process: its lease, and its own probe.
    let setup = Setup::new(&etcd);
    let other = setup.observed_by("a", EtcdProbe::new(etcd_config(&etcd)).expect("valid"));
    within(2 * TTL, "ready", other.handle.wait_until_ready())
        .await
        .expect("it runs on");

    let (gate, blocked) = (Gate::default(), Arc::new(AtomicBool::new(false)));
    let probe = isolated(BlocksAtLast {
        gate: gate.clone(),
        calls: Mutex::default(),
        blocked: Arc::clone(&blocked),
    });
    let policy = Policy::builder()
        .silence_limit(SILENCE)
        .window(2 * SILENCE)
        .build()
        .expect("a valid policy");
    let service = Overwatch::builder(probe)
        .policy(policy)
        .task("idle", |ctx| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
        .build()
        .expect("a valid service");
    let handle = service.handle();
    let mut trips = handle.transitions();
    let running = tokio::spawn(service.run());
    within(20 * SECOND, "ready", handle.wait_until_ready())
        .await
        .expect("it runs on");
    within(20 * SECOND, "it blocks", async {
        while !blocked.load(Ordering::Acquire) {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let since = Instant::now();
    let tripped = within(20 * SECOND, "it trips", async {
        loop {
            let moved = trips.next().await.expect("not so many");
            let moved = moved.expect("it runs on");
            if moved.cause == Cause::Silence {
                return moved.at;
            }
        }
    })
    .await;
    let took = tripped.saturating_duration_since(since);
    println!("silent after {took:?}");
    assert!(took <= SILENCE + BUSY, "{took:?}");

    // Longer than its lease lives without renewals.
    sleep(TTL + SECOND).await;
    assert!(other.handle.is_ready() && other.handle.outages().len() == 1);
    handle.shutdown();
    within(20 * SECOND, "stopped", running)
        .await
        .expect("no panic")
        .expect("an orderly end");
    gate.open();
    other.stop().await;
    setup.record.judge();
}

/// The lease is in the hands of threads that no task of the service can block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_revoked_while_all_workers_are_blocked_is_noticed() {
    let etcd = Etcd::start().await;
    let setup = Setup::new(&etcd);
    for workers in [2, 4, 8] {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build()
            .expect("a runtime");
        let (gate, blocked) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
        let held = Arc::new(AtomicBool::new(true));
        let node = {
            let (gate, blocked, held) = (gate.clone(), Arc::clone(&blocked), Arc::clone(&held));
            let _service = runtime.enter();
            setup.start_with("a", move |shard: Shard| async move {
                while held.load(Ordering::Acquire) && shard.sleep(SECOND / 2).await {
                    blocked.fetch_add(1, Ordering::AcqRel);
                    gate.block();
                    blocked.fetch_sub(1, Ordering::AcqRel);
                }
                shard.stopping().await;
                Ok(())
            })
        };
        let read = async {
            let mut client = etcd.client().await;
            let key = format!("{PREFIX}members/a");
            loop {
                let read = client.get(&*key, None).await.expect("etcd answers");
                if let Some(member) = read.kvs().first() {
                    return (client, member.lease());
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let (mut client, lease) = within(2 * TTL, "it is a member", read).await;
        within(2 * TTL, "all are blocked", async {
            while blocked.load(Ordering::Acquire) < workers {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(node.handle.is_ready());
        client.lease_revoke(lease).await.expect("it was there");
        let noticed = within(BUSY, "not ready", async {
            while node.handle.is_ready() {
                sleep(Duration::from_millis(1)).await;
            }
        });
        noticed.await;
        assert_eq!(blocked.load(Ordering::Acquire), workers, "all still are");
        held.store(false, Ordering::Release);
        gate.open();
        // The boot is the first.
        within(BUSY, "told", async {
            while node.handle.outages().len() < 2 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let reason = Arc::clone(&node.handle.outages()[1].reason);
        assert!(reason.contains("is lost"), "{reason}");
        node.kill();
        runtime.shutdown_background();
    }
}

fn etcd_config(etcd: &Etcd) -> EtcdConfig {
    let config = EtcdConfig::new([etcd.url()]).expect("a valid endpoint");
    // There is one member, so an election is short. A longer one is not for leases as short as these.
    config.with_election_timeout(Duration::from_millis(500))
}

/// Writes nothing, notes the threads, and blocks for good where a key is warned of.
#[derive(Clone, Default)]
struct Stuck {
    seen: Seen,
    gate: Gate,
    stuck: Arc<AtomicBool>,
}

impl<S: Subscriber> Layer<S> for Stuck {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        self.seen.note("logged");
        let mut text = String::new();
        event.record(&mut |_: &Field, value: &dyn std::fmt::Debug| text += &format!("{value:?}"));
        if text.contains("a key that no node wrote") {
            self.stuck.store(true, Ordering::Release);
            self.gate.block();
        }
    }
}

/// A log that blocks is the user's code, as any other.
#[test]
fn a_log_that_is_stuck_holds_up_neither_renewals_nor_the_probe() {
    let log = Stuck::default();
    let subscriber = tracing::Dispatch::new(tracing_subscriber::registry().with(log.clone()));
    let own = subscriber.clone();
    let runtime = Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        // As a subscriber for all threads is; but other tests may have one too.
        .on_thread_start(move || {
            std::mem::forget(tracing::dispatcher::set_default(&own));
        })
        .build()
        .expect("a runtime");
    let _here = tracing::dispatcher::set_default(&subscriber);
    let stuck = log.clone();
    runtime.block_on(async move {
        let etcd = Etcd::start().await;
        let setup = Setup::new(&etcd);
        let probe = EtcdProbe::new(etcd_config(&etcd)).expect("valid");
        let node = setup.observed_by("a", probe);
        within(2 * TTL, "ready", node.handle.wait_until_ready())
            .await
            .expect("it runs on");
        let key = format!("{PREFIX}members/stranger");
        let mut client = etcd.client().await;
        client.put(key, "x", None).await.expect("etcd answers");
        within(TTL, "it is stuck", async {
            while !stuck.stuck.load(Ordering::Acquire) {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        sleep(TTL + SECOND).await;
        assert!(node.handle.is_ready() && node.handle.outages().len() == 1);
        stuck.gate.open();
        node.stop().await;
        setup.record.judge();
    });
    let seen = log.seen.0.lock().expect("no panic").clone();
    println!("{seen:?}");
    let of_clients = ["overwatch-etcd", "overwatch-keys"].map(String::from);
    let strange = of_clients
        .iter()
        .find(|&name| seen["logged"].contains(name));
    assert_eq!(strange, None, "{seen:?}");
}
