//! The law of leases: whoever works has a claim in the store, by a lease that lives for the margin at least.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use overwatch::etcd::Membership;

use super::node::claim_on;
use super::record::{Record, Run};
use crate::etcd::Cluster;

/// Looks at each step whether the law is kept.
pub(super) struct Leases {
    margin: Duration,
    /// Of the claims that were seen, by their tokens.
    of: BTreeMap<i64, i64>,
    /// Those that were revoked by hand, and when.
    revoked: BTreeMap<i64, Duration>,
    /// Those whose nodes' machines were suspended, and when that was over.
    suspended: BTreeMap<i64, Duration>,
    /// The claims that were removed by hand, by their tokens, and when.
    removed: BTreeMap<i64, Duration>,
}

impl Leases {
    pub(super) fn new(margin: Duration) -> Self {
        Self {
            margin,
            of: BTreeMap::new(),
            revoked: BTreeMap::new(),
            removed: BTreeMap::new(),
            suspended: BTreeMap::new(),
        }
    }

    /// A lease was revoked behind the back of its node.
    pub(super) fn revoked(&mut self, lease: i64, now: Duration) {
        self.revoked.insert(lease, now);
    }

    /// The machine of a node was suspended, which costs its lease time from one moment to the next.
    pub(super) fn suspended(&mut self, lease: i64, now: Duration) {
        self.suspended.insert(lease, now);
    }

    /// A claim was removed behind the back of its node.
    pub(super) fn removed(&mut self, token: i64, now: Duration) {
        self.removed.insert(token, now);
    }

    /// Judges what goes on at this moment.
    ///
    /// # Errors
    ///
    /// When somebody works without a claim, or when its lease may run out within the margin.
    pub(super) fn judge(
        &mut self,
        now: Duration,
        record: &Record,
        clusters: &[Arc<Cluster>],
    ) -> Result<(), String> {
        record.judge_unfinished(|run| self.judge_run(now, run, clusters))
    }

    fn judge_run(
        &mut self,
        now: Duration,
        run: &Run,
        clusters: &[Arc<Cluster>],
    ) -> Result<(), String> {
        let key = claim_on(run.shard);
        let stored = clusters.iter().filter_map(|cluster| cluster.stored(&key));
        let mut claims = stored.filter(|stored| stored.revision == run.revision());
        let Some(claim) = claims.next() else {
            let lease = self.of.get(&run.token);
            let revoked = lease.and_then(|lease| self.revoked.get(lease));
            return match revoked.or_else(|| self.removed.get(&run.revision())) {
                Some(&at) if now < at + Membership::GRACE => Ok(()),
                _ => Err(format!("at {now:?} there is no claim for {run:?}")),
            };
        };
        self.of.insert(run.token, claim.lease);
        match claim.ends {
            Some(ends) if ends + LATE >= now + self.margin => Ok(()),
            // Its work has no turn before it goes on.
            _ if self
                .suspended
                .get(&claim.lease)
                .is_some_and(|&at| now <= at + GOES_ON) =>
            {
                Ok(())
            }
            ends => Err(format!(
                "at {now:?} the lease ends at {ends:?}, sooner than the margin allows to {run:?}"
            )),
        }
    }
}

/// How late a host may look at its clock: it has its turn once in a step.
const LATE: Duration = Duration::from_millis(20);
/// Within this each function has been polled.
const GOES_ON: Duration = Duration::from_millis(50);
