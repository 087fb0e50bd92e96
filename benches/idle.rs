//! What a service costs while nothing happens: ten thousand components and a probe that looks once
//! a second, beside nothing but those looks.
//!
//! A probe looks on the service's runtime, or elsewhere. In the first case a worker parks after each look,
//! which shows that the runtime is not frozen. In the second one no worker has anything to do, so the
//! supervisor pokes the runtime now and then to see whether it still polls: that costs wake-ups.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use overwatch::{Failure, Overwatch, polled};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::lines::{Limit, Lines, median, ratios};
use crate::shell::runtime;

const COMPONENTS: usize = 10_000;
/// How often the probe looks.
const EVERY: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_secs(2);
/// How often each is watched, and for how long. They begin and end between two looks.
const ROUNDS: usize = 5;
const WATCHED: Duration = Duration::from_secs(5);
/// How many wake-ups a look may cost beyond its own: one of the supervisor, who is told what was seen, and
/// once in five seconds one of the timers of its runtime, which is not the service's.
const WAKE_UPS_LIMIT: f64 = 1.25;
/// The same where the probe looks elsewhere: beside the supervisor's, those of the pokes.
const POKED_LIMIT: f64 = 2.1;
/// Milliseconds of CPU a second: far below what never sleeps, far above what a noisy machine adds.
const CPU_LIMIT: f64 = 10.0;

/// What was seen of this process, round by round.
#[derive(Default)]
struct Watched {
    /// How often a thread of this process went to sleep, a second.
    slept: Vec<f64>,
    /// Milliseconds of CPU, a second.
    cpu: Vec<f64>,
}

/// Where the probe looks.
#[derive(Clone, Copy)]
enum Place {
    /// On the service's runtime.
    Workers,
    /// On a runtime of its own.
    Elsewhere,
}

pub(crate) fn measure(lines: &mut Lines) {
    let many = service(lines, COMPONENTS, Place::Workers);
    let one = service(lines, 1, Place::Workers);
    let looks = looks_alone(Place::Workers);
    for (than, other) in [("1", &one), ("the looks alone", &looks)] {
        let what = format!("idle: wake-ups with {COMPONENTS} / {than}");
        let (ours, theirs) = (&many.slept, &other.slept);
        let more = format!("{:.2} / {:.2} a second", median(ours), median(theirs));
        lines.rounds(&what, &ratios(ours, theirs), Limit::None, more);
    }
    let what = "idle: wake-ups beyond those of the looks alone, a look";
    let limit = Limit::AtMost(WAKE_UPS_LIMIT);
    lines.rounds(what, &beyond(&many, &looks), limit, "");
    let (ours, theirs) = (&many.cpu, &looks.cpu);
    let what = format!("idle: CPU with {COMPONENTS} / the looks alone");
    let more = format!("{:.2} / {:.2} ms a second", median(ours), median(theirs));
    lines.rounds(&what, &ratios(ours, theirs), Limit::None, more);
    let what = format!("idle: CPU with {COMPONENTS}, ms a second");
    lines.rounds(&what, ours, Limit::AtMost(CPU_LIMIT), "");

    let poked = service(lines, COMPONENTS, Place::Elsewhere);
    let looks = looks_alone(Place::Elsewhere);
    let what = "idle: wake-ups beyond the looks, probe elsewhere";
    let (ours, theirs) = (&poked.slept, &looks.slept);
    let more = format!("{:.2} / {:.2} a second", median(ours), median(theirs));
    let limit = Limit::AtMost(POKED_LIMIT);
    lines.rounds(what, &beyond(&poked, &looks), limit, more);
}

/// The wake-ups beyond those of the looks alone, for each look.
fn beyond(ours: &Watched, looks: &Watched) -> Vec<f64> {
    let pairs = ours.slept.iter().zip(&looks.slept);
    pairs
        .map(|(ours, alone)| (ours - alone) * EVERY.as_secs_f64())
        .collect()
}

fn service(lines: &mut Lines, components: usize, place: Place) -> Watched {
    let runtime = runtime();
    let polls = Arc::new(AtomicUsize::new(0));
    let probe = polled(EVERY, WITHIN, look);
    let mut builder = match place {
        Place::Workers => Overwatch::builder(probe),
        Place::Elsewhere => Overwatch::builder(overwatch::isolated(probe)),
    };
    for number in 0..components {
        let polls = Arc::clone(&polls);
        builder = builder.task(format!("{number}"), move |ctx| {
            let counted = Arc::clone(&polls);
            Counted(
                Box::pin(async move {
                    ctx.mark_ready();
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
    let watched = watch();
    let polled = polls.load(Ordering::Relaxed) - before;
    assert!(handle.is_ready());
    handle.shutdown();
    let ended = runtime.block_on(run).expect("it does not panic");
    ended.expect("it stops");
    assert!(
        polls.load(Ordering::Relaxed) >= before + components,
        "and at its stop"
    );
    let seconds = (WATCHED * ROUNDS as u32).as_secs();
    let elsewhere = match place {
        Place::Workers => "",
        Place::Elsewhere => ", probe elsewhere",
    };
    let what = format!("idle: polls of {components} in {seconds} s{elsewhere}");
    lines.exact(&what, polled as f64, Limit::Exactly(0.0), "");
    watched
}

/// The same looks, and nothing else.
fn looks_alone(place: Place) -> Watched {
    let looks = async {
        loop {
            tokio::time::sleep(EVERY).await;
            let _ = tokio::time::timeout(WITHIN, look()).await;
        }
    };
    match place {
        Place::Workers => {
            let runtime = runtime();
            runtime.spawn(looks);
            watch()
        }
        Place::Elsewhere => {
            let mut alone = Builder::new_current_thread();
            let alone = alone.enable_all().build().expect("a runtime");
            let (end, ended) = oneshot::channel();
            let thread = thread::spawn(move || {
                alone.block_on(async {
                    tokio::select! {
                        () = looks => {}
                        _ = ended => {}
                    }
                });
            });
            let watched = watch();
            end.send(()).expect("it waits for that");
            thread.join().expect("it does not panic");
            watched
        }
    }
}

async fn look() -> Result<(), Failure> {
    Ok(())
}

fn watch() -> Watched {
    // What was begun before is over by then.
    thread::sleep(EVERY / 2);
    let seconds = WATCHED.as_secs_f64();
    let mut watched = Watched::default();
    for _ in 0..ROUNDS {
        let before = (slept(), cpu());
        thread::sleep(WATCHED);
        watched.slept.push((slept() - before.0) as f64 / seconds);
        let spent = cpu() - before.1;
        watched.cpu.push(spent.as_secs_f64() * 1e3 / seconds);
    }
    watched
}

/// How often the threads of this process went to sleep, the supervisor's own one included.
fn slept() -> u64 {
    let of = |thread: std::io::Result<std::fs::DirEntry>| -> u64 {
        let status = std::fs::read_to_string(thread.expect("a thread").path().join("status"));
        let status = status.expect("it can be read");
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let count = count.expect("it is counted").trim();
        count.parse().expect("a number")
    };
    let threads = std::fs::read_dir("/proc/self/task").expect("this is Linux");
    threads.map(of).sum()
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
