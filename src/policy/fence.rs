//! The lease that allows work, and the arithmetic that keeps work inside it.

use core::fmt;
use core::time::Duration;

use super::error::{PolicyError, in_range, in_range_or_zero};

/// A lease that some work depends on: when it runs out, other nodes may do that work.
///
/// One component owns the lease ([`Layout::with_lease_owner`](super::Layout::with_lease_owner)) and reports each
/// renewal. [`Builder::lease_holder`](crate::Builder::lease_holder) adds a component together with its fence. Everything is
/// stopped so early that all components are confirmed gone, or the machine has halted, a `margin` before the lease can expire
/// on the server. Deadlines that leave no room for that are refused: see [`Plan::new`](super::Plan::new).
///
/// This holds while the process runs. A process that was frozen (stopped, swapped out, or in a suspended virtual
/// machine) for longer than the margin wakes up too late. The shell's watchdog then aborts the process at once, if the
/// clock continued during the freeze. Only a fencing token that the store checks on each write can stop what the
/// process does until then. (With the feature `etcd`, the membership measures a lease by a clock that continues while a
/// computer is suspended, if the system has such a clock.)
///
/// An example with a lease of your own:
///
/// ```
/// # #[cfg(feature = "shell")]
/// # mod example {
/// use overwatch::{Context, Failure, Fence, Overwatch, Policy, feed};
/// use std::time::Duration;
/// use tokio::time::Instant;
///
/// const TTL: Duration = Duration::from_secs(20);
/// const RENEWAL: Duration = Duration::from_secs(4);
///
/// # async fn renew() -> std::io::Result<()> { Ok(()) }
/// async fn lease(ctx: Context) -> Result<(), Failure> {
///     loop {
///         let sent = Instant::now(); // before the request: the server may count from then
///         match ctx.until_stopping(renew()).await {
///             Some(Ok(())) => ctx.lease_renewed(sent, TTL),
///             Some(Err(error)) => eprintln!("the next turn tries again: {error}"),
///             None => return Ok(()),
///         }
///         ctx.mark_ready();
///         ctx.sleep(RENEWAL).await;
///     }
/// }
///
/// # pub fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = Policy::builder()
///     .fence(Fence::new(TTL, RENEWAL))
///     .start_deadline(Duration::from_secs(5))
///     .stop_deadline(Duration::from_secs(3))
///     .abort_deadline(Duration::from_secs(1))
///     .build()?;
/// let (_feed, probe) = feed();
/// let service = Overwatch::builder(probe)
///     .policy(policy)
///     .task("lease", lease)
///     .lease_owner("lease")
///     .next_stage() // all work comes after it
///     .task("work", |ctx| async move {
///         ctx.mark_ready();
///         ctx.stopping().await;
///         Ok(())
///     })
///     .build()?;
/// # Ok(())
/// # }
/// # }
/// # fn main() {
/// #     #[cfg(feature = "shell")]
/// #     example::main().unwrap();
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    ttl: Duration,
    grace: Duration,
    margin: Duration,
    renewal_interval: Duration,
}

impl Fence {
    /// Creates a fence for a lease with this time to live, renewed at this interval.
    ///
    /// The margin is a tenth of the time to live, for clocks that drift and a process that was slow.
    pub fn new(ttl: Duration, renewal_interval: Duration) -> Self {
        Self {
            ttl,
            grace: Duration::ZERO,
            margin: ttl / 10,
            renewal_interval,
        }
    }

    /// Sets how long other nodes wait after the lease has expired. Default 0.
    ///
    /// The time to live is what other nodes rely on, so the [lease](Self::lease) is this much shorter.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how long before the expiry all work must be gone.
    #[must_use]
    pub fn with_margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// The time to live: how long the owner may be silent before other nodes may do its work.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How long other nodes wait after the lease has expired.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// How long the lease lasts after a renewal: the time to live, less the [grace](Self::grace).
    pub fn lease(&self) -> Duration {
        self.ttl.saturating_sub(self.grace)
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
        in_range_or_zero("fence.grace", self.grace)?;
        in_range("fence.margin", self.margin)?;
        in_range("fence.renewal_interval", self.renewal_interval)
    }

    /// How much of `remaining` is left for work: without the margin and the time that stopping may take. `None` if
    /// stopping must begin at once.
    pub(super) fn slack(&self, remaining: Duration, stop_budget: Duration) -> Option<Duration> {
        remaining
            .checked_sub(self.margin)?
            .checked_sub(stop_budget)
            .filter(|slack| !slack.is_zero())
    }
}

impl fmt::Display for Fence {
    /// All its times, e.g. `ttl 15s, grace 1s, margin 1.4s, renewal interval 2.8s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ttl,
            grace,
            margin,
            renewal_interval,
        } = self;
        write!(f, "ttl {ttl:?}, ")?;
        if !grace.is_zero() {
            write!(f, "grace {grace:?}, ")?;
        }
        write!(
            f,
            "margin {margin:?}, renewal interval {renewal_interval:?}"
        )
    }
}
