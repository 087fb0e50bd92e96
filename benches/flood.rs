//! How late a stop is seen while requests flood the health endpoints: a hundred thousand components that
//! wait, with and without the flood; beside as many tasks and a bare token with the same flood.
//!
//! Clients and server take a core's worth of work, and the stop of so many components is work for all
//! cores as well. So a flood makes every stop later. What it must not do is to make the supervisor wait:
//! for a lock, for an answer to `/livez`, for a body that names components. That is what the ratio to a
//! bare token with the same flood shows.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use overwatch::http::Server;
use overwatch::{Context, Feed, Handle, Overwatch, Policy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::lines::{Limit, Lines, by_turns, median, percentile, ratios};
use crate::shell::runtime;

/// The most that a stop may take of what it takes with a bare token.
const LIMIT: f64 = 1.2;
const COMPONENTS: usize = 100_000;
/// How many requests are under way at a time.
const CLIENTS: usize = 32;
/// How long the flood lasts before the trip.
const A_WHILE: Duration = Duration::from_millis(50);
const WARM_UP: usize = 1;
/// How many rounds, and of how many trips each.
const ROUNDS: usize = 5;
const TRIPS: usize = 10;
const LONG: Duration = Duration::from_secs(3600);

/// From the trip, in seconds.
#[derive(Clone, Copy)]
struct Took {
    not_ready: f64,
    last: f64,
}

pub(crate) fn measure(lines: &mut Lines) {
    let runtime = runtime();
    let flood = Flood::start();
    let (waiting, _feed) = service(&Seen::new());
    let others = overwatch::http::serve(([127, 0, 0, 1], 0), waiting.handle());
    let others = others.expect("a free port");
    let [quiet, flooded, bare] = by_turns::<_, 3>(WARM_UP, ROUNDS * TRIPS, |who| match who {
        0 => supervised(&runtime, None),
        1 => supervised(&runtime, Some(&flood)),
        _ => flood.beside(&others, || unsupervised(&runtime)),
    });
    let answered = flood.stop();
    let of = |all: &[Took], part: usize, what: fn(&Took) -> f64| -> Vec<f64> {
        let rounds = all.chunks(TRIPS);
        let times = rounds.map(|trips| trips.iter().map(what).collect());
        times
            .map(|times: Vec<f64>| percentile(&times, part))
            .collect()
    };
    for (what, took) in [
        ("not ready", (|took| took.not_ready) as fn(&Took) -> f64),
        ("last stop", |took| took.last),
    ] {
        for part in [50, 99] {
            let (ours, quiet) = (of(&flooded, part, took), of(&quiet, part, took));
            let what = format!("flood: {what}, p{part} / without it");
            let more = format!(
                "{:.3} / {:.3} ms",
                median(&ours) * 1e3,
                median(&quiet) * 1e3
            );
            lines.rounds(&what, &ratios(&ours, &quiet), Limit::None, more);
        }
    }
    for (part, limit) in [(50, Limit::AtMost(LIMIT)), (99, Limit::None)] {
        let [ours, bare] = [&flooded, &bare].map(|all| of(all, part, |took| took.last));
        let what = format!("flood: last stop, p{part} / bare with it");
        let more = format!("{:.2} / {:.2} ms", median(&ours) * 1e3, median(&bare) * 1e3);
        let more = format!("{more}; {answered} requests in all");
        lines.rounds(&what, &ratios(&ours, &bare), limit, more);
    }
}

/// When each has seen the stop.
struct Seen {
    began: Instant,
    /// The latest of those that have, in nanoseconds.
    latest: AtomicU64,
    count: AtomicUsize,
}

impl Seen {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            latest: AtomicU64::new(0),
            count: AtomicUsize::new(0),
        })
    }

    fn one(&self) {
        let at = self.began.elapsed().as_nanos() as u64;
        self.latest.fetch_max(at, Ordering::AcqRel);
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    fn last(&self, since: Instant) -> f64 {
        assert_eq!(self.count.load(Ordering::Acquire), COMPONENTS);
        let at = Duration::from_nanos(self.latest.load(Ordering::Acquire));
        (self.began + at - since).as_secs_f64()
    }
}

fn service(seen: &Arc<Seen>) -> (Overwatch, Feed) {
    let (feed, probe) = overwatch::feed();
    let policy = Policy::builder()
        .silence_limit(LONG)
        .start_deadline(LONG)
        .stop_deadline(LONG)
        .build();
    let mut builder = Overwatch::builder(probe).policy(policy.expect("it works"));
    for number in 0..COMPONENTS {
        let seen = Arc::clone(seen);
        builder = builder.task(
            format!("component {number}"),
            move |ctx: Context| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                seen.one();
                Ok(())
            },
        );
    }
    feed.alive("at boot");
    (builder.build().expect("it can be built"), feed)
}

fn supervised(runtime: &Runtime, flood: Option<&Flood>) -> Took {
    let seen = Seen::new();
    let (service, _feed) = service(&seen);
    let handle = service.handle();
    let server = overwatch::http::serve(([127, 0, 0, 1], 0), handle.clone());
    let server = server.expect("a free port");
    thread::scope(|scope| {
        let run = scope.spawn(|| runtime.block_on(service.run()));
        let ready = runtime.block_on(handle.wait_until_ready());
        ready.expect("it gets ready");
        let trip = || trip(&handle, &seen);
        let took = match flood {
            Some(flood) => flood.beside(&server, trip),
            None => trip(),
        };
        // Asked for now, so that nothing is started again.
        handle.shutdown();
        let ended = run.join().expect("it does not panic");
        ended.expect("it stops");
        took
    })
}

fn trip(handle: &Handle, seen: &Seen) -> Took {
    thread::sleep(A_WHILE);
    let tripped = Instant::now();
    handle.trip().expect("it is taken");
    while handle.is_ready() {
        thread::yield_now();
    }
    let not_ready = tripped.elapsed().as_secs_f64();
    while seen.count.load(Ordering::Acquire) < COMPONENTS {
        thread::sleep(Duration::from_millis(1));
    }
    Took {
        not_ready,
        last: seen.last(tripped),
    }
}

fn unsupervised(runtime: &Runtime) -> Took {
    let seen = Seen::new();
    runtime.block_on(async {
        let token = CancellationToken::new();
        let up = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..COMPONENTS {
            let (seen, token, up) = (Arc::clone(&seen), token.clone(), Arc::clone(&up));
            tasks.spawn(async move {
                up.fetch_add(1, Ordering::AcqRel);
                token.cancelled().await;
                seen.one();
            });
        }
        while up.load(Ordering::Acquire) < COMPONENTS {
            tokio::task::yield_now().await;
        }
        thread::sleep(A_WHILE);
        let tripped = Instant::now();
        token.cancel();
        while tasks.join_next().await.is_some() {}
        Took {
            not_ready: f64::NAN,
            last: seen.last(tripped),
        }
    })
}

/// Clients that ask as fast as they are answered, in a thread of their own.
struct Flood {
    told: Arc<Told>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Told {
    /// Whom they ask; nobody if there is none.
    server: Mutex<Option<SocketAddr>>,
    is_over: AtomicBool,
    answered: AtomicUsize,
}

impl Flood {
    fn start() -> Self {
        let told = Arc::new(Told::default());
        let thread = thread::spawn({
            let told = Arc::clone(&told);
            move || {
                let mut runtime = Builder::new_current_thread();
                let runtime = runtime.enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    let mut clients = JoinSet::new();
                    for number in 0..CLIENTS {
                        clients.spawn(client(Arc::clone(&told), number));
                    }
                    while clients.join_next().await.is_some() {}
                });
            }
        });
        Self { told, thread }
    }

    /// Asks this server while something is done.
    fn beside<T>(&self, server: &Server, meanwhile: impl FnOnce() -> T) -> T {
        let before = self.told.answered.load(Ordering::Acquire);
        self.ask(Some(server.local_addr()));
        let done = meanwhile();
        self.ask(None);
        let answered = self.told.answered.load(Ordering::Acquire);
        assert!(answered > before, "no request was answered");
        done
    }

    fn ask(&self, server: Option<SocketAddr>) {
        *self.told.server.lock().expect("no panic") = server;
    }

    /// How many were answered.
    fn stop(self) -> usize {
        self.told.is_over.store(true, Ordering::Release);
        self.thread.join().expect("it does not panic");
        self.told.answered.load(Ordering::Acquire)
    }
}

async fn client(told: Arc<Told>, number: usize) {
    let path = ["/livez", "/status/check"][number % 2];
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut answer = Vec::new();
    while !told.is_over.load(Ordering::Acquire) {
        let server = *told.server.lock().expect("no panic");
        let Some(server) = server else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        answer.clear();
        // A server that ends closes its connections.
        let asked = async {
            let mut stream = TcpStream::connect(server).await?;
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_end(&mut answer).await
        };
        if asked.await.is_ok() && answer.starts_with(b"HTTP/1.1 ") {
            told.answered.fetch_add(1, Ordering::AcqRel);
        }
    }
}
