//! Everything that is published of a run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use super::journal::Journal;
use super::notes::Notes;
use super::roster::Roster;
use super::status::{ComponentStatus, Status};
use super::summary::Summary;
use crate::policy::{ComponentId, Layout};
use crate::shell::failure::{RunReport, StopSignal};

pub(crate) struct Published {
    pub(crate) roster: Roster,
    ready: AtomicBool,
    /// Whether components still serve although it is not ready: the unready delay.
    delaying: AtomicBool,
    /// Whether the service's runtime is frozen.
    frozen: AtomicBool,
    pub(crate) epoch: AtomicU64,
    summary: watch::Sender<Summary>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) notes: Notes,
    /// See [`Status::poll_delay`], in nanoseconds; [`NO_DELAY`] if none was measured.
    poll_delay: AtomicU64,
    /// Grows with each answered ping.
    pulse: watch::Sender<u64>,
    /// The signal that asked for the end, if one did.
    signal: OnceLock<StopSignal>,
    /// How the run ended, once it has.
    report: OnceLock<RunReport>,
}

/// Stands for no measurement: no delay is this long.
const NO_DELAY: u64 = u64::MAX;

impl Published {
    pub(crate) fn new(names: Vec<Arc<str>>) -> Self {
        Self {
            roster: Roster::new(names),
            ready: AtomicBool::new(false),
            delaying: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            summary: watch::Sender::new(Summary::before_the_run()),
            journal: Arc::default(),
            notes: Notes::default(),
            poll_delay: AtomicU64::new(NO_DELAY),
            pulse: watch::Sender::new(0),
            signal: OnceLock::new(),
            report: OnceLock::new(),
        }
    }

    // For readers.

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Whether it is ready, or in the unready delay.
    pub(crate) fn is_serving(&self) -> bool {
        self.is_ready() || self.delaying.load(Ordering::Acquire)
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    /// The number of the current epoch, or of the last one.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn status(&self) -> Status {
        let summary = self.summary.borrow().clone();
        self.status_of(&summary)
    }

    /// The status from a summary that was read before.
    pub(crate) fn status_of(&self, summary: &Summary) -> Status {
        summary.status(&self.roster, self.is_ready(), self.poll_delay())
    }

    pub(crate) fn components(&self, layout: &Layout) -> Vec<ComponentStatus> {
        let mut notes = self.present_notes();
        let ids = self.roster.ids();
        ids.map(|id| ComponentStatus {
            name: Arc::clone(self.roster.name(id)),
            stage: layout.stage_of(id).unwrap_or_default(),
            state: self.roster.component_state(id),
            note: notes.remove(&id),
        })
        .collect()
    }

    /// The notes of the components that are not gone.
    pub(crate) fn present_notes(&self) -> BTreeMap<ComponentId, Arc<str>> {
        let mut notes = self.notes.all(self.epoch());
        notes.retain(|&id, _| self.roster.is_alive(id));
        notes
    }

    pub(crate) fn is_over(&self) -> bool {
        self.summary.borrow().over
    }

    /// A receiver that is notified when the summary changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Summary> {
        self.summary.subscribe()
    }

    /// A receiver that is notified when a ping is answered.
    pub(crate) fn pulse(&self) -> watch::Receiver<u64> {
        self.pulse.subscribe()
    }

    fn poll_delay(&self) -> Option<Duration> {
        let nanos = self.poll_delay.load(Ordering::Relaxed);
        (nanos != NO_DELAY).then(|| Duration::from_nanos(nanos))
    }

    // For the supervisor.

    pub(crate) fn set_poll_delay(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(NO_DELAY - 1);
        self.poll_delay.store(nanos, Ordering::Relaxed);
    }

    pub(crate) fn answer_ping(&self) {
        self.pulse.send_modify(|beats| *beats += 1);
    }

    /// Turns readiness on or off: off at once, on only as long as the run is not over.
    pub(crate) fn set_ready(&self, ready: bool) {
        if ready {
            // Under the lock of the summary, as the end of the run is, so readiness is never on after the end.
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

    /// Notes whether components still serve although the service is not ready.
    pub(crate) fn set_delaying(&self, delaying: bool) {
        self.delaying.store(delaying, Ordering::Release);
    }

    /// Publishes whether the service's runtime is frozen.
    pub(crate) fn set_frozen(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Release);
    }

    /// Changes the summary, unless the run is over: it may have been dropped during a step.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Summary)) {
        self.summary.send_if_modified(|summary| {
            let goes_on = !summary.over;
            if goes_on {
                change(summary);
            }
            goes_on
        });
    }

    /// The last reason.
    pub(crate) fn reason(&self) -> Arc<str> {
        Arc::clone(&self.summary.borrow().reason)
    }

    /// Notes the regular end of the run.
    pub(crate) fn end(&self, report: RunReport) {
        // Before the end is published, so that it is there for all who wait for the end.
        let _ = self.report.set(report);
        self.summary.send_modify(|summary| summary.over = true);
        self.journal.close();
    }

    /// How the run ended, once it has.
    pub(crate) fn report(&self) -> Option<&RunReport> {
        self.report.get()
    }

    /// Notes the signal that asks for the end. The first one counts.
    pub(crate) fn note_signal(&self, signal: StopSignal) {
        let _ = self.signal.set(signal);
    }

    pub(crate) fn signal(&self) -> Option<StopSignal> {
        self.signal.get().copied()
    }

    /// Publishes that the run was dropped, unless it has ended regularly.
    pub(crate) fn abandon(&self) {
        self.summary.send_if_modified(|summary| {
            self.ready.store(false, Ordering::Release);
            self.delaying.store(false, Ordering::Release);
            // If it has ended regularly, its report is there.
            let _ = self.report.set(RunReport::dropped());
            summary.abandon()
        });
        self.journal.close();
    }
}
