//! A member of a cluster that does as it is told.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::proto::*;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};
use turmoil::net::TcpListener;

use crate::net::{Accepted, Chance};
use crate::shell::lock;

pub(crate) const PORT: u16 = 2379;
const CLUSTER: u64 = 0xc1;

/// How the cluster is. Members share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) leader: bool,
    /// Whether proposals are committed.
    pub(crate) commits: bool,
    /// Whether anybody says anything.
    pub(crate) speaks: bool,
    /// Every reply is so much later.
    pub(crate) slower: Duration,
    /// Every reply is later by anything below this, so that replies overtake each other.
    pub(crate) spread: Duration,
    /// 1 is NOSPACE, 2 is CORRUPT.
    pub(crate) alarm: i32,
    pub(crate) permits: bool,
    /// Whether the list of alarms is for this user.
    pub(crate) shows_alarms: bool,
    /// Connections are accepted and closed.
    pub(crate) hangs_up: bool,
}

impl Condition {
    pub(crate) const GOOD: Self = Self {
        leader: true,
        commits: true,
        speaks: true,
        slower: Duration::ZERO,
        spread: Duration::ZERO,
        alarm: 0,
        permits: true,
        shows_alarms: true,
        hangs_up: false,
    };
}

/// What all members share.
pub(crate) struct World {
    condition: Mutex<Condition>,
    /// Wakes in the order of waiting, as tokio's watch channel does not.
    changed: Notify,
    store: Mutex<Store>,
}

struct Store {
    revision: i64,
    term: u64,
    chance: Chance,
    requests: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            condition: Mutex::new(Condition::GOOD),
            changed: Notify::new(),
            store: Mutex::new(Store {
                revision: 1_000,
                term: 5,
                chance: Chance(seed ^ 0xfa4e),
                requests: 0,
            }),
        }
    }

    pub(crate) fn set(&self, condition: Condition) {
        *lock(&self.condition) = condition;
        self.changed.notify_waiters();
    }

    /// All data is lost.
    pub(crate) fn wipe(&self) {
        let mut store = lock(&self.store);
        (store.revision, store.term) = (1, 2);
    }

    /// Questions asked so far: calls, and what was sent on open streams.
    pub(crate) fn requests(&self) -> u64 {
        lock(&self.store).requests
    }

    /// Takes a question, once it can be answered.
    async fn asked(&self, ready: impl Fn(&Condition) -> bool) {
        lock(&self.store).requests += 1;
        self.when(ready).await;
    }

    async fn when(&self, ready: impl Fn(&Condition) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let now = self.now();
            if now.speaks && ready(&now) {
                return;
            }
            changed.await;
        }
    }

    /// The way of a reply.
    async fn reply(&self) {
        self.when(|_| true).await;
        let Condition { slower, spread, .. } = self.now();
        let spread = spread.as_millis() as u64;
        let more = match spread {
            0 => 0,
            spread => lock(&self.store).chance.below(spread),
        };
        let delay = slower + Duration::from_millis(more);
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    fn now(&self) -> Condition {
        *lock(&self.condition)
    }
}

/// One member's services.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) world: Arc<World>,
    pub(crate) id: u64,
}

impl Member {
    /// Listens until its host goes down.
    pub(crate) async fn serve(self) -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        let (tell, told) = tokio::sync::mpsc::channel::<io::Result<Accepted>>(16);
        let world = Arc::clone(&self.world);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if !world.now().hangs_up && tell.send(Ok(Accepted(stream))).await.is_err() {
                    return;
                }
            }
        });
        tonic::transport::Server::builder()
            .add_service(PbKvServer::new(self.clone()))
            .add_service(PbMaintenanceServer::new(self.clone()))
            .add_service(PbWatchServer::new(self))
            .serve_with_incoming(tokio_stream::wrappers::ReceiverStream::new(told))
            .await?;
        Ok(())
    }

    /// The store moves on with every answer, so that each has a revision of its own.
    fn header(&self) -> PbResponseHeader {
        let mut store = lock(&self.world.store);
        store.revision += 1;
        self.header_of(&store)
    }

    fn header_of(&self, store: &Store) -> PbResponseHeader {
        PbResponseHeader {
            cluster_id: CLUSTER,
            member_id: self.id,
            revision: store.revision,
            raft_term: store.term,
        }
    }
}

type Reply<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn unused<T>() -> Reply<T> {
    Err(Status::unimplemented("not simulated"))
}

#[tonic::async_trait]
impl PbKvService for Member {
    async fn range(&self, _: Request<PbRangeRequest>) -> Reply<PbRangeResponse> {
        // The revision is that of the read; the reply may be late.
        self.world.asked(|condition| condition.leader).await;
        if !self.world.now().permits {
            return Err(Status::permission_denied("etcdserver: permission denied"));
        }
        let header = Some(self.header());
        self.world.reply().await;
        Ok(Response::new(PbRangeResponse {
            header,
            ..Default::default()
        }))
    }

    type RangeStreamStream = Replies<PbRangeStreamResponse>;

    async fn range_stream(&self, _: Request<PbRangeRequest>) -> Reply<Self::RangeStreamStream> {
        unused()
    }

    async fn put(&self, _: Request<PbPutRequest>) -> Reply<PbPutResponse> {
        unused()
    }

    async fn delete_range(&self, _: Request<PbDeleteRequest>) -> Reply<PbDeleteResponse> {
        unused()
    }

    async fn txn(&self, _: Request<PbTxnRequest>) -> Reply<PbTxnResponse> {
        unused()
    }

    async fn compact(&self, _: Request<PbCompactionRequest>) -> Reply<PbCompactionResponse> {
        unused()
    }
}

#[tonic::async_trait]
impl PbMaintenanceService for Member {
    async fn alarm(&self, request: Request<PbAlarmRequest>) -> Reply<PbAlarmResponse> {
        self.world
            .asked(|condition| condition.leader && condition.commits)
            .await;
        self.world.reply().await;
        let Condition {
            alarm,
            shows_alarms,
            ..
        } = self.world.now();
        if !shows_alarms {
            return Err(Status::permission_denied("etcdserver: permission denied"));
        }
        // None asks for all kinds.
        let wanted = request.get_ref().alarm;
        let is_wanted = alarm != 0 && (wanted == 0 || wanted == alarm);
        let raised = is_wanted.then_some(PbAlarmMember {
            member_id: self.id,
            alarm,
        });
        Ok(Response::new(PbAlarmResponse {
            header: Some(self.header()),
            alarms: raised.into_iter().collect(),
        }))
    }

    async fn status(&self, _: Request<PbStatusRequest>) -> Reply<PbStatusResponse> {
        self.world.asked(|_| true).await;
        self.world.reply().await;
        Ok(Response::new(PbStatusResponse {
            header: Some(self.header()),
            leader: u64::from(self.world.now().leader),
            ..Default::default()
        }))
    }

    async fn defragment(&self, _: Request<PbDefragmentRequest>) -> Reply<PbDefragmentResponse> {
        unused()
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Reply<PbHashResponse> {
        unused()
    }

    async fn hash_kv(&self, _: Request<PbHashKvRequest>) -> Reply<PbHashKvResponse> {
        unused()
    }

    type SnapshotStream = Replies<PbSnapshotResponse>;

    async fn snapshot(&self, _: Request<PbSnapshotRequest>) -> Reply<Self::SnapshotStream> {
        unused()
    }

    async fn move_leader(&self, _: Request<PbMoveLeaderRequest>) -> Reply<PbMoveLeaderResponse> {
        unused()
    }

    async fn downgrade(&self, _: Request<PbDowngradeRequest>) -> Reply<PbDowngradeResponse> {
        unused()
    }
}

#[tonic::async_trait]
impl PbWatchService for Member {
    type WatchStream = Replies<PbWatchResponse>;

    async fn watch(&self, request: Request<Streaming<PbWatchRequest>>) -> Reply<Self::WatchStream> {
        // As with require-leader.
        if !self.world.now().leader {
            return Err(Status::unavailable("etcdserver: no leader"));
        }
        let member = self.clone();
        let asked = request.into_inner();
        let answers = asked.then(move |asked| {
            let member = member.clone();
            async move {
                let created = matches!(
                    asked?.request_union,
                    Some(PbWatchRequestUnion::CreateRequest(_))
                );
                member.world.asked(|_| true).await;
                member.world.reply().await;
                Ok(PbWatchResponse {
                    header: Some(member.header()),
                    created,
                    ..Default::default()
                })
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
