//! Registrations of nodes: their owners, and what they show about them. Pure.

use core::str::from_utf8;
use core::time::Duration;
use std::collections::BTreeMap;

use super::lease_answer::Left;
use crate::etcd::basics::EtcdConfigError;
use crate::etcd::records::{Entry, ForeignKeys, Prefix};

/// The owner of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// This node, since this revision.
    At(i64),
    /// The node with this lease.
    Other(i64),
    /// A key without a lease, which no node wrote.
    NoNode,
}

impl Registered {
    /// The owner if the registration under the lease `own` failed because the key exists.
    ///
    /// `found` is what was then read: the lease of the key and the revision of its last change.
    pub(crate) fn instead_of(own: i64, found: Option<(i64, i64)>) -> Self {
        match found {
            // The answer to an earlier attempt was lost.
            Some((lease, revision)) if lease == own => Self::At(revision),
            Some((0, _)) => Self::NoNode,
            Some((lease, _)) => Self::Other(lease),
            None => Self::Other(NO_LEASE),
        }
    }
}

/// The registration of another node, as it was first seen.
#[derive(Clone, Copy, Debug)]
struct Other {
    lease: i64,
    /// The seconds that were left.
    left: i64,
    at: Duration,
}

impl Other {
    /// Whether the lease was renewed since then, if this number of seconds is left now.
    ///
    /// etcd returns whole seconds, rounded down. (A new leader lengthens all leases. A dead node then counts as alive
    /// until the next attempt.)
    fn was_renewed(&self, left: i64, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        left as f64 >= self.left as f64 - passed + 2.0
    }
}

/// Waits until the registration of another node is gone.
#[derive(Debug, Default)]
pub(crate) struct PredecessorWait(Option<Other>);

/// The result of a check of another lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It has run out, or was revoked.
    Gone,
    /// It was renewed: another node is alive under the id.
    Alive,
    /// Wait until it runs out.
    Wait {
        /// Whether this lease is seen for the first time.
        newly: bool,
        /// Whether a renewal was missed, so the lease will not be renewed any more.
        missed: bool,
    },
}

impl PredecessorWait {
    /// Handles one check of the lease; `left` is `None` if the lease is gone.
    pub(crate) fn looks(&mut self, lease: i64, left: Option<Left>, now: Duration) -> Look {
        let Some(Left {
            seconds: left,
            granted,
        }) = left
        else {
            return Look::Gone;
        };
        let newly = match &self.0 {
            Some(seen) if seen.lease == lease => {
                if seen.was_renewed(left, now) {
                    return Look::Alive;
                }
                false
            }
            _ => {
                let at = now;
                self.0 = Some(Other { lease, left, at });
                true
            }
        };
        // A live node renews its lease five times in its lifetime. This one missed a renewal.
        let missed = left.saturating_mul(5) < granted.saturating_mul(4).saturating_sub(5);
        Look::Wait { newly, missed }
    }
}

/// The nodes that are registered in these records, by their ids. Keys that no node wrote are noted as foreign.
pub(crate) fn registered<'a>(
    prefix: &Prefix,
    records: &'a BTreeMap<Vec<u8>, Entry>,
    foreign: &mut ForeignKeys,
) -> Vec<(&'a str, &'a Entry)> {
    let mut nodes = Vec::new();
    for (key, entry) in records {
        let id = from_utf8(key).ok().and_then(|key| prefix.parse_member(key));
        // A node's key always has a lease.
        match id.filter(|_| entry.lease != 0) {
            Some(id) => nodes.push((id, entry)),
            None => foreign.seen(key, "left alone"),
        }
    }
    nodes
}

/// Checks the metadata of a node.
pub(crate) fn check_metadata(metadata: &[u8]) -> Result<(), EtcdConfigError> {
    if metadata.len() <= LONGEST_METADATA {
        return Ok(());
    }
    Err(EtcdConfigError::BadSetting {
        knob: "metadata",
        problem: format!(
            "has {} bytes, but may have {LONGEST_METADATA}: each node holds that of all others, so \
             put a reference there instead",
            metadata.len()
        ),
    })
}

/// etcd accepts 1.5 MiB in one request by default, but every node keeps the metadata of all others.
const LONGEST_METADATA: usize = 64 * 1024;
/// No lease in etcd has this id.
pub(crate) const NO_LEASE: i64 = -1;

#[cfg(test)]
mod tests;
