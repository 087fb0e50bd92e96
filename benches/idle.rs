//! What a service costs while nothing happens: ten thousand components and a probe that looks once
//! a second, beside nothing but those looks.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use overwatch::{Failure, Overwatch, polled};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

use crate::lines::{Limit, Lines};
use crate::shell::runtime;

const COMPONENTS: usize = 10_000;
/// How often the probe looks.
const EVERY: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_secs(2);
/// How long each is watched.
const WATCHED: Duration = Duration::from_secs(30);
/// How many times those of the looks alone the wake-ups may be. What workers have left over from one
/// second for the next makes a difference of some hundredths.
const WAKE_UPS_LIMIT: f64 = 1.1;

/// What was seen of a runtime.
struct Watched {
    /// How often a worker went to sleep, a second.
    parked: f64,
    /// Milliseconds of CPU, a second.
    cpu: f64,
}

pub(crate) fn measure(lines: &mut Lines) {
    let many = service(lines, COMPONENTS);
    let one = service(lines, 1);
    let looks = looks_alone();
    for (than, other) in [("with 1", &one), ("the looks alone", &looks)] {
        let what = format!("idle: wake-ups with {COMPONENTS} / {than}");
        let more = format!("{:.2} / {:.2} a second", many.parked, other.parked);
        let ratio = many.parked / other.parked;
        lines.exact(&what, ratio, Limit::AtMost(WAKE_UPS_LIMIT), more);
    }
    let more = format!("{:.2} / {:.2} ms a second", many.cpu, looks.cpu);
    let what = "idle: CPU with 10000 / the looks alone";
    lines.exact(what, many.cpu / looks.cpu, Limit::None, more);
}

fn service(lines: &mut Lines, components: usize) -> Watched {
    let runtime = runtime();
    let polls = Arc::new(AtomicUsize::new(0));
    let mut builder = Overwatch::watching(polled(EVERY, WITHIN, look));
    for number in 0..components {
        let polls = Arc::clone(&polls);
        builder = builder.task(format!("{number}"), move |ctx| {
            let counted = Arc::clone(&polls);
            Counted(
                Box::pin(async move {
                    ctx.ready();
                    ctx.stopping().await;
                    Ok(())
                }),
                counted,
            )
        });
    }
    let service = builder.build().expect("it can be built");
    let handle = service.handle();
    let run = runtime.spawn(service.run());
    runtime
        .block_on(handle.wait_until_ready())
        .expect("it gets ready");
    let before = polls.load(Ordering::Relaxed);
    assert!(before >= components, "each was polled at its start");
    let watched = watch(&runtime);
    let polled = polls.load(Ordering::Relaxed) - before;
    assert!(handle.is_ready());
    handle.shutdown();
    let ended = runtime.block_on(run).expect("it does not panic");
    ended.expect("it stops");
    assert!(
        polls.load(Ordering::Relaxed) >= before + components,
        "and at its stop"
    );
    let what = format!("idle: polls of {components} components in 30 s");
    lines.exact(&what, polled as f64, Limit::AtMost(0.0), "");
    watched
}

/// The same looks, and nothing else.
fn looks_alone() -> Watched {
    let runtime = runtime();
    runtime.spawn(async {
        loop {
            tokio::time::sleep(EVERY).await;
            let _ = tokio::time::timeout(WITHIN, look()).await;
        }
    });
    watch(&runtime)
}

async fn look() -> Result<(), Failure> {
    Ok(())
}

fn watch(runtime: &Runtime) -> Watched {
    let metrics = runtime.metrics();
    let parked = || -> u64 {
        let workers = 0..metrics.num_workers();
        workers
            .map(|worker| metrics.worker_park_count(worker))
            .sum()
    };
    // What was begun before is over by then.
    std::thread::sleep(Duration::from_millis(500));
    let before = (parked(), cpu());
    std::thread::sleep(WATCHED);
    let seconds = WATCHED.as_secs_f64();
    Watched {
        parked: (parked() - before.0) as f64 / seconds,
        cpu: (cpu() - before.1).as_secs_f64() * 1e3 / seconds,
    }
}

/// What this process has spent.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Counts how often a component is polled.
struct Counted(
    Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>,
    Arc<AtomicUsize>,
);

impl Future for Counted {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.1.fetch_add(1, Ordering::Relaxed);
        pin!(&mut self.0).poll(cx)
    }
}
