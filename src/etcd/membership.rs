//! A node among nodes.

mod builder;
mod lease;
mod members;
mod register;
mod session;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

pub use builder::MembershipBuilder;
pub use members::{Member, Members};
pub(super) use session::Session;

use super::cause::Cause;
use super::config::EtcdConfig;
use super::hash::named;
use super::keys::Prefix;
use super::line::{Line, PAUSE, TARGET};
use super::mirror::{Mirror, Strange};
use crate::shell::lock;
use crate::{Component, Context, Failure, Fence};
use lease::UNREGISTERED;
use session::Running;

/// Makes the node a member of its cluster: a [`Component`], and a handle to ask. Clones are the same
/// membership.
///
/// Add it in a stage before all work that depends on it, and name it as
/// [lease owner](crate::Builder::lease_owner) of the [fence](Self::fence):
///
/// ```no_run
/// # use std::time::Duration;
/// use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership, Shard, Shards};
/// use overwatch::{Overwatch, Policy};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let etcd = EtcdConfig::new(["http://127.0.0.1:2379"])?;
/// let membership = Membership::builder(etcd.clone(), "checker", "node-1")
///     .metadata("10.0.0.1:8080")
///     .ttl(Duration::from_secs(15))
///     .build()?;
/// let checks = Shards::new(&membership, "checks", 64, |shard: Shard| async move {
///     while shard.sleep(Duration::from_secs(1)).await {
///         shard.check()?;
///         println!("checking everything of shard {}", shard.index());
///     }
///     Ok(())
/// })?;
/// let policy = Policy::builder()
///     .fence(membership.fence())
///     .start_deadline(Duration::from_secs(5))
///     .stop_deadline(Duration::from_secs(2))
///     .abort_deadline(Duration::from_millis(500))
///     .build()?;
/// let service = Overwatch::watching(EtcdProbe::new(etcd)?)
///     .policy(policy)
///     .component("membership", membership.clone())
///     .lease_owner("membership")
///     .then()
///     .component("checks", checks)
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// # What it does
///
/// In each epoch it takes a lease, registers `{prefix}members/{id}` under it if nobody else has, and
/// renews the lease five times in its life. When it is stopped, after all work of later stages is
/// gone, it revokes the lease, and everything of the node is gone from etcd at once. Where etcd cannot
/// be reached the lease runs out.
///
/// A lost lease is a [critical](Failure::critical) failure: the service trips at once.
///
/// **Renewals** count from when they were sent, and only when a quorum has confirmed, in the same term,
/// a read that was asked after them: a leader whose disk stalls goes on renewing leases while another
/// one lets them run out ([etcd#15247](https://github.com/etcd-io/etcd/issues/15247)).
///
/// **The time to live** is a promise to the other nodes: one second after it at the latest they have
/// taken over the work of a node that died. (A new leader of etcd's begins all leases anew.) The lease in etcd is [a second](Self::GRACE) shorter; that
/// second is for a node whose lease was revoked behind its back to notice.
///
/// **A second node under the same id** is refused, in words: the first one is seen to renew its lease.
/// A registration that nobody renews, of a process that died, is waited for. As soon as a renewal of it was
/// missed, which takes a fifth of the time to live and a second, the node is up; its work is kept for it,
/// and it does none. The start deadline should be longer than that.
///
/// **Clocks.** Only spans of time are measured, each by one clock: nodes and servers need not agree on
/// the time of day. Their clocks must run equally fast, to within the margin (a tenth of the time to
/// live by default). The process' clock is `CLOCK_MONOTONIC` on Linux, which goes on while the process is stopped (SIGSTOP, a
/// cgroup freezer) but not while the whole machine is suspended: after that, nothing but a
/// [fencing token](super::Shard::token) helps.
#[derive(Clone)]
pub struct Membership(Arc<Inner>);

pub(super) struct Inner {
    pub(super) line: Arc<Line>,
    /// For the lease alone: nothing that is large or slow may keep a renewal waiting.
    lease_line: Line,
    pub(super) prefix: Prefix,
    pub(super) id: String,
    metadata: Vec<u8>,
    times: Times,
    session: watch::Sender<Option<Arc<Session>>>,
    members: watch::Sender<Members>,
    /// Whoever works under the lease holds a receiver.
    work: watch::Sender<()>,
    /// The present lease, and those of earlier epochs that were not revoked, oldest first.
    leases: Mutex<Vec<i64>>,
    running: AtomicBool,
    /// The names of the works that run.
    works: Mutex<BTreeSet<String>>,
}

/// All times that follow from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// Of the lease in etcd.
    pub(super) lease: Duration,
    pub(super) margin: Duration,
    pub(super) renew_every: Duration,
    pub(super) rejoin_jitter: Duration,
}

impl Times {
    /// How long one question may take, so that another one fits between two renewals.
    fn patience(&self) -> Duration {
        self.renew_every.mul_f32(0.5).min(LONGEST_PATIENCE)
    }
}

impl Membership {
    /// The last second of the time to live: how long the next owner of a shard waits when its claim has
    /// vanished rather than been released.
    pub const GRACE: Duration = Duration::from_secs(1);

    /// A node of the cluster that keeps its records below this prefix. The id is the node's own, and
    /// the same each time it comes back: a host name, for one.
    pub fn builder(
        etcd: EtcdConfig,
        prefix: impl Into<String>,
        id: impl Into<String>,
    ) -> MembershipBuilder {
        MembershipBuilder::new(etcd, prefix.into(), id.into())
    }

    fn new(
        config: EtcdConfig,
        prefix: Prefix,
        id: String,
        metadata: Vec<u8>,
        times: Times,
    ) -> Self {
        let config = Arc::new(config);
        Self(Arc::new(Inner {
            line: Arc::new(Line::new(Arc::clone(&config), times.patience())),
            lease_line: Line::new(config, times.patience()),
            prefix,
            id,
            metadata,
            times,
            session: watch::Sender::default(),
            members: watch::Sender::default(),
            work: watch::Sender::default(),
            leases: Mutex::default(),
            running: AtomicBool::new(false),
            works: Mutex::default(),
        }))
    }

    /// The node's own id.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The fence that goes with this membership, for
    /// [`PolicyBuilder::fence`](crate::policy::PolicyBuilder::fence).
    ///
    /// Whether the deadlines of the policy fit into it is checked when the service is built: what the
    /// lease leaves after the margin, and the stop and abort deadlines of all stages, must be more than
    /// the start deadline and the time between two renewals.
    pub fn fence(&self) -> Fence {
        let Times {
            lease,
            margin,
            renew_every,
            ..
        } = self.0.times;
        Fence::new(lease, renew_every).with_margin(margin)
    }

    /// The members, as they change. Empty, with no [`as_of`](Members::as_of), before the node first
    /// joins; the last state known while it is away.
    pub fn members(&self) -> watch::Receiver<Members> {
        self.0.members.subscribe()
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }
}

impl Inner {
    /// The session once there is one.
    pub(super) async fn session(&self) -> Arc<Session> {
        let mut published = self.session.subscribe();
        loop {
            if let Some(session) = &*published.borrow_and_update() {
                return Arc::clone(session);
            }
            if published.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Keeps the lease from being revoked while it is held.
    pub(super) fn at_work(&self) -> watch::Receiver<()> {
        self.work.subscribe()
    }

    /// Runs a work of this name, unless one runs already.
    pub(super) fn begin_work(self: &Arc<Self>, name: &str) -> Result<WorkRuns, Failure> {
        if lock(&self.works).insert(name.to_owned()) {
            return Ok(WorkRuns(Arc::clone(self), name.to_owned()));
        }
        let text = format!(
            "the work {name:?} runs twice under one membership: give each work a name of its own"
        );
        Err(Failure::new(text).fatal())
    }

    fn earlier_lease(&self, present: i64) -> Option<i64> {
        lock(&self.leases)
            .iter()
            .copied()
            .find(|&lease| lease != present)
    }

    fn remember(&self, lease: i64) {
        let mut leases = lock(&self.leases);
        // Those that are dropped run out by themselves, at last.
        if leases.len() == MOST_LEASES {
            leases.remove(0);
        }
        leases.push(lease);
    }

    fn forget(&self, lease: i64) {
        lock(&self.leases).retain(|&other| other != lease);
    }

    pub(super) fn times(&self) -> &Times {
        &self.times
    }

    /// Follows the members until this node is no longer among them.
    async fn follow(&self, session: &Session) -> Failure {
        let every = self.times.renew_every;
        let prefix = self.prefix.members();
        let own = self.prefix.member(&self.id).into_bytes();
        let mut mirror = Mirror::new(Arc::clone(&self.line), prefix.clone(), every);
        let mut strange = Strange::default();
        loop {
            mirror.next().await;
            drop(mirror.take_removed());
            let members = Members::read(&prefix, &mirror, &mut strange);
            self.members.send_replace(members);
            let lease = mirror.entries().get(&own).map(|entry| entry.lease);
            let registered = session.registered_at();
            if registered.is_some_and(|revision| revision <= mirror.revision())
                && lease != Some(session.lease)
            {
                return self.lost(session, UNREGISTERED);
            }
        }
    }

    /// So that a fleet that lost the same etcd does not come back in one instant.
    fn rejoin_pause(&self, epoch: u64) -> Duration {
        let share = (named(&self.id, &epoch.to_string()) >> 32) as u32;
        self.times
            .rejoin_jitter
            .mul_f64(f64::from(share) / f64::from(u32::MAX))
    }

    /// Takes everything of this node out of etcd, once no work goes on under the lease.
    async fn leave(&self, ctx: &Context) {
        // A little before the abort, so that there is time to say that it did not work.
        let deadline = ctx.stop_deadline().unwrap_or_else(Instant::now) - PAUSE;
        let left = timeout_at(deadline, async {
            self.work.closed().await;
            while let Some(lease) = self.earlier_lease(NO_LEASE) {
                match self.revoke(lease).await {
                    Ok(()) => self.forget(lease),
                    Err(cause) => {
                        tracing::debug!(target: TARGET, id = self.id, why = cause.text, "not left yet");
                        sleep(PAUSE).await;
                    }
                }
            }
        });
        if left.await.is_err() {
            tracing::warn!(
                target: TARGET, id = self.id,
                "left without a word: there was still work, or etcd did not answer; the lease runs out"
            );
        }
    }
}

#[async_trait::async_trait]
impl Component for Membership {
    async fn run(&self, ctx: Context) -> Result<(), Failure> {
        let inner = &*self.0;
        let Some(_only) = Only::one(&inner.running) else {
            let text = "this membership runs twice: add it to one service, once";
            return Err(Failure::new(text).fatal());
        };
        if ctx.epoch() > 1 && !ctx.sleep(inner.rejoin_pause(ctx.epoch())).await {
            return Ok(());
        }
        inner.line.reopen();
        inner.lease_line.reopen();
        let Some(granted) = ctx.until_stopping(inner.grant(&ctx)).await else {
            return Ok(());
        };
        let session = granted?;
        inner.remember(session.lease);
        let running = Running::publish(Arc::clone(&session), &inner.session);
        let life = async {
            inner.register(&session, &ctx).await?;
            // Whatever happens from here on, the others tell.
            std::future::pending().await
        };
        let ended = tokio::select! {
            biased;
            () = ctx.stopping() => Ok(()),
            lost = inner.renew(&session, &ctx) => Err(lost),
            refused = life => refused,
            lost = inner.follow(&session) => Err(lost),
        };
        match &ended {
            Ok(()) => {
                // Nothing more is begun under it; what goes on is allowed while it stops.
                inner.session.send_replace(None);
                inner.leave(&ctx).await;
            }
            // Whatever works under it is ended before anything else is done. What may be left in etcd
            // is removed at the next start.
            Err(_) => session.end(),
        }
        drop(running);
        ended
    }
}

/// At most one at a time.
struct Only<'a>(&'a AtomicBool);

impl<'a> Only<'a> {
    fn one(running: &'a AtomicBool) -> Option<Self> {
        (!running.swap(true, Ordering::AcqRel)).then_some(Self(running))
    }
}

impl Drop for Only<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A work that runs.
pub(super) struct WorkRuns(Arc<Inner>, String);

impl Drop for WorkRuns {
    fn drop(&mut self) {
        lock(&self.0.works).remove(&self.1);
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("id", &self.0.id)
            .field("prefix", &self.0.prefix)
            .field("times", &self.0.times)
            .finish_non_exhaustive()
    }
}

/// What etcd answered, or did not, as a failure of a component.
pub(super) fn failure(what: &str, cause: &Cause) -> Failure {
    Failure::new(format!("{what}: {}: {}", cause.fault, cause.text)).dependency()
}

/// No lease of etcd's has this id.
const NO_LEASE: i64 = -1;
const MOST_LEASES: usize = 8;
const LONGEST_PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_comes_back_spread_over_the_jitter() {
        let etcd = EtcdConfig::new(["http://127.0.0.1:2379"]).expect("valid");
        let most = Duration::from_secs(1);
        let pause = |number: u32, epoch| {
            let id = format!("node-{number}");
            let membership = Membership::builder(etcd.clone(), "p", id).rejoin_jitter(most);
            membership.build().expect("valid").0.rejoin_pause(epoch)
        };
        let mut tenths = [0; 10];
        for number in 0..200 {
            let pause = pause(number, 2);
            assert!(pause <= most);
            tenths[(pause.as_secs_f64() * 9.999) as usize] += 1;
        }
        assert!(tenths.iter().all(|&count| count >= 8), "{tenths:?}");
        assert_ne!(pause(1, 2), pause(1, 3), "another time each time");
    }
}
