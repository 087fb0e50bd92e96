//! How the monitor judges the situation after a step.

use super::Law::*;
use super::monitor::{Activity, ComponentActivity, Judged, Monitor};
use super::{Violation, ensure};
use crate::machine::{AfterStop, Input, Timer};
use crate::policy::ComponentId;

impl Monitor {
    /// Judges the situation after all effects of a step.
    pub(super) fn judge_rest(&mut self, step: &Judged) -> Result<(), Violation> {
        let live = self.any_live();
        if !live {
            self.model.lease = None;
            if matches!(self.model.mode, Activity::Stopping | Activity::Delaying) {
                self.model.mode = Activity::Idle;
            }
        }
        let model = &self.model;
        let mode = model.mode;
        let input = step.input;
        let armed = |timer: Timer| model.is_armed(timer);
        if step.leave.is_some() {
            let left = !matches!(mode, Activity::Ready | Activity::Starting);
            ensure(NoDelay, left, || {
                format!("{input:?} must stop the world at once")
            })?;
        }
        if matches!(input, Some(Input::Fired(Timer::HoldOff))) {
            ensure(RecoveryIsInevitable, step.asked, || {
                "the hold-off has passed, and no observation is asked for".into()
            })?;
        }
        if mode == Activity::Idle
            && matches!(input, Some(Input::Alive { round, .. }) if round == model.round)
        {
            let policy = self.plan.policy();
            let (level, blame, clean) = (model.level, model.blame, model.clean);
            let hold_off = policy.hold_off(level, blame);
            let held = clean.passed && clean.hold_off.is_some_and(|held| held >= hold_off);
            let proved = clean.alive >= policy.needed_evidence(level, blame);
            let is_due = model.goal == AfterStop::Monitor && proved && (level == 0 || held);
            ensure(NoDelay, !is_due, || {
                "proved, and yet nothing is started".into()
            })?;
        }
        if mode == Activity::Stopping {
            let stage = self.highest_live_stage();
            let in_hand = self
                .plan
                .layout()
                .stage(stage)
                .map(ComponentId)
                .map(|id| self.part(id));
            let all = in_hand.filter(|part| part.is_live()).all(|part| {
                matches!(
                    part,
                    ComponentActivity::Stopping | ComponentActivity::Aborting
                )
            });
            ensure(NoDelay, all && armed(Timer::Stage), || {
                format!("stage {stage} is to be stopped now")
            })?;
        }
        if mode == Activity::Ready {
            let all_up = model.parts.iter().all(|part| part.is_up());
            ensure(ReadyMeansRunning, all_up, || {
                format!("ready with components {:?}", model.parts)
            })?;
            ensure(FreshEvidence, armed(Timer::Silence), || {
                "ready, and no silence would be noticed".into()
            })?;
            ensure(FreshEvidence, model.unseen.is_some(), || {
                "ready, and unseen for longer than the silence limit".into()
            })?;
        }
        let owner = self
            .plan
            .layout()
            .lease_owner()
            .map(|owner| self.part(owner));
        let works = matches!(
            mode,
            Activity::Ready | Activity::Starting | Activity::Delaying
        );
        if works && owner.is_some_and(ComponentActivity::is_live) {
            let lease = model.lease.unwrap_or_default();
            let latest = self.plan.fence_after(lease).unwrap_or_default();
            let due = model.timers[Timer::Fence.index()];
            ensure(FencedInTime, due.is_some_and(|due| due <= latest), || {
                format!("the fence is due in {due:?}, at most {latest:?} are left")
            })?;
            let renewed = matches!(input, Some(Input::LeaseRenewed { .. }));
            ensure(NoTripWithoutCause, !renewed || due == Some(latest), || {
                format!("just renewed, and the fence is due in {due:?}, not {latest:?}")
            })?;
        }
        // A silence that is not counted from the last observation would trip, or void a clean run, without a cause.
        if matches!(input, Some(Input::Alive { .. })) && model.session.is_some() {
            let limit = self.plan.policy().silence_limit();
            let due = model.timers[Timer::Silence.index()];
            let at_work = matches!(mode, Activity::Ready | Activity::Starting);
            let law = if at_work {
                NoTripWithoutCause
            } else {
                RecoveryIsInevitable
            };
            ensure(law, due.is_none_or(|due| due == limit), || {
                format!("just observed, and the silence is due in {due:?}, not {limit:?}")
            })?;
        }
        ensure(OneDeadline, !step.phase_began, || {
            format!("{input:?} begins a phase without a deadline")
        })?;
        if matches!(mode, Activity::Starting | Activity::Delaying) {
            ensure(NoSilentWait, armed(Timer::Stage), || {
                format!("{mode:?} without a deadline")
            })?;
        }
        let in_phase = !matches!(mode, Activity::Ready | Activity::Idle);
        for (timer, law, has_a_use) in [
            (Timer::Stage, OneDeadline, in_phase),
            (Timer::HoldOff, ProvenRecovery, mode == Activity::Idle),
            (Timer::Silence, ProvenRecovery, model.session.is_some()),
            (Timer::Decay, NoTripWithoutCause, mode == Activity::Ready),
            (Timer::Stable, NoHotLoop, mode == Activity::Ready),
            (Timer::Fence, FencedInTime, works),
        ] {
            ensure(law, has_a_use || !armed(timer), || {
                format!("{timer} is armed in {mode:?}, where it means nothing")
            })?;
        }
        if mode == Activity::Ready {
            let forgets = model.suspicion == 0 || armed(Timer::Decay);
            ensure(NoTripWithoutCause, forgets, || {
                "suspicion is never forgotten".into()
            })?;
            let sinks = model.level == 0 || armed(Timer::Stable);
            ensure(NoHotLoop, sinks, || "the level never sinks".into())?;
        }
        let in_outage = match mode {
            Activity::Ready => Some(false),
            Activity::Ended => None,
            _ => (model.tripped && model.goal == AfterStop::Monitor).then_some(true),
        };
        ensure(
            NothingIsLost,
            in_outage.is_none_or(|open| open == model.outage.is_some()),
            || format!("{mode:?} with outage {:?}", model.outage),
        )?;
        if mode == Activity::Ended {
            return Ok(());
        }
        let at_rest = mode == Activity::Idle;
        let wedged = model.parts.contains(&ComponentActivity::Wedged);
        let over = at_rest && (model.goal > AfterStop::Drain || wedged);
        ensure(ShutdownIsInevitable, !over, || {
            format!(
                "everything is stopped, it should have ended: {:?}",
                model.goal
            )
        })?;
        let drained = at_rest && model.goal == AfterStop::Drain;
        let waits = model.timers.iter().any(Option::is_some);
        ensure(NoSilentWait, waits || drained, || "nothing is armed".into())?;
        let unheard = model.session.is_some() && !armed(Timer::Silence);
        ensure(ProvenRecovery, !unheard, || {
            "no silence would be noticed".into()
        })?;
        let blind = at_rest && model.goal == AfterStop::Monitor && model.session.is_none();
        ensure(RecoveryIsInevitable, !blind, || {
            "at rest, and the dependency is not observed".into()
        })?;
        // The call of a probe may hang forever. Only a new session makes a new call.
        let silent = matches!(input, Some(Input::Fired(Timer::Silence)));
        let fresh = model.session.is_none() || step.session_opened;
        ensure(RecoveryIsInevitable, !silent || fresh, || {
            "a session that fell silent is kept".into()
        })?;
        let lasts = mode == Activity::Ready || !step.outage_closed;
        ensure(NothingIsLost, lasts, || {
            format!("the outage is called over in {mode:?}")
        })?;
        Ok(())
    }
}
