//! What the supervisor shares with components, reporters and handles.

use std::collections::BTreeMap;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;

use super::journal::Journal;
use super::log::Log;
use super::mailbox::{Lease, Mailbox};
use super::notes::Notes;
use super::reporter::Source;
use super::status::Summary;
use super::told::Told;
use crate::machine::ComponentState;
use crate::policy::{ComponentId, Plan};

pub(crate) struct Shared {
    pub(super) plan: Arc<Plan>,
    pub(super) names: Vec<Arc<str>>,
    /// What each component is doing, for status pages: a [`ComponentState`] as a number.
    slots: Vec<AtomicU8>,
    pub(super) ready: AtomicBool,
    /// The service's runtime polls nothing any more.
    pub(super) frozen: AtomicBool,
    /// Nothing supervises any more.
    abandoned: AtomicBool,
    pub(super) epoch: AtomicU64,
    /// Whether its incarnation is not gone yet, for each component: told by the incarnations
    /// themselves. One flag each, so that they do not contend for one count.
    alive: Vec<AtomicBool>,
    pub(super) summary: watch::Sender<Summary>,
    pub(super) journal: Journal,
    pub(super) notes: Notes,
    /// Reports from outside of any component.
    pub(super) outside: Arc<Source>,
    pub(crate) mailbox: Apart<Mailbox>,
    /// Grows with each answered ping.
    pub(super) pulse: watch::Sender<u64>,
    service: OnceLock<Service>,
    /// A text is waited for, and whoever makes one is to say so.
    awaits_text: AtomicBool,
    /// See [`Status::poll_delay`](super::Status::poll_delay), in nanoseconds; [`NO_DELAY`] if none was
    /// measured.
    poll_delay: AtomicU64,
}

/// Where the service runs: known once its run has begun.
struct Service {
    /// That of the components.
    runtime: runtime::Handle,
    log: Log,
}

/// No delay is this long.
const NO_DELAY: u64 = u64::MAX;

impl Shared {
    pub(crate) fn new(plan: Arc<Plan>, names: Vec<Arc<str>>) -> Self {
        Self {
            slots: names
                .iter()
                .map(|_| AtomicU8::new(ComponentState::Down as u8))
                .collect(),
            alive: names.iter().map(|_| AtomicBool::new(false)).collect(),
            plan,
            names,
            ready: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            summary: watch::Sender::new(Summary::before_the_run()),
            journal: Journal::default(),
            notes: Notes::default(),
            outside: Arc::new(Source::outside()),
            mailbox: Apart::default(),
            pulse: watch::Sender::new(0),
            service: OnceLock::new(),
            awaits_text: AtomicBool::new(false),
            poll_delay: AtomicU64::new(NO_DELAY),
        }
    }

    pub(super) fn name(&self, component: ComponentId) -> &Arc<str> {
        &self.names[component.index()]
    }

    /// The run begins: its components run on this runtime, and this is its log.
    pub(crate) fn enter(&self, runtime: runtime::Handle, log: Log) {
        // A run begins once, so nothing was set before.
        let _ = self.service.set(Service { runtime, log });
    }

    /// The runtime that components run on, once the run has begun.
    pub(super) fn runtime(&self) -> Option<&runtime::Handle> {
        self.service.get().map(|service| &service.runtime)
    }

    /// Where the run logs, once it has begun.
    pub(super) fn log(&self) -> Option<&Log> {
        self.service.get().map(|service| &service.log)
    }

    /// Whether the run has a thread of its own.
    #[cfg(feature = "etcd")]
    pub(super) fn is_apart(&self) -> bool {
        self.log().is_some_and(Log::is_queued)
    }

    /// Makes the text of a failure that the supervisor was told of, and says so if that waits for it.
    pub(super) fn make_text(&self, told: &Told) {
        told.text();
        // Either the text is seen by who begins to wait for it, or the wait is seen here.
        fence(Ordering::SeqCst);
        if self.awaits_text.swap(false, Ordering::AcqRel) {
            self.mailbox.nudge();
        }
    }

    /// From now on whoever makes a text says so.
    pub(super) fn await_text(&self) {
        self.awaits_text.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    pub(super) fn set_poll_delay(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(NO_DELAY - 1);
        self.poll_delay.store(nanos, Ordering::Relaxed);
    }

    pub(super) fn poll_delay(&self) -> Option<Duration> {
        let nanos = self.poll_delay.load(Ordering::Relaxed);
        (nanos != NO_DELAY).then(|| Duration::from_nanos(nanos))
    }

    /// Takes note of a renewal, if it is the owner of the lease who tells of it.
    pub(super) fn lease_renewed(&self, component: ComponentId, lease: Lease) {
        if self.plan.layout().lease_owner() == Some(component) {
            self.mailbox.lease_renewed(lease);
        }
    }

    // What is published.

    pub(super) fn set_slot(&self, component: ComponentId, slot: ComponentState) {
        self.slots[component.index()].store(slot as u8, Ordering::Relaxed);
    }

    pub(super) fn set_slots(&self, components: Range<u32>, slot: ComponentState) {
        for component in components.map(ComponentId) {
            self.set_slot(component, slot);
        }
    }

    pub(super) fn set_alive(&self, component: ComponentId, alive: bool) {
        self.alive[component.index()].store(alive, Ordering::Release);
    }

    /// What the components say of themselves that are not gone.
    pub(super) fn notes(&self) -> BTreeMap<ComponentId, Arc<str>> {
        let mut notes = self.notes.all(self.epoch.load(Ordering::Acquire));
        notes.retain(|id, _| self.alive[id.index()].load(Ordering::Acquire));
        notes
    }

    /// Whether any incarnation is not gone yet.
    pub(super) fn any_alive(&self) -> bool {
        self.alive.iter().any(|alive| alive.load(Ordering::Acquire))
    }

    pub(super) fn slot(&self, component: ComponentId) -> ComponentState {
        match self.slots[component.index()].load(Ordering::Relaxed) {
            slot if slot == ComponentState::Starting as u8 => ComponentState::Starting,
            slot if slot == ComponentState::Up as u8 => ComponentState::Up,
            slot if slot == ComponentState::Stopping as u8 => ComponentState::Stopping,
            slot if slot == ComponentState::Aborting as u8 => ComponentState::Aborting,
            slot if slot == ComponentState::Wedged as u8 => ComponentState::Wedged,
            _ => ComponentState::Down,
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

    /// Publishes whether the service's runtime is frozen.
    pub(super) fn set_frozen(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Release);
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
