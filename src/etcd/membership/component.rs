//! The component that users make, and its life in each epoch.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::lease_session::LeaseSessionGuard;
use super::members::Members;
use super::node::{Node, Only, SOON_GONE, failure};
use super::times::{GRACE, Times};
use crate::etcd::host::{CLIENTS, KEYS};
use crate::machine::FailureClass;
use crate::policy::Fence;
use crate::shell::component::{Component, Context};
use crate::shell::failure::Failure;
use crate::shell::placement::Placement;

/// Makes the node a member of its cluster: a [`Component`], and a handle to ask. Clones are the same
/// membership.
///
/// 1. [`builder`](Self::builder), with a clone of the probe's configuration;
/// 2. make the [`Shards`](crate::etcd::Shards) of it, and keep a clone for [`members`](Self::members);
/// 3. set [`fence`](Self::fence) in the policy;
/// 4. add it in a stage before all work that depends on it, and name it as
///    [lease owner](crate::Builder::lease_owner).
///
/// [The guide](crate::guide::cluster) has the arithmetic of the deadlines, and leader election.
///
/// ```no_run
/// # use std::time::Duration;
/// use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership, Shard, Shards};
/// use overwatch::{Overwatch, Policy};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
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
/// let service = Overwatch::builder(EtcdProbe::new(etcd)?)
///     .policy(policy)
///     .component("membership", membership.clone())
///     .lease_owner("membership")
///     .next_stage()
///     .component("checks", checks)
///     .build()?;
/// service.run_or_exit().await;
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
/// one lets them run out ([etcd#15247](https://github.com/etcd-io/etcd/issues/15247)). (The order matters where
/// etcd is told to keep checkpoints of leases: then a new leader does not begin them anew.) If that read is of an
/// earlier revision than one before, the store was wiped or restored from a backup, and the lease counts as lost.
///
/// **The cluster** belongs to the lease: only what the cluster says that granted it is believed, and none is taken
/// while the endpoints are of more than one. See the [module](crate::etcd).
///
/// **The time to live** is a promise to the other nodes: one second after it at the latest they have
/// taken over the work of a node that died. (A new leader of etcd's begins all leases anew.) The lease in
/// etcd is [a second](Self::GRACE) shorter; that second is for a node whose lease was revoked behind its
/// back to notice. A server that grants a longer lease than was asked for, because its election timeout is long,
/// could not keep that promise: the start fails, with the time to live that it takes.
///
/// **A lease that is revoked**, by hand or by etcd itself, is gone for all nodes at one moment: that of one entry in
/// etcd's log. (A leader that was stopped for little longer than a lease may revoke leases, when it goes on, that were
/// renewed at its successor. It did so in 11 of 36 such resumes, with 3.4.23 and with 3.5.1, for two of three nodes
/// each time.) Each member tells it to those who watch it when it has applied that entry. The next owner claims a shard
/// [a second](Self::GRACE) after it has heard of it, and works one transaction later. So the former owner is late only
/// if its member applies that entry more than a second later than another one, while its watch stays open; and then its
/// next renewal, after a fifth of the lease, finds out, since a member that lags behind answers no linearizable read
/// before it has caught up. Measured was: the last sign of work 22 ms after the registration had vanished, and the next
/// owner's first a second later. If a watch is late by more than the second, two nodes may work for that much, and only
/// a [fencing token](crate::etcd::Shard::token) helps.
///
/// **A second node under the same id** is refused, in words: the first one is seen to renew its lease.
/// A registration that nobody renews, of a process that died, is waited for. As soon as a renewal of it
/// was missed, which takes a fifth of the time to live and a second, the node is up; its work is kept for
/// it, and it does none until then. The start deadline should be longer than that.
///
/// **Clocks.** Only spans of time are measured, each by one clock: nodes and servers need not agree on
/// the time of day. Their clocks must run equally fast, to within the margin (a tenth of the time to
/// live by default). A process' clock is `CLOCK_MONOTONIC` on Linux, which goes on while the process is
/// stopped (SIGSTOP, a cgroup freezer) but not while the whole machine is suspended. So the lease is counted by
/// `CLOCK_BOOTTIME`, too, which does: after a suspension no shard's function is polled beyond the lease, and
/// [`Shard::check`](crate::etcd::Shard::check) says so at once. All other components go on until the membership has
/// noticed it, a twentieth of the lease later and a second at most: then the fence is told what is left, the lease is
/// renewed, or the service trips. A hypervisor may stop a guest and all of its clocks; then, and on other systems,
/// nothing but a [fencing token](crate::etcd::Shard::token) helps.
///
/// **A job that blocks its thread for good** ends only with the process. Run the service by
/// [`run_or_exit`](crate::Overwatch::run_or_exit), which leaves the process when the job has survived its
/// abort, and the membership has waited for it in vain, for another stop deadline. And leave the
/// [fence watchdog](crate::Builder::fence_watchdog) on, which aborts the process before the lease can
/// expire; also one that was stopped (SIGSTOP) for longer than that, as soon as it goes on. Let an
/// orchestrator start it again.
#[derive(Clone)]
pub struct Membership(pub(crate) Arc<Node>);

impl Membership {
    /// The last second of the time to live: how long the next owner of a shard waits when its claim has
    /// vanished rather than been released.
    pub const GRACE: Duration = GRACE;

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
    ///
    /// ```
    /// # fn example(membership: overwatch::etcd::Membership) {
    /// let members = membership.members();
    /// for (id, member) in &*members.borrow() {
    ///     println!("{id} at {}", String::from_utf8_lossy(member.metadata()));
    /// }
    /// # }
    /// ```
    pub fn members(&self) -> watch::Receiver<Members> {
        self.0.members.subscribe()
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.0
    }
}

#[async_trait::async_trait]
impl Component for Membership {
    async fn run(&self, ctx: Context) -> Result<(), Failure> {
        // Where the client's thread has the lease in hand still, this incarnation is not gone.
        let hold = ctx.hold();
        let node = Arc::clone(&self.0);
        let part = ctx.clone();
        let live = part.as_part_of_run(CLIENTS.run(async move {
            let _hold = hold;
            node.live(&ctx).await
        }));
        let lived = tokio::select! {
            biased;
            lived = live => lived,
            never = self.0.publish_members() => match never {},
        };
        self.0.publish_newest();
        lived.unwrap_or_else(|gone| Err(failure("the lease is in nobody's hands", &gone.into())))
    }
}

impl Node {
    /// One incarnation of the membership. Its renewals are to wait for no task of the service's.
    async fn live(self: Arc<Self>, ctx: &Context) -> Result<(), Failure> {
        let node = &*self;
        let Some(_only) = Only::within(SOON_GONE, &node.running).await else {
            let text = "this membership runs twice: add it to one service, once";
            return Err(Failure::new(text).fatal());
        };
        if let Some(pause) = node.times.rejoin_pause(&node.id, ctx.epoch())
            && !ctx.sleep(pause).await
        {
            return Ok(());
        }
        node.failover.reopen();
        node.lease_failover.reopen();
        let Some(granted) = ctx.until_stopping(node.grant(ctx)).await else {
            return Ok(());
        };
        let session = granted?;
        let running = LeaseSessionGuard::publish(Arc::clone(&session), &node.session);
        let life = async {
            node.register(&session, ctx).await?;
            // Whatever happens from here on, the others tell.
            std::future::pending().await
        };
        let following = KEYS.run({
            let (node, session) = (Arc::clone(&self), Arc::clone(&session));
            async move { node.follow(&session).await }
        });
        let ended = tokio::select! {
            biased;
            () = ctx.stopping() => Ok(()),
            lost = node.outlive_suspensions(&session, ctx) => Err(lost),
            lost = node.renew(&session, ctx) => Err(lost),
            refused = life => refused,
            lost = following => Err(lost.unwrap_or_else(|gone| {
                failure("the members are not followed", &gone.into())
            })),
        };
        match &ended {
            Ok(()) => {
                // Nothing more is begun under it; what goes on is allowed while it stops.
                node.session.set(None);
                node.leave(ctx).await;
            }
            // Whatever works under it is ended before anything else is done. What may be left in etcd
            // is removed at the next start.
            Err(failure) => {
                session.end();
                // The component's task, which is to return it, may be far from its turn.
                if failure.class() == FailureClass::Critical
                    && Placement::current() == Placement::Apart
                {
                    ctx.report(Failure::new(failure.text()).critical());
                }
            }
        }
        drop(running);
        ended
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
