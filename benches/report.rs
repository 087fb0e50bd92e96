//! What one report costs, beside one `fetch_add`; and a storm of them in one outage.

use std::error::Error;
use std::fmt;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use overwatch::machine::Phase;
use overwatch::{Feed, Handle, Overwatch, Policy, Reporter};
use tokio::runtime::Runtime;

use crate::counting;
use crate::lines::{Limit, Lines, by_turns, median, ratios};
use crate::shell::runtime;

/// How many times the cost of a `fetch_add` a report may cost.
const LIMIT: f64 = 5.0;
const WARM_UP: usize = 2;
const ROUNDS: usize = 21;
/// How many are done in one round, by all threads.
const REPORTS: usize = 2_000_000;
/// How many come in one outage.
const STORM: usize = 10_000_000;
/// How much the memory may grow from the first million of them to the last, in bytes.
const FLAT: i64 = 64 * 1024;
const LONG: Duration = Duration::from_secs(3600);

/// An error of no size: what becomes of it needs no memory. Most others need some, as that of [`boxed_error`].
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lost")
    }
}

impl Error for Lost {}

pub(crate) fn measure(lines: &mut Lines) {
    let runtime = runtime();
    let service = Service::start(&runtime);
    let reporter = service.handle.reporter();
    for (threads, limit) in [(1, Limit::AtMost(LIMIT)), (4, Limit::None)] {
        let [ours, boxed, least, least_boxed] =
            by_turns::<_, 4>(WARM_UP, ROUNDS, |who| match who {
                0 => from_threads(threads, |times| report(&reporter, times)),
                1 => from_threads(threads, |times| report_boxed(&reporter, times)),
                2 => counted(threads, || ()),
                _ => counted(threads, boxed_error),
            });
        let threads = match threads {
            1 => "1 thread".to_owned(),
            more => format!("{more} threads"),
        };
        for (what, beside, ours, least, limit) in [
            ("", "", &ours, &least, limit),
            // Who reports an error that needs memory pays for that memory, too.
            (", boxed", " and box", &boxed, &least_boxed, limit),
            (", boxed", "", &boxed, &least, Limit::None),
        ] {
            let what = format!("report: one{what}, {threads} / fetch_add{beside}");
            let more = format!("{:.1} / {:.1} ns", median(ours), median(least));
            lines.rounds(&what, &ratios(ours, least), limit, more);
        }
    }
    service.stop(&runtime);
    storm(lines, &runtime);
}

fn report(reporter: &Reporter, times: usize) {
    for _ in 0..times {
        reporter.report(Lost);
    }
}

/// The same with an error that has to be put into memory of its own.
fn report_boxed(reporter: &Reporter, times: usize) {
    for _ in 0..times {
        reporter.report(std::io::Error::from(std::io::ErrorKind::TimedOut));
    }
}

/// The least that could do the same: a count, and what is made beside it, if anything.
fn counted<T>(threads: usize, made: impl Fn() -> T + Sync) -> f64 {
    let count = AtomicU64::new(0);
    from_threads(threads, |times| {
        for _ in 0..times {
            drop(black_box(made()));
            black_box(&count).fetch_add(1, Ordering::AcqRel);
        }
    })
}

fn boxed_error() -> Box<dyn Error + Send + Sync> {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Nanoseconds for each time, by the clock, while so many threads do it at once.
fn from_threads(threads: usize, each: impl Fn(usize) + Sync) -> f64 {
    let go = AtomicBool::new(false);
    let spent = thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    while !go.load(Ordering::Acquire) {
                        thread::yield_now();
                    }
                    each(REPORTS / threads);
                })
            })
            .collect();
        let began = Instant::now();
        go.store(true, Ordering::Release);
        for one in all {
            one.join().expect("it does not panic");
        }
        began.elapsed()
    });
    spent.as_secs_f64() * 1e9 / REPORTS as f64
}

/// Ten million reports in one outage: one trip, all of them counted, in flat memory.
fn storm(lines: &mut Lines, runtime: &Runtime) {
    let service = Service::start(runtime);
    let mut transitions = service.handle.transitions();
    let reporter = service.handle.reporter();
    report(&reporter, STORM / 10);
    counting::begin();
    report(&reporter, STORM - STORM / 10);
    let grown = counting::end().peak;
    runtime.block_on(async {
        // All are taken by now, and the last of them voided the clean run.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let over = async {
            loop {
                service.feed.alive("again");
                tokio::time::sleep(Duration::from_millis(20)).await;
                if service.handle.is_ready() {
                    return;
                }
            }
        };
        let over = tokio::time::timeout(Duration::from_secs(30), over);
        over.await.expect("it recovers");
    });
    let outages = service.handle.outages();
    let counted = outages.last().expect("there was one").record.reports;
    service.stop(runtime);
    let trips = runtime.block_on(async {
        let mut trips = 0;
        while let Some(transition) = transitions.next().await.expect("it keeps up") {
            trips += u32::from(transition.from == Phase::Running);
        }
        // The last one was the shutdown.
        trips - 1
    });
    assert_eq!(outages.len(), 2, "the boot, and one outage");
    lines.exact(
        "report: trips in a storm of 10000000",
        f64::from(trips),
        Limit::Exactly(1.0),
        "",
    );
    let missing = STORM.abs_diff(counted as usize) as f64;
    let what = "report: not counted of 10000000, or twice";
    lines.exact(
        what,
        missing,
        Limit::Exactly(0.0),
        format!("{counted} counted"),
    );
    let what = "report: bytes that the storm adds";
    lines.exact(what, grown as f64, Limit::AtMost(FLAT as f64), "");
}

/// A running service with one component.
struct Service {
    handle: Handle,
    feed: Feed,
    run: tokio::task::JoinHandle<Result<(), overwatch::RunError>>,
}

impl Service {
    fn start(runtime: &Runtime) -> Self {
        let (feed, probe) = overwatch::feed();
        let policy = Policy::builder()
            .silence_limit(LONG)
            .window(Duration::from_millis(100))
            .tuning(overwatch::Tuning::default().with_backoff(Duration::from_millis(100)))
            .build();
        let service = Overwatch::builder(probe)
            .policy(policy.expect("it works"))
            .task("one", |ctx| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            })
            .build()
            .expect("it can be built");
        let handle = service.handle();
        feed.alive("at boot");
        let run = runtime.spawn(service.run());
        runtime
            .block_on(handle.wait_until_ready())
            .expect("it gets ready");
        Self { handle, feed, run }
    }

    fn stop(self, runtime: &Runtime) {
        self.handle.shutdown();
        let ended = runtime.block_on(self.run).expect("it does not panic");
        ended.expect("it stops");
    }
}
