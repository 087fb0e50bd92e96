//! What probes cost an idle cluster, measured on the server's side: requests by its own metrics, CPU
//! by the kernel's account of its processes.
//!
//! The limits are those of the crate: with the default numbers one request a second and 0.5 ms of
//! server CPU a second for each probe; 0.2 requests a second with the gentle ones.

use std::process::ExitCode;
use std::time::Duration;

use overwatch::Probe;
use overwatch::etcd::{EtcdConfig, EtcdProbe};
use overwatch_test_support::etcd::Etcd;
use overwatch_test_support::metrics::{cpu_ms, requests, watchers};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// So many probes make the cost of one stand out from the server's own.
const PROBES: u32 = 20;
/// Probes of different nodes do not ask in step, which would be cheap: etcd confirms the reads that
/// wait at the same time all at once, and a server that is awake already need not be woken.
const APART: Duration = Duration::from_millis(70);
/// The connections are made, and the first round of questions is over.
const SETTLE: Duration = Duration::from_secs(5);

struct Preset {
    name: &'static str,
    numbers: fn(EtcdConfig) -> EtcdConfig,
    /// Requests a second.
    rate: f64,
}

const PRESETS: [Preset; 3] = [
    Preset {
        name: "default",
        numbers: |config| config,
        rate: 1.0,
    },
    Preset {
        name: "gentle",
        numbers: EtcdConfig::gentle,
        rate: 0.2,
    },
    Preset {
        name: "fast",
        numbers: EtcdConfig::fast,
        rate: f64::INFINITY,
    },
];

/// Milliseconds of server CPU a second, summed over the members.
const CPU_LIMIT: f64 = 0.5;

#[tokio::main]
async fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).map_or(60, |given| {
        given
            .parse()
            .expect("the time of each measurement in seconds")
    });
    let time = Duration::from_secs(seconds);
    println!("{PROBES} probes for {time:?} on an idle cluster; per probe, summed over the members");
    println!("| members | numbers | requests/s | server CPU, ms/s | watchers left |");
    println!("| --- | --- | --- | --- | --- |");
    let mut kept = true;
    for members in [1, 3] {
        let cluster = Etcd::start_cluster(members).await;
        sleep(SETTLE).await;
        for preset in &PRESETS {
            kept &= measure(&cluster, preset, time).await;
        }
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        eprintln!("a limit is not kept: {CPU_LIMIT} ms/s by default, 1 or 0.2 requests/s");
        ExitCode::FAILURE
    }
}

async fn measure(cluster: &[Etcd], preset: &Preset, time: Duration) -> bool {
    let idle = cost(cluster, time).await;
    let mut probes = JoinSet::new();
    for number in 0..PROBES {
        let config = EtcdConfig::new(cluster.iter().map(Etcd::url)).expect("valid endpoints");
        let probe = EtcdProbe::new((preset.numbers)(config)).expect("valid numbers");
        probes.spawn(async move {
            sleep(APART * number).await;
            loop {
                probe.observe().await;
            }
        });
    }
    sleep(SETTLE).await;
    let busy = cost(cluster, time).await;
    let watching = all_watchers(cluster).await;
    probes.shutdown().await;
    sleep(Duration::from_secs(1)).await;
    let left = all_watchers(cluster).await;
    let each = |busy: f64, idle: f64| (busy - idle) / time.as_secs_f64() / f64::from(PROBES);
    let (rate, cpu) = (each(busy.0, idle.0), each(busy.1, idle.1));
    let (members, name) = (cluster.len(), preset.name);
    println!("| {members} | {name} | {rate:.2} | {cpu:.2} | {left} |");
    let cpu_kept = name == "fast" || cpu <= CPU_LIMIT;
    rate <= preset.rate && cpu_kept && left == 0 && watching >= PROBES
}

async fn all_watchers(cluster: &[Etcd]) -> u32 {
    let mut all = 0;
    for member in cluster {
        all += watchers(member.address()).await;
    }
    all
}

/// Requests and CPU time within this time.
async fn cost(cluster: &[Etcd], time: Duration) -> (f64, f64) {
    let before = account(cluster).await;
    sleep(time).await;
    let after = account(cluster).await;
    (after.0 - before.0, after.1 - before.1)
}

async fn account(cluster: &[Etcd]) -> (f64, f64) {
    let (mut asked, mut cpu) = (0.0, 0.0);
    for member in cluster {
        asked += requests(member.address()).await;
        cpu += cpu_ms(member.pid());
    }
    (asked, cpu)
}
