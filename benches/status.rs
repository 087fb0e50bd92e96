//! What asking costs: whether it is ready, beside one atomic load; and `/status/check` beside an
//! axum handler that answers a constant.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use overwatch::{Handle, Overwatch, Policy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use crate::lines::{Limit, Lines, by_turns, median, on_the_core, ratios};
use crate::shell::runtime;

/// What they may cost at most of that.
const READY_LIMIT: f64 = 2.0;
const REQUEST_LIMIT: f64 = 1.05;
const LOADS: usize = 10_000_000;
const WARM_UP: usize = 2;
const ROUNDS: usize = 15;
/// Requests in one round: so few that whatever else the machine does burdens both.
const REQUESTS: usize = 200;
const REQUEST_WARM_UP: usize = 10;
const REQUEST_ROUNDS: usize = 501;
const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn measure(lines: &mut Lines) {
    let runtime = runtime();
    let (handle, _feed) = service(&runtime, true);
    readiness(lines, &handle);
    requests(lines, "ready", handle, StatusCode::OK);
    let (handle, _feed) = service(&runtime, false);
    requests(lines, "not ready", handle, StatusCode::SERVICE_UNAVAILABLE);
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

/// Requests through axum, over a connection that is kept, one after the other. Servers and clients
/// share one thread, and it is the work of that thread that counts: what it takes to wake another
/// one is much more, and the same for both.
fn requests(lines: &mut Lines, what: &str, handle: Handle, code: StatusCode) {
    let mut alone = Builder::new_current_thread();
    let alone = alone.enable_all().build().expect("a runtime");
    let ours = serve(&alone, overwatch::http::router(handle));
    let mut ours = alone.block_on(Client::to(ours));
    let body = alone.block_on(ours.ask(code));
    assert!(body.starts_with(r#"{"ready":"#), "{body}");
    // The same answer, written down once.
    let constant: &'static str = body.leak();
    let answer = move || async move {
        let kind = (header::CONTENT_TYPE, "application/json");
        let head = [kind, (header::CACHE_CONTROL, "no-store")];
        (code, head, constant)
    };
    let theirs = serve(&alone, Router::new().route("/status/check", get(answer)));
    let mut theirs = alone.block_on(Client::to(theirs));
    assert_eq!(alone.block_on(theirs.ask(code)), constant);
    let [ours, theirs] = by_turns::<_, 2>(REQUEST_WARM_UP, REQUEST_ROUNDS, |who| {
        let client = if who == 0 { &mut ours } else { &mut theirs };
        let began = on_the_core();
        alone.block_on(async {
            for _ in 0..REQUESTS {
                client.ask_quickly().await;
            }
        });
        (on_the_core() - began).as_secs_f64() * 1e6 / REQUESTS as f64
    });
    let what = format!("status: /status/check, {what} / a constant");
    let more = format!("{:.2} / {:.2} us", median(&ours), median(&theirs));
    let limit = Limit::AtMost(REQUEST_LIMIT);
    lines.rounds(&what, &ratios(&ours, &theirs), limit, more);
}

/// A service that is ready and stays so, or never gets ready, with what keeps it.
fn service(runtime: &Runtime, ready: bool) -> (Handle, overwatch::Feed) {
    let (feed, probe) = overwatch::feed();
    let policy = Policy::builder().silence_limit(LONG);
    let service = Overwatch::builder(probe)
        .policy(policy.build().expect("it works"))
        .task("one", |ctx| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
        .build()
        .expect("it can be built");
    let handle = service.handle();
    if ready {
        feed.alive("linearizable read at revision 42");
    } else {
        feed.failing("connection refused");
    }
    runtime.spawn(service.run());
    let settled = handle.wait_for(|status| status.ready == ready && status.dependency.is_some());
    runtime.block_on(settled).expect("it goes on");
    (handle, feed)
}

fn serve(runtime: &Runtime, router: Router) -> SocketAddr {
    let listening = TcpListener::bind("127.0.0.1:0");
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
    async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("it can be set");
        Self {
            stream,
            answer: vec![0; 64 * 1024],
            length: 0,
        }
    }

    /// Asks, and reads the whole answer: its body.
    async fn ask(&mut self, code: StatusCode) -> String {
        self.stream.write_all(REQUEST).await.expect("it listens");
        let mut read = 0;
        loop {
            let answer = self.stream.read(&mut self.answer[read..]).await;
            read += answer.expect("it answers");
            let text = String::from_utf8_lossy(&self.answer[..read]).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            assert!(head.starts_with(&format!("HTTP/1.1 {code}")), "{head}");
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
    async fn ask_quickly(&mut self) {
        self.stream.write_all(REQUEST).await.expect("it listens");
        let answer = &mut self.answer[..self.length];
        let read = self.stream.read_exact(answer).await;
        read.expect("it answers as before");
        assert!(answer.starts_with(b"HTTP/1.1 "));
    }
}
