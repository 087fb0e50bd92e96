//! One connection to one member, and the evidence it gives.

use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error, WatchStream};
use tokio::time::timeout;

use super::cause::{Cause, is_auth_disabled};
use super::config::EtcdConfig;
use super::endpoint::Endpoint;

/// What a member has proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    /// The store's revision, from the linearizable read.
    pub(super) revision: i64,
    pub(super) cluster_id: u64,
}

/// An open connection: a client of its own, and a watch alone on its stream.
///
/// Dropping it ends the watch on the server and all tasks of the client. Only a TCP or TLS handshake
/// under way lives on, until the connect timeout at the latest.
pub(super) struct Connection {
    client: Client,
    watch: WatchStream,
}

impl Connection {
    /// Opens TCP, TLS, authentication and the watch within the connect timeout.
    pub(super) async fn open(endpoint: &Endpoint, config: &EtcdConfig) -> Result<Self, Cause> {
        within(config.connect_timeout, async {
            // `connect` does I/O only to authenticate; the connection itself is made by the first
            // call.
            let mut client = connect(endpoint, config).await?;
            // The read comes first: it says what is wrong with credentials, a watch does not.
            read(&mut client, &config.sentinel_key).await?;
            // A start revision of 0 means now. Newer servers answer no progress request for a watch
            // that starts in the future.
            let mut watch = client.watch(config.sentinel_key.as_str(), None).await?;
            loop {
                let message = next(&mut watch).await?;
                if message.created() {
                    return Ok(Self { client, watch });
                }
            }
        })
        .await
    }

    /// Asks both layers at once, each within the request timeout.
    pub(super) async fn evidence(&mut self, config: &EtcdConfig) -> Result<Evidence, Cause> {
        let limit = config.request_timeout;
        let Self { client, watch } = self;
        let ((), evidence) = tokio::try_join!(
            within(limit, progress(watch)),
            within(limit, read(client, &config.sentinel_key)),
        )?;
        Ok(evidence)
    }

    /// Ready when the connection breaks or the server ends the watch while nothing is asked.
    pub(super) fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        loop {
            // The future holds nothing but the stream, so it can be made afresh for each poll.
            match pin!(next(&mut self.watch)).poll(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(cause)) => return Poll::Ready(cause),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// The watch answers: the connection works, and by require-leader the member has a leader.
async fn progress(watch: &mut WatchStream) -> Result<(), Cause> {
    // Ok means queued, no more.
    watch.request_progress().await?;
    loop {
        let message = next(watch).await?;
        // Events, should somebody write the key after all, answer an earlier question.
        if message.events().is_empty() && !message.created() {
            return Ok(());
        }
    }
}

/// The next message of a watch that goes on. A watch ends by a message as well as by an error.
async fn next(watch: &mut WatchStream) -> Result<etcd_client::WatchResponse, Cause> {
    match watch.message().await {
        Ok(Some(message)) if message.canceled() => {
            Err(Cause::of_canceled_watch(message.cancel_reason()))
        }
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Cause::Passing("the server ended the watch".into())),
        Err(error) => Err(error.into()),
    }
}

/// A linearizable read: a quorum has confirmed the leader. (Serializable reads are answered for ever
/// by a member that has lost its cluster.)
async fn read(client: &mut Client, key: &str) -> Result<Evidence, Cause> {
    let answer = client.get(key, None).await?;
    let header = answer
        .header()
        .ok_or_else(|| Cause::Certain("not an etcd server: an answer without a header".into()))?;
    Ok(Evidence {
        revision: header.revision(),
        cluster_id: header.cluster_id(),
    })
}

async fn connect(endpoint: &Endpoint, config: &EtcdConfig) -> Result<Client, Error> {
    let url = [endpoint.url()];
    let Some((name, password)) = &config.user else {
        return Client::connect(url, Some(options(config))).await;
    };
    let authenticated = options(config).with_user(name, password);
    match Client::connect(url, Some(authenticated)).await {
        Err(error) if is_auth_disabled(&error) => Client::connect(url, Some(options(config))).await,
        other => other,
    }
}

fn options(config: &EtcdConfig) -> ConnectOptions {
    let options = ConnectOptions::new()
        .with_require_leader(true)
        .with_keep_alive(KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT)
        .with_keep_alive_while_idle(true)
        .with_connect_timeout(config.connect_timeout);
    match &config.tls {
        Some(tls) => options.with_tls(tls.options().timeout(config.connect_timeout)),
        None => options,
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    timeout(limit, work).await.unwrap_or(Err(Cause::Silent))
}

/// etcd kills connections that ping more often than every 5 s (its
/// `--grpc-keepalive-min-time`).
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
