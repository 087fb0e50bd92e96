//! The log of a run. The thread that decides never writes it itself.
//!
//! A subscriber is user code. It may write to a pipe that nobody reads, so the threads that supervise a
//! run, or renew its lease, must not call it. Such a thread puts its events into a queue,
//! and the log thread of the run writes them, in order. The log thread also calls the hook of
//! [`Builder::on_step`](crate::Builder::on_step), and drops values of the user, e.g. errors.
//!
//! The queue is bounded. Events that do not fit are counted, and the count is logged.
//!
//! In place, where a run has no separate threads, all of this is done at once.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use std::{mem, thread};

use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;
use tracing::{Level, Span, dispatcher};

use super::queue::{Entry, Queue, QueuedStep, Write};
use super::scope::Scope;
use crate::shell::process;
use crate::shell::step_record::Hook;
use crate::shell::sync::lock;

/// How long to wait for pending events at the end.
pub(crate) const LOGGED_WITHIN: Duration = Duration::from_secs(1);
/// How often lost events are logged, as long as others wait.
const LOSSES_EVERY: Duration = Duration::from_secs(1);
/// The capacity in entries that is kept while none waits.
const ROOM_KEPT: usize = 64;

/// The log of a run, or of a part of it. Clones are the same log.
#[derive(Clone)]
pub(crate) struct Log(Arc<Inner>);

struct Inner {
    /// Whether everything is done at once, by the calling thread.
    direct: bool,
    /// Whether tracing had no subscriber where this was made. With its feature `log`, tracing may then pass
    /// its events to the crate `log`.
    passed_on: bool,
    /// The zero of `at_ms` of events.
    began: Instant,
    /// Dropped at the end, because it contains values of the user.
    scope: Mutex<Option<Arc<Scope>>>,
    queue: Mutex<Queue>,
    /// Notified when the queue changes, or when the writer has nothing more to do.
    changed: Condvar,
    /// Whether the hook panicked. The payload is in the queue.
    hook_panicked: AtomicBool,
    hook_wakes: Mutex<Option<Box<dyn Fn() + Send>>>,
}

thread_local! {
    /// The log of a thread that must not run user code.
    static GUARD: RefCell<Option<Log>> = const { RefCell::new(None) };
}

tokio::task_local! {
    /// The log of a task of a run, whatever thread polls it.
    static TASK: Log;
}

/// The log of the current thread, if it must not run user code.
fn guard() -> Option<Log> {
    // A thread that is ending has none any more.
    GUARD
        .try_with(|guard| guard.borrow().clone())
        .ok()
        .flatten()
}

/// Drops a value of the user: here, or on the log thread if this thread must not run user code.
pub(crate) fn discard<T: Send + 'static>(value: T) {
    match guard() {
        Some(log) => log.discard(Box::new(value)),
        None => drop_safely(value),
    }
}

/// Drops a value whose drop may panic. The payload of that panic is leaked, because its drop may panic too.
pub(crate) fn drop_safely<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        mem::forget(panic);
    }
}

/// Logs an event in the log of the current task or thread, or here if there is none.
///
/// `write` gets the time of the event, in milliseconds since the run began.
pub(crate) fn log(level: Level, write: impl FnOnce(u64) + Send + 'static) {
    match current().or_else(guard) {
        Some(log) => log.event(level, write),
        None => write(0),
    }
}

/// The log of the current task, if it has one.
pub(crate) fn current() -> Option<Log> {
    TASK.try_with(Log::clone).ok()
}

impl Log {
    /// A log that the calling threads write at once.
    pub(crate) fn direct(hook: Option<Hook>) -> Self {
        Self::new(true, None, hook)
    }

    /// A log that a separate thread writes, to the subscriber and in the span of the current thread.
    pub(crate) fn queued(hook: Option<Hook>) -> Self {
        Self::new(false, Some(Scope::here()), hook)
    }

    /// The log of the process, for work that is apart and belongs to no run.
    pub(crate) fn of_the_process() -> Self {
        static PROCESS: OnceLock<Log> = OnceLock::new();
        PROCESS.get_or_init(|| Self::new(false, None, None)).clone()
    }

    fn new(direct: bool, scope: Option<Scope>, hook: Option<Hook>) -> Self {
        Self(Arc::new(Inner {
            direct,
            passed_on: dispatcher::get_default(|here| here.is::<NoSubscriber>()),
            began: Instant::now(),
            scope: Mutex::new(scope.map(Arc::new)),
            queue: Mutex::new(Queue {
                hook,
                ..Queue::default()
            }),
            changed: Condvar::new(),
            hook_panicked: AtomicBool::new(false),
            hook_wakes: Mutex::new(None),
        }))
    }

    /// Whether a separate thread writes it.
    #[cfg(any(feature = "etcd", test))]
    pub(crate) fn is_queued(&self) -> bool {
        !self.0.direct
    }

    /// Makes a span in the subscriber of this log, on the current thread. It is disabled if there is no subscriber.
    pub(crate) fn span(&self, level: Level, span: impl FnOnce() -> Span) -> Span {
        if level > LevelFilter::current() {
            return Span::none();
        }
        match self.scope() {
            Some(scope) => scope.in_subscriber(span),
            None => span(),
        }
    }

    fn scope(&self) -> Option<Arc<Scope>> {
        lock(&self.0.scope).clone()
    }

    /// Runs `work`, and marks the current thread as one that must not run user code until it returns.
    pub(crate) fn guard_thread<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = GUARD.replace(Some(self.clone()));
        // Restored even if it panics.
        let _restored = Restored(before);
        work()
    }

    /// Makes this the log of a task, whatever thread polls it.
    pub(crate) async fn scope_task<F: Future>(self, work: F) -> F::Output {
        TASK.scope(self, work).await
    }

    /// Logs a transition. Other events are lost before transitions are.
    ///
    /// `write` gets the time of the event, in milliseconds since the log began.
    pub(crate) fn transition(&self, level: Level, write: impl FnOnce(u64) + Send + 'static) {
        self.push_event(level, write, true);
    }

    /// Logs any other event.
    pub(crate) fn event(&self, level: Level, write: impl FnOnce(u64) + Send + 'static) {
        self.push_event(level, write, false);
    }

    /// Whether an event of this level would be logged, as far as is known without a call of user code.
    pub(crate) fn wants(&self, level: Level) -> bool {
        level <= LevelFilter::current() || (self.0.passed_on && level <= Level::INFO)
    }

    fn push_event(&self, level: Level, write: impl FnOnce(u64) + Send + 'static, transition: bool) {
        if !self.wants(level) {
            return;
        }
        let at_ms = self.0.began.elapsed().as_millis() as u64;
        if self.0.direct {
            return write(at_ms);
        }
        let write: Write = Box::new(move || write(at_ms));
        let entry = match transition {
            true => Entry::Transition(write),
            false => Entry::Event(write),
        };
        let mut queue = lock(&self.0.queue);
        let refused = queue.offer(entry);
        self.wake(queue);
        // Outside of the lock, which the drop may need.
        drop(refused);
    }

    /// Passes a step with this number of effects to the hook.
    pub(crate) fn step(&self, effects: usize, read: impl FnOnce(u64, &mut Hook) + Send + 'static) {
        let mut queue = lock(&self.0.queue);
        if self.0.direct {
            // Not under the lock, because it is user code.
            let Some(mut hook) = queue.hook.take() else {
                return;
            };
            drop(queue);
            read(0, &mut hook);
            lock(&self.0.queue).hook = Some(hook);
            return;
        }
        if queue.has_room_for_step(effects) {
            let missed = mem::take(&mut queue.missed_steps);
            queue.push(Entry::QueuedStep(QueuedStep {
                effects,
                missed,
                read: Box::new(read),
            }));
            self.wake(queue);
        } else {
            queue.missed_steps += 1;
            // Outside of the lock. Values of the user in it are dropped on the log thread.
            drop(queue);
            drop(read);
        }
    }

    /// Has a value of the user dropped on the log thread.
    fn discard(&self, value: Box<dyn Any + Send>) {
        if self.0.direct {
            return drop_safely(value);
        }
        let mut queue = lock(&self.0.queue);
        let refused = queue.offer(Entry::Discard(value));
        self.wake(queue);
        mem::forget(refused);
    }

    /// Sets a function that is called when the hook has panicked.
    pub(crate) fn on_hook_panic(&self, wake: impl Fn() + Send + 'static) {
        *lock(&self.0.hook_wakes) = Some(Box::new(wake));
    }

    /// Whether the hook has panicked.
    pub(crate) fn hook_panicked(&self) -> bool {
        self.0.hook_panicked.load(Ordering::Acquire)
    }

    /// Takes the payload of the hook's panic.
    pub(crate) fn take_hook_panic(&self) -> Option<Box<dyn Any + Send>> {
        lock(&self.0.queue).hook_panic.take()
    }

    /// Logs why the process is about to exit, after all waiting events, within a bounded time.
    pub(crate) fn last_words(&self, write: impl FnOnce(u64) + Send + 'static) {
        if self.0.direct {
            let (scope, at_ms) = (Scope::here(), self.0.began.elapsed().as_millis() as u64);
            return process::attempt("overwatch-words", process::WORDS_WITHIN, move || {
                scope.enter(|| write(at_ms));
            });
        }
        self.event(Level::ERROR, write);
        self.close(LOGGED_WITHIN);
    }

    /// Waits until everything is written, for at most this long. The writer ends when nothing is left.
    pub(crate) fn close(&self, at_most: Duration) {
        let until = std::time::Instant::now() + at_most;
        let mut queue = lock(&self.0.queue);
        queue.closed = true;
        if self.0.direct {
            let hook = queue.hook.take();
            drop(queue);
            return drop_safely(hook);
        }
        let is_users = lock(&self.0.scope)
            .as_ref()
            .is_some_and(|scope| scope.is_users());
        if !queue.has_writer && (queue.hook.is_some() || is_users) {
            // The writer drops values of the user.
            self.wake(queue);
            queue = lock(&self.0.queue);
        }
        self.0.changed.notify_all();
        while queue.has_writer && (queue.writing || !queue.entries.is_empty()) {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self
                .0
                .changed
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Wakes the writer, which is started when it is first needed.
    fn wake(&self, mut queue: std::sync::MutexGuard<'_, Queue>) {
        if queue.has_writer {
            drop(queue);
            self.0.changed.notify_all();
            return;
        }
        queue.has_writer = true;
        drop(queue);
        let log = self.clone();
        let thread = thread::Builder::new().name("overwatch-log".into());
        if thread.spawn(move || log.write_all()).is_err() {
            // The next event tries again.
            lock(&self.0.queue).has_writer = false;
        }
    }

    /// Runs the writer until the log is closed and empty.
    fn write_all(self) {
        let (mut scope, mut is_given_back) = (self.scope(), false);
        let mut said_at = Instant::now();
        let mut queue = lock(&self.0.queue);
        loop {
            let is_due = queue.entries.is_empty() || said_at.elapsed() >= LOSSES_EVERY;
            let entry = if queue.lost.any() && is_due {
                let lost = mem::take(&mut queue.lost);
                said_at = Instant::now();
                Entry::Event(Box::new(move || lost.log()))
            } else if let Some(entry) = queue.pop() {
                entry
            } else if queue.closed && !is_given_back {
                // Kept clones of the log must not keep values of the user.
                let hook = queue.hook.take();
                drop(queue);
                // The lock is released before anything is dropped.
                let kept = lock(&self.0.scope).take();
                drop_safely((hook, kept, scope.take()));
                is_given_back = true;
                queue = lock(&self.0.queue);
                continue;
            } else if queue.closed {
                queue.has_writer = false;
                drop(queue);
                self.0.changed.notify_all();
                return;
            } else {
                queue = self
                    .0
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            queue.writing = true;
            let hook = match entry {
                Entry::QueuedStep(_) => queue.hook.take(),
                _ => None,
            };
            drop(queue);
            let hook = self.carry_out(entry, hook, scope.as_deref());
            queue = lock(&self.0.queue);
            queue.writing = false;
            if hook.is_some() {
                queue.hook = hook;
            }
            if queue.entries.is_empty() {
                queue.entries.shrink_to(ROOM_KEPT);
                self.0.changed.notify_all();
            }
        }
    }

    /// Carries out one entry. This is user code: a panic in it must not end the writer.
    fn carry_out(&self, entry: Entry, hook: Option<Hook>, scope: Option<&Scope>) -> Option<Hook> {
        match entry {
            Entry::Transition(write) | Entry::Event(write) => {
                let written = AssertUnwindSafe(|| match scope {
                    Some(scope) => scope.enter(write),
                    None => write(),
                });
                if let Err(panic) = catch_unwind(written) {
                    drop_safely(panic);
                }
                None
            }
            Entry::Discard(value) => {
                drop_safely(value);
                None
            }
            Entry::QueuedStep(QueuedStep { missed, read, .. }) => {
                let mut hook = hook?;
                match catch_unwind(AssertUnwindSafe(|| read(missed, &mut hook))) {
                    Ok(()) => Some(hook),
                    Err(panic) => {
                        lock(&self.0.queue).hook_panic = Some(panic);
                        self.0.hook_panicked.store(true, Ordering::Release);
                        if let Some(wake) = &*lock(&self.0.hook_wakes) {
                            wake();
                        }
                        drop_safely(hook);
                        None
                    }
                }
            }
        }
    }
}

/// Restores the mark of the thread when it is dropped.
struct Restored(Option<Log>);

impl Drop for Restored {
    fn drop(&mut self) {
        GUARD.set(self.0.take());
    }
}
