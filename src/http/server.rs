//! A server for the endpoints on a separate thread.
//!
//! Nothing is logged here: a subscriber whose writer blocks would delay the answers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io, thread};

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::router::{Detail, router_with};
use crate::shell::service::Handle;

/// The most connections that are open at a time.
///
/// This is more than the number of requests of `/livez` that may wait, so one connection that waits for its client can
/// always be closed to make room for the next one.
const MAX_CONNECTIONS: usize = 128;

/// The most connections that wait in the kernel until they are accepted.
///
/// A burst would fill the usual 128, and further clients would try again only after a second.
const BACKLOG: u32 = 1024;

/// How long a client may take to send the head of its request.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// How long a connection may last. Every request is answered within 2 s.
const CONNECTION_WITHIN: Duration = Duration::from_secs(10);

/// The most bytes of a request's head. It is the smallest value that hyper allows.
const MAX_HEAD: usize = 8192;

/// How long nothing is accepted after an error, e.g. if no file descriptor is left.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long the drop of a server waits for its thread.
const PATIENCE: Duration = Duration::from_millis(100);

/// Serves `/status/check`, `/readyz` and `/livez` from a separate thread until the [`Server`] is dropped.
///
/// Call this before the run, and keep the server until after the run. The thread is named `overwatch-http`. It has its
/// own runtime, so it still answers while every thread of the service's runtime is blocked. After the end of the run it
/// answers with 503. The function can be called anywhere: in plain `main`, in async code, before the run and during
/// the run. It returns when the address is bound and the thread is ready to answer.
///
/// The address is anything that converts to a [`SocketAddr`] without a name look-up, because a resolver may
/// block: `([0, 0, 0, 0], 8081)`, or `"127.0.0.1:8081".parse::<SocketAddr>()?`. With port 0 the
/// operating system chooses the port; see [`Server::local_addr`].
///
/// A connection is for one request (`Connection: close`). There is no TLS.
///
/// | limit of | |
/// | --- | --- |
/// | connections | 128 open at a time. For one more, the connection that has waited longest for its client is closed: a client that sends nothing, or slowly, does not keep others from being answered |
/// | backlog | 1,024 connections wait in the kernel to be accepted, or fewer if the system allows fewer |
/// | head of a request | 8 KiB, and 5 s to send it |
/// | a connection | 10 s |
/// | `/livez` | 64 requests wait at a time, for 2 s each; see [the module](super#what-a-flood-of-requests-costs-the-supervisor) |
/// | errors of `accept` | after each, nothing is accepted for 100 ms |
///
/// # Errors
///
/// If the address cannot be bound, or the operating system provides no thread or no event queue.
///
/// ```no_run
/// use overwatch::{Overwatch, polled};
/// use std::time::Duration;
///
/// #[tokio::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let second = Duration::from_secs(1);
///     let probe = polled(second, 2 * second, || async { Ok(()) });
///     let service = Overwatch::builder(probe)
///         .task("worker", |ctx| async move {
///             ctx.mark_ready();
///             ctx.stopping().await;
///             Ok(())
///         })
///         .build()?;
///     let health = overwatch::http::serve(([127, 0, 0, 1], 8081), service.handle())?;
///     println!("curl http://{}/status/check", health.local_addr());
///     service.run_until_signal().await?;
///     Ok(())
/// }
/// ```
pub fn serve(addr: impl Into<SocketAddr>, handle: Handle) -> io::Result<Server> {
    serve_with(addr, handle, Detail::Full)
}

/// As [`serve`], with a choice of how much `/status/check` and `/readyz` say.
///
/// # Errors
///
/// See [`serve`].
///
/// ```no_run
/// use overwatch::http::{Detail, serve_with};
///
/// # fn example(service: &overwatch::Overwatch) -> std::io::Result<()> {
/// // For everybody, and for operators only.
/// let public = serve_with(([0, 0, 0, 0], 8081), service.handle(), Detail::Bare)?;
/// let full = serve_with(([127, 0, 0, 1], 8082), service.handle(), Detail::Full)?;
/// # Ok(())
/// # }
/// ```
pub fn serve_with(
    addr: impl Into<SocketAddr>,
    handle: Handle,
    detail: Detail,
) -> io::Result<Server> {
    let addr = addr.into();
    let router = router_with(handle, detail);
    let (stop, stopped) = oneshot::channel();
    let (ready, is_ready) = mpsc::sync_channel(1);
    let (running, gone) = mpsc::channel::<()>();
    let work = move || {
        match bind(addr) {
            Ok((runtime, listener, local_addr)) => {
                let _ = ready.send(Ok(local_addr));
                runtime.block_on(until(stopped, accept(router, listener)));
                runtime.shutdown_background();
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
        drop(running);
    };
    thread::Builder::new()
        .name("overwatch-http".into())
        .spawn(work)?;
    // It is lost only if the thread has panicked.
    let bound = is_ready.recv().map_err(io::Error::other)?;
    Ok(Server {
        local_addr: bound?,
        stop: Some(stop),
        gone: Mutex::new(gone),
    })
}

/// The running server of [`serve`]. Keep it as long as the endpoints should be served.
///
/// The drop closes the port and all connections, even if an answer is being sent, and ends the thread.
/// It waits for that, a tenth of a second at most.
///
/// ```no_run
/// # async fn example(service: overwatch::Overwatch) -> Result<(), Box<dyn std::error::Error>> {
/// let server = overwatch::http::serve(([127, 0, 0, 1], 8081), service.handle())?;
/// println!("health is served on {}", server.local_addr());
/// service.run_until_signal().await?;
/// drop(server); // only now, so that the end of the run is seen as well
/// # Ok(())
/// # }
/// ```
#[must_use = "the endpoints are served only as long as this is kept"]
pub struct Server {
    local_addr: SocketAddr,
    /// Its other end is lost with this one.
    stop: Option<oneshot::Sender<()>>,
    /// Its other end is dropped at the end of the thread. Nobody locks it, but that makes it `Sync`.
    gone: Mutex<mpsc::Receiver<()>>,
}

impl Server {
    /// The address that is served. If port 0 was requested, it contains the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Ends the server. Returns `false` if the thread still runs after that time.
    fn end(&mut self, within: Duration) -> bool {
        drop(self.stop.take());
        let gone = self.gone.get_mut().unwrap_or_else(PoisonError::into_inner);
        gone.recv_timeout(within) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(PATIENCE);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

/// A runtime for this thread, the listener in it, and its address.
fn bind(addr: SocketAddr) -> io::Result<(Runtime, TcpListener, SocketAddr)> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restarted process need not wait for the connections of the process before. On Windows this option would
    // let two processes share the port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let listener = {
        let _entered = runtime.enter();
        socket.listen(BACKLOG)?
    };
    let local_addr = listener.local_addr()?;
    Ok((runtime, listener, local_addr))
}

/// Runs `work` until the server is stopped.
async fn until(stopped: oneshot::Receiver<()>, work: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        _ = stopped => {}
        () = work => {}
    }
}

/// Accepts connections and serves them.
///
/// The listener is dropped first, because the drop of the last handle may drop values of the user.
async fn accept(router: Router, listener: TcpListener) {
    let mut connections = Connections::default();
    loop {
        let stream = next(async || listener.accept().await).await.0;
        connections.make_room().await;
        connections.add(stream, router.clone());
        // Open connections are polled before the next one is accepted, also in a flood: a client that has sent its
        // request is answered before another one takes its place.
        yield_now().await;
    }
}

/// The next connection. After an error this waits, and tries again.
async fn next<T>(mut accept: impl AsyncFnMut() -> io::Result<T>) -> T {
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(_) => sleep(ACCEPT_AGAIN_AFTER).await,
        }
    }
}

/// The open connections.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first. Ended connections are removed when the next one is added.
    open: VecDeque<Open>,
}

struct Open {
    task: AbortHandle,
    /// Whether the server is making the answer, and does not wait for the client.
    answering: Arc<AtomicBool>,
}

impl Connections {
    /// Makes room for one more connection; closes the oldest idle one if necessary.
    async fn make_room(&mut self) {
        while self.tasks.len() >= MAX_CONNECTIONS {
            while self.tasks.try_join_next().is_some() {}
            self.open.retain(|open| !open.task.is_finished());
            if self.tasks.len() < MAX_CONNECTIONS {
                break;
            }
            let idle = |open: &Open| !open.answering.load(Ordering::Relaxed);
            if let Some(oldest) = self.open.iter().position(idle)
                && let Some(oldest) = self.open.remove(oldest)
            {
                oldest.task.abort();
            }
            self.tasks.join_next().await;
        }
    }

    fn add(&mut self, stream: TcpStream, router: Router) {
        // Frees the memory of connections that have ended.
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|open| !open.task.is_finished());
        let answering = Arc::default();
        let task = self
            .tasks
            .spawn(answer(stream, router, Arc::clone(&answering)));
        self.open.push_back(Open { task, answering });
    }
}

/// Answers one request.
async fn answer(stream: TcpStream, router: Router, answering: Arc<AtomicBool>) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        answering.store(true, Ordering::Relaxed);
        let answer = router.call(request);
        let answering = Arc::clone(&answering);
        async move {
            let answer = answer.await;
            answering.store(false, Ordering::Relaxed);
            answer
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    // Errors of the client are ignored: it closed the connection, is too slow or does not speak HTTP.
    let _ = timeout(CONNECTION_WITHIN, connection).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> Handle {
        let (_, probe) = crate::feed();
        crate::Overwatch::builder(probe)
            .task("a", |_| async { Ok(()) })
            .build()
            .unwrap()
            .handle()
    }

    #[tokio::test(start_paused = true)]
    async fn an_accept_that_fails_is_not_tried_again_at_once() {
        let mut tries = 0;
        let failing = next(async || {
            tries += 1;
            Err::<(), _>(io::Error::other("no file descriptor is left"))
        });
        assert!(timeout(Duration::from_secs(10), failing).await.is_err());
        assert!((90..=101).contains(&tries), "{tries}");
        let mut tries = 0;
        next(async || {
            tries += 1;
            if tries < 3 {
                return Err(io::Error::other("once more"));
            }
            Ok(())
        })
        .await;
        assert_eq!(tries, 3);
    }

    #[test]
    fn its_thread_ends() {
        let mut server = serve(([127, 0, 0, 1], 0), handle()).unwrap();
        let held = std::net::TcpStream::connect(server.local_addr()).unwrap();
        assert!(server.end(Duration::from_secs(60)));
        drop(held);
    }
}
