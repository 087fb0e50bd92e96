//! The mailbox: answers of components, renewals, reports and commands that wait for the supervisor.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::command::{CommandAnswer, CommandReply, Commands};
use super::message::{ComponentAnswer, RenewedLease};
use super::reports::ReportSource;
use crate::driver::Command;
use crate::shell::sync::lock;

/// The capacity in answers that is kept after a large stage has started or stopped.
pub(crate) const ROOM_KEPT: usize = 256;

/// The kinds of messages that may wait: see [`Mailbox::inside`].
const ANSWERS: u8 = 1;
const LEASE: u8 = 2;
const COMMANDS: u8 = 4;
const REPORTS: u8 = 8;
/// In addition: one of the reports is of the current epoch.
const PRESENT: u8 = 16;

/// Where messages for the supervisor are left. Leaving one wakes the supervisor.
#[derive(Default)]
pub(crate) struct Mailbox {
    /// Woken for each thing below.
    wake: Notify,
    waiting: Mutex<Queues>,
    /// The kinds of messages that wait, one bit for each: so the supervisor needs no lock to see that there are
    /// none, and does not delay the senders.
    inside: AtomicU8,
    shutdown: AtomicBool,
    /// Whether a shutdown was ever requested.
    was_shut_down: AtomicBool,
    pinged: AtomicBool,
}

/// The waiting messages. Each queue is bounded.
///
/// A component answers at most three times in an epoch, a source of reports is queued once however many reports it
/// has, and there is one slot for a lease.
#[derive(Default)]
struct Queues {
    answers: VecDeque<ComponentAnswer>,
    /// The number of answers at which the supervisor is woken.
    wake_at: usize,
    lease: Option<RenewedLease>,
    /// The epoch and the time of sending of the latest renewal.
    renewed: Option<(u64, Instant)>,
    reports: VecDeque<Arc<ReportSource>>,
    commands: Commands,
    /// Nobody takes anything any more.
    closed: bool,
}

impl Mailbox {
    // Called by components and handles.

    /// Adds an answer. An urgent one wakes the supervisor at once. Otherwise the supervisor is woken when there are as
    /// many as it [waits](Self::await_answers) for.
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
        // With more answers than that it was woken already.
        let wake = urgent || answers == waiting.wake_at.max(1);
        drop(waiting);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Notes a renewal, unless a later one is known, because answers may overtake each other.
    ///
    /// Of two that were sent at the same moment, the one that is reported later counts.
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

    /// Adds a command. `None` if too many wait.
    pub(crate) fn command(&self, command: Command) -> Option<CommandAnswer> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Some(CommandAnswer::lost());
        }
        let answer = waiting.commands.push(command);
        self.inside.fetch_or(COMMANDS, Ordering::Release);
        drop(waiting);
        self.wake.notify_one();
        answer
    }

    pub(crate) fn shut_down(&self) {
        self.was_shut_down.store(true, Ordering::Release);
        self.shutdown.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether a shutdown was ever requested.
    pub(crate) fn was_shut_down(&self) -> bool {
        self.was_shut_down.load(Ordering::Acquire)
    }

    /// Pings the supervisor. Pings that wait at the same time share one answer.
    pub(crate) fn ping(&self) {
        if !self.pinged.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// Wakes the supervisor for something that is not in the mailbox.
    pub(crate) fn nudge(&self) {
        self.wake.notify_one();
    }

    // Called by the supervisor.

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Reserves memory for this number of answers.
    pub(crate) fn make_room(&self, answers: usize) {
        lock(&self.waiting).answers.reserve(answers);
    }

    /// Takes all waiting answers, in exchange for an empty queue.
    pub(crate) fn take_answers(&self, into: &mut VecDeque<ComponentAnswer>) {
        if self.is_inside(ANSWERS) {
            let mut waiting = lock(&self.waiting);
            mem::swap(&mut waiting.answers, into);
            self.inside.fetch_and(!ANSWERS, Ordering::Relaxed);
        }
    }

    /// Sets the number of answers at which the supervisor is woken. Returns `false` if so many wait already.
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

    pub(crate) fn take_command(&self) -> Option<(Command, CommandReply)> {
        if !self.is_inside(COMMANDS) {
            return None;
        }
        let mut waiting = lock(&self.waiting);
        let command = waiting.commands.pop();
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

    /// Takes all sources that have reports.
    pub(crate) fn take_reports(&self) -> VecDeque<Arc<ReportSource>> {
        if !self.is_inside(REPORTS) {
            return VecDeque::new();
        }
        let mut waiting = lock(&self.waiting);
        self.inside
            .fetch_and(!(REPORTS | PRESENT), Ordering::Relaxed);
        mem::take(&mut waiting.reports)
    }

    /// Whether messages of this kind wait. The bits are set and cleared under the lock, and set before the wake-up.
    fn is_inside(&self, kind: u8) -> bool {
        self.inside.load(Ordering::Acquire) & kind != 0
    }

    /// `true` once, after the first call to shut down.
    pub(crate) fn take_shutdown(&self) -> bool {
        self.shutdown.swap(false, Ordering::AcqRel)
    }

    /// `true` once, after each call to ping.
    pub(crate) fn take_ping(&self) -> bool {
        // Called before each input, so the common case must be cheap.
        self.pinged.load(Ordering::Acquire) && self.pinged.swap(false, Ordering::AcqRel)
    }

    /// Nobody takes anything any more.
    pub(crate) fn close(&self) {
        let left = {
            let mut waiting = lock(&self.waiting);
            waiting.closed = true;
            waiting.answers = VecDeque::new();
            // The commands get no answer any more.
            (
                mem::take(&mut waiting.commands),
                mem::take(&mut waiting.reports),
            )
        };
        // Outside of the lock: the drop of reports is user code, and that of commands wakes who awaits an answer.
        drop(left);
    }
}
