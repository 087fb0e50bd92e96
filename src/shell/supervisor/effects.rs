//! How effects are carried out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Supervisor;
use crate::driver::Carried;
use crate::machine::{ComponentState, Effect};
use crate::policy::ComponentId;
use crate::shell::log::discard;
use crate::shell::stage::StageRun;

impl Supervisor {
    pub(super) fn carry_out(&mut self, effects: &[Effect], carried: Carried) {
        self.sessions.prove(self.decider.observer().is_proving());
        for effect in effects.iter().filter(|effect| carried.includes(effect)) {
            match *effect {
                Effect::Ready(ready) => self.shared.set_ready(ready),
                Effect::StartStage { stage, epoch } => self.start(stage, epoch),
                Effect::StopStage { stage, .. } => self.stop(stage),
                Effect::Abort { component, .. } => self.abort(component),
                Effect::OpenSession { session } => self.sessions.open(session),
                Effect::CloseSession { .. } => self.sessions.close(),
                Effect::Ask { round } => self.sessions.ask(round),
                // The timers are the decider's, and the others are told, not done.
                Effect::Arm { .. } | Effect::Disarm { .. } => {}
                Effect::OutageOpened { .. } | Effect::OutageClosed(_) => {}
                Effect::Ended(end) => self.ended = Some(end),
            }
        }
    }

    fn start(&mut self, stage: u16, epoch: u64) {
        let stage = usize::from(stage);
        let plan = Arc::clone(&self.shared.plan);
        let components = plan.layout().stage(stage);
        self.inbox.make_room(components.len());
        let run = StageRun::new(epoch, components.clone(), Arc::clone(&self.shared));
        if let Some(last) = self.stages[stage].replace(run) {
            // What is left of it may be the user's.
            discard(last);
        }
        self.shared.epoch.store(epoch, Ordering::Release);
        self.shared
            .set_slots(components.clone(), ComponentState::Starting);
        let owner = plan.layout().lease_owner();
        if owner.is_some_and(|owner| components.contains(&owner.0))
            && let Some(fence) = plan.policy().fence()
        {
            self.watch_fence(Some(std::time::Instant::now() + fence.ttl()));
        }
        if let Some(stage) = &self.stages[stage]
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

    fn stop(&mut self, stage: u16) {
        let stage = usize::from(stage);
        let within = self.shared.plan.policy().stop_deadline();
        if let Some(stage) = &self.stages[stage] {
            stage.stop(self.cause, within);
        }
        let mut awaited = 0;
        for component in self.shared.plan.layout().stage(stage).map(ComponentId) {
            if self.decider.machine().slot(component) == ComponentState::Stopping {
                self.shared.set_slot(component, ComponentState::Stopping);
                awaited += 1;
            }
        }
        // A stop does not wait for memory.
        self.inbox.make_room(awaited);
    }

    fn abort(&mut self, component: ComponentId) {
        self.shared.set_slot(component, ComponentState::Aborting);
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
