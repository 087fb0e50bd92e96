//! The component that users make, and what it is given.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use super::job::Shard;
use super::list::{List, check_count, check_moving, sorted};
use super::owners::Owners;
use super::work::Work;
use super::worker::Worker;
use crate::etcd::basics::EtcdConfigError;
use crate::etcd::host::Latest;
use crate::etcd::membership::{Membership, Node};
use crate::etcd::records::check_name;
use crate::shell::component::{Component, Context};
use crate::shell::failure::Failure;

/// Spreads a fixed number of shards, or named jobs, over the members: a [`Component`] for a stage after
/// that of the [`Membership`].
///
/// You write one async function. It is called for each shard that this node owns, runs until
/// [`Shard::stopping`] completes, and is called again when the shard comes back.
///
/// 1. [`new`](Self::new) for numbered shards, or [`named`](Self::named) for jobs; one name is
///    [a leader election](crate::guide::cluster#leader-election);
/// 2. take [`owners`](Self::owners), if wanted;
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
/// # Who should, and who may
///
/// *Who should* run a shard each node works out by itself, from the same records in etcd: where all have the same
/// shards no member has more than one above another, and an arrival or a departure moves as few as that allows
/// (bounded loads over rendezvous hashing).
///
/// *Who may* is settled by a claim: a key of the shard's, created only if it is not there, by a member
/// only, and bound to the member's lease. A node gives a shard up only after the function has returned
/// (or was dropped); only then may another node claim it. A shard whose claim has vanished, because a
/// lease ran out or was revoked, is claimed [a second](Membership::GRACE) later.
///
/// | the function | consequence |
/// | --- | --- |
/// | returns, fails or panics before it is told to stop | that shard alone waits, 1 s at first and 60 s at most, and is tried again here |
/// | returns a [dependency](Failure::dependency) or [critical](Failure::critical) failure | the same, and it is reported as this component's |
/// | returns a [fatal](Failure::fatal) failure | the run ends with it |
/// | goes on when the shard is to move | it keeps the shard until it returns; what goes on past the stop deadline when the whole service stops is aborted |
/// | goes on when the lease is lost or about to run out, or when the claim is gone | it is dropped at its next await, also while it stops |
///
/// # What the fence promises, and what it cannot
///
/// The function is not polled any more from a margin before the lease can expire: a frozen process stops at its next
/// `.await`. Between two awaits nothing can stop it. So call [`Shard::check`] before each unit of work. No check that is
/// made here covers
///
/// - a process that is frozen between the check and the deed, and what is begun within the margin and
///   ends late; likewise a machine that is suspended there, or whose clocks are all stopped (see [`Membership`]);
/// - tasks and threads that the function starts itself and does not wait for: it is to end them before
///   it returns, and when it is dropped (from then on [`Shard::check`] tells them that the shard is lost);
/// - a lease that is revoked by hand, or by etcd itself, while the node cannot notice it within a second;
/// - nodes that are led to two clusters, each of them to one (see the [module](crate::etcd)).
///
/// A store that refuses a stale [`token`](Shard::token) sees these too (but for the last: tokens of two clusters
/// have nothing to do with each other).
///
/// # Several lists
///
/// While one version of a service takes the place of another, nodes may have different shards. Each node publishes which
/// list it has, and a shard is planned over all nodes that know it: none rests because another list is there, and
/// shards that only nodes know that have left run nowhere. That nodes differ is a warning, one for each list that others
/// have. The shares are even among the shards that the same nodes know, and so not over all of them: of two nodes
/// with 8 shards and one with 24, the last has its own 16 and a third of the rest. Shards are told apart by their
/// names; those that are numbered have their numbers for names.
///
/// # Who owns what
///
/// [`owners`](Self::owners) has the owner of each shard, which shards have none, and since when. The log warns of those
/// that have none for five seconds, and the health endpoints show how many run here.
///
/// Keys among those of the members and of this work that no node wrote are left alone, with a warning that
/// names the key. Such a key in the place of a claim keeps the shard from having an owner.
pub struct Shards {
    node: Arc<Node>,
    pub(crate) work: Arc<Work>,
    most_moving: usize,
    owners: watch::Sender<Owners>,
}

impl Shards {
    /// `count` shards, numbered from 0. The work has a name, so that one membership can have several.
    ///
    /// The function is cloned for each call. **State that it captures is shared by all shards; local variables are
    /// not.**
    ///
    /// # Errors
    ///
    /// When `count` is 0 or above 100,000; when the name cannot be part of a key.
    pub fn new<F, Fut>(
        membership: &Membership,
        work: impl Into<String>,
        count: u32,
        job: F,
    ) -> Result<Self, EtcdConfigError>
    where
        F: FnOnce(Shard) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        // Before the names are made.
        check_count(count as usize)?;
        Self::build(membership, work.into(), || List::numbered(count), job)
    }

    /// Named jobs, one shard each. They are numbered in the order of their names.
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
    /// As [`new`](Self::new); when a name cannot be part of a key, or is given twice.
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

    /// How many shards are on their way from this node at once for the sake of balance, when another node comes or
    /// takes part again: from when they are told to stop until another node has claimed them. By default all that are
    /// to move are told together.
    ///
    /// It delays neither a stop of the service, nor the taking over of what has no owner. A function that does not
    /// return when it is told to stop holds up those after it.
    ///
    /// # Errors
    ///
    /// When it is none: then nothing would ever move.
    pub fn moving_at_most(mut self, shards: u32) -> Result<Self, EtcdConfigError> {
        self.most_moving = check_moving(shards)?;
        Ok(self)
    }

    /// Who owns which shard, as it changes: at most some times a second where there are many. To be taken
    /// before this is added to a service.
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
    /// What is set in the one that is returned is published by a task of its own: who looks at what is published
    /// may do so for long, and until then nothing else can be published.
    fn publish(&self, ctx: &Context) -> Arc<Latest<Owners>> {
        let latest = Arc::new(Latest::new(Owners::default()));
        let (owners, newest, told_to_stop) =
            (self.owners.clone(), Arc::clone(&latest), ctx.stopping());
        ctx.spawn(async move {
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
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("work", &self.work.name)
            .field("shards", &self.work.list.len())
            .finish_non_exhaustive()
    }
}
