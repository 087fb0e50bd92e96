//! A shard that this node owns, and the task that runs its function.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFuture};

use super::reconcile::ShardExit;
use crate::etcd::membership::LeaseSession;
use crate::shell::failure::{Failure, unwinding};

/// A shard that this node owns: the argument of the function of [`Shards`](crate::etcd::Shards).
///
/// It is cheap to clone; clones are the same shard. Call [`check`](Self::check) before each unit of work, send
/// [`token`](Self::token) with each write, and return when [`stopping`](Self::stopping) completes: only then may
/// another node claim the shard.
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
    session: Arc<LeaseSession>,
    stop: CancellationToken,
    lost: CancellationToken,
    /// The function has ended, or is being dropped.
    given_up: CancellationToken,
}

impl Shard {
    pub(crate) fn new(
        index: u32,
        name: Arc<str>,
        claim: Claimed,
        session: Arc<LeaseSession>,
    ) -> Self {
        let lost = session.lost.child_token();
        Self(Arc::new(JobState {
            index,
            name,
            claim,
            session,
            stop: CancellationToken::new(),
            lost,
            given_up: CancellationToken::new(),
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
    /// kept return it as soon as the function has ended. Return the error: the function is dropped at its next `.await`
    /// anyway.
    pub fn check(&self) -> Result<(), ShardLost> {
        let JobState { lost, given_up, .. } = &*self.0;
        if lost.is_cancelled() || given_up.is_cancelled() || !self.0.session.allows() {
            return Err(ShardLost {
                shard: Arc::clone(&self.0.name),
            });
        }
        Ok(())
    }

    /// Completes when the function should return, because the shard moves or the service stops.
    ///
    /// The future borrows nothing.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        self.0.stop.clone().cancelled_owned()
    }

    /// Whether the function should return.
    pub fn is_stopping(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    /// Sleeps, and ends early when the function should return. Returns `true` if it slept to the end.
    ///
    /// So `while shard.sleep(interval).await { … }` is a loop that stops.
    pub async fn sleep(&self, duration: Duration) -> bool {
        let slept = self.until_stopping(tokio::time::sleep(duration));
        slept.await.is_some()
    }

    /// Waits for a future. When the function should return, drops the future and returns `None`.
    pub async fn until_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.stop.cancelled() => None,
            done = work => Some(done),
        }
    }

    /// Whether its function has ended, or is being dropped.
    pub(crate) fn is_given_up(&self) -> bool {
        self.0.given_up.is_cancelled()
    }

    pub(crate) fn stop(&self) {
        self.0.stop.cancel();
    }

    /// The claim is gone: nothing more may be done.
    pub(crate) fn lose(&self) {
        self.0.lost.cancel();
    }

    /// Runs the function to its end, or until the shard is lost.
    pub(crate) async fn run(self, begin: impl FnOnce(Self) -> JobFuture + Send) -> Outcome {
        let (session, lost) = (Arc::clone(&self.0.session), self.0.lost.clone());
        let fenced = Fenced {
            _given_up: self.0.given_up.clone().drop_guard(),
            session: &session,
            lost: Box::pin(lost.cancelled()),
            end: Box::pin(sleep_until(session.until())),
            // It may panic before it has made its future.
            work: Box::pin(async move { begin(self).await }),
        };
        let failure = unwinding(fenced).await.err();
        let is_ours = !lost.is_cancelled() && session.allows();
        Outcome {
            how: ShardExit::how(failure.as_ref().map(Failure::class), is_ours),
            failure,
        }
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

/// Polls the work only while the lease allows it: a process that was frozen stops at its next `.await`.
///
/// Ends, and so drops the work, as soon as the shard is lost or the lease runs out.
struct Fenced<'a, F> {
    /// Dropped first: `Shard::check` then fails in blocking work and tasks that continue elsewhere, so a drop
    /// that waits for them ends.
    _given_up: DropGuard,
    session: &'a LeaseSession,
    lost: Pin<Box<WaitForCancellationFuture<'a>>>,
    /// The end of the lease when it was last read. Mostly the lease was renewed since.
    end: Pin<Box<Sleep>>,
    work: Pin<Box<F>>,
}

impl<F: Future<Output = Result<(), Failure>>> Future for Fenced<'_, F> {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Self::Output> {
        if self.lost.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Failure::new("the shard is lost")));
        }
        // The timer only wakes this future. The runtime may fire it later than something that wakes the work, so
        // the lease itself is checked first.
        while self.session.allows() {
            if self.end.as_mut().poll(cx).is_pending() {
                return self.work.as_mut().poll(cx);
            }
            let until = self.session.until();
            self.end.as_mut().reset(until);
        }
        Poll::Ready(Err(Failure::new("the lease has run out")))
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
