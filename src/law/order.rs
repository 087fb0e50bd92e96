//! Order: readiness, starts and stops, one stage after the other, one incarnation at a time.

use super::Law::*;
use super::monitor::{Activity, ComponentActivity, Judged, Leave, Monitor};
use super::{Violation, ensure};
use crate::machine::{Input, Timer};
use crate::policy::{Blame, ComponentId};

impl Monitor {
    pub(super) fn judge_ready(&mut self, step: &mut Judged) -> Result<(), Violation> {
        if self.model.mode == Activity::Idle && self.model.parts.is_empty() {
            self.judge_epoch(step)?;
        }
        let model = &mut self.model;
        ensure(ReadyMeansRunning, model.mode == Activity::Starting, || {
            format!("ready in {:?}", model.mode)
        })?;
        model.mode = Activity::Ready;
        model.blame = Blame::Component;
        model.suspicion = 0;
        model.failed_starts = 0;
        Ok(())
    }

    pub(super) fn judge_not_ready(
        &mut self,
        step: &mut Judged,
        place: usize,
    ) -> Result<(), Violation> {
        ensure(HealthFirst, place == 0, || {
            format!("readiness goes off as effect {place}, not first")
        })?;
        ensure(
            NoTripWithoutCause,
            self.model.mode == Activity::Ready && step.leave.is_some(),
            || format!("{:?} is no cause to lose readiness", step.input),
        )?;
        self.model.suspicion = 0;
        let delay = self.plan.policy().tuning().unready_delay();
        let delays = step.leave == Some(Leave::Wanted) && !delay.is_zero() && self.any_live();
        step.phase_began = delays;
        self.model.mode = if delays {
            Activity::Delaying
        } else {
            Activity::Stopping
        };
        Ok(())
    }

    pub(super) fn judge_start(
        &mut self,
        step: &mut Judged,
        stage: u16,
        epoch: u64,
    ) -> Result<(), Violation> {
        let Some(components) = self.components_of(stage) else {
            return ensure(OneIncarnation, false, || {
                format!("there is no stage {stage}")
            });
        };
        for id in components.clone() {
            ensure(
                OneIncarnation,
                self.part(ComponentId(id)) == ComponentActivity::Down,
                || format!("#{id} is not confirmed gone"),
            )?;
        }
        if self.model.mode == Activity::Idle {
            self.judge_epoch(step)?;
        }
        ensure(
            ProvenRecovery,
            self.model.mode == Activity::Starting,
            || format!("stage {stage} started in {:?}", self.model.mode),
        )?;
        ensure(OneIncarnation, epoch == self.model.epoch, || {
            format!("stage {stage} started in epoch {epoch}")
        })?;
        let below_up = (0..components.start).all(|id| self.part(ComponentId(id)).is_up());
        ensure(StageOrder, below_up, || {
            format!("stage {stage} started before the stages below were up")
        })?;
        let owner = self.plan.layout().lease_owner();
        if owner.is_some_and(|owner| components.contains(&owner.0)) {
            self.model.lease = self.plan.policy().fence().map(crate::policy::Fence::lease);
        }
        for id in components {
            self.model.parts[id as usize] = ComponentActivity::Starting;
        }
        step.phase_began = true;
        Ok(())
    }

    pub(super) fn judge_stop(
        &mut self,
        step: &mut Judged,
        stage: u16,
        epoch: u64,
    ) -> Result<(), Violation> {
        let health_first = self.model.mode != Activity::Ready || step.leave.is_none();
        ensure(HealthFirst, health_first, || {
            format!("stage {stage} stopped before readiness went off")
        })?;
        ensure(
            NoTripWithoutCause,
            self.model.mode == Activity::Stopping,
            || format!("stage {stage} stopped in {:?}", self.model.mode),
        )?;
        let components = self.components_of(stage).unwrap_or_default();
        let live = || {
            let parts = components.clone().map(|id| self.part(ComponentId(id)));
            parts.filter(|part| part.is_live())
        };
        // Each component is asked to stop only once.
        let running =
            live().all(|part| matches!(part, ComponentActivity::Starting | ComponentActivity::Up));
        let any = live().next().is_some();
        ensure(
            StageOrder,
            any && running && epoch == self.model.epoch,
            || format!("in epoch {epoch} there is nothing of stage {stage} to stop"),
        )?;
        let above_done = self.highest_live_stage() == usize::from(stage);
        ensure(StageOrder, above_done, || {
            format!("stage {stage} stopped before the stages above")
        })?;
        for id in components {
            let part = &mut self.model.parts[id as usize];
            if part.is_live() {
                *part = ComponentActivity::Stopping;
            }
        }
        step.phase_began = true;
        Ok(())
    }

    pub(super) fn judge_abort(
        &mut self,
        step: &mut Judged,
        component: ComponentId,
        epoch: u64,
    ) -> Result<(), Violation> {
        let overran = matches!(step.input, Some(Input::Fired(Timer::Stage)))
            && self.part(component) == ComponentActivity::Stopping
            && epoch == self.model.epoch;
        ensure(NoTripWithoutCause, overran, || {
            format!("{component} aborted by {:?}", step.input)
        })?;
        self.model.parts[component.index()] = ComponentActivity::Aborting;
        step.phase_began = true;
        Ok(())
    }

    /// The components of a stage, if the stage exists.
    fn components_of(&self, stage: u16) -> Option<core::ops::Range<u32>> {
        let layout = self.plan.layout();
        let stage = usize::from(stage);
        (stage < layout.stages()).then(|| layout.stage(stage))
    }
}
