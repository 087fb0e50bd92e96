//! How late a trip is seen: ten thousand components that are always at work, a millisecond at a
//! time, on two workers; beside as many tasks and a bare token.
//!
//! There are two bare tokens. One is cancelled on the spot, by a thread that has a core. The other
//! one by a thread that does nothing else and has to be woken for it, as the thread that supervises
//! has to be: it is parked in the driver of a runtime of its own. Two busy workers hold both cores
//! then, and until the scheduler gives one of them away some milliseconds may pass. That is no matter of
//! what the woken thread does, so the slowest trips (p99) have a limit beside the second token only.
//! Most trips (p50) are to keep up with both.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use overwatch::{Context, Failure, Overwatch, Policy};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::lines::{Limit, Lines, by_turns, median, percentile, ratios};
use crate::shell::runtime;

/// The most that it may be of what a bare token takes. See above for which.
const LIMIT: f64 = 1.2;
const COMPONENTS: usize = 10_000;
/// What a component does in one poll.
const WORK: Duration = Duration::from_millis(1);
/// How long all work before the trip.
const A_WHILE: Duration = Duration::from_millis(10);
const WARM_UP: usize = 2;
/// How many rounds, and of how many trips each.
const ROUNDS: usize = 5;
const TRIPS: usize = 100;
const LONG: Duration = Duration::from_secs(3600);

/// Where the service is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Awaited in a thread that does nothing else, as `main` usually does.
    Main,
    /// Spawned.
    Worker,
}

/// Where the trip comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// A component reports that its dependency is lost.
    Component,
    /// A thread outside of the runtime trips by hand.
    Outside,
}

/// Who cancels a bare token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// Whoever trips.
    Itself,
    /// A thread that is woken for it.
    Woken,
}

pub(crate) fn measure(lines: &mut Lines) {
    let runtime = runtime();
    for (from, place, name) in [
        (From::Component, Place::Main, "by a report"),
        (From::Component, Place::Worker, "by a report, spawned"),
        (From::Outside, Place::Main, "from outside"),
        (From::Outside, Place::Worker, "from outside, spawned"),
    ] {
        let [ours, bare, woken] = by_turns::<_, 3>(WARM_UP, ROUNDS * TRIPS, |who| match who {
            0 => supervised(&runtime, place, from),
            1 => unsupervised(&runtime, from, By::Itself),
            _ => unsupervised(&runtime, from, By::Woken),
        });
        let limit = Limit::AtMost(LIMIT);
        for (what, seen, part, bare_limit) in [
            ("by the last, p50", LAST, 50, limit),
            ("by the last, p99", LAST, 99, Limit::None),
            ("by half, p50", LAST / 2, 50, limit),
        ] {
            // Of the trips of each round.
            let of = |all: &[Vec<f64>]| -> Vec<f64> {
                let rounds = all.chunks(TRIPS);
                let seen = rounds.map(|trips| trips.iter().map(|each| each[seen]).collect());
                seen.map(|times: Vec<f64>| percentile(&times, part))
                    .collect()
            };
            let ours = of(&ours);
            for (theirs, who, limit) in [(&woken, "woken", limit), (&bare, "bare", bare_limit)] {
                let theirs = of(theirs);
                let what = format!("trip: {name}, {what} / {who}");
                let more = format!(
                    "of {TRIPS} trips; {:.2} / {:.2} ms",
                    median(&ours) * 1e3,
                    median(&theirs) * 1e3
                );
                lines.rounds(&what, &ratios(&ours, &theirs), limit, more);
            }
        }
    }
}

/// Where the last one stands.
const LAST: usize = COMPONENTS - 1;

/// What all that work share.
struct Busy {
    began: Instant,
    /// Since when all work: nobody does before all are up.
    since: OnceLock<Instant>,
    work: Notify,
    tripped: OnceLock<Duration>,
    seen: Vec<AtomicU64>,
    done: AtomicUsize,
}

impl Busy {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            since: OnceLock::new(),
            work: Notify::new(),
            tripped: OnceLock::new(),
            seen: (0..COMPONENTS).map(|_| AtomicU64::new(0)).collect(),
            done: AtomicUsize::new(0),
        })
    }

    /// One turn of a component: it works, and lets the others work.
    async fn turn(&self) {
        let work = self.work.notified();
        if self.since.get().is_none() {
            return work.await;
        }
        let began = Instant::now();
        while began.elapsed() < WORK {
            spin_loop();
        }
        tokio::task::yield_now().await;
    }

    /// Whether this one is to trip: the first that is asked after all have worked for a while.
    fn is_to_trip(&self) -> bool {
        let worked = self.since.get().map(Instant::elapsed);
        worked.is_some_and(|worked| worked > A_WHILE) && self.trip()
    }

    fn trip(&self) -> bool {
        self.tripped.set(self.began.elapsed()).is_ok()
    }

    fn sees(&self, number: usize) {
        let at = self.began.elapsed().as_nanos() as u64;
        self.seen[number].store(at, Ordering::Release);
        self.done.fetch_add(1, Ordering::AcqRel);
    }

    /// From the trip until each has seen it, in seconds, sorted.
    fn seen(&self) -> Vec<f64> {
        assert_eq!(self.done.load(Ordering::Acquire), COMPONENTS);
        let tripped = *self.tripped.get().expect("it tripped");
        let seen = self.seen.iter().map(|at| {
            let at = Duration::from_nanos(at.load(Ordering::Acquire));
            let since = at.checked_sub(tripped);
            since.expect("nobody stops before").as_secs_f64()
        });
        let mut seen: Vec<f64> = seen.collect();
        seen.sort_by(f64::total_cmp);
        seen
    }

    /// From outside: lets all work for a while, then trips if it is to.
    fn work_and(&self, from: From, trip: impl FnOnce()) {
        self.since.get_or_init(Instant::now);
        self.work.notify_waiters();
        thread::sleep(A_WHILE);
        if from == From::Outside && self.trip() {
            trip();
        }
    }
}

fn supervised(runtime: &Runtime, place: Place, from: From) -> Vec<f64> {
    let busy = Busy::new();
    let (feed, probe) = overwatch::feed();
    let policy = Policy::builder()
        .silence_limit(LONG)
        .start_deadline(LONG)
        .stop_deadline(LONG)
        .build();
    let mut builder = Overwatch::builder(probe).policy(policy.expect("it works"));
    for number in 0..COMPONENTS {
        let busy = Arc::clone(&busy);
        builder = builder.task(format!("{number}"), move |ctx: Context| async move {
            ctx.mark_ready();
            while ctx.until_stopping(busy.turn()).await.is_some() {
                if from == From::Component && busy.is_to_trip() {
                    ctx.report(Failure::new("lost").critical());
                }
            }
            busy.sees(number);
            Ok(())
        });
    }
    let service = builder.build().expect("it can be built");
    let handle = service.handle();
    feed.alive("at boot");
    thread::scope(|scope| {
        let run = scope.spawn(|| match place {
            Place::Main => runtime.block_on(service.run()),
            Place::Worker => {
                let run = runtime.spawn(service.run());
                runtime.block_on(run).expect("it does not panic")
            }
        });
        let ready = runtime.block_on(handle.wait_until_ready());
        ready.expect("it gets ready");
        busy.work_and(from, || drop(handle.trip().expect("it is taken")));
        let down = handle.wait_for(|status| status.epoch == 1 && !status.ready);
        runtime.block_on(down).expect("it trips");
        // Asked for now, so that nothing is started again.
        handle.shutdown();
        let ended = run.join().expect("it does not panic");
        ended.expect("it stops");
    });
    busy.seen()
}

fn unsupervised(runtime: &Runtime, from: From, by: By) -> Vec<f64> {
    let busy = Busy::new();
    let token = CancellationToken::new();
    let woken = (by == By::Woken).then(|| Woken::new(token.clone()));
    runtime.block_on(async {
        let wake = woken.as_ref().map(|woken| Arc::clone(&woken.wake));
        let cancel = move |token: &CancellationToken| match &wake {
            Some(wake) => wake.notify_one(),
            None => token.cancel(),
        };
        let up = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..COMPONENTS {
            let (busy, token, up) = (Arc::clone(&busy), token.clone(), Arc::clone(&up));
            let cancel = cancel.clone();
            tasks.spawn(async move {
                up.fetch_add(1, Ordering::AcqRel);
                while token.run_until_cancelled(busy.turn()).await.is_some() {
                    if from == From::Component && busy.is_to_trip() {
                        cancel(&token);
                    }
                }
                busy.sees(number);
            });
        }
        while up.load(Ordering::Acquire) < COMPONENTS {
            tokio::task::yield_now().await;
        }
        busy.work_and(from, || cancel(&token));
        while tasks.join_next().await.is_some() {}
    });
    if let Some(woken) = woken {
        woken.thread.join().expect("it does not panic");
    }
    busy.seen()
}

/// A thread that cancels a token as soon as it is woken.
struct Woken {
    wake: Arc<Notify>,
    thread: JoinHandle<()>,
}

impl Woken {
    fn new(token: CancellationToken) -> Self {
        let wake = Arc::new(Notify::new());
        let thread = thread::spawn({
            let wake = Arc::clone(&wake);
            move || {
                let mut runtime = Builder::new_current_thread();
                let runtime = runtime.enable_all().build().expect("a runtime");
                runtime.block_on(wake.notified());
                token.cancel();
            }
        });
        Self { wake, thread }
    }
}
