//! One run of one component: the state that its context, its sub-tasks and the supervisor share.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use tokio::runtime;
use tracing::{Instrument, Level};

use super::push_live::push_live;
use super::reporter::Reporter;
use super::run::{Extras, Provides, Queued, Run};
use super::stage::{Block, Stage};
use super::sub_task::TaskHandle;
use crate::machine::{Exit, FailureClass};
use crate::policy::ComponentId;
use crate::shell::failure::{Failure, ReportedFailure};
use crate::shell::inbound::{ComponentAnswer, IncarnationId, ReportSource};
use crate::shell::log::discard;
use crate::shell::sync::lock;

/// A handle of one run of one component. Clones are the same run.
///
/// It counts as gone when the last *hold* is dropped. The main task has a hold, each of its sub-tasks has one, and
/// users can request further ones.
#[derive(Clone)]
pub(crate) struct Incarnation {
    block: Arc<Block>,
    place: u32,
}

impl Incarnation {
    pub(crate) fn new(block: Arc<Block>, place: u32) -> Self {
        Self { block, place }
    }

    pub(crate) fn component(&self) -> ComponentId {
        ComponentId(self.block.first + self.place)
    }

    /// The state that it shares with its whole stage.
    pub(crate) fn stage(&self) -> &Stage {
        &self.block.stage
    }

    /// Completes when it is asked to stop.
    pub(crate) fn stopping(&self) -> impl Future<Output = ()> + Send {
        Block::stopping(&*self.block)
    }

    /// The same, without borrowing it.
    pub(crate) fn stopping_owned(&self) -> impl Future<Output = ()> + Send + use<> {
        Block::stopping(Arc::clone(&self.block))
    }

    pub(crate) fn run(&self) -> &Run {
        &self.block.runs[self.place as usize]
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        self.stage().shared.name(self.component())
    }

    /// The span of the component, for each sub-task.
    pub(crate) fn span(&self) -> tracing::Span {
        tracing::info_span!(target: "overwatch::component", "component", component = %self.name(), epoch = self.stage().epoch)
    }

    /// The span of its main task, and of tasks that are parts of an adapter, in the log of the run. It has no parent.
    pub(crate) fn main_span(&self) -> tracing::Span {
        let span = || tracing::info_span!(target: "overwatch::component", parent: None, "component", component = %self.name(), epoch = self.stage().epoch);
        match self.stage().shared.log() {
            Some(log) => log.span(tracing::Level::INFO, span),
            None => span(),
        }
    }

    pub(crate) fn extras(&self) -> &Extras {
        self.run().extras(self.component(), self.stage().epoch)
    }

    /// Where its reports are collected.
    pub(crate) fn reports(&self) -> &Arc<ReportSource> {
        &self.extras().reports
    }

    /// Reports once that the component is up.
    pub(crate) fn ready(&self) {
        if !self.run().up.swap(true, Ordering::Relaxed) {
            self.stage()
                .shared
                .mailbox
                .answer(ComponentAnswer::Up(self.who()), false);
        }
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn is_up(&self) -> bool {
        self.run().up.load(Ordering::Relaxed)
    }

    /// Whether this is its first renewal of a lease that it does not own.
    pub(crate) fn first_useless_renewal(&self) -> bool {
        !self.extras().renewed_in_vain.swap(true, Ordering::Relaxed)
    }

    /// Ends the incarnation before it has begun, unless it is gone already.
    pub(crate) fn never_begins(&self) {
        if !self.is_gone() {
            self.let_go();
        }
    }

    /// Aborts its sub-tasks; no new ones begin.
    pub(crate) fn abort_sub_tasks(&self) {
        if let Some(runtime) = self.stage().shared.runtime() {
            self.extras().abort_sub_tasks(runtime);
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.run().holds.load(Ordering::Acquire) == 0
    }

    /// Provides a resource, unless the main task has ended.
    pub(crate) fn provide<T: Send + Sync + 'static>(&self, value: &Arc<T>) {
        if self.is_gone() || self.run().ended.get().is_some() {
            return;
        }
        let mut provides = lock(&self.extras().provides);
        if *provides == Provides::Over {
            return;
        }
        *provides = Provides::Something;
        let resources = &self.stage().shared.resources;
        let replaced = resources.add(self.who(), Arc::clone(value));
        drop(provides);
        // Not under the lock, because its drop is user code.
        drop(replaced);
        if self.run().main_is_over.load(Ordering::SeqCst) {
            // It ended in the meantime, and has not seen this.
            self.provides_no_more();
        }
    }

    /// Lets go of the resources, because the main task has ended.
    ///
    /// What has finished has provided them for the rest of the epoch: the supervisor drops them at its end.
    pub(crate) fn provides_no_more(&self) {
        if self.has_finished() {
            return;
        }
        let Some(extras) = self.run().extras.get() else {
            return;
        };
        let before = std::mem::replace(&mut *lock(&extras.provides), Provides::Over);
        if before == Provides::Something {
            discard(self.stage().shared.resources.take(self.who()));
        }
    }

    /// Whether it has done its work, and counts as up from then on.
    fn has_finished(&self) -> bool {
        let may_finish = self
            .stage()
            .shared
            .plan
            .layout()
            .is_one_shot(self.component());
        may_finish && self.run().ended.get() == Some(&Exit::Returned)
    }

    /// Notes how the main task ended.
    pub(crate) fn end(&self, result: Result<(), Failure>) {
        let how = match result {
            Ok(()) => Exit::Returned,
            Err(failure) => {
                let how = Exit::Failed(failure.class());
                match self.fails_with(failure) {
                    Ok(()) => how,
                    Err(failure) => {
                        // A sub-task has failed in the stop: the first failure counts, and none is lost.
                        self.report(failure);
                        Exit::Returned
                    }
                }
            }
        };
        let _ = self.run().ended.set(how);
    }

    /// Notes the failure of a sub-task.
    ///
    /// While the component works it is reported. After the component was asked to stop there is nothing to trip, but it has
    /// not stopped well.
    pub(crate) fn sub_task_failed(&self, failure: Failure) {
        // What is fatal ends the run, even if the component is aborted later.
        let is_fatal = failure.class() == FailureClass::Fatal;
        let refused = match self.stage().told() {
            Some(_) if !is_fatal => self.fails_with(failure),
            _ => Err(failure),
        };
        match refused {
            Err(failure) => self.report(failure),
            Ok(()) => {
                if let Some(told) = self.run().failure() {
                    self.stage().shared.make_text(&told);
                }
            }
        }
    }

    /// Notes the failure with which it ends, unless it has one already.
    fn fails_with(&self, failure: Failure) -> Result<(), Failure> {
        let mut kept = lock(&self.extras().failure);
        if kept.is_some() {
            return Err(failure);
        }
        *kept = Some(ReportedFailure::new(failure));
        Ok(())
    }

    pub(crate) fn reporter(&self) -> Reporter {
        Reporter::new(Arc::clone(&self.stage().shared), Arc::clone(self.reports()))
    }

    fn report(&self, failure: Failure) {
        self.reporter().report(failure);
    }

    /// Logs a failure that has no other effect. The event names the component.
    pub(crate) fn log_failure(&self, failure: &Failure, message: &'static str) {
        let Some(log) = self.stage().shared.log() else {
            return;
        };
        let (name, epoch) = (Arc::clone(self.name()), self.stage().epoch);
        let stopping = self.stage().told().is_some();
        let (class, failure) = (failure.class().as_str(), failure.text());
        log.event(Level::WARN, move |at_ms| {
            tracing::warn!(target: "overwatch::component", component = %name, epoch, class, failure, stopping, at_ms, "{message}");
        });
    }

    /// Spawns a task that belongs to this incarnation, unless that is over. It runs in the span that is made by `span`.
    pub(crate) fn spawn(
        &self,
        span: fn(&Self) -> tracing::Span,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Option<TaskHandle> {
        let (runtime, hold) = self.may_spawn()?;
        let work = async move {
            work.await;
            drop(hold);
        };
        // Without the lock of the sub-tasks, which the supervisor takes: the subscriber is user code, and so is
        // the drop of a future that cannot be spawned.
        let task = runtime.spawn(work.instrument(span(self))).abort_handle();
        let handle = TaskHandle::new(task.clone(), None);
        let mut tasks = lock(&self.extras().sub_tasks);
        if tasks.closed {
            drop(tasks);
            task.abort();
        } else {
            push_live(&mut tasks.spawned, task, |task| !task.is_finished());
        }
        Some(handle)
    }

    /// As `spawn`, for work that blocks. Work that has not begun when the sub-tasks are aborted never will.
    pub(crate) fn spawn_blocking(
        &self,
        span: fn(&Self) -> tracing::Span,
        work: impl FnOnce() + Send + 'static,
    ) -> Option<TaskHandle> {
        let (runtime, hold) = self.may_spawn()?;
        let span = span(self);
        let work = Box::new(move || span.in_scope(work));
        let queued = Arc::new(Mutex::new(Some(Queued {
            work,
            hold: Box::new(hold),
        })));
        {
            let mut tasks = lock(&self.extras().sub_tasks);
            if tasks.closed {
                // What was queued is user code, and is dropped without the lock.
                drop(tasks);
                return None;
            }
            let waits = |queued: &Arc<Mutex<Option<Queued>>>| lock(queued).is_some();
            push_live(&mut tasks.queued, Arc::clone(&queued), waits);
        }
        let waiting = Arc::clone(&queued);
        let task = runtime.spawn_blocking(move || {
            let begun = lock(&queued).take();
            if let Some(Queued { work, hold }) = begun {
                work();
                drop(hold);
            }
        });
        Some(TaskHandle::new(task.abort_handle(), Some(waiting)))
    }

    /// The runtime of sub-tasks, and a hold for one more; `None` if no further one may begin.
    fn may_spawn(&self) -> Option<(&runtime::Handle, Hold)> {
        if lock(&self.extras().sub_tasks).closed {
            return None;
        }
        Some((self.stage().shared.runtime()?, Hold::of(self)?))
    }

    pub(crate) fn who(&self) -> IncarnationId {
        IncarnationId {
            component: self.component(),
            epoch: self.stage().epoch,
        }
    }

    /// Releases one hold, and returns whether it was the last one. The last one reports that the incarnation is gone.
    pub(crate) fn let_go(&self) -> bool {
        let was_last = self.run().holds.fetch_sub(1, Ordering::AcqRel) == 1;
        if was_last {
            self.stage()
                .shared
                .published
                .roster
                .set_alive(self.component(), false);
            // During a requested stop a plain end is not urgent: the supervisor waits for the whole stage.
            let plain = self.run().plain_end();
            let urgent = self.stage().told().is_none() || plain.is_none();
            let gone = ComponentAnswer::Gone(self.who(), plain);
            self.stage().shared.mailbox.answer(gone, urgent);
        }
        was_last
    }
}

/// Keeps an incarnation from counting as gone. From [`Context::hold`](crate::Context::hold).
///
/// This is for what must be gone before the next incarnation of the component may start, and is not a sub-task, e.g. a
/// thread, a foreign callback or a child process. Drop the hold when that is gone.
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
    pub(crate) fn of(incarnation: &Incarnation) -> Option<Self> {
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
