//! One run of one component: what its context, its sub-tasks and the supervisor share.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::reporter::{Batch, Source};
use super::shared::{Answer, Shared};
use super::{Component, Context, Failure, lock};
use crate::machine::{Cause, How};
use crate::policy::ComponentId;

/// One run of one component.
///
/// It counts as gone when the last *hold* is dropped: the task that runs the component has one, so
/// has each of its sub-tasks, and so has whoever asked for one.
pub(crate) struct Incarnation {
    pub(super) component: ComponentId,
    pub(super) epoch: u64,
    pub(crate) signal: Arc<StopSignal>,
    /// Made when the first report is: most incarnations never do.
    reports: OnceLock<Arc<Source>>,
    pub(super) shared: Arc<Shared>,
    up: AtomicBool,
    holds: AtomicUsize,
    /// How its main task ended; unset if it was aborted.
    ending: Mutex<Option<Ending>>,
    sub_tasks: Mutex<SubTasks>,
}

/// How the main task of a component ended.
pub(super) struct Ending {
    pub(super) how: How,
    pub(super) failure: Option<Failure>,
}

#[derive(Default)]
struct SubTasks {
    /// Made when the first is spawned.
    set: Option<JoinSet<()>>,
    /// Blocking work that may not have begun.
    queued: Vec<Arc<Mutex<Option<Queued>>>>,
    closed: bool,
}

/// Blocking work that waits for a thread.
struct Queued {
    work: Box<dyn FnOnce() + Send>,
    hold: Hold,
}

/// Tells all components of one stage, in one epoch, to stop.
#[derive(Default)]
pub(crate) struct StopSignal {
    pub(super) token: CancellationToken,
    stop: OnceLock<Stop>,
}

/// Why, and until when.
#[derive(Clone, Copy)]
pub(super) struct Stop {
    pub(super) cause: Cause,
    pub(super) deadline: Instant,
}

impl StopSignal {
    /// Told once; later calls change nothing.
    pub(crate) fn stop(&self, cause: Cause, within: Duration) {
        if self.stop.get().is_none() {
            let deadline = Instant::now() + within;
            let _ = self.stop.set(Stop { cause, deadline });
            self.token.cancel();
        }
    }

    pub(super) fn told(&self) -> Option<Stop> {
        self.stop.get().copied()
    }
}

impl Incarnation {
    pub(crate) fn new(
        component: ComponentId,
        epoch: u64,
        signal: Arc<StopSignal>,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        Arc::new(Self {
            reports: OnceLock::new(),
            component,
            epoch,
            signal,
            shared,
            up: AtomicBool::new(false),
            holds: AtomicUsize::new(0),
            ending: Mutex::new(None),
            sub_tasks: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        self.shared.name(self.component)
    }

    /// The reports that wait, if there were any. Called when it has ended: its last words count.
    pub(super) fn take_reports(&self) -> Vec<Batch> {
        self.reports
            .get()
            .map_or_else(Vec::new, |reports| reports.take())
    }

    /// The span of the component, for its main task and for each sub-task.
    fn span(&self) -> tracing::Span {
        tracing::info_span!(target: "overwatch::component", "component", name = %self.name(), epoch = self.epoch)
    }

    /// Where its reports gather.
    pub(crate) fn reports(&self) -> &Arc<Source> {
        self.reports
            .get_or_init(|| Arc::new(Source::of(self.component, self.epoch)))
    }

    /// Says once that the component is up.
    pub(super) fn ready(&self) {
        if !self.up.swap(true, Ordering::Relaxed) {
            self.shared.answer(Answer::Up {
                component: self.component,
                epoch: self.epoch,
            });
        }
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Counts as held from now on, so that sub-tasks can be spawned without a supervisor.
    #[cfg(feature = "test-util")]
    pub(crate) fn adopt(&self) {
        self.holds.store(1, Ordering::Release);
    }

    /// Runs the component; the whole of its main task.
    pub(super) async fn run(self: Arc<Self>, component: Arc<dyn Component>, first: Hold) {
        let span = self.span();
        // A component written by hand may panic before it has made its future.
        let ctx = Context::new(Arc::clone(&self));
        let begun = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| component.run(ctx))));
        let work = async {
            match begun {
                Ok(running) => unwinding(running).await,
                Err(panic) => Err(Failure::from_panic(panic)),
            }
        };
        let work = work.instrument(span);
        let ending = match work.await {
            Ok(()) => Ending {
                how: How::Returned,
                failure: None,
            },
            Err(failure) => Ending {
                how: How::Failed(failure.class()),
                failure: Some(failure),
            },
        };
        *lock(&self.ending) = Some(ending);
        // What it leaves behind must not hide that it is no longer at work. Decided by the release
        // itself: a hold may be taken at any moment. After Gone this is stale and harmless.
        let was_last = first.release();
        if !was_last && self.signal.told().is_none() {
            self.shared.answer(Answer::Exited(Arc::clone(&self)));
        }
    }

    /// Spawns a task that belongs to this incarnation, unless that is over.
    pub(super) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        self.with_sub_tasks(|tasks, runtime, hold| {
            // What has ended needs no handle any more; so the set holds no more than is alive.
            let set = tasks.set.get_or_insert_default();
            while set.try_join_next().is_some() {}
            set.spawn_on(
                async move {
                    work.await;
                    drop(hold);
                }
                .instrument(self.span()),
                runtime,
            );
        });
    }

    /// The same for work that blocks. What has not begun when the others are aborted never will.
    pub(super) fn spawn_blocking(self: &Arc<Self>, work: impl FnOnce() + Send + 'static) {
        let span = self.span();
        self.with_sub_tasks(|tasks, runtime, hold| {
            let work = Box::new(move || span.in_scope(work));
            let queued = Arc::new(Mutex::new(Some(Queued { work, hold })));
            tasks.queued.retain(|queued| lock(queued).is_some());
            tasks.queued.push(Arc::clone(&queued));
            runtime.spawn_blocking(move || {
                let begun = lock(&queued).take();
                if let Some(Queued { work, hold }) = begun {
                    work();
                    drop(hold);
                }
            });
        });
    }

    fn with_sub_tasks(self: &Arc<Self>, spawn: impl FnOnce(&mut SubTasks, &runtime::Handle, Hold)) {
        let mut tasks = lock(&self.sub_tasks);
        if let (false, Some(runtime), Some(hold)) =
            (tasks.closed, self.shared.runtime(), Hold::of(self))
        {
            spawn(&mut tasks, &runtime, hold);
        }
    }

    /// Aborts all sub-tasks, and lets no new ones begin.
    pub(super) fn abort_sub_tasks(&self) {
        let mut tasks = lock(&self.sub_tasks);
        tasks.closed = true;
        if let Some(set) = &mut tasks.set {
            set.abort_all();
        }
        let queued = std::mem::take(&mut tasks.queued);
        drop(tasks);
        for queued in queued {
            let never = lock(&queued).take();
            drop(never);
        }
    }

    /// How its main task ended.
    pub(super) fn how(&self) -> How {
        let ending = lock(&self.ending);
        ending.as_ref().map_or(How::Aborted, |ending| ending.how)
    }

    /// How it ended, for whoever is told. Text and class are taken, so only the first call has them.
    pub(super) fn take_ending(&self) -> Ending {
        let mut ending = lock(&self.ending);
        let how = ending.as_ref().map_or(How::Aborted, |ending| ending.how);
        let failure = ending.as_mut().and_then(|ending| ending.failure.take());
        Ending { how, failure }
    }
}

/// Keeps an incarnation from counting as gone.
///
/// For anything that must be gone before the component's successor may start, and that is no
/// sub-task: a thread, a foreign callback, a child process. Drop it when that is gone.
#[must_use = "dropping it says that what it stood for is gone"]
pub struct Hold(Option<Arc<Incarnation>>);

impl Hold {
    /// The first hold of a new incarnation.
    pub(super) fn first(incarnation: &Arc<Incarnation>) -> Self {
        incarnation.holds.store(1, Ordering::Release);
        incarnation.shared.live.fetch_add(1, Ordering::AcqRel);
        Self(Some(Arc::clone(incarnation)))
    }

    /// One more hold, unless the incarnation is gone already.
    pub(super) fn of(incarnation: &Arc<Incarnation>) -> Option<Self> {
        let more = |holds: usize| (holds > 0).then(|| holds + 1);
        incarnation
            .holds
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        Some(Self(Some(Arc::clone(incarnation))))
    }

    /// Drops it, and tells whether it was the last.
    fn release(mut self) -> bool {
        self.0.take().is_some_and(let_go)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(incarnation) = self.0.take() {
            let_go(incarnation);
        }
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.0.as_ref().map(|incarnation| incarnation.name());
        f.debug_tuple("Hold").field(&name).finish()
    }
}

/// One hold less. The last one out says that the incarnation is gone.
fn let_go(incarnation: Arc<Incarnation>) -> bool {
    let was_last = incarnation.holds.fetch_sub(1, Ordering::AcqRel) == 1;
    if was_last {
        incarnation.shared.live.fetch_sub(1, Ordering::AcqRel);
        // Its own count is cloned rather than the shared one, which all components contend for.
        let gone = Answer::Gone(Arc::clone(&incarnation));
        incarnation.shared.answer(gone);
    }
    was_last
}

/// Runs user code to its end, and turns a panic into a failure. The future is dropped before this
/// returns, and a panic in that drop counts too.
pub(crate) async fn unwinding<T>(
    work: impl Future<Output = Result<T, Failure>> + Unpin,
) -> Result<T, Failure> {
    let mut work = Some(work);
    poll_fn(|cx| {
        let Some(running) = work.as_mut() else {
            return Poll::Ready(Err(Failure::new("polled after its end")));
        };
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(running).poll(cx)));
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(Failure::from_panic(panic)),
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(work.take())));
        Poll::Ready(match dropped {
            Ok(()) => result,
            Err(panic) => result.and_then(|_| Err(Failure::from_panic(panic))),
        })
    })
    .await
}
