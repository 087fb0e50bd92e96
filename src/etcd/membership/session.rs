//! What one lease allows, and until when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One lease, from its grant to its end. Work under it asks it, and never etcd.
pub(in super::super) struct Session {
    pub(in super::super) lease: i64,
    /// Nanoseconds from `begun` until when work is allowed.
    until: AtomicU64,
    begun: Instant,
    /// Cancelled when the lease is known to be gone.
    pub(in super::super) lost: CancellationToken,
    /// The revision at which the node was registered under this lease; 0 before that, when it may
    /// claim nothing.
    registered: watch::Sender<i64>,
    over: AtomicBool,
}

impl Session {
    pub(in super::super) fn new(lease: i64, begun: Instant) -> Self {
        Self {
            lease,
            until: AtomicU64::new(0),
            begun,
            lost: CancellationToken::new(),
            registered: watch::Sender::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Work is allowed for this long after `sent`; never shorter than it was.
    pub(in super::super) fn allow(&self, sent: Instant, time: Duration) {
        let until = (sent + time).saturating_duration_since(self.begun);
        let until = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
        self.until.fetch_max(until, Ordering::AcqRel);
    }

    /// Until when work is allowed, as far as is known.
    pub(in super::super) fn until(&self) -> Instant {
        self.begun + Duration::from_nanos(self.until.load(Ordering::Acquire))
    }

    /// Whether work is allowed at this moment.
    pub(in super::super) fn allows(&self) -> bool {
        !self.over.load(Ordering::Acquire) && Instant::now() < self.until()
    }

    /// The lease is gone, or is not to be relied on any more.
    pub(in super::super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.lost.cancel();
    }

    pub(in super::super) fn register(&self, revision: i64) {
        self.registered.send_replace(revision);
    }

    pub(in super::super) fn registered(&self) -> watch::Receiver<i64> {
        self.registered.subscribe()
    }

    /// The revision from which on every state of the store shows the registration; none before there
    /// is one.
    pub(in super::super) fn registered_at(&self) -> Option<i64> {
        Some(*self.registered.borrow()).filter(|&revision| revision > 0)
    }
}

/// Ends the session when its owner is gone, however that comes.
pub(super) struct Running {
    pub(super) session: Arc<Session>,
    pub(super) published: watch::Sender<Option<Arc<Session>>>,
}

impl Running {
    pub(super) fn publish(
        session: Arc<Session>,
        published: &watch::Sender<Option<Arc<Session>>>,
    ) -> Self {
        published.send_replace(Some(Arc::clone(&session)));
        Self {
            session,
            published: published.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.published.send_replace(None);
        self.session.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_is_allowed_until_the_newest_renewal_runs_out() {
        let session = Session::new(7, Instant::now());
        assert!(!session.allows(), "nothing was renewed");
        let (first, second) = (Instant::now(), Duration::from_secs(1));
        session.allow(first, 5 * second);
        tokio::time::sleep(2 * second).await;
        session.allow(Instant::now(), 5 * second);
        // An answer to the earlier question that comes late.
        session.allow(first, 5 * second);
        tokio::time::sleep(5 * second - Duration::from_millis(1)).await;
        assert!(session.allows());
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!session.allows());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_allowed_once_it_is_over() {
        let session = Session::new(7, Instant::now());
        session.allow(Instant::now(), Duration::from_secs(5));
        session.end();
        assert!(!session.allows() && session.lost.is_cancelled());
        session.allow(Instant::now(), Duration::from_secs(5));
        assert!(!session.allows());
    }
}
