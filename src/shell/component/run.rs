//! The state of one incarnation of one component.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::runtime;
use tokio::task::AbortHandle;

use crate::machine::Exit;
use crate::policy::ComponentId;
use crate::shell::failure::ReportedFailure;
use crate::shell::inbound::{Batch, ReportSource};
use crate::shell::log::discard;
use crate::shell::sync::lock;

/// The state of one incarnation.
pub(crate) struct Run {
    pub(crate) holds: AtomicU32,
    pub(crate) up: AtomicBool,
    /// Whether its main task has let go of its hold.
    pub(crate) main_is_over: AtomicBool,
    /// How its main task ended; unset if it was aborted.
    pub(crate) ended: OnceLock<Exit>,
    /// Made when it is first needed: most incarnations never need it.
    pub(crate) extras: OnceLock<Box<Extras>>,
}

/// The state that an incarnation needs only if it reports, spawns, fails or is aborted.
pub(crate) struct Extras {
    /// Where its reports are collected.
    pub(crate) reports: Arc<ReportSource>,
    pub(crate) sub_tasks: Mutex<SubTasks>,
    /// The failure of its main task, or of a sub-task that failed after the component was asked to stop.
    pub(crate) failure: Mutex<Option<Arc<ReportedFailure>>>,
    pub(crate) provides: Mutex<Provides>,
    /// Whether it has renewed a lease that it does not own.
    pub(crate) renewed_in_vain: AtomicBool,
}

/// What keeps an incarnation from being gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Whether its main task is not over.
    pub(crate) main_task: bool,
    /// Its sub-tasks, and the holds of the user.
    pub(crate) others: u32,
}

/// Whether an incarnation has provided resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provides {
    Nothing,
    Something,
    /// Its main task has ended: it provides nothing any more.
    Over,
}

impl Extras {
    /// Aborts all sub-tasks, and lets no new ones begin.
    pub(crate) fn abort_sub_tasks(&self, runtime: &runtime::Handle) {
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
        // It contains values of the user, which are dropped on the runtime of the user.
        runtime.spawn(async move { drop(never) });
    }
}

/// How the main task of a component ended.
pub(crate) struct Ending {
    pub(crate) how: Exit,
    pub(crate) failure: Option<Arc<ReportedFailure>>,
}

impl Ending {
    /// The ending of an incarnation of which nothing is left.
    pub(crate) const UNKNOWN: Self = Self {
        how: Exit::Aborted,
        failure: None,
    };
}

#[derive(Default)]
pub(crate) struct SubTasks {
    /// The abort handles of the spawned tasks.
    pub(crate) spawned: Vec<AbortHandle>,
    /// Blocking work that may not have begun.
    pub(crate) queued: Vec<Arc<Mutex<Option<Queued>>>>,
    pub(crate) closed: bool,
}

/// Blocking work that will never begin.
struct Never(Vec<Arc<Mutex<Option<Queued>>>>);

impl Drop for Never {
    fn drop(&mut self) {
        for queued in std::mem::take(&mut self.0) {
            let never = lock(&queued).take();
            if let Some(Queued { work, hold }) = never {
                // If this runs on the supervisor's thread, because the runtime is gone, the log drops it.
                discard(work);
                drop(hold);
            }
        }
    }
}

/// Blocking work that waits for a thread.
pub(crate) struct Queued {
    pub(crate) work: Box<dyn FnOnce() + Send>,
    /// Keeps the incarnation from counting as gone.
    pub(crate) hold: Box<dyn Send>,
}

impl Run {
    /// A run that is about to begin: its main task has a hold.
    pub(crate) fn new() -> Self {
        Self {
            holds: AtomicU32::new(1),
            up: AtomicBool::new(false),
            main_is_over: AtomicBool::new(false),
            ended: OnceLock::new(),
            extras: OnceLock::new(),
        }
    }

    pub(crate) fn extras(&self, component: ComponentId, epoch: u64) -> &Extras {
        self.extras.get_or_init(|| {
            Box::new(Extras {
                reports: Arc::new(ReportSource::of(component, epoch)),
                sub_tasks: Mutex::default(),
                failure: Mutex::new(None),
                provides: Mutex::new(Provides::Nothing),
                renewed_in_vain: AtomicBool::new(false),
            })
        })
    }

    /// Takes the pending reports. Called when it has ended, because its last reports count.
    pub(crate) fn take_reports(&self) -> impl Iterator<Item = Batch> + use<> {
        let said = self.extras.get().map(|extras| extras.reports.take());
        said.into_iter().flatten()
    }

    /// What keeps it from being gone.
    pub(crate) fn left(&self) -> Left {
        let main_task = !self.main_is_over.load(Ordering::Acquire);
        let holds = self.holds.load(Ordering::Acquire);
        Left {
            main_task: main_task && holds > 0,
            others: holds.saturating_sub(main_task.into()),
        }
    }

    /// How its main task ended, if there is nothing else to report about it.
    pub(crate) fn plain_end(&self) -> Option<Exit> {
        self.extras.get().is_none().then(|| self.how())
    }

    /// How it ended, as far as it has: how its main task ended, or that a sub-task failed when it was asked to stop.
    pub(crate) fn how(&self) -> Exit {
        let how = self.ended.get().copied().unwrap_or(Exit::Aborted);
        match self.failure() {
            Some(failure) if how == Exit::Returned => Exit::Failed(failure.class()),
            _ => how,
        }
    }

    /// The failure with which it ended, unless it was taken.
    pub(crate) fn failure(&self) -> Option<Arc<ReportedFailure>> {
        let extras = self.extras.get()?;
        lock(&extras.failure).clone()
    }

    /// How it ended. The failure is taken, so only the first call returns it.
    pub(crate) fn take_ending(&self) -> Ending {
        let (how, failure) = (self.how(), self.extras.get());
        Ending {
            how,
            failure: failure.and_then(|extras| lock(&extras.failure).take()),
        }
    }
}
