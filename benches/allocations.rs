//! How often the thread that supervises allocates from some news until every component is told to stop.
//!
//! The allocator may wait, for other threads or for the system, so a stop must not need it. The last
//! component is told at an instant that can be seen from outside: the thread that tells it calls the
//! waker with which it waits. Here that waker is the bench's own. It notes how many allocations there
//! were by then, and wakes nobody: a component that is awake would pass the stop on, and the thread
//! would have less to do.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use overwatch::{Failure, Feed, Handle, Overwatch, Policy};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::counting;
use crate::lines::{Limit, Lines};
use crate::shell::runtime;

const COMPONENTS: usize = 10_000;
const LONG: Duration = Duration::from_secs(3600);
/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the thread does after the last component is told is done by then.
const AFTERWARDS: Duration = Duration::from_millis(200);
/// What that thread is called.
const THREAD: &str = "overwatch";

/// What makes the service stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Report,
    Observation,
    RunOutcome,
    Trip,
    Shutdown,
}

pub(crate) fn measure(lines: &mut Lines) {
    let runtime = runtime();
    for (news, name) in [
        (News::Report, "a report"),
        (News::Observation, "a failing observation"),
        (News::RunOutcome, "a component's end"),
        (News::Trip, "an operator's trip"),
        (News::Shutdown, "a shutdown"),
    ] {
        let seen = stop(&runtime, news);
        let what = format!("allocations: until told, {name}");
        assert!(seen.in_all > 0, "they are not counted");
        let more = format!("{} until all of it is told and logged", seen.in_all);
        lines.exact(&what, seen.until_told as f64, Limit::Exactly(0.0), more);
        for trace in seen.traces.iter().take(seen.until_told as usize) {
            eprintln!("allocated before all were told of {name}:\n{trace}");
        }
    }
}

/// What was counted of one stop.
struct Seen {
    until_told: u64,
    in_all: u64,
    traces: Vec<std::backtrace::Backtrace>,
}

fn stop(runtime: &Runtime, news: News) -> Seen {
    let (feed, probe) = overwatch::feed();
    let told = Arc::new(Told::default());
    let end = Arc::new(Notify::new());
    let policy = Policy::builder()
        .silence_limit(LONG)
        .stop_deadline(LONG)
        .build();
    let mut builder = Overwatch::builder(probe)
        .policy(policy.expect("it works"))
        .task("ends when it is told", {
            let (end, told) = (Arc::clone(&end), Arc::clone(&told));
            move |ctx| async move {
                ctx.mark_ready();
                tokio::select! {
                    () = end.notified() => {}
                    () = told.stopping(ctx.stopping()) => {}
                }
                Ok(())
            }
        });
    for number in 0..COMPONENTS {
        let told = Arc::clone(&told);
        builder = builder.task(format!("{number}"), move |ctx| async move {
            ctx.mark_ready();
            told.stopping(ctx.stopping()).await;
            Ok(())
        });
    }
    let service = builder.build().expect("it can be built");
    let handle = service.handle();
    feed.alive("at boot");
    let run = runtime.spawn(service.run());
    let ready = runtime.block_on(handle.wait_until_ready());
    ready.expect("it gets ready");
    // What the start left to do is done.
    thread::sleep(AFTERWARDS);
    counting::begin_of(the_thread());
    send(news, &feed, &handle, &end);
    let began = Instant::now();
    // One has ended, or is told as well.
    let all = COMPONENTS + usize::from(news != News::RunOutcome);
    while told.count.load(Ordering::Acquire) < all {
        assert!(began.elapsed() < PATIENCE, "not all are told");
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(AFTERWARDS);
    let (in_all, traces) = counting::end_of();
    assert!(!handle.is_ready());
    assert_eq!(
        told.by_others.load(Ordering::Acquire),
        0,
        "what others tell is not counted"
    );
    for waker in told.wakers.lock().expect("no panic").drain(..) {
        waker.wake();
    }
    handle.shutdown();
    let ended = runtime.block_on(run).expect("it does not panic");
    ended.expect("it stops");
    Seen {
        until_told: told.allocations.load(Ordering::Acquire),
        in_all,
        traces,
    }
}

fn send(news: News, feed: &Feed, handle: &Handle, end: &Notify) {
    match news {
        News::Report => handle.reporter().report(Failure::new("lost")),
        News::Observation => feed.failing("lost"),
        News::RunOutcome => end.notify_one(),
        News::Trip => drop(handle.trip().expect("it is taken")),
        News::Shutdown => handle.shutdown(),
    }
}

/// The number of the thread that supervises. That of the last run may not be gone yet.
fn the_thread() -> i32 {
    let began = Instant::now();
    loop {
        let threads = std::fs::read_dir("/proc/self/task").expect("this is Linux");
        let threads = threads.map(|thread| thread.expect("a thread").path());
        let ours = |path: &std::path::PathBuf| {
            let name = std::fs::read_to_string(path.join("comm"));
            name.is_ok_and(|name| name.trim_end() == THREAD)
        };
        let ours: Vec<_> = threads.filter(ours).collect();
        if let [path] = &ours[..] {
            let number = path.file_name().and_then(|name| name.to_str());
            return number.and_then(|name| name.parse().ok()).expect("a number");
        }
        assert!(began.elapsed() < PATIENCE, "{ours:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What becomes of the components.
#[derive(Default)]
struct Told {
    /// How many are told to stop.
    count: AtomicUsize,
    /// How many of them by another thread than the one that supervises.
    by_others: AtomicUsize,
    /// How many allocations there were when the last of them was told.
    allocations: AtomicU64,
    /// What wakes them.
    wakers: Mutex<Vec<Waker>>,
}

impl Told {
    /// Waits until it is told to stop, and then for the bench.
    async fn stopping(self: &Arc<Self>, stopping: impl Future<Output = ()>) {
        let mut stopping = pin!(stopping);
        let waker = Waker::from(Arc::new(Noted(Arc::clone(self))));
        let mut waits = false;
        std::future::poll_fn(|cx| {
            if !waits {
                waits = true;
                self.wakers
                    .lock()
                    .expect("no panic")
                    .push(cx.waker().clone());
            }
            stopping.as_mut().poll(&mut Poller::from_waker(&waker))
        })
        .await;
    }
}

/// Notes that one component is told.
struct Noted(Arc<Told>);

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let told = &self.0;
        if counting::is_counted() {
            let allocations = counting::so_far().allocations;
            told.allocations.store(allocations, Ordering::Release);
        } else {
            told.by_others.fetch_add(1, Ordering::AcqRel);
        }
        told.count.fetch_add(1, Ordering::AcqRel);
    }
}
