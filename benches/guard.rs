//! How soon the service is not ready after bad news, while a log line takes half a second.
//!
//! The subscriber is the user's code, and it may be slow. So readiness is off before anything is
//! logged, and another thread logs. It is measured beside one such line, which is what it took when
//! the line was written first, and beside the same service without a subscriber.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use overwatch::{Failure, Feed, Handle, Overwatch, Policy};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber, dispatcher};

use crate::lines::{Limit, Lines, by_turns, median, ratios};
use crate::shell::runtime;

/// What a line takes.
const LINE: Duration = Duration::from_millis(500);
/// The most that it may take of such a line: some wake-ups of threads, and for an observation the 10 ms
/// that lie at least between two calls of a probe.
const LIMIT: f64 = 0.05;
const WARM_UP: usize = 1;
const ROUNDS: usize = 11;
const LONG: Duration = Duration::from_secs(3600);
/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum News {
    /// The probe sees the dependency fail.
    Observation,
    /// The program reports a failure.
    Report,
    /// A component ends unasked.
    RunOutcome,
}

pub(crate) fn measure(lines: &mut Lines) {
    let runtime = runtime();
    for (news, name) in [
        (News::Observation, "a failing observation"),
        (News::Report, "a report"),
        (News::RunOutcome, "a component's end"),
    ] {
        let [slow, silent] = by_turns::<_, 2>(WARM_UP, ROUNDS, |who| {
            not_ready_after(&runtime, news, who == 0).as_secs_f64()
        });
        let line = vec![LINE.as_secs_f64(); ROUNDS];
        let what = format!("guard: not ready after {name} / a line");
        let more = format!("{:.3} / {:.0} ms", median(&slow) * 1e3, LINE.as_millis());
        lines.rounds(&what, &ratios(&slow, &line), Limit::AtMost(LIMIT), more);
        let what = format!("guard: not ready after {name} / no log");
        let more = format!(
            "{:.3} / {:.3} ms",
            median(&slow) * 1e3,
            median(&silent) * 1e3
        );
        lines.rounds(&what, &ratios(&slow, &silent), Limit::None, more);
    }
}

/// From the news until the service is not ready. Logged slowly, or not at all.
fn not_ready_after(runtime: &Runtime, news: News, slowly: bool) -> Duration {
    let (feed, probe) = overwatch::feed();
    let end = Arc::new(Notify::new());
    let policy = Policy::builder().silence_limit(LONG).build();
    let service = Overwatch::builder(probe)
        .policy(policy.expect("it works"))
        .task("ends when it is told", {
            let end = Arc::clone(&end);
            move |ctx| async move {
                ctx.mark_ready();
                ctx.until_stopping(end.notified()).await;
                Ok(())
            }
        })
        .build()
        .expect("it can be built");
    let handle = service.handle();
    feed.alive("at boot");
    let writer = Arc::new(Writer::default());
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            let run = || runtime.block_on(service.run());
            if slowly {
                let subscriber = Dispatch::new(Slow(Arc::clone(&writer)));
                dispatcher::with_default(&subscriber, run)
            } else {
                run()
            }
        });
        let ready = runtime.block_on(handle.wait_until_ready());
        ready.expect("it gets ready");
        writer.is_slow.store(true, Ordering::Release);
        let before = writer.begun.load(Ordering::Acquire);
        let began = Instant::now();
        send(news, &feed, &handle, &end);
        while handle.is_ready() {
            assert!(began.elapsed() < PATIENCE, "it stays ready");
            spin_loop();
        }
        let took = began.elapsed();
        // Else it would not have been measured beside a line.
        while slowly && writer.begun.load(Ordering::Acquire) == before {
            assert!(began.elapsed() < PATIENCE, "nothing is logged");
            thread::yield_now();
        }
        writer.is_slow.store(false, Ordering::Release);
        handle.shutdown();
        let ended = run.join().expect("it does not panic");
        ended.expect("it stops");
        took
    })
}

fn send(news: News, feed: &Feed, handle: &Handle, end: &Notify) {
    match news {
        News::Observation => feed.failing("lost"),
        News::Report => handle.reporter().report(Failure::new("lost")),
        News::RunOutcome => end.notify_one(),
    }
}

/// What becomes of each line.
#[derive(Default)]
struct Writer {
    is_slow: AtomicBool,
    /// How many were begun.
    begun: AtomicUsize,
}

/// A subscriber that writes nothing, and may take long for that.
struct Slow(Arc<Writer>);

impl Subscriber for Slow {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= LevelFilter::INFO
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        if self.0.is_slow.load(Ordering::Acquire) {
            thread::sleep(LINE);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
