//! What asking costs: whether it is ready, beside one atomic load; and `/status/check` beside an
//! axum handler that answers a constant.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header;
use axum::routing::get;
use overwatch::{Handle, Overwatch, Policy};
use tokio::runtime::Runtime;

use crate::lines::{Limit, Lines, by_turns, median, on_the_core, ratios};
use crate::shell::runtime;

/// What they may cost at most of that.
const READY_LIMIT: f64 = 2.0;
const REQUEST_LIMIT: f64 = 1.05;
const LOADS: usize = 10_000_000;
/// Requests in one round.
const REQUESTS: usize = 10_000;
const WARM_UP: usize = 2;
const ROUNDS: usize = 15;

pub(crate) fn measure(lines: &mut Lines) {
    let runtime = runtime();
    let (handle, _feed) = service(&runtime);
    readiness(lines, &handle);
    requests(lines, &runtime, handle);
}

fn readiness(lines: &mut Lines, handle: &Handle) {
    let flag = Arc::new(AtomicBool::new(true));
    let [ours, least] = by_turns::<_, 2>(WARM_UP, ROUNDS, |who| match who {
        0 => each(|| black_box(handle).is_ready()),
        _ => each(|| black_box(&flag).load(Ordering::Acquire)),
    });
    let what = "status: is_ready / an atomic load";
    let more = format!("{:.2} / {:.2} ns", median(&ours), median(&least));
    lines.rounds(
        what,
        &ratios(&ours, &least),
        Limit::AtMost(READY_LIMIT),
        more,
    );
}

/// Nanoseconds for each time.
fn each(load: impl Fn() -> bool) -> f64 {
    let began = on_the_core();
    for _ in 0..LOADS {
        black_box(load());
    }
    (on_the_core() - began).as_secs_f64() * 1e9 / LOADS as f64
}

/// One connection that is kept, one request after the other.
fn requests(lines: &mut Lines, runtime: &Runtime, handle: Handle) {
    let ours = serve(runtime, overwatch::http::router(handle));
    let mut ours = Client::to(ours);
    let body = ours.ask();
    assert!(body.starts_with(r#"{"ready":true"#), "{body}");
    // The same answer, written down once.
    let constant: &'static str = body.leak();
    let answer = move || async move {
        let kind = (header::CONTENT_TYPE, "application/json");
        ([kind, (header::CACHE_CONTROL, "no-store")], constant)
    };
    let theirs = serve(runtime, Router::new().route("/status/check", get(answer)));
    let mut theirs = Client::to(theirs);
    assert_eq!(theirs.ask(), constant);
    let [ours, theirs] = by_turns::<_, 2>(WARM_UP, ROUNDS, |who| {
        let client = if who == 0 { &mut ours } else { &mut theirs };
        let began = Instant::now();
        for _ in 0..REQUESTS {
            client.ask_quickly();
        }
        began.elapsed().as_secs_f64() * 1e6 / REQUESTS as f64
    });
    let what = "status: /status/check / a constant";
    let more = format!("{:.2} / {:.2} us", median(&ours), median(&theirs));
    lines.rounds(
        what,
        &ratios(&ours, &theirs),
        Limit::AtMost(REQUEST_LIMIT),
        more,
    );
}

/// A service that is ready and stays so, with what keeps it.
fn service(runtime: &Runtime) -> (Handle, overwatch::Feed) {
    let (feed, probe) = overwatch::feed();
    let policy = Policy::builder().silence_limit(Duration::from_secs(3600));
    let service = Overwatch::watching(probe)
        .policy(policy.build().expect("it works"))
        .task("one", |ctx| async move {
            ctx.ready();
            ctx.stopping().await;
            Ok(())
        })
        .build()
        .expect("it can be built");
    let handle = service.handle();
    feed.alive("linearizable read at revision 42");
    runtime.spawn(service.run());
    runtime
        .block_on(handle.wait_until_ready())
        .expect("it gets ready");
    (handle, feed)
}

fn serve(runtime: &Runtime, router: Router) -> SocketAddr {
    let listening = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = runtime.block_on(listening).expect("a free port");
    let address = listener.local_addr().expect("it has one");
    runtime.spawn(async move { axum::serve(listener, router).await });
    address
}

/// The least of a client.
struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
    /// How long the whole answer is, head included.
    length: usize,
}

const REQUEST: &[u8] = b"GET /status/check HTTP/1.1\r\nhost: localhost\r\n\r\n";

impl Client {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("it can be set");
        Self {
            stream,
            answer: vec![0; 64 * 1024],
            length: 0,
        }
    }

    /// Asks, and reads the whole answer: its body.
    fn ask(&mut self) -> String {
        self.stream.write_all(REQUEST).expect("it listens");
        let mut read = 0;
        loop {
            read += self
                .stream
                .read(&mut self.answer[read..])
                .expect("it answers");
            let text = String::from_utf8_lossy(&self.answer[..read]).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length
                .and_then(|text| text.parse().ok())
                .expect("it is said");
            if body.len() == length {
                self.length = read;
                return body.to_owned();
            }
        }
    }

    /// Asks for what was asked before: an answer of the same length.
    fn ask_quickly(&mut self) {
        self.stream.write_all(REQUEST).expect("it listens");
        let answer = &mut self.answer[..self.length];
        self.stream
            .read_exact(answer)
            .expect("it answers as before");
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
}
