//! Start and stop of 10,000 trivial components, against the least that tokio needs for as many
//! tasks: a `JoinSet` and a `CancellationToken`. Prints one line each for start and stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use overwatch::{Overwatch, Policy};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const COMPONENTS: usize = 10_000;
const ROUNDS: usize = 15;
const WARM_UP: usize = 3;
/// The most that the design allows.
const LIMIT: f64 = 1.3;

/// How long a start and a stop took.
#[derive(Clone, Copy)]
struct Took {
    start: Duration,
    stop: Duration,
}

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut ours = Vec::new();
    let mut bare = Vec::new();
    // By turns, so that whatever else the machine does burdens both alike.
    for round in 0..WARM_UP + ROUNDS {
        let took = (supervised(&runtime), unsupervised(&runtime));
        if round >= WARM_UP {
            ours.push(took.0);
            bare.push(took.1);
        }
    }
    report("start", &ours, &bare, |took| took.start);
    report("stop", &ours, &bare, |took| took.stop);
}

/// One run of overwatch: until ready, and from the shutdown to the end.
fn supervised(runtime: &Runtime) -> Took {
    let (feed, probe) = overwatch::feed();
    let policy = Policy::builder()
        .silence_limit(Duration::from_secs(3600))
        .build()
        .expect("it works");
    let mut builder = Overwatch::watching(probe).policy(policy);
    for number in 0..COMPONENTS {
        builder = builder.task(format!("{number}"), |ctx| async move {
            ctx.ready();
            ctx.stopping().await;
            Ok(())
        });
    }
    let service = builder.build().expect("it can be built");
    let handle = service.handle();
    runtime.block_on(async move {
        feed.alive("at boot");
        let began = Instant::now();
        let run = tokio::spawn(service.run());
        handle.wait_until_ready().await.expect("it gets ready");
        let start = began.elapsed();
        let began = Instant::now();
        handle.shutdown();
        run.await.expect("it does not panic").expect("it stops");
        let stop = began.elapsed();
        Took { start, stop }
    })
}

/// The same with the least that tokio needs: until all tasks have begun, and until all are joined.
fn unsupervised(runtime: &Runtime) -> Took {
    runtime.block_on(async {
        let token = CancellationToken::new();
        let up = Arc::new((AtomicUsize::new(0), Notify::new()));
        let began = Instant::now();
        let run = tokio::spawn({
            let (token, up) = (token.clone(), Arc::clone(&up));
            async move {
                let mut tasks = JoinSet::new();
                for _ in 0..COMPONENTS {
                    let (token, up) = (token.clone(), Arc::clone(&up));
                    tasks.spawn(async move {
                        if up.0.fetch_add(1, Ordering::AcqRel) + 1 == COMPONENTS {
                            up.1.notify_one();
                        }
                        token.cancelled().await;
                    });
                }
                while tasks.join_next().await.is_some() {}
            }
        });
        up.1.notified().await;
        let start = began.elapsed();
        let began = Instant::now();
        token.cancel();
        run.await.expect("it does not panic");
        let stop = began.elapsed();
        Took { start, stop }
    })
}

fn report(what: &str, ours: &[Took], bare: &[Took], of: impl Fn(Took) -> Duration) {
    let mut ratios: Vec<f64> = ours
        .iter()
        .zip(bare)
        .map(|(ours, bare)| of(*ours).as_secs_f64() / of(*bare).as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    let ms = |took: &[Took]| {
        let mut all: Vec<Duration> = took.iter().map(|took| of(*took)).collect();
        all.sort();
        all[all.len() / 2].as_secs_f64() * 1e3
    };
    println!(
        "shell: {what} of {COMPONENTS} components {:.2} ms, bare {:.2} ms, ratio {:.2} (of {ROUNDS} rounds, {:.2} to {:.2}; limit {LIMIT})",
        ms(ours),
        ms(bare),
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
    );
}
