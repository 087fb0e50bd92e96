//! The shards as a component, and its configuration.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use super::job::Shard;
use super::list::{List, check_count, check_moving, sorted};
use super::owners::Owners;
use super::wiring::{Place, check_place, check_work};
use super::work::Work;
use super::worker::Worker;
use crate::etcd::basics::EtcdConfigError;
use crate::etcd::host::Latest;
use crate::etcd::membership::{Membership, Node};
use crate::etcd::records::check_name;
use crate::shell::component::{Component, ComponentResult, Context, Wiring, WiringError};
use crate::shell::failure::Failure;

/// Spreads a fixed number of shards, or named jobs, over the members.
///
/// It is a [`Component`] for a stage after that of the [`Membership`]. [`Builder::build`](crate::Builder::build) refuses
/// another place. You write one async function. It is called
/// for each shard that this node owns, runs until [`Shard::stopping`] completes, and is called again when the shard
/// comes back.
///
/// 1. [`new`](Self::new) for numbered shards, or [`named`](Self::named) for jobs; one single name is
///    [a leader election](crate::guide::cluster#leader-election);
/// 2. call [`owners`](Self::owners) if you want to follow the owners;
/// 3. add it in a stage after the membership.
///
/// ```
/// use overwatch::etcd::{EtcdConfigError, Membership, Shard, Shards};
/// use std::time::Duration;
///
/// fn checks(membership: &Membership) -> Result<Shards, EtcdConfigError> {
///     // The number never changes: items are spread over the shards by it.
///     Shards::new(membership, "checks", 256, |shard: Shard| async move {
///         while shard.sleep(Duration::from_secs(1)).await {
///             shard.check()?; // before each unit of work
///             println!("check all items of shard {}", shard.index());
///         }
///         Ok(()) // only now may another node begin
///     })
/// }
/// ```
///
/// # Assignment and claims
///
/// **Assignment.** Each node computes by itself which node should run each shard, from the same records in etcd. If
/// all nodes have the same shards, the numbers of shards of two members differ by one at most. When a node joins or
/// leaves, as few shards move as this allows (rendezvous hashing with bounded loads).
///
/// **Claims.** A claim decides which node may run a shard. It is a key of the shard that only a member can create,
/// only if the key does not exist, and it is bound to the member's lease. A node releases a shard only after the
/// function has returned or was dropped. Only then may another node claim the shard. If a claim disappears because a
/// lease ran out or was revoked, the shard is claimed [a second](Membership::GRACE) later.
///
/// | the function | consequence |
/// | --- | --- |
/// | returns, fails or panics before it was asked to stop | only that shard pauses, for 1 s at first and 60 s at most, and is tried again on this node |
/// | returns a [dependency](Failure::dependency) or [critical](Failure::critical) failure | the same, and the failure is reported as one of this component |
/// | returns a [fatal](Failure::fatal) failure | the run ends with that failure |
/// | fails or panics after it was asked to stop | if the shard moves, this is logged; if the whole service stops, the component [did not stop well](crate::Builder::unclean_stop_is_error) |
/// | continues when the shard should move | it keeps the shard until it returns; if the whole service stops, it is aborted after the stop deadline |
/// | continues when the lease is lost or about to run out, or when the claim is gone | it is dropped at its next `.await`, also while it stops |
///
/// # What the fence guarantees, and what it cannot
///
/// The function is no longer polled from a margin before the lease can expire: a frozen process stops at its next
/// `.await`. Between two `.await`s nothing can stop it. So call [`Shard::check`] before each unit of work. These checks
/// do not cover
///
/// - a process that is frozen between the check and the work, and work that begins within the margin and ends late;
///   likewise a machine that is suspended there, or whose clocks are all stopped (see [`Membership`]);
/// - threads, and tasks that are not started with [`Shard::spawn`], if the function does not wait for them. It must end
///   them before it returns, and when it is dropped (from then on [`Shard::check`] returns an error to them), or take a
///   [hold](Shard::hold) for them;
/// - a lease that is revoked by hand, or by etcd itself, if the node cannot notice it within a second;
/// - nodes that are connected to two clusters, each node to one of them (see the [module](crate::etcd)).
///
/// A store that refuses a stale [`token`](Shard::token) also covers these cases, except the last: the tokens of two
/// clusters cannot be compared. If the store is the same etcd, [`Shard::guard`] does this without a token.
///
/// # Several lists
///
/// During an upgrade of a service, nodes may have different lists of shards. Each node publishes its list, and each
/// shard is assigned among all nodes that know it. So no shard stops because there is another list. A shard that only
/// departed nodes knew runs nowhere. A warning is logged for each list of other nodes that differs. The load is even
/// among the shards that the same nodes know, and so not over all shards: of two nodes with 8 shards and one with 24,
/// the last one has its own 16 and a third of the rest. Shards are identified by their names; the name of a numbered
/// shard is its number.
///
/// # Owners
///
/// [`owners`](Self::owners) shows the owner of each shard, which shards have none, and since when. A shard without an
/// owner for five seconds is logged as a warning. The health endpoints show how many shards run on this node.
///
/// Keys of the members and of this work that no node wrote are left alone. A warning with the key is logged. If such a
/// key takes the place of a claim, the shard cannot have an owner.
pub struct Shards {
    node: Arc<Node>,
    pub(crate) work: Arc<Work>,
    most_moving: usize,
    owners: watch::Sender<Owners>,
}

impl Shards {
    /// Makes `count` shards, numbered from 0. The work has a name, so that one membership can have several works.
    ///
    /// The function is cloned for each call. **State that it captures is shared by all shards; local variables are
    /// not.**
    ///
    /// # Errors
    ///
    /// If `count` is 0 or above 100,000; if the name cannot be part of a key.
    pub fn new<F, Fut>(
        membership: &Membership,
        work: impl Into<String>,
        count: u32,
        job: F,
    ) -> Result<Self, EtcdConfigError>
    where
        F: FnOnce(Shard) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
        Fut::Output: ComponentResult,
    {
        // Before the names are made.
        check_count(count as usize)?;
        Self::build(membership, work.into(), || List::numbered(count), job)
    }

    /// Makes one shard for each named job. They are numbered in the order of their names.
    ///
    /// ```
    /// # use overwatch::etcd::{EtcdConfigError, Membership, Shard, Shards};
    /// # fn example(membership: Membership) -> Result<Shards, EtcdConfigError> {
    /// Shards::named(&membership, "reports", ["daily", "weekly"], |job: Shard| async move {
    ///     while job.sleep(std::time::Duration::from_secs(60)).await {
    ///         job.check()?;
    ///         println!("the {} report", job.name());
    ///     }
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); also if a name cannot be part of a key, or is given twice.
    pub fn named<I, F, Fut>(
        membership: &Membership,
        work: impl Into<String>,
        names: I,
        job: F,
    ) -> Result<Self, EtcdConfigError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
        F: FnOnce(Shard) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
        Fut::Output: ComponentResult,
    {
        let names = sorted(names)?;
        Self::build(membership, work.into(), || List::named(&names), job)
    }

    fn build<F, Fut>(
        membership: &Membership,
        work: String,
        list: impl FnOnce() -> List,
        job: F,
    ) -> Result<Self, EtcdConfigError>
    where
        F: FnOnce(Shard) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        check_name("work", &work)?;
        Ok(Self {
            node: Arc::clone(membership.node()),
            work: Arc::new(Work::new(work, list(), job)),
            most_moving: usize::MAX,
            owners: watch::Sender::default(),
        })
    }

    /// Limits how many shards this node hands over at a time for balance. By default there is no limit.
    ///
    /// The limit applies when another node joins or takes part again. A shard counts from the moment when it is asked
    /// to stop until another node has claimed it.
    ///
    /// The limit delays neither a stop of the service nor the takeover of shards without an owner. A function that does
    /// not return when it is asked to stop delays the shards after it.
    ///
    /// # Errors
    ///
    /// If the number is 0: no shard would ever move.
    pub fn with_max_moving(mut self, shards: u32) -> Result<Self, EtcdConfigError> {
        self.most_moving = check_moving(shards)?;
        Ok(self)
    }

    /// The owner of each shard, as it changes. Call this before the shards are added to a service.
    ///
    /// If there are many shards, changes are published only a few times per second.
    ///
    /// ```
    /// # use overwatch::etcd::{EtcdConfigError, Membership, Owner, Shard, Shards};
    /// # fn example(membership: Membership) -> Result<(), EtcdConfigError> {
    /// # let shards = Shards::new(&membership, "checks", 8, |shard: Shard| async move {
    /// #     shard.stopping().await;
    /// #     Ok(())
    /// # })?;
    /// let owners = shards.owners();
    /// let now = owners.borrow().clone(); // so that nothing waits while this is looked at
    /// for (shard, owner) in &now {
    ///     match owner {
    ///         Owner::Node(id) => println!("{shard} is at {id}"),
    ///         Owner::Nobody { since } => println!("{shard} runs nowhere for {:?}", since.elapsed()),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn owners(&self) -> watch::Receiver<Owners> {
        self.owners.subscribe()
    }
}

impl Shards {
    /// Starts a task that publishes the owners that are set in the returned value.
    ///
    /// It is a separate task because a reader may hold the published value for long, which blocks the publisher.
    fn publish(&self, ctx: &Context) -> Arc<Latest<Owners>> {
        let latest = Arc::new(Latest::new(Owners::default()));
        let (owners, newest, told_to_stop) =
            (self.owners.clone(), Arc::clone(&latest), ctx.stopping());
        ctx.spawn_part(async move {
            let mut told_to_stop = std::pin::pin!(told_to_stop);
            let mut version = 0;
            loop {
                tokio::select! {
                    biased;
                    () = &mut told_to_stop => return Ok(()),
                    newer = newest.changed(version) => version = newer,
                }
                owners.send_replace(newest.get());
            }
        });
        latest
    }
}

#[async_trait::async_trait]
impl Component for Shards {
    async fn run(&self, ctx: Context) -> Result<(), Failure> {
        let Some(session) = ctx.until_stopping(self.node.session()).await else {
            return Ok(());
        };
        let (node, work) = (Arc::clone(&self.node), Arc::clone(&self.work));
        let part = ctx.clone();
        let latest = self.publish(&ctx);
        let worker = Worker::new(node, work, session, ctx, self.most_moving).publishing_to(latest);
        part.as_part_of_run(worker.run()).await
    }

    fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
        let memberships = wiring.find::<Membership>();
        let mut own = memberships.filter(|(_, it)| Arc::ptr_eq(it.node(), &self.node));
        let membership = own.next().map(|(id, _)| Place {
            name: wiring.name_of(id).unwrap_or_default(),
            stage: wiring.plan().layout().stage_of(id).unwrap_or_default(),
        });
        let is_same =
            |it: &Self| Arc::ptr_eq(&it.node, &self.node) && it.work.name == self.work.name;
        let all = wiring.find::<Self>();
        let mut others = all.filter(|(id, it)| *id != wiring.id() && is_same(it));
        let other = others.next().and_then(|(id, _)| wiring.name_of(id));
        check_place(wiring.stage(), membership)
            .and_then(|()| check_work(&self.work.name, other))
            .map_err(WiringError::new)
    }

    fn as_any(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(self)
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("work", &self.work.name)
            .field("shards", &self.work.list.len())
            .finish_non_exhaustive()
    }
}
