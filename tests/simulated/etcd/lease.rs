//! Leases.

use std::pin::pin;

use etcd_client::proto::*;
use tokio_stream::StreamExt;
use tonic::{Request, Response, Streaming};

use super::gate::{Question, Side};
use super::kv::{has_space, sound};
use super::member::{Member, Replies, Reply};
use super::store::Renewal;
use crate::net::clock;

#[tonic::async_trait]
impl PbLeaseService for Member {
    async fn lease_grant(
        &self,
        request: Request<PbLeaseGrantRequest>,
    ) -> Reply<PbLeaseGrantResponse> {
        let grant = request.into_inner();
        let (asked, response) = self
            .propose(move |member, store| {
                let now = member.cluster.now();
                sound(&now)?;
                has_space(&now)?;
                let mut response = store.grant(&grant, clock())?;
                response.header = member.header(store);
                Ok(response)
            })
            .await?;
        self.cluster.pass(Side::After, Question::Grant).await;
        self.reply(asked).await;
        Ok(Response::new(response))
    }

    async fn lease_revoke(
        &self,
        request: Request<PbLeaseRevokeRequest>,
    ) -> Reply<PbLeaseRevokeResponse> {
        let lease = request.into_inner().id;
        let (asked, header) = self
            .propose(move |member, store| {
                sound(&member.cluster.now())?;
                store.revoke(lease)?;
                Ok(member.header(store))
            })
            .await?;
        self.reply(asked).await;
        Ok(Response::new(PbLeaseRevokeResponse { header }))
    }

    type LeaseKeepAliveStream = Replies<PbLeaseKeepAliveResponse>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<PbLeaseKeepAliveRequest>>,
    ) -> Reply<Self::LeaseKeepAliveStream> {
        let member = self.clone();
        self.replies(request, |mut requests, tell| async move {
            while let Some(Ok(PbLeaseKeepAliveRequest { id })) = requests.next().await {
                // The leader alone renews: nothing is committed.
                let asked = member.asked(|now| now.leader).await;
                let renewed = member.renewed(id).await;
                member.cluster.pass(Side::After, Question::Renewal).await;
                member.reply(asked).await;
                if tell.send(Ok(renewed)).await.is_err() {
                    return;
                }
            }
        })
    }

    async fn lease_time_to_live(
        &self,
        request: Request<PbLeaseTimeToLiveRequest>,
    ) -> Reply<PbLeaseTimeToLiveResponse> {
        let asked = self.asked(|now| now.leader).await;
        let response = self.of_own_store(|store| {
            let mut response = store.time_to_live(request.get_ref(), clock());
            response.header = self.header(store);
            response
        });
        self.reply(asked).await;
        Ok(Response::new(response))
    }

    async fn lease_leases(&self, _: Request<PbLeaseLeasesRequest>) -> Reply<PbLeaseLeasesResponse> {
        let asked = self.asked(|_| true).await;
        let response = self.of_own_store(|store| {
            let mut response = store.leases();
            response.header = self.header(store);
            response
        });
        self.reply(asked).await;
        Ok(Response::new(response))
    }
}

impl Member {
    /// Renews a lease. Of one that has run out it is waited for what becomes of it: a new leader may give
    /// it another time yet.
    async fn renewed(&self, id: i64) -> PbLeaseKeepAliveResponse {
        loop {
            let mut written = pin!(self.cluster.written().notified());
            written.as_mut().enable();
            let (renewal, header) = self.of_own_store(|store| {
                let renewal = store.renew(id, clock());
                (renewal, self.header(store))
            });
            let ttl = match renewal {
                Renewal::Renewed(ttl) => ttl,
                Renewal::Gone => 0,
                Renewal::Ending => {
                    written.await;
                    continue;
                }
            };
            return PbLeaseKeepAliveResponse { header, id, ttl };
        }
    }
}
