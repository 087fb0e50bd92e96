//! A TCP proxy that spoils the connection on demand.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// What the proxy does to connections, old and new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Accepts and keeps connections, forwards nothing. Like lost packets, what was sent meanwhile
    /// arrives later, once the mode changes.
    BlackHole,
    /// Drops connections, new ones as soon as they are accepted.
    Cut,
    /// Forwards each piece so much later, either way.
    Delay(Duration),
}

/// A proxy on a free loopback port in front of another address. Dropping it ends its tasks.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts in [`Mode::Pass`].
    pub(crate) async fn start(target: &str) -> Self {
        Self::start_at(0, target).await
    }

    /// As [`start`](Self::start), on a port of the caller's choice.
    pub(crate) async fn start_at(port: u16, target: &str) -> Self {
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

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its set of connections goes with it.
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, target: String, modes: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(carry(client, target.clone(), modes.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until either side ends it or the mode cuts it.
async fn carry(client: TcpStream, target: String, mut modes: watch::Receiver<Mode>) {
    let mut cut = modes.clone();
    let carried = async {
        if wait_open(&mut modes).await.is_none() {
            return;
        }
        let Ok(server) = TcpStream::connect(&target).await else {
            return;
        };
        // Latency is the test's to choose.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = pump(from_client, to_server, modes.clone()) => {}
            () = pump(from_server, to_client, modes) => {}
        }
    };
    tokio::select! {
        () = carried => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut modes: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let read_at = Instant::now();
        let Some(mode) = wait_open(&mut modes).await else {
            return;
        };
        if let Mode::Delay(delay) = mode {
            sleep_until(read_at + delay).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// The mode, once it lets bytes through; none when the proxy is gone.
async fn wait_open(modes: &mut watch::Receiver<Mode>) -> Option<Mode> {
    let open = modes.wait_for(|mode| matches!(mode, Mode::Pass | Mode::Delay(_)));
    open.await.ok().map(|mode| *mode)
}
