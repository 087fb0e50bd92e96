//! How effects are carried out, and what is published of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Supervisor;
use crate::machine::{Cause, Effect, Phase, Record, Slot, Timer, Transition};
use crate::policy::ComponentId;
use crate::shell::describe::describe;
use crate::shell::journal::{Outage, Transitioned};
use crate::shell::stage::StageRun;
use crate::shell::trace;

impl Supervisor {
    pub(super) fn carry_out(&mut self, effects: &[Effect], detail: Option<&str>) {
        for effect in effects {
            trace::effect(effect, false);
            match *effect {
                Effect::Ready(ready) => self.shared.set_ready(ready),
                Effect::Start { component, epoch } => self.start(component, epoch),
                Effect::Stop { component, .. } => self.stop(component),
                Effect::Abort { component, .. } => self.abort(component),
                // In observe-only the shadow has the probe.
                Effect::OpenSession { .. } | Effect::CloseSession { .. }
                    if self.observed.is_some() => {}
                Effect::OpenSession { session } => self.sessions.open(session),
                Effect::CloseSession { .. } => self.sessions.close(),
                Effect::Arm { timer, after } => {
                    let due = self.timers.arm(timer, after);
                    self.note_due(timer, Some(due));
                }
                Effect::Disarm { timer } => {
                    self.timers.disarm(timer);
                    self.note_due(timer, None);
                }
                Effect::OutageOpened { outage, cause } => self.shared.journal.open_outage(Outage {
                    number: outage,
                    reason: describe(cause, detail, &self.shared).into(),
                    began: Instant::now(),
                    lasted: None,
                    record: Record::default(),
                }),
                Effect::OutageClosed(record) => {
                    let lasted = self.shared.journal.close_outage(record, Instant::now());
                    trace::outage_closed(record, lasted.map(|lasted| lasted.as_millis() as u64));
                }
                Effect::Ended(end) => self.ended = Some(end),
            }
        }
    }

    fn note_due(&mut self, timer: Timer, due: Option<Instant>) {
        match timer {
            Timer::HoldOff => {
                self.hold_off_due = due;
                self.hold_off_over = None;
            }
            Timer::Stage => self.stage_due = due,
            _ => {}
        }
    }

    fn start(&mut self, component: ComponentId, epoch: u64) {
        let layout = self.shared.plan.layout();
        let stage = layout.stage_of(component).unwrap_or_default();
        let components = layout.stage(stage);
        if components.start == component.0 {
            // The first of its stage.
            let run = StageRun::new(epoch, components.clone(), Arc::clone(&self.shared));
            self.stages[stage] = Some(run);
            self.shared.epoch.store(epoch, Ordering::Release);
        }
        self.shared.set_slot(component, Slot::Starting);
        if layout.lease_owner() == Some(component)
            && let Some(fence) = self.shared.plan.policy().fence()
        {
            self.watch_fence(Some(fence.ttl()));
        }
        // With the last of them: one step starts all of a stage.
        if let Some(stage) = &self.stages[stage]
            && components.end == component.0 + 1
        {
            stage.starter(&self.components).start();
        }
    }

    /// The last run of a component's stage, if there was one.
    pub(super) fn stage_of(&self, component: ComponentId) -> Option<&StageRun> {
        let stage = self.shared.plan.layout().stage_of(component)?;
        self.stages[stage].as_ref()
    }

    fn stop(&mut self, component: ComponentId) {
        self.shared.set_slot(component, Slot::Stopping);
        if let Some(stage) = self.stage_of(component) {
            // All but the first call change nothing.
            let within = self.shared.plan.policy().stop_deadline();
            stage.stop(self.cause, within);
        }
    }

    fn abort(&mut self, component: ComponentId) {
        self.shared.set_slot(component, Slot::Aborting);
        if let Some(stage) = self.stage_of(component) {
            stage.abort(component);
        }
    }

    /// Tells the watchdog how long the lease is good for, or that none is held.
    pub(super) fn watch_fence(&self, remaining: Option<Duration>) {
        if let (Some(watchdog), Some(fence)) = (&self.watchdog, self.shared.plan.policy().fence()) {
            // All is to be gone a margin before the lease expires. Half of the margin is left for
            // the confirmation, the other half for the abort.
            let left = remaining.map(|remaining| remaining.saturating_sub(fence.margin() / 2));
            watchdog.set(left.map(|left| std::time::Instant::now() + left));
        }
    }

    /// Publishes the transitions and what else changed.
    pub(super) fn publish(&mut self, hops: &[Transition], detail: Option<&str>) {
        let now = Instant::now();
        for hop in hops {
            let fatal = match &self.fatal {
                Some((_, failure)) if hop.cause == Cause::Fatal => Some(failure.text()),
                _ => None,
            };
            let detail = fatal.as_deref().or(detail);
            let transitioned = Transitioned {
                number: self.transitions,
                at: now,
                from: hop.from,
                to: hop.to,
                cause: hop.cause,
                reason: describe(hop.cause, detail, &self.shared).into(),
                epoch: hop.epoch,
                outage: self.machine.outage(),
                spent: now - self.entered,
            };
            self.entered = now;
            self.transitions += 1;
            match hop.to {
                Phase::ShuttingDown => self.cause = hop.cause,
                // Everything is gone, so no lease allows anything any more.
                Phase::Monitoring | Phase::Drained => self.watch_fence(None),
                _ => {}
            }
            trace::transition(&transitioned, &self.shared, false);
            self.shared.publish(|summary| {
                summary.phase = hop.to;
                // That everything is gone is no news to who asks why; why it had to go is.
                if hop.cause != Cause::AllGone {
                    summary.reason = Arc::clone(&transitioned.reason);
                }
            });
            self.shared.journal.push(transitioned);
        }
        let monitoring = self.machine.phase() == Phase::Monitoring;
        self.shared.publish(|summary| {
            if self.transitions == 0 {
                summary.reason = describe(Cause::Boot, None, &self.shared).into();
            }
            summary.entered = Some(self.entered);
            summary.epoch = self.machine.epoch();
            summary.outage = self.machine.outage();
            summary.outage_open = self.machine.outage_is_open();
            summary.level = self.machine.level();
            summary.dependency.clone_from(&self.dependency);
            summary.hold_off_due = self
                .hold_off_due
                .filter(|_| monitoring && self.machine.is_armed(Timer::HoldOff));
            summary.stage_due = self.stage_due;
        });
    }
}
