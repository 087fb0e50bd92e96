//! What one incarnation of one component has of its own.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::runtime;
use tokio::task::AbortHandle;

use crate::machine::Exit;
use crate::policy::ComponentId;
use crate::shell::failure::ReportedFailure;
use crate::shell::inbound::{Batch, ReportSource};
use crate::shell::log::discard;
use crate::shell::sync::lock;

/// What each incarnation has of its own.
pub(crate) struct Run {
    pub(crate) holds: AtomicU32,
    pub(crate) up: AtomicBool,
    /// How its main task ended; unset if it was aborted.
    pub(crate) ended: OnceLock<Exit>,
    /// Made when it is first needed: most incarnations never do.
    pub(crate) extras: OnceLock<Box<Extras>>,
}

/// What an incarnation has only if it reports, spawns, fails or is aborted.
pub(crate) struct Extras {
    /// Where its reports gather.
    pub(crate) reports: Arc<ReportSource>,
    pub(crate) sub_tasks: Mutex<SubTasks>,
    /// What its main task ended with.
    pub(crate) failure: Mutex<Option<Arc<ReportedFailure>>>,
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
        // What it holds is the user's, and is dropped where the user's tasks are.
        runtime.spawn(async move { drop(never) });
    }
}

/// How the main task of a component ended.
pub(crate) struct Ending {
    pub(crate) how: Exit,
    pub(crate) failure: Option<Arc<ReportedFailure>>,
}

impl Ending {
    /// Of an incarnation that nothing is left of.
    pub(crate) const UNKNOWN: Self = Self {
        how: Exit::Aborted,
        failure: None,
    };
}

#[derive(Default)]
pub(crate) struct SubTasks {
    /// What aborts those that are spawned.
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
                // On the supervisor's thread, where the runtime is gone, it is dropped elsewhere.
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
    /// One that is about to begin: its main task has a hold.
    pub(crate) fn new() -> Self {
        Self {
            holds: AtomicU32::new(1),
            up: AtomicBool::new(false),
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
            })
        })
    }

    /// Takes the reports that wait. Called when it has ended: its last words count.
    pub(crate) fn take_reports(&self) -> impl Iterator<Item = Batch> + use<> {
        let said = self.extras.get().map(|extras| extras.reports.take());
        said.into_iter().flatten()
    }

    /// How its main task ended, if that is all there is to say of it.
    pub(crate) fn plain_end(&self) -> Option<Exit> {
        self.extras.get().is_none().then(|| self.how())
    }

    /// How its main task ended.
    pub(crate) fn how(&self) -> Exit {
        self.ended.get().copied().unwrap_or(Exit::Aborted)
    }

    /// What its main task ended with, unless that was taken.
    pub(crate) fn failure(&self) -> Option<Arc<ReportedFailure>> {
        let extras = self.extras.get()?;
        lock(&extras.failure).clone()
    }

    /// How it ended, for whoever is told. The failure is taken, so only the first call has it.
    pub(crate) fn take_ending(&self) -> Ending {
        let failure = self.extras.get();
        Ending {
            how: self.how(),
            failure: failure.and_then(|extras| lock(&extras.failure).take()),
        }
    }
}
