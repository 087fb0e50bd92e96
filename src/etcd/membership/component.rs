//! The membership as a component, and what it does in each epoch.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::lease_session::LeaseSessionGuard;
use super::members::Members;
use super::node::{Node, Only, SOON_GONE, failure};
use super::times::{GRACE, Times};
use super::wiring::{LeaseNeeds, check_once};
use crate::etcd::host::{CLIENTS, KEYS};
use crate::machine::FailureClass;
use crate::policy::Fence;
use crate::shell::component::{Component, Context, LeaseHolder, Wiring, WiringError};
use crate::shell::failure::Failure;
use crate::shell::placement::Placement;

/// Makes the node a member of its cluster: a [`Component`] and a handle. Clones are the same membership.
///
/// 1. Build it with [`builder`](Self::builder) and a clone of the probe's configuration;
/// 2. make the [`Shards`](crate::etcd::Shards) with it, and keep a clone for [`members`](Self::members);
/// 3. add it with [`Builder::lease_holder`](crate::Builder::lease_holder), before all work that depends on it.
///
/// A service that would not stop its work before the lease expires is refused when it is built. If a closure or another
/// type runs the membership, the run ends with the same error.
///
/// [The guide](crate::guide::cluster) explains how to choose the deadlines, and leader election.
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
///     .start_deadline(Duration::from_secs(5))
///     .stop_deadline(Duration::from_secs(2))
///     .abort_deadline(Duration::from_millis(500))
///     .build()?;
/// let service = Overwatch::builder(EtcdProbe::new(etcd)?)
///     .policy(policy)
///     .lease_holder("membership", membership.clone())
///     .component("checks", checks)
///     .build()?;
/// service.run_or_exit().await;
/// # Ok(())
/// # }
/// ```
///
/// # What it does
///
/// In each epoch the membership takes a lease, registers `{prefix}members/{id}` under it if no other node has, and
/// renews the lease five times in its lifetime. When the membership is stopped, after all work of later stages is
/// gone, it revokes the lease, and all keys of the node disappear from etcd at once. If etcd cannot be reached, the
/// lease runs out.
///
/// A lost lease is a [critical](Failure::critical) failure: the service trips at once.
///
/// **Renewals** count from the moment they were sent. A renewal counts only if a quorum has confirmed, in the same
/// term, a read that was sent after it: a leader whose disk stalls continues to renew leases while another leader
/// lets them run out ([etcd#15247](https://github.com/etcd-io/etcd/issues/15247)). (The order matters if etcd is
/// configured to keep checkpoints of leases: a new leader then does not restart them.) If the read returns an
/// earlier revision than a read before, the store was wiped or restored from a backup, and the lease counts as lost.
///
/// **Cluster.** The lease is bound to the cluster that granted it: answers of another cluster are not accepted. No
/// lease is taken while the endpoints belong to more than one cluster. See the [module](crate::etcd).
///
/// **The time to live** is a promise to the other nodes: at most one second after it, they have taken over the work
/// of a node that died. (A new leader of etcd restarts all leases.) The lease in etcd is
/// [a second](Self::GRACE) shorter. In that second a node whose lease was revoked by others can notice it. A server
/// with a long election timeout grants a longer lease than requested, and so could not keep that promise: the start
/// fails, and the error says which time to live is needed.
///
/// **A revoked lease**, whether revoked by hand or by etcd itself, ends for all nodes at one moment: that of one
/// entry in etcd's log. (A leader that was stopped for slightly longer than a lease may, when it resumes, revoke
/// leases that were renewed at its successor. This happened in 11 of 36 such resumes, with 3.4.23 and with 3.5.1,
/// for two of three nodes each time.) Each etcd member informs its watchers when it has applied that entry. The next
/// owner claims a shard [a second](Self::GRACE) after it was informed, and works one transaction later. So the former
/// owner stops too late only if its etcd member applies the entry more than a second later than another member, while
/// its watch stays open. Then its next renewal, after a fifth of the lease, detects the loss, because a member that
/// lags behind answers no linearizable read before it has caught up. In a measurement the last sign of work came
/// 22 ms after the registration had disappeared, and the first one of the next owner a second later. If a watch is
/// late by more than that second, two nodes may work for the time above it, and only a
/// [fencing token](crate::etcd::Shard::token) helps.
///
/// **A second node with the same id** is refused with an error, because the first node is seen to renew its lease.
/// If a process died and nobody renews its registration, the new node waits for that registration to expire. As soon
/// as one renewal was missed, which takes a fifth of the time to live plus a second, the node counts as up. Its work
/// is reserved for it, but it does none until the old registration has expired. The start deadline should be longer
/// than that time.
///
/// **Clocks.** Only time spans are measured, each by one clock: nodes and servers need not agree on
/// the time of day. Their clocks must run equally fast, to within the margin (a tenth of the time to
/// live by default). The clock of a process is `CLOCK_MONOTONIC` on Linux. It continues while the process is
/// stopped (SIGSTOP, a cgroup freezer), but not while the whole machine is suspended. So the lease is also counted by
/// `CLOCK_BOOTTIME`, which continues then: after a suspension no shard's function is polled beyond the lease, and
/// [`Shard::check`](crate::etcd::Shard::check) returns an error at once. All other components continue until the
/// membership has noticed the suspension, after a twentieth of the lease and a second at most. Then the fence is
/// adjusted to the time that is left and the lease is renewed, or the service trips. A hypervisor may stop a guest
/// and all of its clocks. In this case, and on other systems, only a [fencing token](crate::etcd::Shard::token) helps.
///
/// **A job that blocks its thread for good** ends only with the process. Run the service with
/// [`run_or_exit`](crate::Overwatch::run_or_exit): it exits the process when the job has survived its abort, and the
/// membership has waited for the job in vain for another stop deadline. Also leave the
/// [fence watchdog](crate::Builder::fence_watchdog) on. It aborts the process before the lease can expire; it aborts
/// a process that was stopped (SIGSTOP) for longer than that as soon as it resumes. Let an orchestrator start the
/// process again.
#[derive(Clone)]
pub struct Membership(pub(crate) Arc<Node>);

impl Membership {
    /// How long the next owner of a shard waits if the claim has disappeared without a release.
    ///
    /// It is the last second of the time to live.
    pub const GRACE: Duration = GRACE;

    /// The id of this node.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The fence of this membership, which [`Builder::lease_holder`](crate::Builder::lease_holder) sets.
    ///
    /// When the service is built, the deadlines of the policy are checked against the fence: the lease, less the margin
    /// and the stop and abort deadlines of all stages, must be longer than the start deadline, and longer than the time
    /// between two renewals and an [election](crate::etcd::EtcdConfig::with_election_timeout) together, whatever the
    /// probe observes.
    pub fn fence(&self) -> Fence {
        let Times {
            lease,
            margin,
            renew_every,
            ..
        } = self.0.times;
        Fence::new(lease + GRACE, renew_every)
            .with_grace(GRACE)
            .with_margin(margin)
    }

    /// The members, as they change.
    ///
    /// The list is empty, without an [`as_of`](Members::as_of), before the node first joins. While the node is not a
    /// member, it shows the last known state.
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

    fn needs(&self) -> LeaseNeeds {
        LeaseNeeds {
            fence: self.fence(),
            longest_election: self.0.config.timing.longest_election(),
        }
    }

    /// Checks that the run stops its work before the lease expires.
    ///
    /// The check at build sees no membership that a closure or another type runs.
    fn check_run(&self, ctx: &Context) -> Result<(), Failure> {
        let Some((plan, id)) = ctx.plan() else {
            return Ok(());
        };
        let checked = self.needs().check(plan, id, |owner| ctx.name_of(owner));
        checked.map_err(|problem| Failure::new(problem).fatal())
    }
}

#[async_trait::async_trait]
impl Component for Membership {
    async fn run(&self, ctx: Context) -> Result<(), Failure> {
        self.check_run(&ctx)?;
        // While the clients' thread still handles the lease, this incarnation is not gone.
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

    fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
        let all = wiring.find::<Self>();
        let mut twins = all.filter(|(id, it)| *id != wiring.id() && Arc::ptr_eq(&it.0, &self.0));
        let twin = twins.next().and_then(|(id, _)| wiring.name_of(id));
        let name_of = |owner| wiring.name_of(owner).unwrap_or_default();
        check_once(twin)
            .and_then(|()| self.needs().check(wiring.plan(), wiring.id(), name_of))
            .map_err(WiringError::new)
    }

    fn as_any(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(self)
    }
}

impl LeaseHolder for Membership {
    fn fence(&self) -> Fence {
        self.fence()
    }
}

impl Node {
    /// One incarnation of the membership. Its renewals must not wait for any task of the service.
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
            // From here on the other branches decide.
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
                // No new work begins under the lease; running work may continue while it stops.
                node.session.set(None);
                node.leave(ctx).await;
            }
            // All work under the lease ends before anything else is done. What is left in etcd is removed at the
            // next start.
            Err(failure) => {
                session.end();
                // The component's task returns the failure too, but may be polled much later.
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
