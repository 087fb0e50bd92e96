//! What the supervisor shares with components, reporters and handles.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::runtime;
use tokio::sync::watch;

use super::journal::Journal;
use super::mailbox::{Lease, Mailbox};
use super::reporter::Source;
use super::status::Summary;
use crate::machine::Slot;
use crate::policy::{ComponentId, Plan};

pub(crate) struct Shared {
    pub(super) plan: Arc<Plan>,
    pub(super) names: Vec<Arc<str>>,
    /// What each component is doing, for status pages: a [`Slot`] as a number.
    slots: Vec<AtomicU8>,
    pub(super) ready: AtomicBool,
    /// Nothing supervises any more.
    abandoned: AtomicBool,
    pub(super) epoch: AtomicU64,
    /// Whether its incarnation is not gone yet, for each component: told by the incarnations
    /// themselves. One flag each, so that they do not contend for one count.
    alive: Vec<AtomicBool>,
    pub(super) summary: watch::Sender<Summary>,
    pub(super) journal: Journal,
    /// Reports from outside of any component.
    pub(super) outside: Arc<Source>,
    pub(crate) mailbox: Apart<Mailbox>,
    /// Grows with each answered ping.
    pub(super) pulse: watch::Sender<u64>,
    runtime: OnceLock<runtime::Handle>,
}

impl Shared {
    pub(crate) fn new(plan: Arc<Plan>, names: Vec<Arc<str>>) -> Self {
        Self {
            slots: names
                .iter()
                .map(|_| AtomicU8::new(Slot::Down as u8))
                .collect(),
            alive: names.iter().map(|_| AtomicBool::new(false)).collect(),
            plan,
            names,
            ready: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            summary: watch::Sender::new(Summary::before_the_run()),
            journal: Journal::default(),
            outside: Arc::new(Source::outside()),
            mailbox: Apart::default(),
            pulse: watch::Sender::new(0),
            runtime: OnceLock::new(),
        }
    }

    pub(super) fn name(&self, component: ComponentId) -> &Arc<str> {
        &self.names[component.index()]
    }

    // The runtime that components run on: known once the run has begun.

    pub(crate) fn enter(&self, runtime: runtime::Handle) {
        // A run begins once, so nothing was set before.
        let _ = self.runtime.set(runtime);
    }

    pub(super) fn runtime(&self) -> Option<runtime::Handle> {
        self.runtime.get().cloned()
    }

    /// Takes note of a renewal, if it is the owner of the lease who tells of it.
    pub(super) fn lease_renewed(&self, component: ComponentId, lease: Lease) {
        if self.plan.layout().lease_owner() == Some(component) {
            self.mailbox.lease_renewed(lease);
        }
    }

    // What is published.

    pub(super) fn set_slot(&self, component: ComponentId, slot: Slot) {
        self.slots[component.index()].store(slot as u8, Ordering::Relaxed);
    }

    pub(super) fn set_alive(&self, component: ComponentId, alive: bool) {
        self.alive[component.index()].store(alive, Ordering::Release);
    }

    /// Whether any incarnation is not gone yet.
    pub(super) fn any_alive(&self) -> bool {
        self.alive.iter().any(|alive| alive.load(Ordering::Acquire))
    }

    pub(super) fn slot(&self, component: ComponentId) -> Slot {
        match self.slots[component.index()].load(Ordering::Relaxed) {
            slot if slot == Slot::Starting as u8 => Slot::Starting,
            slot if slot == Slot::Up as u8 => Slot::Up,
            slot if slot == Slot::Stopping as u8 => Slot::Stopping,
            slot if slot == Slot::Aborting as u8 => Slot::Aborting,
            slot if slot == Slot::Wedged as u8 => Slot::Wedged,
            _ => Slot::Down,
        }
    }

    /// Turns readiness on or off: off at once, on only as long as the run is not over.
    pub(super) fn set_ready(&self, ready: bool) {
        if ready {
            // Under the lock of the summary, as the run's end is: no true is left behind it.
            self.summary.send_if_modified(|summary| {
                if !summary.over {
                    self.ready.store(true, Ordering::Release);
                }
                false
            });
        } else {
            self.ready.store(false, Ordering::Release);
        }
    }

    /// Changes what is published, unless the run is over: it may have been dropped amid a step.
    pub(super) fn publish(&self, change: impl FnOnce(&mut Summary)) {
        self.summary.send_if_modified(|summary| {
            let goes_on = !summary.over;
            if goes_on {
                change(summary);
            }
            goes_on
        });
    }

    /// Publishes that nothing supervises any more, unless the run ended in its own way.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.summary.send_if_modified(|summary| {
            self.ready.store(false, Ordering::Release);
            summary.abandon()
        });
        self.journal.close();
        self.mailbox.close();
    }

    /// Whether the run was dropped. On a thread of its own it may be amid a step then.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    pub(super) fn answer_ping(&self) {
        if self.mailbox.take_ping() {
            self.pulse.send_modify(|beats| *beats += 1);
        }
    }
}

/// What many cores write to, in cache lines of its own: else each write would take from the others
/// what lies beside it and is only read. Two lines, since processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(T);

impl<T> Apart<T> {
    pub(super) fn new(it: T) -> Self {
        Self(it)
    }
}

impl<T> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
