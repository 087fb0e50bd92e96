//! A thousand times lost and recovered: what the probe holds stays what it was.

#![expect(
    unsafe_code,
    reason = "a global allocator that counts is unsafe to implement"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe};
use overwatch::{Observation, Probe};
use overwatch_test_support::etcd::Etcd;
use overwatch_test_support::metrics::watchers;
use overwatch_test_support::proxy::{Mode, Proxy};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// So many at once: a connection that lives shortly is followed by a pause, and a thousand of them one
/// after another would take a quarter of an hour.
const PROBES: usize = 40;
const ROUNDS: usize = 25;
/// So many rounds in the beginning are held against as many in the end.
const FEW: usize = 5;
/// What may be allocated more in the end: buffers are as large as what last went through them. A leak of
/// 400 bytes a cycle would show.
const PLAY: usize = 320 * 1024;

#[tokio::test]
async fn memory_tasks_and_watchers_stay_flat_over_a_thousand_cycles() {
    let etcd = Etcd::start().await;
    let proxy = Proxy::start(etcd.address()).await;
    let probe = |_| {
        let config = EtcdConfig::new([proxy.url()]).expect("a valid endpoint");
        Arc::new(EtcdProbe::new(config.fast()).expect("valid numbers"))
    };
    let probes: Vec<Arc<EtcdProbe>> = (0..PROBES).map(probe).collect();
    let mut memory = Vec::new();
    until(&probes, true).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    for round in 0..ROUNDS {
        // By turns connections end, and hang with questions under way.
        proxy.set(if round % 2 == 0 {
            Mode::Cut
        } else {
            Mode::BlackHole
        });
        until(&probes, false).await;
        proxy.set(Mode::Pass);
        // What was given up goes on its way out while the probes are at work.
        let gone = Instant::now() + Duration::from_secs(20);
        loop {
            until(&probes, true).await;
            let now = Handle::current().metrics().num_alive_tasks();
            if now <= tasks {
                break;
            }
            assert!(
                Instant::now() < gone,
                "{now} tasks, {tasks} in the beginning"
            );
        }
        memory.push(LIVE.load(Ordering::Relaxed));
    }
    println!("{tasks} tasks; bytes allocated: {memory:?}");
    // The least of several: now and then one more buffer is in use.
    let least = |rounds: &[usize]| rounds.iter().copied().min().unwrap_or_default();
    let (warm, end) = (least(&memory[..FEW]), least(&memory[ROUNDS - FEW..]));
    assert!(
        end <= warm + PLAY,
        "memory grows from {warm} to {end} bytes"
    );

    until(&probes, true).await;
    let watching = watchers(etcd.address()).await as usize;
    assert!(watching >= PROBES, "{watching} watchers of {PROBES} probes");
    drop(probes);
    let gone = Instant::now() + Duration::from_secs(20);
    while watchers(etcd.address()).await > 0 {
        assert!(Instant::now() < gone, "a watcher is left on the server");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Observes until every probe sees it so.
async fn until(probes: &[Arc<EtcdProbe>], alive: bool) {
    let each = probes.iter().map(Arc::clone).map(|probe| async move {
        while matches!(probe.observe().await, Observation::Alive { .. }) != alive {}
    });
    let seen = each.collect::<JoinSet<()>>().join_all();
    timeout(Duration::from_secs(20), seen)
        .await
        .unwrap_or_else(|_| panic!("alive is not {alive} in time"));
}

/// Bytes that are allocated now.
static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The system's allocator, with an account of what is allocated.
struct Counting;

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }
}
