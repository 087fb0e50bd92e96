//! One node under one id.

use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};
use tokio::time::{Instant, sleep};
use tracing::Level;

use super::node::{NO_LEASE, Node, failure};
use super::session::{Lease, Session};
use crate::etcd::backoff::PAUSE;
use crate::etcd::cause::Cause;
use crate::etcd::line::TARGET;
use crate::shell::log;
use crate::{Context, Failure};

/// Who is registered.
enum Registered {
    /// This node, since this revision.
    At(i64),
    /// Whoever has this lease.
    Other(i64),
}

/// Somebody else's registration, as it was first seen.
struct Other {
    lease: i64,
    /// Seconds that were left.
    left: i64,
    at: Instant,
}

impl Other {
    /// Whether the lease was renewed since, if so many seconds are left now. etcd tells whole seconds,
    /// rounded down. (A new leader lengthens all leases. Then a node that is dead counts as alive,
    /// until it is tried again.)
    fn was_renewed(&self, left: i64, now: Instant) -> bool {
        let passed = now.duration_since(self.at).as_secs_f64();
        left as f64 >= self.left as f64 - passed + 2.0
    }
}

impl Node {
    /// Registers the node, and says that it is up. Ends when it is registered.
    ///
    /// # Errors
    ///
    /// When another node lives under the id, or something that is no node.
    pub(super) async fn register(&self, session: &Session, ctx: &Context) -> Result<(), Failure> {
        // Those of earlier epochs of this process, whose work is gone.
        while let Some(earlier) = self.earlier_lease(session.lease) {
            if earlier.cluster != session.lease.cluster {
                // It runs out where it was taken; nothing here is bound to it.
                self.forget(earlier);
                continue;
            }
            match self.revoke(earlier).await {
                Ok(()) => self.forget(earlier),
                Err(cause) => self.not_yet(&cause).await?,
            }
        }
        let mut other = None;
        let revision = loop {
            match self.try_to_register(session.lease).await {
                Ok(Registered::At(revision)) => break revision,
                Ok(Registered::Other(id)) => {
                    let cluster = session.lease.cluster;
                    let lease = Lease { id, cluster };
                    if let Err(refused) = self.wait_for(lease, &mut other, ctx).await {
                        // As if it had never been there. If that fails, the lease runs out.
                        let _ = self.revoke(session.lease).await;
                        return Err(refused);
                    }
                }
                Err(cause) => self.not_yet(&cause).await?,
            }
        };
        session.register(revision);
        ctx.ready();
        Ok(())
    }

    async fn try_to_register(&self, lease: Lease) -> Result<Registered, Cause> {
        let (of, lease) = (lease.of(), lease.id);
        let (key, metadata) = (self.prefix.member(&self.id), self.metadata.clone());
        let put = TxnOp::put(&*key, metadata, Some(PutOptions::new().with_lease(lease)));
        let absent = Compare::create_revision(&*key, CompareOp::Equal, 0);
        let txn = Txn::new().when([absent]).and_then([put]);
        let ask = |mut client: Client| async move { client.txn(txn).await };
        let answer = self.lease_line.ask(of, ask).await?;
        if answer.succeeded() {
            let header = answer.header().ok_or_else(Cause::without_header)?;
            return Ok(Registered::At(header.revision()));
        }
        let ask = |mut client: Client| async move { client.get(key, None).await };
        let read = self.lease_line.ask(of, ask).await?;
        Ok(match read.kvs().first() {
            // The answer to an earlier try was lost.
            Some(kv) if kv.lease() == lease => Registered::At(kv.mod_revision()),
            Some(kv) => Registered::Other(kv.lease()),
            None => Registered::Other(NO_LEASE),
        })
    }

    /// Looks at another's registration once, and pauses.
    async fn wait_for(
        &self,
        theirs: Lease,
        other: &mut Option<Other>,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let (id, key) = (&self.id, self.prefix.member(&self.id));
        let lease = theirs.id;
        if lease == 0 {
            let text = format!(
                "{key} is there without a lease, so no node wrote it: delete it, or use another prefix"
            );
            return Err(Failure::new(text));
        }
        let (left, granted) = match self.time_to_live(theirs).await {
            Ok(Some(told)) => told,
            Ok(None) => {
                sleep(PAUSE).await;
                return Ok(());
            }
            Err(cause) => return self.not_yet(&cause).await,
        };
        match other {
            Some(seen) if seen.lease == lease => {
                if seen.was_renewed(left, Instant::now()) {
                    let text = format!(
                        "another node is alive under the id {id:?} (lease {lease:x} of {key}): give each \
                         node an id of its own"
                    );
                    return Err(Failure::new(text));
                }
            }
            _ => {
                let id = id.clone();
                log(Level::INFO, move |at_ms| {
                    tracing::info!(target: TARGET, at_ms, id, lease = format!("{lease:x}"), seconds = left,
                        "the id is still registered: waiting for that lease to run out"
                    );
                });
                let at = Instant::now();
                *other = Some(Other { lease, left, at });
            }
        }
        // A node that lives renews its lease five times in the life of it. This one missed that.
        if left.saturating_mul(5) < granted.saturating_mul(4).saturating_sub(5) {
            ctx.ready();
        }
        sleep(LOOK).await;
        Ok(())
    }

    /// Pauses, unless etcd refuses it for good.
    async fn not_yet(&self, cause: &Cause) -> Result<(), Failure> {
        if cause.is_refusal() {
            return Err(failure("not registered", cause));
        }
        let (id, why) = (self.id.clone(), cause.text.clone());
        log(
            Level::DEBUG,
            move |at_ms| tracing::debug!(target: TARGET, at_ms, id, why, "not registered yet"),
        );
        sleep(PAUSE).await;
        Ok(())
    }
}

/// Between two looks at another's lease: often enough to see each renewal of a short one.
const LOOK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is seen after so many seconds that a lease is renewed, which had so much left when
    /// it was first seen, and which is renewed so often from then on.
    fn seen(granted: f64, left: f64, renewed_after: &[f64], passed: f64) -> bool {
        let at = Instant::now();
        let other = Other {
            lease: 1,
            left: left as i64,
            at,
        };
        let last = renewed_after.iter().rev().find(|&&after| after <= passed);
        let left = last.map_or(left - passed, |after| granted - (passed - after));
        other.was_renewed(left as i64, at + Duration::from_secs_f64(passed))
    }

    #[test]
    fn a_lease_that_is_renewed_is_told_from_one_that_runs_out() {
        for (granted, every) in [(3.0, 0.6), (5.0, 1.0), (9.0, 1.8), (14.0, 2.8)] {
            for phase in 0..20 {
                let first = every * f64::from(phase) / 20.0;
                let renewals: Vec<f64> = (0..10).map(|n| first + every * f64::from(n)).collect();
                let left = granted - (every - first);
                assert!(
                    seen(granted, left, &renewals, first.max(0.0) + 2.5),
                    "{granted} {phase}"
                );
                for tenth in 0..(left * 10.0) as u32 {
                    let passed = f64::from(tenth) / 10.0;
                    assert!(
                        !seen(granted, left, &[], passed),
                        "{granted} {phase} {passed}"
                    );
                }
            }
        }
    }
}
