//! One connection to one member, and the requests on it.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use etcd_client::{AlarmAction, AlarmType, Client, ResponseHeader, WatchStream};
use tokio::time::timeout;

use crate::etcd::basics::EtcdError;
use crate::etcd::client::{Endpoint, EtcdConfig, next};
use crate::etcd::health::alarms::{self, Alarms};
use crate::etcd::health::{Answer, Store};

/// A pending request that is a separate call.
pub(crate) type Call = Pin<Box<dyn Future<Output = Result<Answer, EtcdError>> + Send>>;

/// An open connection: a separate client, and one watch alone on its stream.
///
/// Dropping it ends the watch on the server and all tasks of the client. Only a name look-up continues until the
/// resolver gives up, and a TCP or TLS handshake until the connect timeout at the latest.
pub(crate) struct Connection {
    client: Client,
    watch: WatchStream,
    /// The cluster of the member, from the first answer of the watch.
    cluster_id: Option<u64>,
}

impl Connection {
    /// Opens TCP, TLS, authentication and the watch within the connect timeout.
    pub(crate) async fn open(endpoint: &Endpoint, config: &EtcdConfig) -> Result<Self, EtcdError> {
        let opened = timeout(config.timing.connect_timeout, async {
            // This does I/O only to authenticate; the first call makes the connection.
            let mut client = config.dial(endpoint.url()).await?;
            // A start revision of 0 means now. Newer servers answer no progress request for a watch
            // that starts in the future.
            let mut watch = client.watch(config.sentinel_key.as_str(), None).await?;
            loop {
                let message = next(&mut watch).await?;
                if message.created() {
                    return Ok(Self {
                        client,
                        watch,
                        cluster_id: message.header().map(ResponseHeader::cluster_id),
                    });
                }
            }
        });
        let opened = opened.await.unwrap_or(Err(EtcdError::silent()));
        opened.map_err(|cause| match &config.tls {
            Some(tls) => tls.explain(cause),
            None => cause,
        })
    }

    pub(crate) fn cluster_id(&self) -> Option<u64> {
        self.cluster_id
    }

    /// A linearizable read. (A member that has lost its cluster answers serializable reads for ever.)
    pub(crate) fn read(&self, key: &str) -> Call {
        let (mut client, key) = (self.client.clone(), key.to_owned());
        Box::pin(async move {
            let answer = client.get(key, None).await?;
            let header = answer.header().ok_or_else(EtcdError::without_header)?;
            Ok(Answer::Read(Store {
                cluster_id: header.cluster_id(),
                revision: header.revision(),
                term: header.raft_term(),
                member_id: header.member_id(),
            }))
        })
    }

    /// Asks for the alarms, which etcd answers with a proposal that changes nothing.
    ///
    /// The proposal needs a quorum and one sync of the leader's disk, and does not raise the revision.
    pub(crate) fn write(&self) -> Call {
        let mut client = self.client.clone();
        Box::pin(async move {
            let mut alarms = Alarms::FIRST;
            loop {
                let members = raised(&mut client, alarms.kind()).await?;
                match alarms.raised(&members) {
                    alarms::Next::Ask(next) => alarms = next,
                    alarms::Next::Known(known) => return known,
                }
            }
        })
    }

    /// Asks whether the member itself answers, and knows a leader.
    pub(crate) fn status(&self) -> Call {
        let mut client = self.client.clone();
        Box::pin(async move {
            let leader = client.status().await?.leader() != 0;
            Ok(Answer::Status { leader })
        })
    }

    /// Sends a progress request. Ready only means queued.
    pub(crate) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), EtcdError>> {
        // The future only waits for room in a queue and holds nothing else, so each poll can make a new one.
        pin!(self.watch.request_progress())
            .poll(cx)
            .map_err(EtcdError::from)
    }

    /// Ready when the watch reports its progress, or when it is broken or was ended by the server.
    pub(crate) fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), EtcdError>> {
        loop {
            // The future holds nothing but the stream, so each poll can make a new one.
            match pin!(next(&mut self.watch)).poll(cx) {
                // Events are not progress. They come only if somebody writes the key against the rule.
                Poll::Ready(Ok(message)) if !message.events().is_empty() => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(cause)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// The members that have raised an alarm of this kind.
async fn raised(client: &mut Client, kind: alarms::AlarmKind) -> Result<Vec<u64>, EtcdError> {
    let kind = match kind {
        alarms::AlarmKind::Any => AlarmType::None,
        alarms::AlarmKind::Corrupt => AlarmType::Corrupt,
        alarms::AlarmKind::NoSpace => AlarmType::Nospace,
    };
    let answer = client.alarm(AlarmAction::Get, kind, None).await?;
    Ok(answer
        .alarms()
        .iter()
        .map(|raised| raised.member_id())
        .collect())
}
