//! What waits for the supervisor: what components answer, what the lease's owner, reporters and
//! operators tell.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::message::{ComponentAnswer, RenewedLease};
use super::reports::ReportSource;
use crate::driver::Command;
use crate::shell::sync::lock;

/// The most operator's commands that wait; more than that are refused.
const MAX_COMMANDS: usize = 64;

/// How much room is kept for what comes in numbers while a large stage starts or stops.
pub(crate) const ROOM_KEPT: usize = 256;

/// What may wait for the supervisor: see [`Mailbox::inside`].
const ANSWERS: u8 = 1;
const LEASE: u8 = 2;
const COMMANDS: u8 = 4;
const REPORTS: u8 = 8;
/// Beside that: one of them is of the present epoch.
const PRESENT: u8 = 16;

/// Where all that is left, and the supervisor is woken for it.
#[derive(Default)]
pub(crate) struct Mailbox {
    /// Woken for each thing below.
    wake: Notify,
    waiting: Mutex<Waiting>,
    /// What is in there, one bit for each kind: so that who looks for what is not there does not
    /// stand in the way of those who bring something.
    inside: AtomicU8,
    shutdown: AtomicBool,
    pinged: AtomicBool,
}

/// What waits for the supervisor. Each queue is bounded: a component answers at most three times in
/// an epoch, a source of reports is queued once however many it gathers, a lease is one slot.
#[derive(Default)]
struct Waiting {
    answers: VecDeque<ComponentAnswer>,
    /// At how many answers the supervisor is to be woken.
    wake_at: usize,
    lease: Option<RenewedLease>,
    /// Epoch and begin of the latest renewal that was told of.
    renewed: Option<(u64, Instant)>,
    reports: VecDeque<Arc<ReportSource>>,
    commands: VecDeque<Command>,
    /// Nobody takes anything any more.
    closed: bool,
}

impl Mailbox {
    // Brought by components and handles.

    /// Adds an answer. The supervisor is woken for one that is urgent; else when there are as many
    /// as it [waits](Self::await_answers) for.
    pub(crate) fn answer(&self, answer: ComponentAnswer, urgent: bool) {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return;
        }
        waiting.answers.push_back(answer);
        let answers = waiting.answers.len();
        if answers == 1 {
            self.inside.fetch_or(ANSWERS, Ordering::Release);
        }
        // Of more than that it was told already.
        let wake = urgent || answers == waiting.wake_at.max(1);
        drop(waiting);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Takes note of a renewal, unless a later one is known: answers may overtake each other. Of two that were
    /// sent at one moment the one that is told later counts.
    pub(crate) fn lease_renewed(&self, lease: RenewedLease) {
        let mut waiting = lock(&self.waiting);
        let newest = (lease.epoch, lease.sent);
        if waiting.renewed.is_none_or(|renewed| renewed <= newest) {
            waiting.renewed = Some(newest);
            waiting.lease = Some(lease);
            self.inside.fetch_or(LEASE, Ordering::Release);
            drop(waiting);
            self.wake.notify_one();
        }
    }

    pub(crate) fn reported(&self, source: Arc<ReportSource>, present: bool) {
        let mut waiting = lock(&self.waiting);
        if !waiting.closed {
            waiting.reports.push_back(source);
            let what = if present { REPORTS | PRESENT } else { REPORTS };
            self.inside.fetch_or(what, Ordering::Release);
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// `false` if too many wait.
    pub(crate) fn command(&self, command: Command) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.commands.back() == Some(&command) {
            return true;
        }
        let room = waiting.commands.len() < MAX_COMMANDS;
        if room {
            waiting.commands.push_back(command);
            self.inside.fetch_or(COMMANDS, Ordering::Release);
        }
        drop(waiting);
        self.wake.notify_one();
        room
    }

    pub(crate) fn shut_down(&self) {
        self.shutdown.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whoever finds an earlier question that was not taken yet shares its answer.
    pub(crate) fn ping(&self) {
        if !self.pinged.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// Wakes the supervisor, to look at what is not in here.
    pub(crate) fn nudge(&self) {
        self.wake.notify_one();
    }

    // Taken by the supervisor.

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Makes room for as many answers.
    pub(crate) fn make_room(&self, answers: usize) {
        lock(&self.waiting).answers.reserve(answers);
    }

    /// All answers that wait, in exchange for an empty queue.
    pub(crate) fn take_answers(&self, into: &mut VecDeque<ComponentAnswer>) {
        if self.is_inside(ANSWERS) {
            let mut waiting = lock(&self.waiting);
            mem::swap(&mut waiting.answers, into);
            self.inside.fetch_and(!ANSWERS, Ordering::Relaxed);
        }
    }

    /// From now on the supervisor is woken when so many answers wait. `false` if they do already.
    pub(crate) fn await_answers(&self, wake_at: usize) -> bool {
        let mut waiting = lock(&self.waiting);
        waiting.wake_at = wake_at;
        if wake_at == 1 && waiting.answers.is_empty() {
            waiting.answers.shrink_to(ROOM_KEPT);
        }
        waiting.answers.len() < wake_at
    }

    pub(crate) fn take_lease(&self) -> Option<RenewedLease> {
        if !self.is_inside(LEASE) {
            return None;
        }
        let mut waiting = lock(&self.waiting);
        self.inside.fetch_and(!LEASE, Ordering::Relaxed);
        waiting.lease.take()
    }

    pub(crate) fn take_command(&self) -> Option<Command> {
        if !self.is_inside(COMMANDS) {
            return None;
        }
        let mut waiting = lock(&self.waiting);
        let command = waiting.commands.pop_front();
        if waiting.commands.is_empty() {
            self.inside.fetch_and(!COMMANDS, Ordering::Relaxed);
        }
        command
    }

    pub(crate) fn has_reports(&self) -> bool {
        self.is_inside(REPORTS)
    }

    pub(crate) fn has_present_reports(&self) -> bool {
        self.is_inside(PRESENT)
    }

    /// All sources that have reports.
    pub(crate) fn take_reports(&self) -> VecDeque<Arc<ReportSource>> {
        if !self.is_inside(REPORTS) {
            return VecDeque::new();
        }
        let mut waiting = lock(&self.waiting);
        self.inside
            .fetch_and(!(REPORTS | PRESENT), Ordering::Relaxed);
        mem::take(&mut waiting.reports)
    }

    /// The bits are set and cleared under the lock, and set before anybody is woken.
    fn is_inside(&self, kind: u8) -> bool {
        self.inside.load(Ordering::Acquire) & kind != 0
    }

    /// `true` once, after the first call to shut down.
    pub(crate) fn take_shutdown(&self) -> bool {
        self.shutdown.swap(false, Ordering::AcqRel)
    }

    /// `true` once, after each call to ping.
    pub(crate) fn take_ping(&self) -> bool {
        // Asked before each input, so the common answer must be cheap.
        self.pinged.load(Ordering::Acquire) && self.pinged.swap(false, Ordering::AcqRel)
    }

    /// Nobody takes anything any more.
    pub(crate) fn close(&self) {
        let left = {
            let mut waiting = lock(&self.waiting);
            waiting.closed = true;
            waiting.answers = VecDeque::new();
            mem::take(&mut waiting.reports)
        };
        // Outside of the lock: what was reported is the user's code.
        drop(left);
    }
}
