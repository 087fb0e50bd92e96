//! How the probe reaches the simulated members, and they it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions, Error};
use hyper_util::rt::TokioIo;
use overwatch::etcd::{Access, Dial};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tonic::transport::Endpoint;
use tonic::transport::server::Connected;
use turmoil::net::TcpStream;

use crate::lock;

/// What went over the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were begun: when, and with which member.
    pub attempts: Vec<(Duration, usize)>,
    /// Questions that arrived, calls and what was sent on open streams: when, and at which member.
    pub requests: Vec<(Duration, usize)>,
    /// Reads that were answered after one of a later revision.
    pub overtakings: usize,
    /// Replies that were sent, and that arrive after the request timeout.
    pub late: usize,
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attempts, requests) = (self.attempts.len(), self.requests.len());
        write!(f, "{attempts} connections, {requests} requests")
    }
}

/// The time of the whole simulation, which no crash sets back.
pub(crate) fn clock() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// What the name of a member's host begins with; its index follows.
pub(crate) const HOST: &str = "etcd-";

/// A name that leads to several hosts, in turn: a load balancer.
pub(crate) const BALANCED: &str = "balanced";

/// Dials over the simulated network, and counts.
pub(crate) struct Simulated {
    traffic: Arc<Mutex<Traffic>>,
    /// Where the balancer leads to, and how often it was asked.
    behind: Vec<String>,
    turn: Arc<Mutex<usize>>,
}

impl Simulated {
    /// With these hosts behind the balancer, if it is asked for.
    pub(crate) fn new(traffic: Arc<Mutex<Traffic>>, behind: &[String]) -> Self {
        Self {
            traffic,
            behind: behind.to_vec(),
            turn: Arc::default(),
        }
    }
}

#[async_trait::async_trait]
impl Dial for Simulated {
    async fn dial(&self, url: &str, _: Access<'_>) -> Result<Client, Error> {
        let (traffic, turn) = (Arc::clone(&self.traffic), Arc::clone(&self.turn));
        let behind = self.behind.clone();
        let connector = tower::service_fn(move |uri: http::Uri| {
            let mut host = uri.host().unwrap_or_default().to_owned();
            if host == BALANCED {
                let mut turn = lock(&turn);
                *turn += 1;
                host.clone_from(&behind[*turn % behind.len()]);
            }
            let index = host.strip_prefix(HOST).and_then(|index| index.parse().ok());
            let index = index.expect("a member's host");
            lock(&traffic).attempts.push((clock(), index));
            async move {
                let port = uri.port_u16().unwrap_or_default();
                let stream = TcpStream::connect((host, port)).await?;
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(Error::TransportError)?;
        let endpoint = endpoint
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true);
        let channel = Channel::Tonic(endpoint.connect_with_connector_lazy(connector));
        let options = ConnectOptions::new().with_require_leader(true);
        Client::from_channel(channel, Some(options)).await
    }
}

/// An accepted connection, as the server wants it.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    /// When it is closed, if so.
    pub(crate) closes: Option<Pin<Box<Sleep>>>,
}

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(closes) = &mut self.closes
            && closes.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A source of chance that is all its own: SplitMix64.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// Any number below this one.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let mut mixed = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn ms(&mut self, from: u64, below: u64) -> Duration {
        Duration::from_millis(from + self.below(below - from))
    }
}
