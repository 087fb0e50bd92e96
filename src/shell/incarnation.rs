//! One run of one component: what its context, its sub-tasks and the supervisor share.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context as Poller, Poll, ready};

use pin_project_lite::pin_project;
use tokio::runtime;
use tokio::task::{AbortHandle, JoinHandle};
use tracing::Instrument;

use super::component::Body;
use super::log::discard;
use super::mailbox::{Answer, Who};
use super::reporter::{Batch, Source};
use super::stage::{Block, Stage};
use super::told::Told;
use super::unwind::Unwinding;
use super::{Context, Failure, lock};
use crate::machine::Exit;
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
    ended: OnceLock<Exit>,
    /// Made when it is first needed: most incarnations never do.
    extras: OnceLock<Box<Extras>>,
}

/// What an incarnation has only if it reports, spawns, fails or is aborted.
struct Extras {
    /// Where its reports gather.
    reports: Arc<Source>,
    sub_tasks: Mutex<SubTasks>,
    /// What its main task ended with.
    failure: Mutex<Option<Arc<Told>>>,
}

impl Extras {
    /// Aborts all sub-tasks, and lets no new ones begin.
    fn abort_sub_tasks(&self, runtime: &runtime::Handle) {
        let mut tasks = lock(&self.sub_tasks);
        tasks.closed = true;
        let spawned = std::mem::take(&mut tasks.spawned);
        let queued = std::mem::take(&mut tasks.queued);
        drop(tasks);
        spawned.iter().for_each(AbortHandle::abort);
        if queued.is_empty() {
            return;
        }
        let never = Never(queued);
        // What it holds is the user's, and is dropped where the user's tasks are.
        runtime.spawn(async move { drop(never) });
    }
}

/// How the main task of a component ended.
pub(super) struct Ending {
    pub(super) how: Exit,
    pub(super) failure: Option<Arc<Told>>,
}

impl Ending {
    /// Of an incarnation that nothing is left of.
    pub(super) const UNKNOWN: Self = Self {
        how: Exit::Aborted,
        failure: None,
    };
}

#[derive(Default)]
struct SubTasks {
    /// What aborts those that are spawned.
    spawned: Vec<AbortHandle>,
    /// Blocking work that may not have begun.
    queued: Vec<Arc<Mutex<Option<Queued>>>>,
    closed: bool,
}

/// Blocking work that will never begin.
struct Never(Vec<Arc<Mutex<Option<Queued>>>>);

impl Drop for Never {
    fn drop(&mut self) {
        for queued in std::mem::take(&mut self.0) {
            let never = lock(&queued).take();
            if let Some(Queued { work, hold }) = never {
                // On the supervisor's thread, where the runtime is gone, it is dropped elsewhere.
                discard(work);
                drop(hold);
            }
        }
    }
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

    /// Takes the reports that wait. Called when it has ended: its last words count.
    pub(super) fn take_reports(&self) -> impl Iterator<Item = Batch> + use<> {
        let said = self.extras.get().map(|extras| extras.reports.take());
        said.into_iter().flatten()
    }

    /// How its main task ended, if that is all there is to say of it.
    fn plain_end(&self) -> Option<Exit> {
        self.extras.get().is_none().then(|| self.how())
    }

    /// How its main task ended.
    pub(super) fn how(&self) -> Exit {
        self.ended.get().copied().unwrap_or(Exit::Aborted)
    }

    /// What its main task ended with, unless that was taken.
    fn failure(&self) -> Option<Arc<Told>> {
        let extras = self.extras.get()?;
        lock(&extras.failure).clone()
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

    /// The same for its main task, where the run logs: it has nothing around it.
    fn main_span(&self) -> tracing::Span {
        let span = || tracing::info_span!(target: "overwatch::component", parent: None, "component", name = %self.name(), epoch = self.stage().epoch);
        match self.stage().shared.log() {
            Some(log) => log.span(tracing::Level::INFO, span),
            None => span(),
        }
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
    pub(super) fn begin<B: Body>(self, body: Arc<B>, runtime: &runtime::Handle) -> JoinHandle<()> {
        // If the runtime is gone, so is the task, and what it has is let go of.
        runtime.spawn(MainTask(self).run(body))
    }

    /// It is over before it has begun, unless it was already.
    pub(super) fn never_begins(&self) {
        if !self.is_gone() {
            self.let_go();
        }
    }

    /// Aborts its sub-tasks; no new ones begin.
    pub(super) fn abort_sub_tasks(&self) {
        if let Some(runtime) = self.stage().shared.runtime() {
            self.extras().abort_sub_tasks(runtime);
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.run().holds.load(Ordering::Acquire) == 0
    }

    /// Notes how the main task ended.
    fn end(&self, result: Result<(), Failure>) {
        let how = match result {
            Ok(()) => Exit::Returned,
            Err(failure) => {
                let how = Exit::Failed(failure.class());
                *lock(&self.extras().failure) = Some(Told::new(failure));
                how
            }
        };
        let _ = self.run().ended.set(how);
    }

    /// Spawns a task that belongs to this incarnation, unless that is over.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Some((runtime, hold)) = self.may_spawn() else {
            return;
        };
        let work = async move {
            work.await;
            drop(hold);
        };
        // Without the lock of the sub-tasks, which the supervisor takes: the subscriber is the user's
        // code, and so is the drop of what cannot be spawned.
        let task = runtime.spawn(work.instrument(self.span())).abort_handle();
        let mut tasks = lock(&self.extras().sub_tasks);
        if tasks.closed {
            drop(tasks);
            return task.abort();
        }
        // What has ended needs no handle any more; so there are no more of these than are alive.
        tasks.spawned.retain(|task| !task.is_finished());
        tasks.spawned.push(task);
    }

    /// The same for work that blocks. What has not begun when the others are aborted never will.
    pub(super) fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        let Some((runtime, hold)) = self.may_spawn() else {
            return;
        };
        let span = self.span();
        let work = Box::new(move || span.in_scope(work));
        let queued = Arc::new(Mutex::new(Some(Queued { work, hold })));
        {
            let mut tasks = lock(&self.extras().sub_tasks);
            if !tasks.closed {
                tasks.queued.retain(|queued| lock(queued).is_some());
                tasks.queued.push(Arc::clone(&queued));
            } else {
                drop(tasks);
                return drop(queued);
            }
        }
        runtime.spawn_blocking(move || {
            let begun = lock(&queued).take();
            if let Some(Queued { work, hold }) = begun {
                work();
                drop(hold);
            }
        });
    }

    /// Where sub-tasks run, and a hold for one more; nothing if there are to be none any more.
    fn may_spawn(&self) -> Option<(&runtime::Handle, Hold)> {
        if lock(&self.extras().sub_tasks).closed {
            return None;
        }
        Some((self.stage().shared.runtime()?, Hold::of(self)?))
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
    fn run<B: Body>(self, body: Arc<B>) -> impl Future<Output = ()> + Send {
        Main::of(self, body, B::run)
    }

    /// Begins the work, or ends if that is not to be.
    fn begin<B, F, W>(self, body: Arc<B>, run: F) -> Option<Main<B, F, W>>
    where
        F: FnOnce(Arc<B>, Context) -> W,
        W: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        if self.0.stage().shared.is_abandoned() {
            // The run was dropped amid the step that starts this.
            return None;
        }
        let ctx = Context::new(self.0.clone());
        // The subscriber is the user's code, so the span is made here. A closure may panic before it has
        // made its future.
        let begun = catch_unwind(AssertUnwindSafe(|| {
            let span = self.0.main_span();
            let work = span.in_scope(|| run(body, ctx));
            (Unwinding { work: Some(work) }, span)
        }));
        match begun {
            Ok((work, span)) if span.is_disabled() => Some(Main::Works {
                work,
                main: Some(self),
            }),
            Ok((work, span)) => {
                // It ends within its span: what the subscriber does when that is left comes after the
                // news.
                let work: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
                    // Mentioned first, so that it is dropped first, also if it never begins.
                    let result = work.await;
                    self.end(result);
                    Ok(())
                });
                let work = Some(work.instrument(span));
                let within = Box::pin(Unwinding { work });
                Some(Main::WorksWithin { within })
            }
            Err(panic) => {
                self.end(Err(Failure::from_panic(panic)));
                None
            }
        }
    }

    /// Notes how it ended, and says that it has.
    fn end(self, result: Result<(), Failure>) {
        self.0.end(result);
    }
}

pin_project! {
    /// The main task from its begin to its end.
    ///
    /// No `async fn`, which would keep some of this twice, in every component.
    #[project = At]
    enum Main<B, F, W> {
        Begins { main: Option<(MainTask, Arc<B>, F)> },
        // In this order, in which they are dropped: it is gone when its work is.
        Works { #[pin] work: Unwinding<W>, main: Option<MainTask> },
        // Boxed, so that whoever wants no spans does not pay for their room.
        WorksWithin { within: Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> },
    }
}

impl<B, F, W> Main<B, F, W>
where
    F: FnOnce(Arc<B>, Context) -> W,
{
    fn of(main: MainTask, body: Arc<B>, run: F) -> Self {
        let main = Some((main, body, run));
        Self::Begins { main }
    }
}

impl<B, F, W> Future for Main<B, F, W>
where
    F: FnOnce(Arc<B>, Context) -> W,
    W: Future<Output = Result<(), Failure>> + Send + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<()> {
        loop {
            match self.as_mut().project() {
                At::Begins { main } => {
                    let begun = main.take().map(|(main, body, run)| main.begin(body, run));
                    match begun.flatten() {
                        Some(begun) => self.set(begun),
                        None => return Poll::Ready(()),
                    }
                }
                At::Works { work, main } => {
                    let result = ready!(work.poll(cx));
                    if let Some(main) = main.take() {
                        main.end(result);
                    }
                    return Poll::Ready(());
                }
                At::WorksWithin { within } => return within.as_mut().poll(cx).map(|_| ()),
            }
        }
    }
}

impl Drop for MainTask {
    fn drop(&mut self) {
        let Self(incarnation) = self;
        let ended = incarnation.run().ended.get().is_some();
        let failure = incarnation.run().failure();
        // What it leaves behind must not hide that it is no longer at work. Decided by the release
        // itself: a hold may be taken at any moment. After Gone this is stale and harmless.
        let was_last = incarnation.let_go();
        if ended && !was_last && incarnation.stage().told().is_none() {
            let exited = Answer::Exited(incarnation.who());
            incarnation.stage().shared.mailbox.answer(exited, true);
        }
        // Only now, when the end is told: it is the user's code.
        if let Some(told) = failure {
            incarnation.stage().shared.make_text(&told);
        }
    }
}

/// Keeps an incarnation from counting as gone. From [`Context::hold`](super::Context::hold).
///
/// For what must be gone before the component's next incarnation may start, and is no
/// sub-task: a thread, a foreign callback, a child process. Drop this when that is gone.
///
/// ```
/// # fn example(ctx: overwatch::Context) {
/// if let Some(hold) = ctx.hold() {
///     std::thread::spawn(move || {
///         while !ctx.is_stopping() {
///             std::thread::sleep(std::time::Duration::from_millis(10));
///         }
///         drop(hold); // from here on the component may count as gone
///     });
/// }
/// # }
/// ```
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

#[cfg(test)]
mod tests;
