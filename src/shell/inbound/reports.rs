//! Reports on their way to the supervisor: they gather where they are sent.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::driver::Reported;
use crate::driver::pace::Coalesce;
use crate::machine::FailureClass;
use crate::policy::ComponentId;
use crate::shell::failure::{Failure, ReportedFailure};
use crate::shell::log::discard;
use crate::shell::sync::lock;

/// How many classes there are.
const CLASSES: usize = FailureClass::Fatal as usize + 1;

/// Where reports of one incarnation, or from outside of any, gather until the supervisor takes them.
pub(crate) struct ReportSource {
    pub(crate) of: Option<(ComponentId, u64)>,
    /// By class.
    batches: Mutex<[Option<Batch>; CLASSES]>,
}

/// Reports of one class, sent in one epoch.
pub(crate) struct Batch {
    pub(crate) component: Option<ComponentId>,
    pub(crate) epoch: u64,
    pub(crate) class: FailureClass,
    pub(crate) count: u64,
    /// How many more waited so long that their epoch was over.
    pub(crate) stale: u64,
    pub(crate) first: Arc<ReportedFailure>,
    pub(crate) last: Option<Failure>,
}

impl Batch {
    /// What the driver is told of it, and what is not the driver's to know.
    pub(crate) fn split(self) -> (Reported, ReportTexts) {
        let reported = Reported {
            component: self.component,
            epoch: self.epoch,
            class: self.class,
            count: self.count,
            stale: self.stale,
        };
        let said = ReportTexts {
            component: self.component,
            first: self.first,
            last: self.last.map(Last::Failure),
        };
        (reported, said)
    }
}

/// Whose a batch of reports is, and its texts.
pub(crate) struct ReportTexts {
    pub(crate) component: Option<ComponentId>,
    pub(crate) first: Arc<ReportedFailure>,
    pub(crate) last: Option<Last>,
}

/// The last of several reports.
pub(crate) enum Last {
    Failure(Failure),
    Reported(Arc<ReportedFailure>),
}

impl Last {
    /// Its text, which is made now if nobody has made it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Failure(failure) => failure.text(),
            Self::Reported(told) => told.text().to_string(),
        }
    }
}

impl Coalesce for ReportTexts {
    fn coalesce(&mut self, later: Self) {
        let last = later.last.unwrap_or(Last::Reported(later.first));
        // What it replaces is the user's.
        discard(self.last.replace(last));
    }
}

/// What was added and is not one more of what waits already.
pub(crate) struct Added {
    /// Whether nothing waited, so that the supervisor is to be told.
    pub(crate) is_first: bool,
    pub(crate) told: Arc<ReportedFailure>,
}

impl ReportSource {
    /// One incarnation's.
    pub(crate) fn of(component: ComponentId, epoch: u64) -> Self {
        Self {
            of: Some((component, epoch)),
            batches: Mutex::default(),
        }
    }

    /// From outside of any component.
    pub(crate) fn outside() -> Self {
        Self {
            of: None,
            batches: Mutex::default(),
        }
    }

    /// Whether what is reported there now is of the present epoch.
    pub(crate) fn is_of(&self, current: &AtomicU64) -> bool {
        self.of
            .is_none_or(|(_, epoch)| epoch == current.load(Ordering::Acquire))
    }

    /// Adds a report. `None` if it is one more of a kind that waits already: its text may never be
    /// needed.
    pub(crate) fn add(&self, current: &AtomicU64, failure: Failure) -> Option<Added> {
        let class = failure.class();
        let mut batches = lock(&self.batches);
        // Read under the lock, so that within a source epochs go one way.
        let epoch = self
            .of
            .map_or_else(|| current.load(Ordering::Acquire), |(_, epoch)| epoch);
        let superseded = match &mut batches[class as usize] {
            // Of a storm nearly all. What is fatal is so in every epoch.
            Some(batch) if batch.epoch == epoch || class == FailureClass::Fatal => {
                batch.count = batch.count.saturating_add(1);
                let last = batch.last.replace(failure);
                drop(batches);
                // Outside of the lock: dropping it is the user's code.
                drop(last);
                return None;
            }
            // Only reports from outside get here: what waits is stale by now.
            Some(batch) => {
                batch.stale = batch.stale.saturating_add(batch.count);
                batch.epoch = epoch;
                batch.count = 1;
                let told = ReportedFailure::new(failure);
                let first = mem::replace(&mut batch.first, Arc::clone(&told));
                (told, first, batch.last.take())
            }
            None => {
                let is_first = batches.iter().all(Option::is_none);
                let told = ReportedFailure::new(failure);
                batches[class as usize] = Some(Batch {
                    component: self.of.map(|(component, _)| component),
                    epoch,
                    class,
                    count: 1,
                    stale: 0,
                    first: Arc::clone(&told),
                    last: None,
                });
                return Some(Added { is_first, told });
            }
        };
        drop(batches);
        let (told, first, last) = superseded;
        drop((first, last));
        Some(Added {
            is_first: false,
            told,
        })
    }

    /// Takes all that waits, the gravest first.
    pub(crate) fn take(&self) -> impl Iterator<Item = Batch> + use<> {
        let batches = mem::take(&mut *lock(&self.batches));
        batches.into_iter().rev().flatten()
    }
}
