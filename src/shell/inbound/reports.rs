//! Reports on their way to the supervisor. They are collected where they are sent.

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

/// The number of classes.
const CLASSES: usize = FailureClass::Fatal as usize + 1;

/// Collects the reports of one incarnation, or from outside of any, until the supervisor takes them.
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
    /// How many more became stale while they waited.
    pub(crate) stale: u64,
    pub(crate) first: Arc<ReportedFailure>,
    pub(crate) last: Option<Failure>,
}

impl Batch {
    /// Splits a batch into the part for the driver, and the texts, which the driver does not need.
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

/// The texts of a batch of reports, and the component that sent it.
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
    /// The text, which is made now if it does not exist yet.
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
        // The replaced value is a value of the user.
        discard(self.last.replace(last));
    }
}

/// The result of adding a report that is not one more of a waiting kind.
pub(crate) struct Added {
    /// Whether no report waited before, so that the supervisor must be woken.
    pub(crate) is_first: bool,
    pub(crate) told: Arc<ReportedFailure>,
}

impl ReportSource {
    /// The source of one incarnation.
    pub(crate) fn of(component: ComponentId, epoch: u64) -> Self {
        Self {
            of: Some((component, epoch)),
            batches: Mutex::default(),
        }
    }

    /// The source of reports from outside of any component.
    pub(crate) fn outside() -> Self {
        Self {
            of: None,
            batches: Mutex::default(),
        }
    }

    /// Whether new reports of this source belong to the current epoch.
    pub(crate) fn is_of(&self, current: &AtomicU64) -> bool {
        self.of
            .is_none_or(|(_, epoch)| epoch == current.load(Ordering::Acquire))
    }

    /// Adds a report. Returns `None` if reports of the same kind wait already: its text may never be needed.
    pub(crate) fn add(&self, current: &AtomicU64, failure: Failure) -> Option<Added> {
        let class = failure.class();
        let mut batches = lock(&self.batches);
        // Read under the lock, so that epochs never go back within a source.
        let epoch = self
            .of
            .map_or_else(|| current.load(Ordering::Acquire), |(_, epoch)| epoch);
        let superseded = match &mut batches[class as usize] {
            // Nearly all reports of a storm get here. A fatal report is fatal in every epoch.
            Some(batch) if batch.epoch == epoch || class == FailureClass::Fatal => {
                batch.count = batch.count.saturating_add(1);
                let last = batch.last.replace(failure);
                drop(batches);
                // Outside of the lock, because the drop is user code.
                drop(last);
                return None;
            }
            // Only reports from outside get here: the waiting ones are stale by now.
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

    /// Takes all waiting batches, the gravest class first.
    pub(crate) fn take(&self) -> impl Iterator<Item = Batch> + use<> {
        let batches = mem::take(&mut *lock(&self.batches));
        batches.into_iter().rev().flatten()
    }
}
