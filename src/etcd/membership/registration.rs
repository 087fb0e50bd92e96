//! Nodes under their ids: whose a registration is, and what it tells of the node that made it. Pure.

use core::str::from_utf8;
use core::time::Duration;
use std::collections::BTreeMap;

use super::lease_answer::Left;
use crate::etcd::basics::EtcdConfigError;
use crate::etcd::records::{Entry, ForeignKeys, Prefix};

/// Who is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// This node, since this revision.
    At(i64),
    /// Whoever has this lease.
    Other(i64),
    /// Something without a lease, which no node wrote.
    NoNode,
}

impl Registered {
    /// There was a registration when this node was to be registered under a lease: what was read of it then, its lease
    /// and the revision of its last change.
    pub(crate) fn instead_of(own: i64, found: Option<(i64, i64)>) -> Self {
        match found {
            // The answer to an earlier try was lost.
            Some((lease, revision)) if lease == own => Self::At(revision),
            Some((0, _)) => Self::NoNode,
            Some((lease, _)) => Self::Other(lease),
            None => Self::Other(NO_LEASE),
        }
    }
}

/// Somebody else's registration, as it was first seen.
#[derive(Clone, Copy, Debug)]
struct Other {
    lease: i64,
    /// Seconds that were left.
    left: i64,
    at: Duration,
}

impl Other {
    /// Whether the lease was renewed since, if so many seconds are left now. etcd tells whole seconds,
    /// rounded down. (A new leader lengthens all leases. Then a node that is dead counts as alive,
    /// until it is tried again.)
    fn was_renewed(&self, left: i64, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        left as f64 >= self.left as f64 - passed + 2.0
    }
}

/// Waits for the registration of another to go away.
#[derive(Debug, Default)]
pub(crate) struct PredecessorWait(Option<Other>);

/// What a look at another's lease tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It has run out, or was given back.
    Gone,
    /// It was renewed: another node lives under the id.
    Alive,
    /// It is waited for.
    Wait {
        /// Whether this one was not waited for before.
        newly: bool,
        /// Whether a renewal of it was missed, so that it will not be renewed any more.
        missed: bool,
    },
}

impl PredecessorWait {
    /// So much is left of this lease, if it is there.
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
        // A node that lives renews its lease five times in the life of it. This one missed that.
        let missed = left.saturating_mul(5) < granted.saturating_mul(4).saturating_sub(5);
        Look::Wait { newly, missed }
    }
}

/// The nodes that are registered in these records, by their ids. What no node wrote there is seen as foreign.
pub(crate) fn registered<'a>(
    prefix: &Prefix,
    records: &'a BTreeMap<Vec<u8>, Entry>,
    foreign: &mut ForeignKeys,
) -> Vec<(&'a str, &'a Entry)> {
    let mut nodes = Vec::new();
    for (key, entry) in records {
        let id = from_utf8(key).ok().and_then(|key| prefix.parse_member(key));
        // A key that no lease will ever remove is no node's.
        match id.filter(|_| entry.lease != 0) {
            Some(id) => nodes.push((id, entry)),
            None => foreign.seen(key, "left alone"),
        }
    }
    nodes
}

/// Whether this can be what a node tells of itself.
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

/// etcd takes 1.5 MiB in one request by default, but this is what every node keeps of every other.
const LONGEST_METADATA: usize = 64 * 1024;
/// No lease of etcd's has this id.
pub(crate) const NO_LEASE: i64 = -1;

#[cfg(test)]
mod tests;
