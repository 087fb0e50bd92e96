//! The last transitions and outages of a run.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::machine::{Cause, Phase, Record};
use crate::shell::sync::lock;

/// How many transitions are kept. The hold-off limits their rate, so these cover many hours of the worst flapping
/// that the defaults allow.
const TRANSITIONS_KEPT: usize = 4096;
/// How many outages are kept.
const OUTAGES_KEPT: usize = 256;

/// One transition, with the fields that are logged.
///
/// ```
/// # async fn example(handle: overwatch::Handle) {
/// let mut transitions = handle.transitions();
/// while let Ok(Some(event)) = transitions.next().await {
///     println!("{} to {}: {}", event.from, event.to, event.reason);
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransitionEvent {
    /// The number of the transition in this run, from 0.
    pub number: u64,
    /// When it happened.
    pub at: Instant,
    /// The state that was left.
    pub from: Phase,
    /// The state that was entered.
    pub to: Phase,
    /// The cause.
    pub cause: Cause,
    /// The cause in words.
    pub reason: Arc<str>,
    /// The epoch, after the transition.
    pub epoch: u64,
    /// The number of the current outage, or of the last one.
    pub outage: u64,
    /// How long the run was in the state that was left.
    pub spent: Duration,
    /// The level, after the transition: how often the service relapsed lately.
    pub level: u32,
    /// How long the dependency must stay alive before the next start. See [`Status::hold_off`](crate::Status::hold_off).
    pub hold_off: Option<Duration>,
}

/// One outage. From [`Handle::outages`](crate::Handle::outages).
///
/// ```
/// # fn example(handle: overwatch::Handle) {
/// for outage in handle.outages() {
///     println!("outage {}: {}, {:?}", outage.number, outage.reason, outage.lasted);
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outage {
    /// The number of the outage. Boot is outage 0.
    pub number: u64,
    /// The cause of the trip in words.
    pub reason: Arc<str>,
    /// When it began.
    pub began: Instant,
    /// How long it lasted; `None` while it is open.
    pub lasted: Option<Duration>,
    /// Why starts in it failed: the last reason for each component, for eight of them at most. Empty if none has failed.
    pub last_failures: Vec<Arc<str>>,
    /// The counts of the outage; zeros while it is open.
    pub record: Record,
}

#[derive(Default)]
pub(crate) struct Journal {
    kept: Mutex<Kept>,
    /// How many transitions there were; changes with each transition, and when the journal is closed.
    count: watch::Sender<Count>,
}

#[derive(Default)]
struct Kept {
    transitions: VecDeque<TransitionEvent>,
    outages: VecDeque<Outage>,
    /// The run is over or was dropped.
    closed: bool,
}

#[derive(Clone, Copy, Default)]
struct Count {
    transitions: u64,
    closed: bool,
}

impl Journal {
    pub(crate) fn push(&self, transitioned: TransitionEvent) {
        let mut kept = lock(&self.kept);
        if kept.closed {
            return;
        }
        if kept.transitions.len() == TRANSITIONS_KEPT {
            kept.transitions.pop_front();
        }
        let transitions = transitioned.number + 1;
        kept.transitions.push_back(transitioned);
        drop(kept);
        self.count
            .send_modify(|count| count.transitions = transitions);
    }

    pub(crate) fn open_outage(&self, outage: Outage) {
        let mut kept = lock(&self.kept);
        if kept.closed {
            return;
        }
        if kept.outages.len() == OUTAGES_KEPT {
            kept.outages.pop_front();
        }
        kept.outages.push_back(outage);
    }

    /// Notes why starts failed within the outage that is open.
    pub(crate) fn note_failures(&self, reasons: Vec<Arc<str>>) {
        let mut kept = lock(&self.kept);
        let goes_on = !kept.closed;
        let open = kept.outages.back_mut();
        if let Some(outage) = open.filter(|outage| goes_on && outage.lasted.is_none()) {
            outage.last_failures = reasons;
        }
    }

    /// Closes an outage, and returns how long it lasted if it was open.
    pub(crate) fn close_outage(&self, record: Record, now: Instant) -> Option<Duration> {
        let mut kept = lock(&self.kept);
        let goes_on = !kept.closed;
        let outage = kept.outages.back_mut().filter(|outage| {
            goes_on && outage.number == record.outage && outage.lasted.is_none()
        })?;
        outage.lasted = Some(now - outage.began);
        outage.record = record;
        outage.lasted
    }

    pub(crate) fn outages(&self) -> Vec<Outage> {
        lock(&self.kept).outages.iter().cloned().collect()
    }

    /// Notes that no more transitions will come.
    pub(crate) fn close(&self) {
        lock(&self.kept).closed = true;
        self.count.send_modify(|count| count.closed = true);
    }
}

/// The transitions of a run, from the call of [`Handle::transitions`](crate::Handle::transitions) on.
///
/// No transition is lost. A reader that falls more than 4,096 transitions behind gets [`Lagged`] with the number that
/// it missed, and can continue to read.
///
/// ```
/// # async fn example(handle: overwatch::Handle) {
/// let mut transitions = handle.transitions();
/// loop {
///     match transitions.next().await {
///         Ok(Some(moved)) => println!("{:?} -> {:?}: {}", moved.from, moved.to, moved.reason),
///         Ok(None) => break, // the run is over
///         Err(lagged) => eprintln!("{lagged}"),
///     }
/// }
/// # }
/// ```
pub struct Transitions {
    journal: Arc<Journal>,
    count: watch::Receiver<Count>,
    next: u64,
}

/// The reader missed this many transitions, which are no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "it is a number")]
pub struct Lagged(pub u64);

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} transitions are not kept any more: read them faster",
            self.0
        )
    }
}

impl std::error::Error for Lagged {}

impl Transitions {
    /// The transitions from now on.
    pub(crate) fn new(journal: Arc<Journal>) -> Self {
        let count = journal.count.subscribe();
        let next = count.borrow().transitions;
        Self {
            journal,
            count,
            next,
        }
    }

    /// Waits for the next transition. Returns `Ok(None)` after the last one of the run.
    ///
    /// The future is safe to drop: no transition is lost.
    ///
    /// # Errors
    ///
    /// [`Lagged`] if the next transition is no longer kept. The following call continues with the oldest one that is
    /// kept.
    pub async fn next(&mut self) -> Result<Option<TransitionEvent>, Lagged> {
        loop {
            // Read before the journal, so that a transition in between wakes the wait below.
            let closed = self.count.borrow_and_update().closed;
            {
                let kept = lock(&self.journal.kept);
                let oldest = kept
                    .transitions
                    .front()
                    .map_or(self.next, |oldest| oldest.number);
                if oldest > self.next {
                    let missed = oldest - self.next;
                    self.next = oldest;
                    return Err(Lagged(missed));
                }
                let place = usize::try_from(self.next - oldest).unwrap_or(usize::MAX);
                if let Some(transitioned) = kept.transitions.get(place) {
                    self.next += 1;
                    return Ok(Some(transitioned.clone()));
                }
            }
            if closed || self.count.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

impl fmt::Debug for Transitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transitions")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
