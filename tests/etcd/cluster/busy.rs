//! A service that keeps all its workers busy: lease and probe must not wait for them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership, Shard, Shards};
use overwatch::machine::Input;
use overwatch::{Overwatch, Policy};
use overwatch_test_support::etcd::Etcd;
use tokio::time::sleep;

use super::SECOND;
use super::nodes::{PREFIX, WORK, within};

/// What the supervisor was told of the lease and of the dependency.
#[derive(Default)]
struct Told {
    /// When the lease runs out, after the begin of the run, by each renewal.
    expires: Vec<Duration>,
    alive: u32,
    failing: u32,
}

/// How late a thread is that does nothing but sleep, at worst: what the machine itself is to blame for.
struct Meter {
    worst: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Meter {
    fn start() -> Self {
        let (worst, over) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (told, until) = (Arc::clone(&worst), Arc::clone(&over));
        std::thread::spawn(move || {
            const NAP: Duration = Duration::from_millis(20);
            while !until.load(Ordering::Relaxed) {
                let slept = Instant::now();
                std::thread::sleep(NAP);
                let late = slept.elapsed().saturating_sub(NAP);
                told.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
            }
        });
        Self { worst, over }
    }

    fn worst(&self) -> Duration {
        Duration::from_micros(self.worst.load(Ordering::Relaxed))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// 200 shards with 5 ms of work between two awaits, on two workers: a task waits half a second for
/// its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_renewals_nor_observations_wait_for_busy_shards() {
    const TTL: Duration = Duration::from_secs(15);
    /// As membership has it: five in the life of a lease, which is a second shorter.
    const RENEW_EVERY: Duration = Duration::from_millis(2_800);
    const SHARDS: u32 = 200;
    let etcd = Etcd::start().await;
    let config = EtcdConfig::new([etcd.url()]).expect("a valid endpoint");
    let membership = Membership::builder(config.clone(), PREFIX, "a").ttl(TTL);
    let membership = membership.build().expect("a valid membership");
    let shards = Shards::new(&membership, WORK, SHARDS, |shard: Shard| async move {
        while !shard.is_stopping() {
            shard.check()?;
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(5) {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    });
    let policy = Policy::builder()
        .start_deadline(5 * SECOND)
        .stop_deadline(2 * SECOND)
        .abort_deadline(SECOND / 2)
        .build()
        .expect("a valid policy");
    let told = Arc::new(Mutex::new(Told::default()));
    let note = Arc::clone(&told);
    let service = Overwatch::builder(EtcdProbe::new(config).expect("a valid configuration"))
        .policy(policy)
        .lease_holder("membership", membership)
        .component("checks", shards.expect("valid shards"))
        .on_step(move |step| {
            let mut told = note.lock().expect("no panic");
            match step.input {
                Some(Input::LeaseRenewed { remaining, .. }) => {
                    told.expires.push(step.at + remaining);
                }
                Some(Input::Alive { .. }) => told.alive += 1,
                Some(Input::Failing { .. }) => told.failing += 1,
                _ => {}
            }
        })
        .build()
        .expect("a valid service");
    let handle = service.handle();
    let meter = Meter::start();
    let running = tokio::spawn(service.run());
    within(20 * SECOND, "ready", handle.wait_until_ready())
        .await
        .expect("it runs on");
    sleep(40 * SECOND).await;

    let outages = handle.outages();
    {
        let told = told.lock().expect("no panic");
        // Each lease counts from when it was asked for, so these are the times between two renewals.
        let gaps = told.expires.windows(2).map(|pair| pair[1] - pair[0]);
        let longest = gaps.max().unwrap_or_default();
        let (renewals, alive) = (told.expires.len(), told.alive);
        let machine = meter.worst();
        println!(
            "{renewals} renewals, {longest:?} between them at most; {alive} signs of life; a thread that \
             sleeps is late by {machine:?} at worst"
        );
        assert!(outages.len() == 1, "more than the start: {outages:#?}");
        assert_eq!(told.failing, 0, "etcd is healthy");
        assert!(renewals >= 10, "{renewals} renewals in 40 s");
        assert!(alive >= 15, "{alive} signs of life in 40 s");
        // How late a renewal is, to the millisecond, is for the benches.
        assert!(longest <= 2 * RENEW_EVERY + machine, "{longest:?}");
    }
    handle.shutdown();
    within(20 * SECOND, "stopped", running)
        .await
        .expect("no panic")
        .expect("an orderly end");
}
