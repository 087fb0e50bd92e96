//! Failure reports, from any thread, without ever blocking on the supervisor.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::log::discard;
use super::shared::Shared;
use super::told::Told;
use super::{Failure, lock};
use crate::driver::Reported;
use crate::driver::pace::Coalesce;
use crate::machine::FailureClass;
use crate::policy::ComponentId;

/// Reports failures. Cheap to clone; works from any thread and any runtime, and never waits for the
/// supervisor. From [`Context::reporter`](super::Context::reporter) for a component, and from
/// [`Handle::reporter`](super::Handle::reporter) for the rest of the program.
///
/// By default one report trips: see [`trip_threshold`](crate::policy::PolicyBuilder::trip_threshold). Report what keeps
/// a component from doing its work, and handle the rest inside.
///
/// ```
/// use overwatch::{Context, Failure};
/// use std::io;
///
/// fn on_connection_lost(ctx: &Context) -> impl Fn(io::Error) + Send + use<> {
///     let reporter = ctx.reporter();
///     // Called by a thread of a client library.
///     move |error| reporter.report(Failure::new(error).dependency())
/// }
/// ```
///
/// The calling thread makes the text of an error (its `Display`), after it has woken the supervisor. In a storm it
/// does not make the text of each.
///
/// A storm of reports is coalesced into a count with the first and the last reason, so it takes
/// constant memory. A report that may trip, while components run or start, is taken
/// at once; others are taken once in 10 ms at most. A report carries the epoch in which it was
/// sent: one that arrives after its component is gone is counted as stale and changes nothing.
#[derive(Clone)]
pub struct Reporter {
    shared: Arc<Shared>,
    source: Arc<Source>,
}

impl Reporter {
    pub(super) fn new(shared: Arc<Shared>, source: Arc<Source>) -> Self {
        Self { shared, source }
    }

    /// Reports a failure: a [`Failure`], or any error as a failure of the component itself.
    pub fn report(&self, failure: impl Into<Failure>) {
        // Converted first: it is the user's code.
        let Some(added) = self.source.add(&self.shared.epoch, failure.into()) else {
            return;
        };
        if added.is_first {
            let present = self.source.is_of(&self.shared.epoch);
            let source = Arc::clone(&self.source);
            self.shared.mailbox.reported(source, present);
        }
        self.shared.make_text(&added.told);
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("of", &self.source.of)
            .finish_non_exhaustive()
    }
}

/// How many classes there are.
const CLASSES: usize = FailureClass::Fatal as usize + 1;

/// Where reports of one incarnation, or from outside of any, gather until the supervisor takes them.
pub(crate) struct Source {
    of: Option<(ComponentId, u64)>,
    /// By class.
    batches: Mutex<[Option<Batch>; CLASSES]>,
}

/// Reports of one class, sent in one epoch.
pub(crate) struct Batch {
    pub(super) component: Option<ComponentId>,
    pub(super) epoch: u64,
    pub(crate) class: FailureClass,
    pub(crate) count: u64,
    /// How many more waited so long that their epoch was over.
    pub(super) stale: u64,
    pub(crate) first: Arc<Told>,
    pub(crate) last: Option<Failure>,
}

impl Batch {
    /// What the driver is told of it, and what is not the driver's to know.
    pub(super) fn split(self) -> (Reported, Said) {
        let reported = Reported {
            component: self.component,
            epoch: self.epoch,
            class: self.class,
            count: self.count,
            stale: self.stale,
        };
        let said = Said {
            component: self.component,
            first: self.first,
            last: self.last.map(Last::Failure),
        };
        (reported, said)
    }
}

/// Whose a batch of reports is, and its texts.
pub(super) struct Said {
    pub(super) component: Option<ComponentId>,
    pub(super) first: Arc<Told>,
    pub(super) last: Option<Last>,
}

/// The last of several reports.
pub(super) enum Last {
    Failure(Failure),
    Told(Arc<Told>),
}

impl Last {
    /// Its text, which is made now if nobody has made it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Failure(failure) => failure.text(),
            Self::Told(told) => told.text().to_string(),
        }
    }
}

impl Coalesce for Said {
    fn coalesce(&mut self, later: Self) {
        let last = later.last.unwrap_or(Last::Told(later.first));
        // What it replaces is the user's.
        discard(self.last.replace(last));
    }
}

/// What was added and is not one more of what waits already.
struct Added {
    /// Whether nothing waited, so that the supervisor is to be told.
    is_first: bool,
    told: Arc<Told>,
}

impl Source {
    /// One incarnation's.
    pub(super) fn of(component: ComponentId, epoch: u64) -> Self {
        Self {
            of: Some((component, epoch)),
            batches: Mutex::default(),
        }
    }

    /// From outside of any component.
    pub(super) fn outside() -> Self {
        Self {
            of: None,
            batches: Mutex::default(),
        }
    }

    /// Whether what is reported there now is of the present epoch.
    fn is_of(&self, current: &AtomicU64) -> bool {
        self.of
            .is_none_or(|(_, epoch)| epoch == current.load(Ordering::Acquire))
    }

    /// Adds a report. `None` if it is one more of a kind that waits already: its text may never be
    /// needed.
    fn add(&self, current: &AtomicU64, failure: Failure) -> Option<Added> {
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
                let told = Told::new(failure);
                let first = mem::replace(&mut batch.first, Arc::clone(&told));
                (told, first, batch.last.take())
            }
            None => {
                let is_first = batches.iter().all(Option::is_none);
                let told = Told::new(failure);
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
