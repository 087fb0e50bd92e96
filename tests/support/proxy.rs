//! A TCP proxy that spoils the connection on demand.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// What the proxy does to connections, old and new. What is held back is like lost packets: it
/// arrives later, once the mode changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forwards everything at once.
    Pass,
    /// Accepts and keeps connections, forwards nothing.
    BlackHole,
    /// The server is heard no more: what it says is held back.
    Deaf,
    /// The server hears no more: what it is told is held back.
    Mute,
    /// Closes connections, new ones as soon as they are accepted.
    Cut,
    /// As [`Cut`](Self::Cut), with a reset in the place of an orderly end.
    Reset,
    /// Forwards each piece so much later, either way; pieces do not wait for one another.
    Delay(Duration),
}

impl Mode {
    fn ends_connections(self) -> bool {
        matches!(self, Self::Cut | Self::Reset)
    }

    /// How much later a piece goes on its way; none if it does not.
    fn delay(self, to_server: bool) -> Option<Duration> {
        match self {
            Self::Pass => Some(Duration::ZERO),
            Self::Delay(delay) => Some(delay),
            Self::Deaf if to_server => Some(Duration::ZERO),
            Self::Mute if !to_server => Some(Duration::ZERO),
            _ => None,
        }
    }
}

/// A proxy on a free loopback port in front of another address. Dropping it ends its tasks.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts in [`Mode::Pass`]. Several addresses, with commas in between, have their turns, connection by
    /// connection: a load balancer.
    pub async fn start(target: &str) -> Self {
        Self::start_at(0, target).await
    }

    /// As [`start`](Self::start), on a port of the caller's choice.
    pub async fn start_at(port: u16, target: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.expect("the port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let (mode, modes) = watch::channel(Mode::Pass);
        let task = tokio::spawn(serve(listener, target.to_owned(), modes));
        Self {
            address,
            mode,
            task,
        }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what it does to connections.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its set of connections goes with it.
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, targets: String, modes: watch::Receiver<Mode>) {
    let mut targets = targets.split(',').cycle();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    let target = targets.next().unwrap_or_default().to_owned();
                    connections.spawn(carry(client, target, modes.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until either side ends it or the mode does.
async fn carry(mut client: TcpStream, target: String, modes: watch::Receiver<Mode>) {
    let mut ended = modes.clone();
    let carried = async {
        let mut open = modes.clone();
        if open
            .wait_for(|mode| *mode != Mode::BlackHole)
            .await
            .is_err()
        {
            return;
        }
        let Ok(mut server) = TcpStream::connect(&target).await else {
            return;
        };
        // Latency is the test's to choose.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            () = pump(from_client, to_server, modes.clone(), true) => {}
            () = pump(from_server, to_client, modes, false) => {}
        }
    };
    let reset = tokio::select! {
        () = carried => false,
        mode = ended.wait_for(|mode| mode.ends_connections()) => {
            mode.is_ok_and(|mode| *mode == Mode::Reset)
        }
    };
    if reset {
        let _ = client.set_zero_linger();
    }
}

/// Forwards one way. What was read waits in line, so that each piece is late by the same time.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut modes: watch::Receiver<Mode>,
    to_server: bool,
) {
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut over = false;
    loop {
        if over && waiting.is_empty() {
            return;
        }
        let delay = modes.borrow_and_update().delay(to_server);
        let due = delay.and_then(|delay| waiting.front().map(|(at, _)| *at + delay));
        tokio::select! {
            changed = modes.changed() => if changed.is_err() {
                return;
            },
            read = from.read(&mut buffer), if !over && waiting.len() < MOST_WAITING => match read {
                Ok(length @ 1..) => waiting.push_back((Instant::now(), buffer[..length].to_vec())),
                _ => over = true,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let Some((_, piece)) = waiting.pop_front() else {
                    return;
                };
                if to.write_all(&piece).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Pieces that wait on one connection, one way: more stay with the sender.
const MOST_WAITING: usize = 1024;
