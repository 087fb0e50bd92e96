//! One member of a cluster.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::proto::*;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use turmoil::net::TcpListener;

use super::cluster::Cluster;
use super::faults::{Condition, LATE, LATE_WAY, REQUEST_TIMEOUT, SOON, Whom};
use super::store::Store;
use crate::lock;
use crate::net::{Accepted, clock};

/// etcd's.
pub(crate) const PORT: u16 = 2379;

/// A member, and which of the hosts of the simulation it is.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) index: usize,
}

/// A question that has arrived.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    at: Duration,
}

pub(super) type Reply<T> = Result<Response<T>, Status>;
pub(super) type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
/// Where the replies of a stream go.
pub(super) type Tell<T> = mpsc::Sender<Result<T, Status>>;

impl Member {
    /// Listens until its host goes down.
    pub(crate) async fn serve(self) -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        let (tell, told) = mpsc::channel::<io::Result<Accepted>>(16);
        let (cluster, index) = (Arc::clone(&self.cluster), self.index);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let closes = match cluster.now().hangs_up {
                    Whom::All => continue,
                    one if one.is(index) => Some(Box::pin(sleep(cluster.below(SOON)))),
                    _ => None,
                };
                if tell.send(Ok(Accepted { stream, closes })).await.is_err() {
                    return;
                }
            }
        });
        tonic::transport::Server::builder()
            .add_service(PbKvServer::new(self.clone()))
            .add_service(PbLeaseServer::new(self.clone()))
            .add_service(PbMaintenanceServer::new(self.clone()))
            .add_service(PbWatchServer::new(self))
            .serve_with_incoming(ReceiverStream::new(told))
            .await?;
        Ok(())
    }

    pub(super) fn id(&self) -> u64 {
        self.index as u64 + 1
    }

    pub(super) fn header(&self, store: &Store) -> Option<PbResponseHeader> {
        Some(self.cluster.header(self.id(), store))
    }

    /// What it makes of its own copy of the store.
    pub(super) fn of_own_store<T>(&self, look: impl FnOnce(&mut Store) -> T) -> T {
        self.cluster.of_member(self.index, look)
    }

    /// A header of this moment.
    pub(super) fn header_now(&self) -> Option<PbResponseHeader> {
        self.of_own_store(|store| self.header(store))
    }

    /// Takes a question, once it can be answered.
    pub(super) async fn asked(&self, ready: impl Fn(&Condition) -> bool) -> Asked {
        let asked = Asked { at: clock() };
        lock(&self.cluster.traffic)
            .requests
            .push((asked.at, self.index));
        self.cluster.when(ready).await;
        asked
    }

    /// What is said without being asked.
    pub(super) fn unasked(&self) -> Asked {
        Asked { at: clock() }
    }

    /// Changes the store by a proposal. That is committed even if whoever asked for it does not wait any
    /// more; only what is asked while there is no leader is lost then.
    pub(super) async fn propose<T, F>(&self, propose: F) -> Result<(Asked, T), Status>
    where
        F: FnOnce(&Self, &mut Store) -> Result<T, Status> + Send + 'static,
        T: Send + 'static,
    {
        self.propose_after(std::future::ready(()), propose).await
    }

    /// The same, for a proposal that is held up first.
    pub(super) async fn propose_after<T, F>(
        &self,
        held: impl Future<Output = ()> + Send + 'static,
        propose: F,
    ) -> Result<(Asked, T), Status>
    where
        F: FnOnce(&Self, &mut Store) -> Result<T, Status> + Send + 'static,
        T: Send + 'static,
    {
        let asked = self.asked(|now| now.leads(self.index)).await;
        let member = self.clone();
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            held.await;
            let commits = |now: &Condition| now.leads(member.index) && now.commits;
            member.cluster.when(commits).await;
            let done = member.cluster.write(|store| propose(&member, store));
            let _ = tell.send(done);
        });
        let done = told.await.map_err(|_| Status::unknown("not carried out"))?;
        Ok((asked, done?))
    }

    /// The way of a reply.
    pub(super) async fn reply(&self, Asked { at }: Asked) {
        self.cluster.when(|_| true).await;
        let now = self.cluster.now();
        let mut delay = now.slower + self.cluster.below(now.spread);
        let is_far = now.late.is(self.index);
        if is_far && self.cluster.either() {
            delay += LATE;
        }
        if !delay.is_zero() {
            sleep(delay).await;
        }
        if is_far && LATE_WAY + (clock() - at) + LATE_WAY > REQUEST_TIMEOUT {
            lock(&self.cluster.traffic).late += 1;
        }
    }

    /// Replies on a stream, until this ends or nobody listens any more; or, if the request wants that,
    /// until there was no leader for some time.
    pub(super) fn replies<Q, T, W, F>(&self, request: Request<Q>, work: W) -> Reply<Replies<T>>
    where
        T: Send + 'static,
        W: FnOnce(Q, Tell<T>) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let requires_leader = request.metadata().contains_key("hasleader");
        if requires_leader && !self.cluster.now().leader {
            return Err(no_leader());
        }
        let (tell, told) = mpsc::channel(1);
        let work = work(request.into_inner(), tell.clone());
        let cluster = Arc::clone(&self.cluster);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = tell.closed() => {}
                () = cluster.leaderless(), if requires_leader => {
                    let _ = tell.send(Err(no_leader())).await;
                }
                () = work => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(told))))
    }
}

fn no_leader() -> Status {
    Status::unavailable("etcdserver: no leader")
}

pub(super) fn unused<T>() -> Reply<T> {
    Err(Status::unimplemented("not simulated"))
}
