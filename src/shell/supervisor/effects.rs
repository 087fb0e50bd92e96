//! How effects are carried out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::Supervisor;
use crate::machine::{Effect, Slot, Timer};
use crate::policy::ComponentId;
use crate::shell::log::discard;
use crate::shell::stage::StageRun;

impl Supervisor {
    pub(super) fn carry_out(&mut self, effects: &[Effect]) {
        for effect in effects {
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
                // They are told, not done.
                Effect::OutageOpened { .. } | Effect::OutageClosed(_) => {}
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
            if let Some(last) = self.stages[stage].replace(run) {
                // What is left of it may be the user's.
                discard(last);
            }
            self.shared.epoch.store(epoch, Ordering::Release);
        }
        self.shared.set_slot(component, Slot::Starting);
        if layout.lease_owner() == Some(component)
            && let Some(fence) = self.shared.plan.policy().fence()
        {
            self.watch_fence(Some(std::time::Instant::now() + fence.ttl()));
        }
        // With the last of them: one step starts all of a stage.
        if let Some(stage) = &self.stages[stage]
            && components.end == component.0 + 1
            && let Some(runtime) = self.shared.runtime()
        {
            stage.starter(&self.components, runtime).start();
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

    /// Tells the watchdog until when the lease is good, or that none is held.
    pub(super) fn watch_fence(&self, until: Option<std::time::Instant>) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.set(until);
        }
    }
}
