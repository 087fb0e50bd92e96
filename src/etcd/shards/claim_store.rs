//! The writes of a worker: taking part, the list of shards, claims and releases.

use std::sync::Arc;

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};

use super::reconcile::{Release, Write};
use super::work::Work;
use crate::etcd::basics::EtcdError;
use crate::etcd::membership::{LeaseSession, Node};
use crate::etcd::records::WorkKeys;

/// Writes the claims of one session.
pub(crate) struct ClaimStore {
    node: Arc<Node>,
    work: Arc<Work>,
    session: Arc<LeaseSession>,
    keys: Arc<WorkKeys>,
}

impl ClaimStore {
    pub(crate) fn new(node: Arc<Node>, work: Arc<Work>, session: Arc<LeaseSession>) -> Self {
        Self {
            keys: Arc::new(node.prefix.work(&work.name)),
            node,
            work,
            session,
        }
    }

    pub(crate) fn keys(&self) -> &Arc<WorkKeys> {
        &self.keys
    }

    pub(crate) async fn take_part(&self) -> Result<i64, EtcdError> {
        let list = self.work.list.identity().to_string();
        let options = PutOptions::new().with_lease(self.session.lease.id);
        let mut puts = self.list_puts();
        puts.push(TxnOp::put(self.own_key(), list, Some(options)));
        self.commit(puts).await
    }

    /// The write of this node's list, unless another node has written it.
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

    /// Commits operations, and returns the revision at which they are in the store.
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

    /// Sends a write, and returns the revision at which it is in the store.
    pub(crate) async fn write(&self, write: &Write) -> Result<i64, EtcdError> {
        match write {
            Write::TakePart => self.take_part().await,
            Write::List => self.commit(self.list_puts()).await,
            Write::Release(shards) => self.release(shards).await,
            Write::Claim(shards) => self.claim(shards).await,
        }
    }

    /// Claims shards without an owner. A shard that another node has claimed first is left to that node.
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

    /// Releases shards that have stopped here.
    ///
    /// It is safe to repeat this, and safe if it arrives late: a release applies to one claim, and not to a later one.
    async fn release(&self, shards: &[Release]) -> Result<i64, EtcdError> {
        let lease = self.session.lease.id;
        let releases = shards.iter().map(|&(place, revision)| {
            let key = self.keys.shard(self.work.list.name(place));
            let own = match revision {
                Some(revision) => Compare::mod_revision(&*key, CompareOp::Equal, revision),
                None => Compare::lease(&*key, CompareOp::Equal, lease),
            };
            // The key is removed with the lease, if no node claims it before.
            let put = TxnOp::put(key, "", Some(PutOptions::new().with_lease(lease)));
            TxnOp::txn(Txn::new().when([own]).and_then([put]))
        });
        self.settle(releases.collect()).await
    }

    /// Commits independent operations, many in one transaction, and only while this node is a member under its lease.
    ///
    /// Returns the revision at which all of them are in the store.
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

/// etcd accepts 128 operations in a transaction by default, including nested ones.
const BATCH: usize = 100;
