//! The state of this node that survives epochs.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{Client, Error};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::Level;

use super::lease_answer::GivenBack;
use super::lease_session::LeaseSession;
use super::lease_state::{Lease, Leases, UNREGISTERED};
use super::members::Members;
use super::times::Times;
use crate::etcd::basics::{EtcdError, RETRY_AFTER, TARGET};
use crate::etcd::client::{EtcdConfig, ExpectedCluster, Failover, HasHeader};
use crate::etcd::host::{KEYS, Latest};
use crate::etcd::records::{ForeignKeys, Generation, Mirror, Prefix};
use crate::shell::component::Context;
use crate::shell::failure::Failure;
use crate::shell::log::log;
use crate::shell::sync::lock;

/// This node. Everything in it survives the epochs.
pub(crate) struct Node {
    pub(crate) config: Arc<EtcdConfig>,
    pub(crate) failover: Arc<Failover>,
    /// Only for the lease: large or slow requests must not delay a renewal.
    pub(crate) lease_failover: Failover,
    pub(crate) prefix: Prefix,
    pub(crate) id: String,
    pub(crate) metadata: Vec<u8>,
    pub(crate) times: Times,
    /// Requests a renewal of the lease now.
    pub(crate) hurry: Notify,
    /// The generation of the tokens of its shards.
    pub(crate) generation: Generation,
    pub(crate) session: Arc<Latest<Option<Arc<LeaseSession>>>>,
    pub(crate) members: watch::Sender<Members>,
    /// The newest list that is not published yet.
    seen: Mutex<Option<Members>>,
    newly_seen: Notify,
    /// All work under the lease holds a receiver.
    work: watch::Sender<()>,
    leases: Mutex<Leases>,
    pub(crate) running: AtomicBool,
    /// The names of the running works.
    works: Mutex<BTreeSet<String>>,
}

impl Node {
    pub(crate) fn new(
        config: EtcdConfig,
        prefix: Prefix,
        id: String,
        metadata: Vec<u8>,
        times: Times,
        generation: Generation,
    ) -> Self {
        let config = Arc::new(config);
        Self {
            failover: Arc::new(Failover::new(Arc::clone(&config), times.request_timeout())),
            lease_failover: Failover::new(Arc::clone(&config), times.request_timeout()),
            config,
            prefix,
            id,
            metadata,
            times,
            hurry: Notify::new(),
            generation,
            session: Arc::new(Latest::new(None)),
            members: watch::Sender::default(),
            seen: Mutex::default(),
            newly_seen: Notify::new(),
            work: watch::Sender::default(),
            leases: Mutex::default(),
            running: AtomicBool::new(false),
            works: Mutex::default(),
        }
    }

    /// Waits for the session, and returns it.
    pub(crate) async fn session(&self) -> Arc<LeaseSession> {
        self.session.wait_for(Clone::clone).await
    }

    /// Sends one request, from the thread for keys.
    pub(crate) async fn ask<T, F, Fut>(
        self: &Arc<Self>,
        of: ExpectedCluster,
        question: F,
    ) -> Result<T, EtcdError>
    where
        T: HasHeader + Send + 'static,
        F: FnOnce(Client) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let node = Arc::clone(self);
        let asked = KEYS.run(async move { node.failover.ask(of, question).await });
        asked.await.unwrap_or_else(|gone| Err(gone.into()))
    }

    /// Returns a guard: the lease is not revoked while it is held.
    pub(crate) fn at_work(&self) -> watch::Receiver<()> {
        self.work.subscribe()
    }

    /// What makes such guards.
    pub(crate) fn work(&self) -> watch::Sender<()> {
        self.work.clone()
    }

    /// Notes that the work with this name runs. Fails if it already runs.
    pub(crate) fn begin_work(self: &Arc<Self>, name: &str) -> Result<WorkRuns, Failure> {
        if lock(&self.works).insert(name.to_owned()) {
            return Ok(WorkRuns(Arc::clone(self), name.to_owned()));
        }
        let text = format!(
            "the work {name:?} runs twice under one membership: give each work a name of its own"
        );
        Err(Failure::new(text).fatal())
    }

    /// An earlier lease that must be revoked, other than the current one.
    pub(crate) fn earlier_lease(&self, present: Lease) -> Option<Lease> {
        lock(&self.leases).earlier(present)
    }

    pub(crate) fn remember(&self, lease: Lease) {
        lock(&self.leases).remember(lease);
    }

    pub(crate) fn forget(&self, lease: Lease) {
        lock(&self.leases).forget(lease);
    }

    /// How often the mirrored keys are checked.
    pub(crate) fn check_every(&self) -> Duration {
        self.times.renew_every
    }

    /// Publishes each new list of members.
    ///
    /// This must be awaited on the service's runtime, because a reader may hold the published value for long, which
    /// blocks the publisher.
    pub(crate) async fn publish_members(&self) -> Infallible {
        loop {
            self.newly_seen.notified().await;
            self.publish_newest();
        }
    }

    pub(crate) fn publish_newest(&self) {
        let newest = lock(&self.seen).take();
        if let Some(members) = newest {
            self.members.send_replace(members);
        }
    }

    /// Follows the members until this node is no longer one of them.
    pub(crate) async fn follow(&self, session: &LeaseSession) -> Failure {
        let every = self.times.renew_every;
        let own = self.prefix.member(&self.id).into_bytes();
        let cluster = session.lease.cluster;
        let mut mirror = Mirror::new(
            Arc::clone(&self.failover),
            cluster,
            self.prefix.members(),
            every,
        );
        let mut foreign = ForeignKeys::default();
        loop {
            mirror.next().await;
            drop(mirror.take_removed());
            let members = Members::read(&self.prefix, &mirror, &mut foreign);
            *lock(&self.seen) = Some(members);
            self.newly_seen.notify_one();
            let lease = mirror.entries().get(&own).map(|entry| entry.lease);
            let (registered, revision) = (session.registered_at(), mirror.revision());
            if session.lease.is_unregistered(registered, revision, lease) {
                return self.lost(session, UNREGISTERED);
            }
        }
    }

    /// Removes everything of this node from etcd, once no work runs under the lease.
    pub(crate) async fn leave(&self, ctx: &Context) {
        // A little before the abort, so that there is time to log a failure.
        let deadline = ctx.stop_deadline().unwrap_or_else(Instant::now) - RETRY_AFTER;
        let left = timeout_at(deadline, async {
            self.work.closed().await;
            loop {
                let (pause, cause) = match self.revoke_all().await {
                    GivenBack::All => return Ok(()),
                    GivenBack::Refused(cause) => return Err(cause),
                    GivenBack::Again(pause, cause) => (pause, cause),
                };
                let (id, why) = (self.id.clone(), cause.text);
                log(
                    Level::DEBUG,
                    move |at_ms| tracing::debug!(target: TARGET, at_ms, id, why, "not left yet"),
                );
                sleep(pause).await;
            }
        });
        let (class, why) = match left.await {
            Ok(Ok(())) => return,
            Ok(Err(cause)) => (Some(cause.fault.as_str()), cause.text),
            Err(_) => (None, "there was still work, or etcd did not answer".into()),
        };
        let id = self.id.clone();
        log(Level::WARN, move |at_ms| {
            tracing::warn!(target: TARGET, at_ms, id, class, why, "the lease was not revoked: it runs out");
        });
    }
}

impl Node {
    /// Revokes all leases, the newest first.
    ///
    /// One that cannot be revoked, e.g. because its cluster is gone, does not keep the others from being revoked.
    async fn revoke_all(&self) -> GivenBack {
        let leases = lock(&self.leases).newest_first();
        let mut given_back = GivenBack::default();
        for lease in leases {
            match self.revoke(lease).await {
                Ok(()) => self.forget(lease),
                Err(cause) => given_back = given_back.but_for(cause),
            }
        }
        given_back
    }
}

/// A guard of which at most one exists at a time.
pub(crate) struct Only<'a>(&'a AtomicBool);

impl<'a> Only<'a> {
    /// Waits until no other guard exists, and takes it.
    ///
    /// The other one may have just been dropped by the awaiting task, while its abort on the clients' thread is
    /// pending.
    pub(crate) async fn within(time: Duration, running: &'a AtomicBool) -> Option<Self> {
        let gone = async {
            while running.swap(true, Ordering::AcqRel) {
                sleep(RETRY_AFTER).await;
            }
        };
        let in_time = timeout(time, gone).await.is_ok();
        // One more try at the end, because the time may have passed during a sleep.
        (in_time || !running.swap(true, Ordering::AcqRel)).then_some(Self(running))
    }
}

impl Drop for Only<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Marks a work as running until this is dropped.
pub(crate) struct WorkRuns(Arc<Node>, String);

impl Drop for WorkRuns {
    fn drop(&mut self) {
        lock(&self.0.works).remove(&self.1);
    }
}

/// An error of etcd as a failure of a component.
pub(crate) fn failure(what: &str, cause: &EtcdError) -> Failure {
    Failure::new(format!("{what}: {}: {}", cause.fault, cause.text)).dependency()
}

/// How long the abort of a dropped incarnation may take.
pub(crate) const SOON_GONE: Duration = Duration::from_secs(1);
