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

use crate::lock;
use crate::net::{Accepted, Chance, Traffic, clock};

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
    /// Who accepts connections and closes them: all at once, one of several soon.
    pub(crate) hangs_up: Whom,
    /// Who is far, and sends half of its replies so late that they arrive after their time.
    pub(crate) late: Whom,
}

/// Whom something happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    Nobody,
    One(usize),
    All,
}

impl Whom {
    fn is(self, index: usize) -> bool {
        match self {
            Self::Nobody => false,
            Self::One(one) => one == index,
            Self::All => true,
        }
    }
}

/// How long anything takes to a member that is far, and back from it. A reply that comes at once is a
/// good one all the same, so that the member is still asked.
pub(crate) const LATE_WAY: Duration = Duration::from_millis(400);
/// So much later is a late reply. With both ways that is more than the request timeout; but it is sent
/// before the member can hear that nobody waits any more.
const LATE: Duration = Duration::from_millis(2_800);
/// One that hangs up does so within this time.
const SOON: Duration = Duration::from_millis(1_500);
/// The probe's, by default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

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
        hangs_up: Whom::Nobody,
        late: Whom::Nobody,
    };
}

/// What all members share.
pub(crate) struct World {
    condition: Mutex<Condition>,
    /// Wakes in the order of waiting, as tokio's watch channel does not.
    changed: Notify,
    store: Mutex<Store>,
    traffic: Arc<Mutex<Traffic>>,
}

struct Store {
    revision: i64,
    term: u64,
    reads: u64,
    /// The last of the reads that was answered.
    answered: u64,
    chance: Chance,
}

/// A question that has arrived.
#[derive(Clone, Copy)]
struct Asked {
    index: usize,
    at: Duration,
}

impl World {
    pub(crate) fn new(seed: u64, traffic: Arc<Mutex<Traffic>>) -> Self {
        Self {
            condition: Mutex::new(Condition::GOOD),
            changed: Notify::new(),
            store: Mutex::new(Store {
                revision: 1_000,
                term: 5,
                reads: 0,
                answered: 0,
                chance: Chance(seed ^ 0xfa4e),
            }),
            traffic,
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

    /// Takes a question of the member at `index`, once it can be answered.
    async fn asked(&self, index: usize, ready: impl Fn(&Condition) -> bool) -> Asked {
        let at = clock();
        lock(&self.traffic).requests.push((at, index));
        self.when(ready).await;
        Asked { index, at }
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
    async fn reply(&self, Asked { index, at }: Asked) {
        self.when(|_| true).await;
        let now = self.now();
        let mut delay = now.slower + self.below(now.spread);
        let is_far = now.late.is(index);
        if is_far && lock(&self.store).chance.below(2) == 0 {
            delay += LATE;
        }
        if !delay.is_zero() {
            sleep(delay).await;
        }
        if is_far && LATE_WAY + (clock() - at) + LATE_WAY > REQUEST_TIMEOUT {
            lock(&self.traffic).late += 1;
        }
    }

    /// Any time below this one.
    fn below(&self, bound: Duration) -> Duration {
        match bound.as_millis() as u64 {
            0 => Duration::ZERO,
            bound => lock(&self.store).chance.ms(0, bound),
        }
    }

    /// Numbers the reads, in the order of their revisions.
    fn read(&self) -> u64 {
        let mut store = lock(&self.store);
        store.reads += 1;
        store.reads
    }

    fn answered(&self, read: u64) {
        let mut store = lock(&self.store);
        if read < store.answered {
            lock(&self.traffic).overtakings += 1;
        }
        store.answered = store.answered.max(read);
    }

    fn now(&self) -> Condition {
        *lock(&self.condition)
    }
}

/// One member's services.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) world: Arc<World>,
    pub(crate) index: usize,
}

impl Member {
    /// Listens until its host goes down.
    pub(crate) async fn serve(self) -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        let (tell, told) = tokio::sync::mpsc::channel::<io::Result<Accepted>>(16);
        let (world, index) = (Arc::clone(&self.world), self.index);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let closes = match world.now().hangs_up {
                    Whom::All => continue,
                    one if one.is(index) => Some(Box::pin(sleep(world.below(SOON)))),
                    _ => None,
                };
                if tell.send(Ok(Accepted { stream, closes })).await.is_err() {
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

    fn id(&self) -> u64 {
        self.index as u64 + 1
    }

    async fn asked(&self, ready: impl Fn(&Condition) -> bool) -> Asked {
        self.world.asked(self.index, ready).await
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
            member_id: self.id(),
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
        let asked = self.asked(|condition| condition.leader).await;
        if !self.world.now().permits {
            return Err(Status::permission_denied("etcdserver: permission denied"));
        }
        let header = Some(self.header());
        let number = self.world.read();
        self.world.reply(asked).await;
        self.world.answered(number);
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
        let asked = self.asked(|condition| condition.leader && condition.commits);
        self.world.reply(asked.await).await;
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
            member_id: self.id(),
            alarm,
        });
        Ok(Response::new(PbAlarmResponse {
            header: Some(self.header()),
            alarms: raised.into_iter().collect(),
        }))
    }

    async fn status(&self, _: Request<PbStatusRequest>) -> Reply<PbStatusResponse> {
        let asked = self.asked(|_| true).await;
        self.world.reply(asked).await;
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
                let asked = member.asked(|_| true).await;
                member.world.reply(asked).await;
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
