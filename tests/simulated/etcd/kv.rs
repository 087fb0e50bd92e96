//! Keys: reads, writes and transactions.

use etcd_client::proto::*;
use tonic::{Request, Response, Status};

use super::faults::Condition;
use super::gate::{Question, Side};
use super::member::{Member, Replies, Reply, unused};

#[tonic::async_trait]
impl PbKvService for Member {
    async fn range(&self, request: Request<PbRangeRequest>) -> Reply<PbRangeResponse> {
        let range = request.into_inner();
        // What a member has itself it tells without asking anybody.
        let is_local = range.serializable;
        let ready = |now: &Condition| is_local || now.leads(self.index);
        let asked = self.asked(ready).await;
        let question = Question::Read(&range);
        self.cluster.pass(Side::Before, question).await;
        permitted(&self.cluster.now())?;
        // The revision is that of the read; the reply may be late.
        let response = self.of_own_store(|store| {
            let mut response = store.range(&range)?;
            response.header = self.header(store);
            Ok::<_, Status>(response)
        })?;
        let revision = response.header.as_ref().map_or(0, |header| header.revision);
        self.cluster.pass(Side::After, question).await;
        self.reply(asked).await;
        self.cluster.answered(revision);
        Ok(Response::new(response))
    }

    async fn put(&self, request: Request<PbPutRequest>) -> Reply<PbPutResponse> {
        let put = request.into_inner();
        let (asked, response) = self
            .propose(move |member, store| {
                writable(&member.cluster.now())?;
                let mut response = store.put(&put)?;
                response.header = member.header(store);
                Ok(response)
            })
            .await?;
        self.reply(asked).await;
        Ok(Response::new(response))
    }

    async fn delete_range(&self, request: Request<PbDeleteRequest>) -> Reply<PbDeleteResponse> {
        let delete = request.into_inner();
        let (asked, response) = self
            .propose(move |member, store| {
                let now = member.cluster.now();
                permitted(&now)?;
                sound(&now)?;
                let mut response = store.delete_range(&delete)?;
                response.header = member.header(store);
                Ok(response)
            })
            .await?;
        self.reply(asked).await;
        Ok(Response::new(response))
    }

    async fn txn(&self, request: Request<PbTxnRequest>) -> Reply<PbTxnResponse> {
        let txn = request.into_inner();
        let (member, held) = (self.clone(), txn.clone());
        let held = async move {
            let question = Question::Transaction(&held);
            member.cluster.pass(Side::Before, question).await;
        };
        let (asked, response) = self
            .propose_after(held, move |member, store| {
                let now = member.cluster.now();
                if puts(&txn) {
                    writable(&now)?;
                } else {
                    permitted(&now)?;
                    sound(&now)?;
                }
                let mut response = store.txn(&txn)?;
                response.header = member.header(store);
                Ok(response)
            })
            .await?;
        self.reply(asked).await;
        Ok(Response::new(response))
    }

    type RangeStreamStream = Replies<PbRangeStreamResponse>;

    async fn range_stream(&self, _: Request<PbRangeRequest>) -> Reply<Self::RangeStreamStream> {
        unused()
    }

    async fn compact(&self, _: Request<PbCompactionRequest>) -> Reply<PbCompactionResponse> {
        unused()
    }
}

/// Whether a transaction puts anything, whichever way it goes.
fn puts(txn: &PbTxnRequest) -> bool {
    let operations = txn.success.iter().chain(&txn.failure);
    operations
        .filter_map(|operation| operation.request.as_ref())
        .any(|operation| match operation {
            PbTxnOpRequest::RequestPut(_) => true,
            PbTxnOpRequest::RequestTxn(txn) => puts(txn),
            _ => false,
        })
}

/// Whether the store takes more.
fn writable(now: &Condition) -> Result<(), Status> {
    permitted(now)?;
    sound(now)?;
    has_space(now)
}

fn permitted(now: &Condition) -> Result<(), Status> {
    if now.permits {
        return Ok(());
    }
    Err(Status::permission_denied("etcdserver: permission denied"))
}

pub(super) fn sound(now: &Condition) -> Result<(), Status> {
    if now.is_corrupt() {
        return Err(Status::data_loss("etcdserver: corrupt cluster"));
    }
    Ok(())
}

pub(super) fn has_space(now: &Condition) -> Result<(), Status> {
    if now.is_full() {
        return Err(Status::resource_exhausted(
            "etcdserver: mvcc: database space exceeded",
        ));
    }
    Ok(())
}
