//! The registration of this node under its id.

use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};
use tokio::time::sleep;
use tracing::Level;

use super::lease_answer::Left;
use super::lease_session::LeaseSession;
use super::lease_state::Lease;
use super::node::{Node, failure};
use super::registration::{Look, PredecessorWait, Registered};
use crate::etcd::basics::{EtcdError, RETRY_AFTER, TARGET};
use crate::etcd::host::clock;
use crate::shell::component::Context;
use crate::shell::failure::Failure;
use crate::shell::log::log;

impl Node {
    /// Registers the node, and marks the component as up. Returns when the node is registered.
    ///
    /// # Errors
    ///
    /// If another node is alive under the id; if the key was not written by a node; if etcd refuses for good.
    pub(crate) async fn register(
        &self,
        session: &LeaseSession,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let registered = self.until_registered(session.lease, ctx).await;
        if registered.is_err() {
            // If the revocation fails, the lease runs out.
            let _ = self.revoke(session.lease).await;
        }
        session.register(registered?);
        ctx.mark_ready();
        Ok(())
    }

    /// Tries until the node is registered, and returns the revision of the registration.
    async fn until_registered(&self, lease: Lease, ctx: &Context) -> Result<i64, Failure> {
        // Leases of earlier epochs of this process, whose work is gone.
        while let Some(earlier) = self.earlier_lease(lease) {
            match self.revoke(earlier).await {
                Ok(()) => self.forget(earlier),
                Err(cause) => self.not_yet(&cause).await?,
            }
        }
        let mut waiting = PredecessorWait::default();
        loop {
            match self.try_to_register(lease).await {
                Ok(Registered::At(revision)) => return Ok(revision),
                Ok(Registered::Other(id)) => {
                    let theirs = Lease { id, ..lease };
                    self.wait_for(theirs, &mut waiting, ctx).await?;
                }
                Ok(Registered::NoNode) => return Err(self.no_node()),
                Err(cause) => self.not_yet(&cause).await?,
            }
        }
    }

    async fn try_to_register(&self, lease: Lease) -> Result<Registered, EtcdError> {
        let (of, lease) = (lease.of(), lease.id);
        let (key, metadata) = (self.prefix.member(&self.id), self.metadata.clone());
        let put = TxnOp::put(&*key, metadata, Some(PutOptions::new().with_lease(lease)));
        let absent = Compare::create_revision(&*key, CompareOp::Equal, 0);
        let txn = Txn::new().when([absent]).and_then([put]);
        let ask = |mut client: Client| async move { client.txn(txn).await };
        let answer = self.lease_failover.ask(of, ask).await?;
        if answer.succeeded() {
            let header = answer.header().ok_or_else(EtcdError::without_header)?;
            return Ok(Registered::At(header.revision()));
        }
        let ask = |mut client: Client| async move { client.get(key, None).await };
        let read = self.lease_failover.ask(of, ask).await?;
        let found = read.kvs().first();
        let found = found.map(|kv| (kv.lease(), kv.mod_revision()));
        Ok(Registered::instead_of(lease, found))
    }

    /// Checks the registration of another node once, and pauses.
    async fn wait_for(
        &self,
        theirs: Lease,
        waiting: &mut PredecessorWait,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let (id, key, lease) = (&self.id, self.prefix.member(&self.id), theirs.id);
        let left = match self.time_to_live(theirs).await {
            Ok(left) => left,
            Err(cause) => return self.not_yet(&cause).await,
        };
        let (newly, missed) = match waiting.looks(lease, left, clock::now()) {
            Look::Wait { newly, missed } => (newly, missed),
            Look::Gone => {
                sleep(RETRY_AFTER).await;
                return Ok(());
            }
            Look::Alive => {
                let text = format!(
                    "another node is alive under the id {id:?} (lease {lease:x} of {key}): give each \
                     node an id of its own"
                );
                return Err(Failure::new(text));
            }
        };
        if newly {
            let (id, at_most) = (id.clone(), left.map(Left::at_most));
            log(Level::INFO, move |at_ms| {
                tracing::info!(target: TARGET, at_ms, id, lease = format!("{lease:x}"), at_most_s = at_most,
                    "the id is still registered: waiting for that lease to run out"
                );
            });
        }
        if missed {
            ctx.mark_ready();
        }
        sleep(LOOK).await;
        Ok(())
    }

    fn no_node(&self) -> Failure {
        let key = self.prefix.member(&self.id);
        Failure::new(format!(
            "{key} is there without a lease, so no node wrote it: delete it, or use another prefix"
        ))
    }

    /// Pauses, unless etcd refuses for good.
    async fn not_yet(&self, cause: &EtcdError) -> Result<(), Failure> {
        let Some(pause) = cause.again_in() else {
            return Err(failure("not registered", cause));
        };
        let (id, why) = (self.id.clone(), cause.text.clone());
        log(
            Level::DEBUG,
            move |at_ms| tracing::debug!(target: TARGET, at_ms, id, why, "not registered yet"),
        );
        sleep(pause).await;
        Ok(())
    }
}

/// The pause between two checks of another lease: short enough to see each renewal of a short lease.
const LOOK: Duration = Duration::from_millis(250);
