//! The lease that allows work, and the arithmetic that keeps work inside it.

use core::time::Duration;

use super::error::{PolicyError, in_range};

/// A lease that some work depends on: when it runs out, other nodes may do that work.
///
/// One component owns the lease ([`Layout::with_lease_owner`](super::Layout::with_lease_owner)) and
/// tells of each renewal. Everything is stopped so early that all components are confirmed gone, or
/// the machine has halted, a `margin` before the lease can expire on the server.
///
/// This holds for a process that runs. One that was frozen (stopped, swapped out, a suspended
/// virtual machine) for longer than the margin wakes up after the fact. The shell's watchdog then
/// aborts it at once, where the clock went on meanwhile; what it does in that instant only a fencing
/// token that the written-to store checks can stop. (The membership of the feature `etcd` counts a lease by a clock
/// that goes on while a machine is suspended, where there is one.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    ttl: Duration,
    margin: Duration,
    renewal_interval: Duration,
}

impl Fence {
    /// A lease of this time to live that its owner renews this often, with a margin of a tenth of
    /// the time to live for clocks that drift and a process that was slow.
    pub fn new(ttl: Duration, renewal_interval: Duration) -> Self {
        Self {
            ttl,
            margin: ttl / 10,
            renewal_interval,
        }
    }

    /// Sets how long before the expiry all work must be gone.
    #[must_use]
    pub fn with_margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// The time to live of the lease.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How long before the expiry all work must be gone.
    pub fn margin(&self) -> Duration {
        self.margin
    }

    /// How often the owner renews the lease.
    pub fn renewal_interval(&self) -> Duration {
        self.renewal_interval
    }

    pub(super) fn check(&self) -> Result<(), PolicyError> {
        in_range("fence.ttl", self.ttl)?;
        in_range("fence.margin", self.margin)?;
        in_range("fence.renewal_interval", self.renewal_interval)
    }

    /// What is left of `remaining` for work: less the margin and the time that stopping may take.
    /// `None` if stopping must begin at once.
    pub(super) fn slack(&self, remaining: Duration, stop_budget: Duration) -> Option<Duration> {
        remaining
            .checked_sub(self.margin)?
            .checked_sub(stop_budget)
            .filter(|slack| !slack.is_zero())
    }
}
