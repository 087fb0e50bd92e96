//! Recovery: what must be proved before a start.

use super::Law::*;
use super::monitor::{Activity, CleanRun, Judged, Monitor};
use super::{Violation, ensure};
use crate::machine::{AfterStop, Input, Timer};

impl Monitor {
    /// Judges the begin of an epoch: the first start, or readiness if there is nothing to start.
    pub(super) fn judge_epoch(&mut self, step: &mut Judged) -> Result<(), Violation> {
        let policy = self.plan.policy();
        let model = &mut self.model;
        let (level, blame, clean) = (model.level, model.blame, model.clean);
        let hold_off = policy.hold_off(level, blame);
        let needed = policy.needed_evidence(level, blame);
        ensure(ProvenRecovery, model.goal == AfterStop::Monitor, || {
            "started although a stop is wanted".into()
        })?;
        let fresh = matches!(step.input, Some(Input::Alive { round, .. }) if round == model.round);
        ensure(ProvenRecovery, fresh && clean.alive >= needed, || {
            format!(
                "{:?} starts in round {}, after {} of {needed} observations",
                step.input, model.round, clean.alive
            )
        })?;
        ensure(NoHotLoop, model.waits || !model.tripped, || {
            "restarted without any hold-off".into()
        })?;
        if level > 0 {
            let held = clean.passed && clean.hold_off.is_some_and(|held| held >= hold_off);
            ensure(ProvenRecovery, held, || {
                format!(
                    "started after a hold-off of {:?}, not {hold_off:?}",
                    clean.hold_off
                )
            })?;
            let lasted = self.timed.is_none() || clean.held >= hold_off;
            ensure(ProvenRecovery, lasted, || {
                format!(
                    "started after a clean run of {:?}, not {hold_off:?}",
                    clean.held
                )
            })?;
        }
        model.tripped = false;
        model.waits = false;
        // The next start needs new evidence, even if the session is kept until then.
        model.clean = CleanRun::default();
        model.epoch += 1;
        model.mode = Activity::Starting;
        Ok(())
    }

    pub(super) fn judge_open(&mut self, step: &mut Judged, session: u64) -> Result<(), Violation> {
        step.session_opened = true;
        let model = &mut self.model;
        let new = model.session.is_none() && session == model.last_session + 1;
        model.session = Some(session);
        model.last_session = session;
        model.clean = CleanRun::default();
        ensure(ProvenRecovery, new, || {
            format!("session {session} is not a new one")
        })
    }

    pub(super) fn judge_close(&mut self, session: u64) -> Result<(), Violation> {
        let open = self.model.session.take() == Some(session);
        self.model.clean = CleanRun::default();
        ensure(CleanEnd, open, || format!("session {session} is not open"))
    }

    pub(super) fn judge_ask(&mut self, step: &mut Judged, round: u64) -> Result<(), Violation> {
        step.asked = true;
        let next = self.model.round + 1;
        self.model.round = round;
        let passed = matches!(step.input, Some(Input::Fired(Timer::HoldOff)));
        ensure(ProvenRecovery, passed && round == next, || {
            format!(
                "{:?} asks for round {round}, {next} is the next",
                step.input
            )
        })
    }
}
