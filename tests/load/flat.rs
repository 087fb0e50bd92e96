//! A thousand times lost and recovered: what the probe holds stays what it was.

#[path = "../it/support/etcd.rs"]
mod etcd;
#[path = "metrics.rs"]
mod metrics;
#[path = "../it/support/pki.rs"]
mod pki;
#[path = "../it/support/proxy.rs"]
mod proxy;

use std::sync::Arc;
use std::time::Duration;

use etcd::Etcd;
use metrics::watchers;
use overwatch::etcd::{EtcdConfig, EtcdProbe};
use overwatch::{Observation, Probe};
use proxy::{Mode, Proxy};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// So many at once: a connection that lives shortly is followed by a pause, and a thousand of them one
/// after another would take a quarter of an hour.
const PROBES: usize = 40;
const ROUNDS: usize = 25;
/// What is allocated once is allocated by then.
const WARM_UP: usize = 5;
/// What the process may hold more in the end than after the warm-up: the allocator's own play. A leak
/// of two kilobytes a cycle would show.
const PLAY: usize = 1536 * 1024;

#[tokio::test]
async fn memory_tasks_and_watchers_stay_flat_over_a_thousand_cycles() {
    let etcd = Etcd::start().await;
    let proxy = Proxy::start(etcd.address()).await;
    let probe = |_| {
        let config = EtcdConfig::new([proxy.url()]).expect("a valid endpoint");
        Arc::new(EtcdProbe::new(config.fast()).expect("valid numbers"))
    };
    let probes: Vec<Arc<EtcdProbe>> = (0..PROBES).map(probe).collect();
    let (mut tasks, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        until(&probes, true).await;
        tasks.push(Handle::current().metrics().num_alive_tasks());
        memory.push(resident());
        proxy.set(Mode::Cut);
        until(&probes, false).await;
        proxy.set(Mode::Pass);
    }
    println!("tasks: {tasks:?}");
    println!("resident bytes: {memory:?}");
    let most = |values: &[usize]| values.iter().copied().max().unwrap_or_default();
    let (early, late) = tasks.split_at(WARM_UP);
    // A connection of each probe may be on its way out when it is counted.
    assert!(most(late) <= most(early) + PROBES, "tasks grow");
    let (warm, end) = (most(&memory[..WARM_UP]), memory[ROUNDS - 1]);
    assert!(
        end <= warm + PLAY,
        "memory grows from {warm} to {end} bytes"
    );

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

/// The memory of this process that is in use, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("a Linux");
    let pages = text.split(' ').nth(1).expect("a second number");
    pages.parse::<usize>().expect("a number") * rustix::param::page_size()
}
