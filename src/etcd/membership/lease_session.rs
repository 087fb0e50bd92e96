//! One lease of this node, and how long it allows work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lease_state::{Allowance, Lease};
use crate::etcd::basics::Moment;
use crate::etcd::host::{Latest, Suspended, moment};

/// One lease, from its grant to its end. Work under the lease checks this session, and never asks etcd.
pub(crate) struct LeaseSession {
    pub(crate) lease: Lease,
    /// How long after `begun` work is allowed, in nanoseconds, by the clock that continues during a suspension.
    until: AtomicU64,
    begun: Moment,
    /// How long the machine had been suspended when the newest renewal was sent, in nanoseconds.
    suspended_before: AtomicU64,
    suspended: Suspended,
    /// Cancelled when the lease is known to be gone.
    pub(crate) lost: CancellationToken,
    /// The revision at which the node was registered under this lease; 0 before that, while it may claim nothing.
    registered: Latest<i64>,
    /// The highest revision that a renewal has read.
    seen: AtomicI64,
    over: AtomicBool,
}

impl LeaseSession {
    pub(crate) fn new(lease: Lease, begun: Moment, suspended: Suspended) -> Self {
        Self {
            lease,
            until: AtomicU64::new(0),
            begun,
            suspended_before: AtomicU64::new(0),
            suspended,
            lost: CancellationToken::new(),
            registered: Latest::new(0),
            seen: AtomicI64::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Allows work for this long after `sent`. It never shortens what was allowed before.
    pub(crate) fn allow(&self, sent: Moment, time: Duration) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let known = Allowance::after(self.begun, sent, time);
        // Each half is merged separately, because a check must not wait for a lock.
        let merge = |half: &AtomicU64, and: fn(Allowance, Duration) -> Duration| {
            let merged = |before| Some(nanos(and(known, Duration::from_nanos(before))));
            let _ = half.fetch_update(Ordering::AcqRel, Ordering::Acquire, merged);
        };
        merge(&self.until, |known, until| {
            known.and(Allowance { until, ..known }).until
        });
        merge(&self.suspended_before, |known, suspended| {
            known.and(Allowance { suspended, ..known }).suspended
        });
    }

    fn allowance(&self) -> Allowance {
        Allowance {
            until: Duration::from_nanos(self.until.load(Ordering::Acquire)),
            suspended: Duration::from_nanos(self.suspended_before.load(Ordering::Acquire)),
        }
    }

    /// How long work is still allowed, as far as this process knows.
    pub(crate) fn left(&self) -> Duration {
        self.allowance().left(self.begun, moment(&self.suspended))
    }

    /// Until when work is allowed, as far as this process knows, if the machine is not suspended before.
    pub(crate) fn until(&self) -> Instant {
        Instant::now() + self.left()
    }

    /// Whether work is allowed at this moment.
    pub(crate) fn allows(&self) -> bool {
        let over = self.over.load(Ordering::Acquire);
        self.allowance()
            .allows(over, self.begun, moment(&self.suspended))
    }

    /// Why all work must end now, if it must.
    pub(crate) fn ends_work(&self) -> Option<String> {
        let over = self.over.load(Ordering::Acquire);
        self.allowance()
            .ends(over, self.begun, moment(&self.suspended))
    }

    /// Notes that the lease is gone, or no longer reliable.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.lost.cancel();
    }

    pub(crate) fn seen(&self) -> i64 {
        self.seen.load(Ordering::Acquire)
    }

    pub(crate) fn see(&self, revision: i64) {
        self.seen.fetch_max(revision, Ordering::AcqRel);
    }

    pub(crate) fn register(&self, revision: i64) {
        self.see(revision);
        self.registered.set(revision);
    }

    /// Waits for a registration that is newer than `told`, which is 0 at first.
    pub(crate) async fn registered(&self, told: &mut u64) {
        *told = self.registered.changed(*told).await;
    }

    /// The revision of the registration, which every later state of the store shows; `None` before the registration.
    pub(crate) fn registered_at(&self) -> Option<i64> {
        Some(self.registered.get()).filter(|&revision| revision > 0)
    }
}

/// Ends the session when its owner is dropped, for whatever reason.
pub(crate) struct LeaseSessionGuard {
    pub(crate) session: Arc<LeaseSession>,
    pub(crate) published: Arc<Latest<Option<Arc<LeaseSession>>>>,
}

impl LeaseSessionGuard {
    pub(crate) fn publish(
        session: Arc<LeaseSession>,
        published: &Arc<Latest<Option<Arc<LeaseSession>>>>,
    ) -> Self {
        published.set(Some(Arc::clone(&session)));
        Self {
            session,
            published: Arc::clone(published),
        }
    }
}

impl Drop for LeaseSessionGuard {
    fn drop(&mut self) {
        self.published.set(None);
        self.session.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::etcd::host::Uncompared;

    const SECOND: Duration = Duration::from_secs(1);

    /// A session of a machine that was suspended for as many seconds as is said.
    struct Case {
        session: LeaseSession,
        suspended: Suspended,
        seconds: Arc<AtomicU64>,
    }

    impl Case {
        fn new() -> Self {
            let seconds = Arc::new(AtomicU64::new(7));
            let told = Arc::clone(&seconds);
            let suspended = move || Duration::from_secs(told.load(Ordering::Relaxed));
            let suspended: Suspended = Uncompared(Arc::new(suspended));
            let lease = Lease { id: 7, cluster: 1 };
            let begun = moment(&suspended);
            Self {
                session: LeaseSession::new(lease, begun, suspended.clone()),
                suspended,
                seconds,
            }
        }

        fn now(&self) -> Moment {
            moment(&self.suspended)
        }

        fn suspend(&self, seconds: u64) {
            self.seconds.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_allowed_until_the_newest_renewal_runs_out() {
        let case = Case::new();
        let session = &case.session;
        assert!(!session.allows(), "nothing was renewed");
        let first = case.now();
        session.allow(first, 5 * SECOND);
        tokio::time::sleep(2 * SECOND).await;
        session.allow(case.now(), 5 * SECOND);
        // An answer to the earlier question that comes late.
        session.allow(first, 5 * SECOND);
        tokio::time::sleep(5 * SECOND - Duration::from_millis(1)).await;
        assert!(session.allows());
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!session.allows());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_allowed_once_it_is_over() {
        let case = Case::new();
        let session = &case.session;
        session.allow(case.now(), 5 * SECOND);
        session.end();
        assert!(!session.allows() && session.lost.is_cancelled());
        session.allow(case.now(), 5 * SECOND);
        assert!(!session.allows());
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_runs_on_while_the_machine_is_suspended() {
        let case = Case::new();
        let session = &case.session;
        session.allow(case.now(), 5 * SECOND);
        case.suspend(3);
        assert_eq!(session.left(), 2 * SECOND);
        assert_eq!(session.until(), Instant::now() + 2 * SECOND);
        // A renewal after it counts from then.
        session.allow(case.now(), 5 * SECOND);
        assert_eq!(session.left(), 5 * SECOND);
        case.suspend(4);
        tokio::time::sleep(SECOND - Duration::from_millis(1)).await;
        assert!(session.allows());
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!session.allows());
        case.suspend(1_000_000);
        assert!(session.left().is_zero() && !session.allows());
    }
}
