//! A shard that this node owns, and the task that runs its function.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{Compare, CompareOp};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fenced::Fenced;
use super::holds::Holds;
use super::reconcile::ShardExit;
use crate::etcd::membership::LeaseSession;
use crate::etcd::records::WorkKeys;
use crate::shell::component::{CaughtTask, Context, Hold, SubTask, caught};
use crate::shell::failure::{Failure, unwinding};
use crate::shell::sync::lock;

/// A shard that this node owns: the argument of the function of [`Shards`](crate::etcd::Shards).
///
/// It is cheap to clone; clones are the same shard. Call [`check`](Self::check) before each unit of work, send
/// [`token`](Self::token) with each write (or [`guard`](Self::guard), if you write to the same etcd), and return when
/// [`stopping`](Self::stopping) completes: only then may another node claim the shard. Tasks that belong to the shard
/// are started with [`spawn`](Self::spawn). What a component of a lower stage provides, e.g. a connection pool, is had
/// with [`resource`](Self::resource).
///
/// A shard has no note for status pages: there is one [note](crate::Context::note) for each component, and that of
/// [`Shards`](crate::etcd::Shards) says how many shards run.
///
/// ```
/// use overwatch::Failure;
/// use overwatch::etcd::Shard;
/// use std::time::Duration;
///
/// # struct Store; impl Store {
/// #     async fn write(&self, _shard: &str, _token: i64) -> std::io::Result<()> { Ok(()) }
/// # }
/// async fn job(shard: Shard, store: Store) -> Result<(), Failure> {
///     while shard.sleep(Duration::from_secs(1)).await {
///         shard.check()?;
///         // The store refuses a token that is lower than one it has seen.
///         store.write(shard.name(), shard.token()).await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Shard(Arc<JobState>);

/// One incarnation of one shard.
pub(crate) type JobFuture = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// The claim under which a shard runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub(crate) revision: i64,
    /// The fencing token of this claim.
    pub(crate) token: i64,
}

struct JobState {
    index: u32,
    name: Arc<str>,
    claim: Claimed,
    keys: Arc<WorkKeys>,
    session: Arc<LeaseSession>,
    /// The context of the component.
    ctx: Context,
    /// The function and its sub-tasks should end.
    stop: CancellationToken,
    /// They should end because the shard moves, or the service stops.
    moves: AtomicBool,
    lost: CancellationToken,
    /// The function and its sub-tasks have ended, or are being dropped. Also if the shard is lost.
    given_up: CancellationToken,
    holds: Holds,
    /// The lease is not revoked while there is a receiver of it.
    work: watch::Sender<()>,
    /// The first failure of a sub-task.
    failure: Mutex<Option<Failure>>,
}

impl Shard {
    pub(crate) fn new(
        index: u32,
        name: Arc<str>,
        claim: Claimed,
        keys: Arc<WorkKeys>,
        session: Arc<LeaseSession>,
        ctx: Context,
        work: watch::Sender<()>,
    ) -> Self {
        let lost = session.lost.child_token();
        Self(Arc::new(JobState {
            index,
            name,
            claim,
            keys,
            session,
            ctx,
            stop: CancellationToken::new(),
            moves: AtomicBool::new(false),
            given_up: lost.child_token(),
            lost,
            holds: Holds::default(),
            work,
            failure: Mutex::new(None),
        }))
    }

    /// The number of the shard, from 0; of named jobs, the place in the order of the names.
    pub fn index(&self) -> u32 {
        self.0.index
    }

    /// The name of the job, or the shard's number as text.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// A fencing token. The token of each new claim on this shard is higher than all before it.
    ///
    /// Send it with each write. A store that remembers the highest token, and refuses lower ones, is protected against
    /// a former owner that does not know yet that it lost the shard.
    ///
    /// The token is etcd's revision when the shard was claimed. Its upper 15 bits are the
    /// [generation](crate::etcd::MembershipBuilder::token_generation), which must be raised on all nodes when etcd is
    /// restored from a backup, or built anew, because revisions then go back.
    pub fn token(&self) -> i64 {
        self.0.claim.token
    }

    /// A condition for your own transactions in the same etcd: this node still owns the shard, under this claim.
    ///
    /// A transaction with this condition is refused as soon as the claim was released or taken by another node, or has
    /// disappeared with its lease, whatever this process believes. So it needs no [`check`](Self::check), and no store
    /// that remembers tokens. The client must be one of the same cluster, and its user must be allowed to read
    /// below the prefix of the membership. The type is that of the crate `etcd-client`, version 0.21.
    ///
    /// ```
    /// use etcd_client::{Client, Txn, TxnOp};
    /// use overwatch::Failure;
    /// use overwatch::etcd::Shard;
    ///
    /// async fn checkpoint(shard: &Shard, etcd: &mut Client, done: &str) -> Result<(), Failure> {
    ///     let key = format!("checkpoints/{}", shard.name());
    ///     let write = Txn::new().when([shard.guard()]).and_then([TxnOp::put(key, done, None)]);
    ///     match etcd.txn(write).await?.succeeded() {
    ///         true => Ok(()),
    ///         false => Err(Failure::new("another node may own the shard: nothing was written")),
    ///     }
    /// }
    /// ```
    pub fn guard(&self) -> Compare {
        let key = self.0.keys.shard(&self.0.name);
        Compare::mod_revision(key, CompareOp::Equal, self.0.claim.revision)
    }

    /// The epoch of the service in which this incarnation of the shard runs.
    pub fn epoch(&self) -> u64 {
        self.0.ctx.epoch()
    }

    /// The revision of the claim.
    pub(crate) fn claim(&self) -> i64 {
        self.0.claim.revision
    }

    /// Checks that this node still owns the shard, as far as this process can know.
    ///
    /// Call this before each unit of work. It does no I/O, and costs three reads of clocks.
    ///
    /// # Errors
    ///
    /// [`ShardLost`] if the claim or the lease is gone, or if the lease may expire within the margin. Clones that are
    /// kept return it as soon as the function and its tasks have ended. Return the error: the function is dropped at its next `.await`
    /// anyway.
    pub fn check(&self) -> Result<(), ShardLost> {
        if self.0.given_up.is_cancelled() || !self.0.session.allows() {
            return Err(ShardLost {
                shard: Arc::clone(&self.0.name),
            });
        }
        Ok(())
    }

    /// Completes when the function and its tasks should end.
    ///
    /// Because the shard moves or the service stops; because a [task](Self::spawn) of the shard failed; and, for tasks,
    /// because the function has returned. The future borrows nothing.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        self.0.stop.clone().cancelled_owned()
    }

    /// Whether the function and its tasks should end.
    pub fn is_stopping(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    /// Sleeps, and ends early when the function and its tasks should end. Returns `true` if it slept to the end.
    ///
    /// So `while shard.sleep(interval).await { … }` is a loop that stops.
    pub async fn sleep(&self, duration: Duration) -> bool {
        let slept = self.until_stopping(tokio::time::sleep(duration));
        slept.await.is_some()
    }

    /// Waits for a future. When the function and its tasks should end, drops the future and returns `None`.
    pub async fn until_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.stop.cancelled() => None,
            done = work => Some(done),
        }
    }

    /// Spawns a task that belongs to the shard.
    ///
    /// The shard counts as ended, and is released, only when the task has ended. The task gets the same protection as
    /// the function: it is dropped at its next `.await` when the lease or the claim is lost. If the task returns an
    /// error or panics, [`stopping`](Self::stopping) completes, and that failure counts as the function's own when the
    /// function has returned. When the function has returned, `stopping` completes for the tasks. So a task should end
    /// then; nothing else ends it as long as this node owns the shard. After the end of the shard nothing is spawned.
    ///
    /// ```
    /// # use overwatch::Failure;
    /// # use overwatch::etcd::Shard;
    /// # use std::time::Duration;
    /// async fn job(shard: Shard) -> Result<(), Failure> {
    ///     let task = shard.clone();
    ///     shard.spawn(async move {
    ///         while task.sleep(Duration::from_secs(60)).await {
    ///             println!("clean up shard {}", task.name());
    ///         }
    ///         Ok(())
    ///     });
    ///     while shard.sleep(Duration::from_secs(1)).await {
    ///         shard.check()?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> SubTask<T> {
        let Some(hold) = JobHold::of(self) else {
            return SubTask::of_nothing();
        };
        self.0.ctx.spawn_unreported(async move {
            let shard = &hold.0;
            let done = unwinding(shard.fenced(&shard.0.given_up, None, work)).await;
            let value = shard.value_of(done);
            drop(hold);
            value
        })
    }

    /// As [`spawn`](Self::spawn), but a failure goes to whatever awaits the task, and the shard goes on.
    ///
    /// For work that may fail without the shard, e.g. one of many connections. If the task fails after its
    /// [`CaughtTask`] was dropped, the failure is a warning in the log. If the shard is lost, the result is a failure
    /// that says so.
    pub fn spawn_caught<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> CaughtTask<T> {
        let Some(hold) = JobHold::of(self) else {
            return CaughtTask::of_nothing();
        };
        self.0.ctx.spawn_caught_part(self.logs(), async move {
            let shard = &hold.0;
            let done = unwinding(shard.fenced(&shard.0.given_up, None, work)).await;
            drop(hold);
            done
        })
    }

    /// As [`spawn`](Self::spawn), for work that blocks, on a separate thread.
    ///
    /// Blocking work cannot be dropped when the shard is lost, and no other node waits for it then. So call
    /// [`check`](Self::check) in its loop, and end when it returns an error or [`is_stopping`](Self::is_stopping)
    /// returns `true`. Work that has not begun when the shard is lost never begins.
    ///
    /// ```
    /// # use overwatch::Failure;
    /// # use overwatch::etcd::Shard;
    /// # fn compress(_: &str) -> std::io::Result<()> { Ok(()) }
    /// async fn job(shard: Shard) -> Result<(), Failure> {
    ///     let task = shard.clone();
    ///     shard.spawn_blocking(move || {
    ///         for file in ["a", "b", "c"] {
    ///             task.check()?;
    ///             if task.is_stopping() {
    ///                 break;
    ///             }
    ///             compress(file)?;
    ///         }
    ///         Ok(())
    ///     }).await;
    ///     Ok(())
    /// }
    /// ```
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> SubTask<T> {
        let Some(hold) = JobHold::of(self) else {
            return SubTask::of_nothing();
        };
        self.0.ctx.spawn_blocking_unreported(move || {
            let value = hold.0.value_of(hold.0.block(work));
            drop(hold);
            value
        })
    }

    /// As [`spawn_caught`](Self::spawn_caught), for work that blocks, on a separate thread.
    ///
    /// See [`spawn_blocking`](Self::spawn_blocking).
    pub fn spawn_blocking_caught<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> CaughtTask<T> {
        let Some(hold) = JobHold::of(self) else {
            return CaughtTask::of_nothing();
        };
        self.0.ctx.spawn_blocking_caught_part(self.logs(), move || {
            let done = hold.0.block(work);
            drop(hold);
            done
        })
    }

    /// The value of this type that a component of a lower stage has [provided](crate::Context::provide) in this epoch.
    ///
    /// ```
    /// # use overwatch::Failure;
    /// # use overwatch::etcd::Shard;
    /// # struct Pool;
    /// async fn job(shard: Shard) -> Result<(), Failure> {
    ///     let pool = shard.resource::<Pool>()?;
    ///     shard.stopping().await;
    /// #   drop(pool);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If none was provided, a failure that says what to do.
    pub fn resource<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, Failure> {
        self.0.ctx.resource()
    }

    /// Keeps the shard from counting as ended until the [`ShardHold`] is dropped.
    ///
    /// This is for work of the shard that is not one of its [tasks](Self::spawn), e.g. a thread or a child process. That
    /// work must end when [`check`](Self::check) returns an error. The result is `None` if the shard has ended already.
    pub fn hold(&self) -> Option<ShardHold> {
        Some(ShardHold {
            job: JobHold::of(self)?,
            _component: self.0.ctx.hold()?,
        })
    }

    /// Reports a failure of the shard's work without ending it, as [`Context::report`](crate::Context::report) does for
    /// a component.
    ///
    /// By default one report trips the service. (An error that the function returns only pauses this shard.) If the
    /// shard is lost, the failure is ignored, unless it is [fatal](Failure::fatal).
    pub fn report(&self, failure: impl Into<Failure>) {
        let failure = failure.into();
        if ShardExit::counts(failure.class(), self.check().is_ok()) {
            self.0.ctx.report(failure);
        }
    }

    /// Whether the function and its sub-tasks have ended, or are being dropped.
    pub(crate) fn is_given_up(&self) -> bool {
        self.0.given_up.is_cancelled()
    }

    /// Asks the function to return, because the shard moves or the service stops.
    pub(crate) fn stop(&self) {
        self.0.moves.store(true, Ordering::Release);
        self.0.stop.cancel();
    }

    /// Whether the function was asked to return, because the shard moves or the service stops.
    pub(crate) fn is_moving(&self) -> bool {
        self.0.moves.load(Ordering::Acquire)
    }

    /// The claim is gone: nothing more may be done.
    pub(crate) fn lose(&self) {
        self.0.lost.cancel();
    }

    /// Runs the function and its sub-tasks to their end, or until the shard is lost.
    pub(crate) async fn run(self, begin: impl FnOnce(Self) -> JobFuture + Send) -> Outcome {
        let given_up = self.0.given_up.clone().drop_guard();
        let work = self.clone().live(begin);
        let ended = unwinding(self.fenced(&self.0.lost, Some(given_up), work)).await;
        let is_ours = !self.0.lost.is_cancelled() && self.0.session.allows();
        // If it is lost, its sub-tasks end at their next `.await`.
        self.0.holds.close();
        self.0.holds.all_released().await;
        let first = lock(&self.0.failure).take();
        let class = |failure: Option<&Failure>| failure.map(Failure::class);
        let failure = match ShardExit::is_graver(class(ended.as_ref().err()), class(first.as_ref()))
        {
            true => ended.err(),
            false => first,
        };
        Outcome {
            how: ShardExit::how(failure.as_ref().map(Failure::class), is_ours),
            failure,
        }
    }

    /// The function, and then what is left of its sub-tasks.
    async fn live(self, begin: impl FnOnce(Self) -> JobFuture + Send) -> Result<(), Failure> {
        let shard = self.clone();
        // It may panic before it has made its future.
        let ended = unwinding(async move { begin(shard).await }).await;
        self.0.stop.cancel();
        self.0.holds.all_released().await;
        ended
    }

    /// Runs work that blocks, unless the shard is lost by now.
    fn block<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        caught(|| {
            self.check()?;
            work()
        })
    }

    /// The value of a sub-task, whose failure is that of the shard.
    fn value_of<T>(&self, done: Result<T, Failure>) -> Option<T> {
        done.map_err(|failure| self.sub_task_failed(failure)).ok()
    }

    /// Whether a failure that nothing awaits is logged: not if it only says that the shard is lost.
    fn logs(&self) -> impl FnOnce(&Failure) -> bool + Send + use<> {
        let shard = self.clone();
        move |failure| ShardExit::counts(failure.class(), shard.check().is_ok())
    }

    fn fenced<'a, F>(
        &'a self,
        lost: &'a CancellationToken,
        given_up: Option<DropGuard>,
        work: F,
    ) -> Fenced<'a, F> {
        Fenced::new(&self.0.session, lost, given_up, work)
    }

    /// Notes the failure of a sub-task, and asks the function to return.
    fn sub_task_failed(&self, failure: Failure) {
        if !ShardExit::counts(failure.class(), self.check().is_ok()) {
            return;
        }
        // What it takes the place of is dropped after the lock is released, because that is user code.
        let _dropped = {
            let mut first = lock(&self.0.failure);
            let earlier = first.as_ref().map(Failure::class);
            match ShardExit::is_graver(Some(failure.class()), earlier) {
                true => first.replace(failure),
                false => Some(failure),
            }
        };
        self.0.stop.cancel();
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("index", &self.0.index)
            .field("name", &self.0.name)
            .field("token", &self.0.claim.token)
            .finish_non_exhaustive()
    }
}

/// How one incarnation of a shard ended.
pub(crate) struct Outcome {
    pub(crate) how: ShardExit,
    /// The failure it ended with, if any.
    pub(crate) failure: Option<Failure>,
}

/// Keeps a job from counting as ended, and the lease from being revoked.
///
/// The second also if the task of the function was aborted, and something of the shard is left.
struct JobHold(Shard, #[expect(dead_code)] watch::Receiver<()>);

impl JobHold {
    /// One more hold, unless the job has ended.
    fn of(shard: &Shard) -> Option<Self> {
        let at_work = shard.0.work.subscribe();
        shard.0.holds.take().then(|| Self(shard.clone(), at_work))
    }
}

impl Drop for JobHold {
    fn drop(&mut self) {
        self.0.0.holds.release();
    }
}

/// Keeps a shard from counting as ended, and from being released. From [`Shard::hold`].
///
/// Drop it when the work that it stands for has ended. A hold that is never dropped keeps the shard from moving, and the
/// component from being gone.
///
/// ```
/// # fn example(shard: overwatch::etcd::Shard) {
/// if let Some(hold) = shard.hold() {
///     std::thread::spawn(move || {
///         while !shard.is_stopping() && shard.check().is_ok() {
///             std::thread::sleep(std::time::Duration::from_millis(10));
///         }
///         drop(hold); // from here on another node may claim the shard
///     });
/// }
/// # }
/// ```
#[must_use = "dropping it says that the work has ended"]
pub struct ShardHold {
    job: JobHold,
    _component: Hold,
}

impl fmt::Debug for ShardHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShardHold").field(&self.job.0).finish()
    }
}

/// This node no longer owns the shard, or another node may own it soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardLost {
    shard: Arc<str>,
}

impl fmt::Display for ShardLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "shard {} is lost: its claim is gone, its function has ended, or the lease was not renewed in time",
            self.shard
        )
    }
}

impl Error for ShardLost {}

#[cfg(test)]
mod tests;
