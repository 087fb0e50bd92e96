//! What a worker writes to etcd: that its node takes part, what its list is, claims and releases.

use std::sync::Arc;

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};

use super::reconcile::{Release, Write};
use super::work::Work;
use crate::etcd::basics::EtcdError;
use crate::etcd::membership::{LeaseSession, Node};
use crate::etcd::records::WorkKeys;

/// The claims in etcd, as one session may write them.
pub(crate) struct ClaimStore {
    node: Arc<Node>,
    work: Arc<Work>,
    session: Arc<LeaseSession>,
    keys: WorkKeys,
}

impl ClaimStore {
    pub(crate) fn new(node: Arc<Node>, work: Arc<Work>, session: Arc<LeaseSession>) -> Self {
        Self {
            keys: node.prefix.work(&work.name),
            node,
            work,
            session,
        }
    }

    pub(crate) fn keys(&self) -> &WorkKeys {
        &self.keys
    }

    pub(crate) async fn take_part(&self) -> Result<i64, EtcdError> {
        let list = self.work.list.identity().to_string();
        let options = PutOptions::new().with_lease(self.session.lease.id);
        let mut puts = self.list_puts();
        puts.push(TxnOp::put(self.own_key(), list, Some(options)));
        self.commit(puts).await
    }

    /// Writes down what this node's list is, unless another node has done so.
    fn list_puts(&self) -> Vec<TxnOp> {
        let list = &self.work.list;
        let (Some(name), Some(record)) = (list.identity().record_name(), list.record()) else {
            return Vec::new();
        };
        let key = self.keys.list(&name);
        let absent = Compare::create_revision(&*key, CompareOp::Equal, 0);
        let options = PutOptions::new().with_lease(self.session.lease.id);
        let put = TxnOp::put(key, record, Some(options));
        vec![TxnOp::txn(Txn::new().when([absent]).and_then([put]))]
    }

    /// Returns the revision at which it is in the store.
    async fn commit(&self, operations: Vec<TxnOp>) -> Result<i64, EtcdError> {
        let txn = Txn::new().and_then(operations);
        let ask = |mut client: Client| async move { client.txn(txn).await };
        let answer = self.node.ask(self.session.lease.of(), ask).await?;
        Ok(answer
            .header()
            .ok_or_else(EtcdError::without_header)?
            .revision())
    }

    pub(crate) fn own_key(&self) -> String {
        self.keys.on(&self.node.id, self.session.lease.id)
    }

    /// Writes it. Returns the revision at which it is in the store.
    pub(crate) async fn write(&self, write: &Write) -> Result<i64, EtcdError> {
        match write {
            Write::TakePart => self.take_part().await,
            Write::List => self.commit(self.list_puts()).await,
            Write::Release(shards) => self.release(shards).await,
            Write::Claim(shards) => self.claim(shards).await,
        }
    }

    /// Claims what nobody has. What another one was faster to claim is left to it.
    async fn claim(&self, shards: &[(usize, Option<i64>)]) -> Result<i64, EtcdError> {
        let options = || Some(PutOptions::new().with_lease(self.session.lease.id));
        let claims = shards.iter().map(|&(place, released)| {
            let key = self.keys.shard(self.work.list.name(place));
            let free = match released {
                None => Compare::create_revision(&*key, CompareOp::Equal, 0),
                Some(revision) => Compare::mod_revision(&*key, CompareOp::Equal, revision),
            };
            let put = TxnOp::put(key, &*self.node.id, options());
            TxnOp::txn(Txn::new().when([free]).and_then([put]))
        });
        self.settle(claims.collect()).await
    }

    /// Says that these shards have stopped here. Safe to repeat, and safe if it arrives late: it is
    /// about one claim, and not about a later one.
    async fn release(&self, shards: &[Release]) -> Result<i64, EtcdError> {
        let lease = self.session.lease.id;
        let releases = shards.iter().map(|&(place, revision)| {
            let key = self.keys.shard(self.work.list.name(place));
            let own = match revision {
                Some(revision) => Compare::mod_revision(&*key, CompareOp::Equal, revision),
                None => Compare::lease(&*key, CompareOp::Equal, lease),
            };
            // It goes away with the lease, if nobody claims it before.
            let put = TxnOp::put(key, "", Some(PutOptions::new().with_lease(lease)));
            TxnOp::txn(Txn::new().when([own]).and_then([put]))
        });
        self.settle(releases.collect()).await
    }

    /// Each by itself, but many in one transaction, and only while this node is a member by its lease.
    /// Returns the revision at which all of it is in the store.
    async fn settle(&self, mut operations: Vec<TxnOp>) -> Result<i64, EtcdError> {
        let mut revision = 0;
        while !operations.is_empty() {
            let rest = operations.split_off(operations.len().min(BATCH));
            let member = self.node.prefix.member(&self.node.id);
            let is_member = Compare::lease(member, CompareOp::Equal, self.session.lease.id);
            let txn = Txn::new().when([is_member]).and_then(operations);
            let ask = |mut client: Client| async move { client.txn(txn).await };
            let answer = self.node.ask(self.session.lease.of(), ask).await?;
            revision = answer
                .header()
                .ok_or_else(EtcdError::without_header)?
                .revision();
            operations = rest;
        }
        Ok(revision)
    }
}

/// etcd takes 128 operations in a transaction by default, and counts those within others.
const BATCH: usize = 100;
