//! Passes each effect to the group of laws that judges it.

use super::Law::*;
use super::monitor::{Activity, Judged, Monitor};
use super::{Violation, ensure};
use crate::machine::Effect;

impl Monitor {
    /// Judges the effect at this position in its step, and updates the model.
    pub(super) fn judge_effect(
        &mut self,
        step: &mut Judged,
        place: usize,
        effect: &Effect,
    ) -> Result<(), Violation> {
        ensure(CleanEnd, self.model.mode != Activity::Ended, || {
            format!("{effect:?} after the end")
        })?;
        match *effect {
            Effect::Ready(true) => self.judge_ready(step),
            Effect::Ready(false) => self.judge_not_ready(step, place),
            Effect::StartStage { stage, epoch } => self.judge_start(step, stage, epoch),
            Effect::StopStage { stage, epoch } => self.judge_stop(step, stage, epoch),
            Effect::Abort { component, epoch } => self.judge_abort(step, component, epoch),
            Effect::OpenSession { session } => self.judge_open(step, session),
            Effect::CloseSession { session } => self.judge_close(session),
            Effect::Ask { round } => self.judge_ask(step, round),
            Effect::Arm { timer, after } => self.judge_arm(step, timer, after),
            Effect::Disarm { timer } => self.judge_disarm(timer),
            Effect::OutageOpened { outage, .. } => self.judge_outage(outage),
            Effect::OutageClosed(record) => {
                step.outage_closed = true;
                self.judge_record(record)
            }
            Effect::Ended(end) => self.judge_end(end),
        }
    }
}
