//! The end of an outage, and the end of a run.

use super::Law::*;
use super::monitor::{Activity, ComponentActivity, Monitor};
use super::{Violation, ensure};
use crate::machine::{AfterStop, HaltReason, Record, RunOutcome, Timer};

impl Monitor {
    pub(super) fn judge_outage(&mut self, outage: u64) -> Result<(), Violation> {
        let model = &mut self.model;
        let next = model.last_outage.map_or(0, |last| last + 1);
        let right = model.outage.is_none() && outage == next;
        model.outage = Some(outage);
        model.last_outage = Some(outage);
        ensure(NothingIsLost, right, || {
            format!("outage {outage} opened, {next} is the next")
        })
    }

    pub(super) fn judge_record(&mut self, record: Record) -> Result<(), Violation> {
        let model = &mut self.model;
        // After the last outage, a record is closed only if it is not empty.
        let due = model.outage.is_some() || self.record != Record::default();
        let outage = model.outage.take().or(model.last_outage);
        let expected = Record {
            outage: outage.unwrap_or_default(),
            ..core::mem::take(&mut self.record)
        };
        ensure(NothingIsLost, due && record == expected, || {
            format!("{record:?}, but what happened is {expected:?}")
        })
    }

    pub(super) fn judge_end(&mut self, end: RunOutcome) -> Result<(), Violation> {
        let model = &self.model;
        let wedged = model.parts.contains(&ComponentActivity::Wedged);
        let honest = match end {
            RunOutcome::Stopped => model.goal == AfterStop::Stop && !wedged,
            RunOutcome::Halted(HaltReason::Wedged) => wedged,
            RunOutcome::Halted(why) => model.goal == AfterStop::Halt(why) && !wedged,
        };
        ensure(HonestEnd, honest, || {
            format!("{end:?}, but what was wanted is {:?}", model.goal)
        })?;
        ensure(CleanEnd, !self.any_live(), || {
            format!("{end:?} with components {:?}", model.parts)
        })?;
        ensure(CleanEnd, model.session.is_none(), || {
            "a session is open at the end".into()
        })?;
        let armed = Timer::ALL
            .into_iter()
            .find(|timer| model.timers[timer.index()].is_some());
        ensure(CleanEnd, armed.is_none(), || {
            format!("{armed:?} is armed at the end")
        })?;
        let told = self.record == Record::default() && model.outage.is_none();
        ensure(NothingIsLost, told, || {
            format!("{:?} is in no record", self.record)
        })?;
        ensure(ReadyMeansRunning, model.mode != Activity::Ready, || {
            "ready at the end".into()
        })?;
        self.model.mode = Activity::Ended;
        self.model.shutdown = None;
        self.model.lease = None;
        Ok(())
    }
}
