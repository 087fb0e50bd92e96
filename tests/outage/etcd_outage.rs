//! The service of the `outage` example through outages of a real etcd, in real time.

use std::collections::BTreeSet;
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe};
use overwatch::machine::Phase;
use overwatch::{Handle, Policy, RunError, Tuning, http};
use overwatch_examples::endpoint::{Endpoint, serve};
use overwatch_examples::service::service;
use overwatch_examples::timeline::{Did, Entry, Event, Timeline};
use overwatch_test_support::etcd::Etcd;
use overwatch_test_support::proxy::{Mode, Proxy};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Short, so that the suite is; everything else is as by default, but that the window does not grow
/// with the outages in a row.
const WINDOW: Duration = Duration::from_secs(3);
/// How soon after the fault readiness must be off.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
/// How soon after the window the service must be ready again.
const READY_WITHIN: Duration = Duration::from_secs(1);
/// How long the dependency stays away. Longer than the window, so that one which runs on silence, or
/// on the absence of errors, would be caught.
const AWAY: Duration = Duration::from_secs(5);
/// For waits that end by an event.
const BOUND: Duration = Duration::from_secs(60);

struct Node {
    handle: Handle,
    entries: UnboundedReceiver<Entry>,
    seen: Vec<Entry>,
    run: JoinHandle<Result<(), RunError>>,
    health: JoinHandle<std::io::Result<()>>,
    endpoint: Endpoint,
}

impl Node {
    async fn start(url: &str) -> Self {
        let (timeline, entries) = Timeline::begin();
        let (endpoint, listener) = Endpoint::bind().await.unwrap();
        let policy = Policy::builder()
            .window(WINDOW)
            .tuning(Tuning::default().with_max_hold_off(WINDOW))
            .build()
            .unwrap();
        let probe = EtcdProbe::new(EtcdConfig::new([url]).unwrap()).unwrap();
        let service = service(probe, policy, &timeline, endpoint).unwrap();
        let handle = service.handle();
        let health = serve(listener, http::router(handle.clone()));
        timeline.follow(&handle, endpoint);
        let run = tokio::spawn(service.run());
        Self {
            handle,
            entries,
            seen: Vec::new(),
            run,
            health,
            endpoint,
        }
    }

    async fn until(&self, what: &str, wanted: impl Fn(&overwatch::Status) -> bool) {
        let waited = timeout(BOUND, self.handle.wait_for(wanted)).await;
        match waited {
            Ok(reached) => drop(reached.unwrap_or_else(|_| panic!("{what}: the run is over"))),
            Err(_) => panic!("{what}: not within {BOUND:?}; {:?}", self.handle.status()),
        }
    }

    async fn until_ready(&self, epoch: u64) {
        self.until(&format!("ready in epoch {epoch}"), |status| {
            status.ready && status.epoch == epoch
        })
        .await;
    }

    async fn code(&self) -> u16 {
        self.endpoint.check().await.unwrap().code
    }

    /// One outage: from the fault to ready again.
    async fn outage(
        &mut self,
        fault: &str,
        epoch: u64,
        strike: impl AsyncFnOnce(),
        heal: impl AsyncFnOnce(),
    ) {
        let struck = Instant::now();
        strike().await;
        self.until("not ready", |status| !status.ready).await;
        let seen = struck.elapsed();
        assert!(seen <= SEEN_WITHIN, "{fault} was seen after {seen:?}");
        assert_eq!(self.code().await, 503);

        self.until("monitoring", |status| status.phase == Phase::Monitoring)
            .await;
        // Nothing restarts while the dependency is down, however long.
        sleep(AWAY.saturating_sub(struck.elapsed())).await;
        let status = self.handle.status();
        assert_eq!((status.phase, status.epoch), (Phase::Monitoring, epoch));
        self.the_stop_was_in_order(epoch);

        heal().await;
        let healed = Instant::now();
        self.until_ready(epoch + 1).await;
        let back = healed.elapsed();
        assert_eq!(self.code().await, 200);
        println!("{fault}: not ready after {seen:.1?}, ready again {back:.1?} after it was back");
        assert!(
            back <= WINDOW + READY_WITHIN,
            "{fault}: ready after {back:?}"
        );
        assert!(
            back + Duration::from_millis(100) >= WINDOW,
            "{fault}: ready after {back:?}, before the window had passed"
        );
    }

    /// Each component of the epoch stopped, and each saw 503 when it was told to.
    fn the_stop_was_in_order(&mut self, of: u64) {
        while let Ok(entry) = self.entries.try_recv() {
            self.seen.push(entry);
        }
        let mut gone = BTreeSet::new();
        let mut started_later = BTreeSet::new();
        for entry in &self.seen {
            let Event::Component { name, epoch, did } = &entry.event else {
                continue;
            };
            match did {
                Did::ToldToStop { code } if *epoch == of => {
                    assert_eq!(*code, Some(503), "{name} was stopped while ready");
                    if name != "scheduler" {
                        assert!(gone.contains("scheduler"), "{name} was stopped too soon");
                    }
                }
                Did::Gone(_) if *epoch == of => drop(gone.insert(name.clone())),
                Did::Starts(_) if *epoch > of => drop(started_later.insert(name.clone())),
                _ => {}
            }
        }
        let all = ["membership", "pool", "scheduler"].map(str::to_owned);
        assert_eq!(gone, BTreeSet::from(all));
        assert_eq!(started_later, BTreeSet::new());
    }

    async fn shut_down(self) {
        self.handle.shutdown();
        timeout(BOUND, self.run).await.unwrap().unwrap().unwrap();
        self.health.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_is_killed_three_times_in_a_row() {
    let mut etcd = Etcd::start().await;
    let mut node = Node::start(etcd.url()).await;
    node.until_ready(1).await;
    for epoch in 1..=3 {
        // Both closures use it, one after the other.
        let etcd = tokio::sync::Mutex::new(&mut etcd);
        node.outage(
            "killed",
            epoch,
            async || etcd.lock().await.kill(),
            async || etcd.lock().await.restart().await,
        )
        .await;
    }
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_hangs_three_times_in_a_row() {
    let etcd = Etcd::start().await;
    let mut node = Node::start(etcd.url()).await;
    node.until_ready(1).await;
    for epoch in 1..=3 {
        node.outage("hung", epoch, async || etcd.hang(), async || etcd.resume())
            .await;
    }
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_is_cut_off_three_times_in_a_row() {
    let etcd = Etcd::start().await;
    let proxy = Proxy::start(etcd.address()).await;
    let mut node = Node::start(&proxy.url()).await;
    node.until_ready(1).await;
    for (epoch, mode) in [(1, Mode::BlackHole), (2, Mode::Cut), (3, Mode::BlackHole)] {
        node.outage(
            &format!("{mode:?}"),
            epoch,
            async || proxy.set(mode),
            async || proxy.set(Mode::Pass),
        )
        .await;
    }
    node.shut_down().await;
}

/// What answers is not yet etcd.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_etcd_is_waited_for_and_never_ready() {
    let (endpoint, listener) = Endpoint::bind().await.unwrap();
    let _other = serve(listener, axum::Router::new());
    let node = Node::start(&format!("http://{endpoint}")).await;
    node.until("seen to fail", |status| {
        status
            .dependency
            .as_ref()
            .is_some_and(|sight| sight.alive == Some(false))
    })
    .await;
    assert_eq!(node.code().await, 503);
    let status = node.handle.status();
    assert_eq!((status.phase, status.epoch), (Phase::Monitoring, 0));
    assert!(status.awaited.unwrap().contains("it is failing"));
    node.shut_down().await;
}

/// Etcd that is not there at boot is waited for, and its coming is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d19_etcd_that_is_down_at_boot_is_waited_for() {
    let mut etcd = Etcd::start().await;
    etcd.kill();
    let node = Node::start(etcd.url()).await;
    node.until("seen to fail", |status| {
        status
            .dependency
            .as_ref()
            .is_some_and(|sight| sight.alive == Some(false))
    })
    .await;
    assert_eq!(node.code().await, 503);
    etcd.restart().await;
    node.until_ready(1).await;
    assert_eq!(node.code().await, 200);
    node.shut_down().await;
}
