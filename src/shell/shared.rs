//! What the supervisor shares with components, reporters and handles.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::runtime;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::incarnation::Incarnation;
use super::journal::Journal;
use super::lock;
use super::reporter::Source;
use super::status::Summary;
use crate::machine::Slot;
use crate::policy::{ComponentId, Plan};

/// The most operator's commands that wait; more than that are refused.
const MAX_COMMANDS: usize = 64;

pub(crate) struct Shared {
    pub(super) plan: Arc<Plan>,
    pub(super) names: Vec<Arc<str>>,
    /// What each component is doing, for status pages: a [`Slot`] as a number.
    slots: Vec<AtomicU8>,
    pub(super) ready: AtomicBool,
    pub(super) epoch: AtomicU64,
    /// How many incarnations are not gone.
    pub(super) live: AtomicUsize,
    pub(super) summary: watch::Sender<Summary>,
    pub(super) journal: Journal,
    /// Reports from outside of any component.
    pub(super) outside: Arc<Source>,
    /// Woken for each thing below.
    wake: Notify,
    inbox: Mutex<Inbox>,
    shutdown: AtomicBool,
    pinged: AtomicBool,
    /// Grows with each answered ping.
    pub(super) pulse: watch::Sender<u64>,
    runtime: OnceLock<runtime::Handle>,
}

/// What waits for the supervisor. Each queue is bounded: a component answers at most three times in
/// an epoch, a source of reports is queued once however many it gathers, a lease is one slot.
#[derive(Default)]
struct Inbox {
    answers: VecDeque<Answer>,
    lease: Option<Lease>,
    /// Epoch and begin of the latest renewal that was told of.
    renewed: Option<(u64, Instant)>,
    reports: VecDeque<Arc<Source>>,
    commands: VecDeque<Command>,
    /// Nobody takes anything any more.
    closed: bool,
}

/// What a component answers.
pub(super) enum Answer {
    Up {
        component: ComponentId,
        epoch: u64,
    },
    /// Its main task ended unasked, and something of it is still held.
    Exited(Arc<Incarnation>),
    /// Nothing of it is left.
    Gone(Arc<Incarnation>),
}

/// A lease that was renewed.
#[derive(Clone, Copy)]
pub(super) struct Lease {
    pub(super) epoch: u64,
    /// When the renewal was sent.
    pub(super) sent: Instant,
    pub(super) expires: Instant,
}

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Drain,
    Resume,
    Trip,
    Reset,
}

impl Shared {
    pub(crate) fn new(plan: Arc<Plan>, names: Vec<Arc<str>>) -> Self {
        Self {
            slots: names
                .iter()
                .map(|_| AtomicU8::new(Slot::Down as u8))
                .collect(),
            plan,
            names,
            ready: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            live: AtomicUsize::new(0),
            summary: watch::Sender::new(Summary::before_the_run()),
            journal: Journal::default(),
            outside: Arc::new(Source::outside()),
            wake: Notify::new(),
            inbox: Mutex::default(),
            shutdown: AtomicBool::new(false),
            pinged: AtomicBool::new(false),
            pulse: watch::Sender::new(0),
            runtime: OnceLock::new(),
        }
    }

    pub(super) fn name(&self, component: ComponentId) -> &Arc<str> {
        &self.names[component.index()]
    }

    // Told by components and handles.

    pub(super) fn answer(&self, answer: Answer) {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            // Dropped outside of the lock, like all that may run code of the user.
            drop(inbox);
            return drop(answer);
        }
        inbox.answers.push_back(answer);
        let first = inbox.answers.len() == 1;
        drop(inbox);
        if first {
            self.wake.notify_one();
        }
    }

    /// Takes note of a renewal, unless a later one is known: answers may overtake each other.
    pub(super) fn lease_renewed(&self, component: ComponentId, lease: Lease) {
        if self.plan.layout().lease_owner() != Some(component) {
            return;
        }
        let mut inbox = lock(&self.inbox);
        let newest = (lease.epoch, lease.sent);
        if inbox.renewed.is_none_or(|renewed| renewed < newest) {
            inbox.renewed = Some(newest);
            inbox.lease = Some(lease);
            drop(inbox);
            self.wake.notify_one();
        }
    }

    pub(super) fn reported(&self, source: Arc<Source>) {
        let mut inbox = lock(&self.inbox);
        if !inbox.closed {
            inbox.reports.push_back(source);
        }
        drop(inbox);
        self.wake.notify_one();
    }

    /// `false` if too many wait.
    pub(super) fn command(&self, command: Command) -> bool {
        let mut inbox = lock(&self.inbox);
        if inbox.commands.back() == Some(&command) {
            return true;
        }
        let room = inbox.commands.len() < MAX_COMMANDS;
        if room {
            inbox.commands.push_back(command);
        }
        drop(inbox);
        self.wake.notify_one();
        room
    }

    pub(super) fn shut_down(&self) {
        self.shutdown.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(super) fn ping(&self) {
        self.pinged.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Wakes one more, for those that wait beside each other.
    #[cfg(feature = "test-util")]
    pub(crate) fn nudge(&self) {
        self.wake.notify_one();
    }

    // Taken by the supervisor.

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// All answers that wait, in exchange for an empty queue.
    pub(super) fn take_answers(&self, into: &mut VecDeque<Answer>) {
        mem::swap(&mut lock(&self.inbox).answers, into);
    }

    pub(super) fn take_lease(&self) -> Option<Lease> {
        lock(&self.inbox).lease.take()
    }

    pub(super) fn take_command(&self) -> Option<Command> {
        lock(&self.inbox).commands.pop_front()
    }

    pub(super) fn has_reports(&self) -> bool {
        !lock(&self.inbox).reports.is_empty()
    }

    /// All sources that have reports.
    pub(super) fn take_reports(&self) -> VecDeque<Arc<Source>> {
        mem::take(&mut lock(&self.inbox).reports)
    }

    /// `true` once, after the first call to shut down.
    pub(super) fn take_shutdown(&self) -> bool {
        self.shutdown.swap(false, Ordering::AcqRel)
    }

    pub(super) fn answer_ping(&self) {
        // Asked before each input, so the common answer must be cheap.
        if self.pinged.load(Ordering::Acquire) && self.pinged.swap(false, Ordering::AcqRel) {
            self.pulse.send_modify(|beats| *beats += 1);
        }
    }

    // The runtime that components run on: known once the run has begun.

    pub(crate) fn enter(&self, runtime: runtime::Handle) {
        // A run begins once, so nothing was set before.
        let _ = self.runtime.set(runtime);
    }

    pub(super) fn runtime(&self) -> Option<runtime::Handle> {
        self.runtime.get().cloned()
    }

    // What is published.

    pub(super) fn set_slot(&self, component: ComponentId, slot: Slot) {
        self.slots[component.index()].store(slot as u8, Ordering::Relaxed);
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

    /// Publishes that nothing supervises any more, unless the run ended in its own way.
    pub(super) fn abandon(&self) {
        self.ready.store(false, Ordering::Release);
        self.summary.send_if_modified(Summary::abandon);
        self.journal.close();
        // What waits holds incarnations, and these hold this: emptied, or it would live for ever.
        let left = {
            let mut inbox = lock(&self.inbox);
            inbox.closed = true;
            (mem::take(&mut inbox.answers), mem::take(&mut inbox.reports))
        };
        drop(left);
    }
}
