//! One node under one id: whose a registration is, and what it tells of the node that made it. Pure.

use core::time::Duration;

/// Who is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registered {
    /// This node, since this revision.
    At(i64),
    /// Whoever has this lease.
    Other(i64),
}

impl Registered {
    /// There was a registration when this node was to be registered under a lease: what was read of it then, its lease
    /// and the revision of its last change.
    pub(super) fn instead_of(own: i64, found: Option<(i64, i64)>) -> Self {
        match found {
            // The answer to an earlier try was lost.
            Some((lease, revision)) if lease == own => Self::At(revision),
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
pub(super) struct Waiting(Option<Other>);

/// What a look at another's lease tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
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

impl Waiting {
    /// So many seconds are left of this lease, of those that were granted.
    pub(super) fn looks(&mut self, lease: i64, left: i64, granted: i64, now: Duration) -> Look {
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

/// No lease of etcd's has this id.
pub(super) const NO_LEASE: i64 = -1;

#[cfg(test)]
mod tests;
