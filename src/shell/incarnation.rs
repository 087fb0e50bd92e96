//! One run of one component: what its context, its sub-tasks and the supervisor share.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context as Poller, Poll};

use pin_project_lite::pin_project;
use tokio::runtime;
use tokio::task::{JoinHandle, JoinSet};
use tracing::Instrument;

use super::component::Body;
use super::mailbox::{Answer, Who};
use super::reporter::{Batch, Source};
use super::stage::{Block, Stage};
use super::{Context, Failure, lock};
use crate::machine::How;
use crate::policy::ComponentId;

/// One run of one component: where it is among those of its stage. A handle; clones are the same one.
///
/// It counts as gone when the last *hold* is dropped: the task that runs the component has one, so
/// has each of its sub-tasks, and so has whoever asked for one.
#[derive(Clone)]
pub(crate) struct Incarnation {
    block: Arc<Block>,
    place: u32,
}

/// What each incarnation has of its own.
pub(super) struct Run {
    holds: AtomicU32,
    up: AtomicBool,
    /// How its main task ended; unset if it was aborted.
    ended: OnceLock<How>,
    /// Made when it is first needed: most incarnations never do.
    extras: OnceLock<Box<Extras>>,
}

/// What an incarnation has only if it reports, spawns, fails or is aborted.
struct Extras {
    /// Where its reports gather.
    reports: Arc<Source>,
    sub_tasks: Mutex<SubTasks>,
    /// What its main task ended with.
    failure: Mutex<Option<Failure>>,
}

impl Extras {
    /// Aborts all sub-tasks, and lets no new ones begin.
    fn abort_sub_tasks(&self) {
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
}

/// How the main task of a component ended.
pub(super) struct Ending {
    pub(super) how: How,
    pub(super) failure: Option<Failure>,
}

impl Ending {
    /// Of an incarnation that nothing is left of.
    pub(super) const UNKNOWN: Self = Self {
        how: How::Aborted,
        failure: None,
    };
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

impl Run {
    /// One that is about to begin: its main task has a hold.
    pub(super) fn new() -> Self {
        Self {
            holds: AtomicU32::new(1),
            up: AtomicBool::new(false),
            ended: OnceLock::new(),
            extras: OnceLock::new(),
        }
    }

    fn extras(&self, component: ComponentId, epoch: u64) -> &Extras {
        self.extras.get_or_init(|| {
            Box::new(Extras {
                reports: Arc::new(Source::of(component, epoch)),
                sub_tasks: Mutex::default(),
                failure: Mutex::new(None),
            })
        })
    }

    /// The reports that wait, if there were any. Called when it has ended: its last words count.
    pub(super) fn take_reports(&self) -> Vec<Batch> {
        let extras = self.extras.get();
        extras.map_or_else(Vec::new, |extras| extras.reports.take())
    }

    /// How its main task ended, if that is all there is to say of it.
    fn plain_end(&self) -> Option<How> {
        self.extras.get().is_none().then(|| self.how())
    }

    /// How its main task ended.
    pub(super) fn how(&self) -> How {
        self.ended.get().copied().unwrap_or(How::Aborted)
    }

    /// How it ended, for whoever is told. The failure is taken, so only the first call has it.
    pub(super) fn take_ending(&self) -> Ending {
        let failure = self.extras.get();
        Ending {
            how: self.how(),
            failure: failure.and_then(|extras| lock(&extras.failure).take()),
        }
    }
}

impl Incarnation {
    pub(super) fn new(block: Arc<Block>, place: u32) -> Self {
        Self { block, place }
    }

    pub(super) fn component(&self) -> ComponentId {
        ComponentId(self.block.first + self.place)
    }

    /// What it shares with its whole stage.
    pub(crate) fn stage(&self) -> &Stage {
        &self.block.stage
    }

    /// Completes when it is told to stop.
    pub(super) fn stopping(&self) -> impl Future<Output = ()> + Send {
        Block::stopping(&*self.block)
    }

    /// The same, without borrowing it.
    pub(super) fn stopping_owned(&self) -> impl Future<Output = ()> + Send + use<> {
        Block::stopping(Arc::clone(&self.block))
    }

    fn run(&self) -> &Run {
        &self.block.runs[self.place as usize]
    }

    pub(super) fn name(&self) -> &Arc<str> {
        self.stage().shared.name(self.component())
    }

    /// The span of the component, for each sub-task.
    fn span(&self) -> tracing::Span {
        tracing::info_span!(target: "overwatch::component", "component", name = %self.name(), epoch = self.stage().epoch)
    }

    /// The same for its main task, which is made by the supervisor: it has nothing around it.
    fn main_span(&self) -> tracing::Span {
        tracing::info_span!(target: "overwatch::component", parent: None, "component", name = %self.name(), epoch = self.stage().epoch)
    }

    fn extras(&self) -> &Extras {
        self.run().extras(self.component(), self.stage().epoch)
    }

    /// Where its reports gather.
    pub(crate) fn reports(&self) -> &Arc<Source> {
        &self.extras().reports
    }

    /// Says once that the component is up.
    pub(super) fn ready(&self) {
        if !self.run().up.swap(true, Ordering::Relaxed) {
            self.stage()
                .shared
                .mailbox
                .answer(Answer::Up(self.who()), false);
        }
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn is_up(&self) -> bool {
        self.run().up.load(Ordering::Relaxed)
    }

    /// Begins its main task. What it returns aborts that.
    pub(super) fn begin<B: Body>(self, body: Arc<B>) -> JoinHandle<()> {
        let span = self.main_span();
        let work = MainTask(self).run(body);
        if span.is_disabled() {
            return tokio::spawn(work);
        }
        // Boxed, so that whoever wants no spans does not pay for their room.
        let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(work);
        tokio::spawn(work.instrument(span))
    }

    /// It is over before it has begun, unless it was already.
    pub(super) fn never_begins(&self) {
        if !self.is_gone() {
            self.let_go();
        }
    }

    /// Aborts its sub-tasks; no new ones begin.
    pub(super) fn abort_sub_tasks(&self) {
        self.extras().abort_sub_tasks();
    }

    pub(super) fn is_gone(&self) -> bool {
        self.run().holds.load(Ordering::Acquire) == 0
    }

    /// Notes how the main task ended.
    fn end(&self, result: Result<(), Failure>) {
        let how = match result {
            Ok(()) => How::Returned,
            Err(failure) => {
                let how = How::Failed(failure.class());
                *lock(&self.extras().failure) = Some(failure);
                how
            }
        };
        let _ = self.run().ended.set(how);
    }

    /// Spawns a task that belongs to this incarnation, unless that is over.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
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
    pub(super) fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
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

    fn with_sub_tasks(&self, spawn: impl FnOnce(&mut SubTasks, &runtime::Handle, Hold)) {
        let mut tasks = lock(&self.extras().sub_tasks);
        if let (false, Some(runtime), Some(hold)) =
            (tasks.closed, self.stage().shared.runtime(), Hold::of(self))
        {
            spawn(&mut tasks, &runtime, hold);
        }
    }

    fn who(&self) -> Who {
        Who {
            component: self.component(),
            epoch: self.stage().epoch,
        }
    }

    /// One hold less. The last one out says that the incarnation is gone. Whether it was the last.
    fn let_go(&self) -> bool {
        let was_last = self.run().holds.fetch_sub(1, Ordering::AcqRel) == 1;
        if was_last {
            self.stage().shared.set_alive(self.component(), false);
            // A stop that was asked for is no news before the whole stage is gone.
            let plain = self.run().plain_end();
            let urgent = self.stage().told().is_none() || plain.is_none();
            let gone = Answer::Gone(self.who(), plain);
            self.stage().shared.mailbox.answer(gone, urgent);
        }
        was_last
    }
}

/// The first hold of an incarnation: that of its main task.
struct MainTask(Incarnation);

impl MainTask {
    /// The whole of the main task.
    // No `async fn`: that would keep its arguments twice, in every component.
    #[allow(clippy::manual_async_fn, reason = "see above")]
    fn run<B: Body>(self, body: Arc<B>) -> impl Future<Output = ()> + Send {
        async move {
            if self.0.stage().shared.is_abandoned() {
                // The run was dropped amid the step that starts this.
                return;
            }
            let ctx = Context::new(self.0.clone());
            // A closure may panic before it has made its future.
            let begun = catch_unwind(AssertUnwindSafe(|| body.run(ctx)));
            let begun = begun.map_err(|panic| self.0.end(Err(Failure::from_panic(panic))));
            let result = Unwinding { work: begun.ok() }.await;
            if self.0.run().ended.get().is_none() {
                self.0.end(result);
            }
        }
    }
}

impl Drop for MainTask {
    fn drop(&mut self) {
        let Self(incarnation) = self;
        let ended = incarnation.run().ended.get().is_some();
        // What it leaves behind must not hide that it is no longer at work. Decided by the release
        // itself: a hold may be taken at any moment. After Gone this is stale and harmless.
        let was_last = incarnation.let_go();
        if ended && !was_last && incarnation.stage().told().is_none() {
            let exited = Answer::Exited(incarnation.who());
            incarnation.stage().shared.mailbox.answer(exited, true);
        }
    }
}

/// Keeps an incarnation from counting as gone.
///
/// For anything that must be gone before the component's successor may start, and that is no
/// sub-task: a thread, a foreign callback, a child process. Drop it when that is gone.
#[must_use = "dropping it says that what it stood for is gone"]
pub struct Hold(Incarnation);

impl Hold {
    /// One more hold, unless the incarnation is gone already.
    pub(super) fn of(incarnation: &Incarnation) -> Option<Self> {
        let more = |holds: u32| holds.checked_add(1).filter(|_| holds > 0);
        incarnation
            .run()
            .holds
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        Some(Self(incarnation.clone()))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hold").field(&self.0.name()).finish()
    }
}

/// Runs user code to its end, and turns a panic into a failure. The future is dropped before this
/// returns, and a panic in that drop counts too.
pub(crate) async fn unwinding<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    Unwinding { work: Some(work) }.await
}

pin_project! {
    /// The same as a struct, which takes no more room than the work itself.
    struct Unwinding<W> {
        #[pin]
        work: Option<W>,
    }
}

impl<T, W: Future<Output = Result<T, Failure>>> Future for Unwinding<W> {
    type Output = Result<T, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Self::Output> {
        let mut work = self.project().work;
        let Some(running) = work.as_mut().as_pin_mut() else {
            return Poll::Ready(Err(Failure::new("polled after its end")));
        };
        let result = match catch_unwind(AssertUnwindSafe(|| running.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(Failure::from_panic(panic)),
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| work.set(None)));
        Poll::Ready(match dropped {
            Ok(()) => result,
            Err(panic) => result.and_then(|_| Err(Failure::from_panic(panic))),
        })
    }
}
