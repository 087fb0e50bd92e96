//! What is logged, and by whom: never by the thread that decides.
//!
//! A subscriber is the user's code. It may write to a pipe that nobody reads, so whoever supervises a
//! run, or renews its lease, must not call it. Such a thread leaves what there is to log in a queue,
//! and a thread of the run's own writes it, in order. That thread also calls the hook of
//! [`Builder::on_step`](crate::Builder::on_step), and drops what belongs to the user, such as errors.
//!
//! The queue is bounded. What does not fit is counted, and the count is logged.
//!
//! In place, where a run has no threads, all of that is done at once where it comes up.

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

/// How long what is still to be logged at the end is waited for.
pub(crate) const LOGGED_WITHIN: Duration = Duration::from_secs(1);
/// How often it is said that events were lost, as long as others wait.
const LOSSES_EVERY: Duration = Duration::from_secs(1);
/// For how many entries room is kept while none waits.
const ROOM_KEPT: usize = 64;

/// Where a run, or a part of it, logs. Clones are the same log.
#[derive(Clone)]
pub(crate) struct Log(Arc<Inner>);

struct Inner {
    /// Whether everything is done at once by whoever asks for it.
    direct: bool,
    /// Whether tracing had no subscriber where this was made. It may pass on what it is told to the crate
    /// `log`, which is its feature of that name.
    passed_on: bool,
    /// Since when `at_ms` of events counts.
    began: Instant,
    /// Given back at the end: it is the user's.
    scope: Mutex<Option<Arc<Scope>>>,
    queue: Mutex<Queue>,
    /// Signalled when the queue changes, or when the writer has nothing more to do.
    changed: Condvar,
    /// The hook panicked; what it threw is in the queue.
    hook_panicked: AtomicBool,
    hook_wakes: Mutex<Option<Box<dyn Fn() + Send>>>,
}

thread_local! {
    /// The log of a thread that must run no code of the user's.
    static GUARD: RefCell<Option<Log>> = const { RefCell::new(None) };
}

tokio::task_local! {
    /// The log of a task that belongs to a run, wherever it is polled.
    static TASK: Log;
}

/// Whether the present thread must run no code of the user's.
fn guard() -> Option<Log> {
    // A thread that ends has none any more.
    GUARD
        .try_with(|guard| guard.borrow().clone())
        .ok()
        .flatten()
}

/// Drops a value that belongs to the user: here, or elsewhere if this is a thread that must run no code
/// of the user's.
pub(crate) fn discard<T: Send + 'static>(value: T) {
    match guard() {
        Some(log) => log.discard(Box::new(value)),
        None => drop_safely(value),
    }
}

/// Drops what may panic when it is dropped. What that panic throws is dropped with less care: it is
/// leaked, since it may go on like that.
pub(crate) fn drop_safely<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        mem::forget(panic);
    }
}

/// Logs an event: by way of the log of the present task or thread, or here if it has none. What writes
/// it is told when it was logged, in milliseconds since the run began.
pub(crate) fn log(level: Level, write: impl FnOnce(u64) + Send + 'static) {
    match current().or_else(guard) {
        Some(log) => log.event(level, write),
        None => write(0),
    }
}

/// The log of the present task, if it has one.
pub(crate) fn current() -> Option<Log> {
    TASK.try_with(Log::clone).ok()
}

impl Log {
    /// A log that is written at once, by whoever has something to write.
    pub(crate) fn direct(hook: Option<Hook>) -> Self {
        Self::new(true, None, hook)
    }

    /// A log that is written by a thread of its own, to where the present thread logs.
    pub(crate) fn queued(hook: Option<Hook>) -> Self {
        Self::new(false, Some(Scope::here()), hook)
    }

    /// A log of nobody's in particular: for what works apart without a run.
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

    /// Whether it is written by a thread of its own.
    #[cfg(any(feature = "etcd", test))]
    pub(crate) fn is_queued(&self) -> bool {
        !self.0.direct
    }

    /// Makes a span where this is written to, by the present thread. A disabled one if nobody listens.
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

    /// Makes the present thread one that must run no code of the user's, for as long as this runs.
    pub(crate) fn guard_thread<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = GUARD.replace(Some(self.clone()));
        // Given back also when it panics.
        let _restored = Restored(before);
        work()
    }

    /// Has this task log here, wherever it is polled.
    pub(crate) async fn scope_task<F: Future>(self, work: F) -> F::Output {
        TASK.scope(self, work).await
    }

    /// Logs a transition: the last kind of event that is lost. What writes it is told when it was
    /// logged, in milliseconds since the log began.
    pub(crate) fn transition(&self, level: Level, write: impl FnOnce(u64) + Send + 'static) {
        self.push_event(level, write, true);
    }

    /// Logs any other event.
    pub(crate) fn event(&self, level: Level, write: impl FnOnce(u64) + Send + 'static) {
        self.push_event(level, write, false);
    }

    /// Whether an event of this level would be logged, as far as is known without any code of the user's.
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
        // Outside of the lock, which its drop may need.
        drop(refused);
    }

    /// Has the hook read a step, which has so many effects.
    pub(crate) fn step(&self, effects: usize, read: impl FnOnce(u64, &mut Hook) + Send + 'static) {
        let mut queue = lock(&self.0.queue);
        if self.0.direct {
            // Not under the lock: it is the user's code.
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
            // Outside of the lock. What it holds of the user's is dropped elsewhere.
            drop(queue);
            drop(read);
        }
    }

    /// Has a value of the user's dropped.
    fn discard(&self, value: Box<dyn Any + Send>) {
        if self.0.direct {
            return drop_safely(value);
        }
        let mut queue = lock(&self.0.queue);
        let refused = queue.offer(Entry::Discard(value));
        self.wake(queue);
        mem::forget(refused);
    }

    /// Calls this when the hook has panicked.
    pub(crate) fn on_hook_panic(&self, wake: impl Fn() + Send + 'static) {
        *lock(&self.0.hook_wakes) = Some(Box::new(wake));
    }

    /// Whether the hook has panicked.
    pub(crate) fn hook_panicked(&self) -> bool {
        self.0.hook_panicked.load(Ordering::Acquire)
    }

    /// What the hook threw when it panicked.
    pub(crate) fn take_hook_panic(&self) -> Option<Box<dyn Any + Send>> {
        lock(&self.0.queue).hook_panic.take()
    }

    /// Logs why the process is about to be left, and all that waits before it, within a bounded time.
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

    /// Waits until all is written, but not for longer than this. The writer ends when nothing is left.
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
            // It gives back what is the user's.
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

    /// Tells the writer, which is made when it is first needed.
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

    /// The writer.
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
                // What is the user's is not kept by those who keep the log.
                let hook = queue.hook.take();
                drop(queue);
                // The lock is given back before anything of it is dropped.
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

    /// User code: whatever panics there ends no writer.
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

/// Makes the thread again what it was.
struct Restored(Option<Log>);

impl Drop for Restored {
    fn drop(&mut self) {
        GUARD.set(self.0.take());
    }
}
