//! How the monitor judges what a step left behind.

use super::Law::*;
use super::monitor::{Judged, Mode, Monitor, Part};
use super::{Violation, demand};
use crate::machine::{AfterStop, Input, Timer};
use crate::policy::ComponentId;

impl Monitor {
    /// Judges what a step left behind, after all its effects.
    pub(super) fn judge_rest(&mut self, step: &Judged) -> Result<(), Violation> {
        let live = self.any_live();
        if !live {
            self.known.lease = None;
            if matches!(self.known.mode, Mode::Stopping | Mode::Delaying) {
                self.known.mode = Mode::Idle;
            }
        }
        let known = &self.known;
        let mode = known.mode;
        let input = step.input;
        let armed = |timer: Timer| known.is_armed(timer);
        if step.leave.is_some() {
            let left = !matches!(mode, Mode::Ready | Mode::Starting);
            demand(NoDelay, left, || {
                format!("{input:?} must stop the world at once")
            })?;
        }
        if matches!(input, Some(Input::Fired(Timer::HoldOff))) {
            demand(RecoveryIsInevitable, step.asked, || {
                "the hold-off has passed, and no observation is asked for".into()
            })?;
        }
        if mode == Mode::Idle
            && matches!(input, Some(Input::Alive { round, .. }) if round == known.round)
        {
            let policy = self.plan.policy();
            let (level, blame, clean) = (known.level, known.blame, known.clean);
            let hold_off = policy.hold_off(level, blame);
            let held = clean.passed && clean.hold_off.is_some_and(|held| held >= hold_off);
            let proved = clean.alive >= policy.needed_evidence(level, blame);
            let is_due = known.wish == AfterStop::Monitor && proved && (level == 0 || held);
            demand(NoDelay, !is_due, || {
                "proved, and yet nothing is started".into()
            })?;
        }
        if mode == Mode::Stopping {
            let stage = self.highest_live_stage();
            let in_hand = self
                .plan
                .layout()
                .stage(stage)
                .map(ComponentId)
                .map(|id| self.part(id));
            let all = in_hand
                .filter(|part| part.is_live())
                .all(|part| matches!(part, Part::Stopping | Part::Aborting));
            demand(NoDelay, all && armed(Timer::Stage), || {
                format!("stage {stage} is to be stopped now")
            })?;
        }
        if mode == Mode::Ready {
            let all_up = known.parts.iter().all(|part| *part == Part::Up);
            demand(ReadyMeansRunning, all_up, || {
                format!("ready with components {:?}", known.parts)
            })?;
            demand(FreshEvidence, armed(Timer::Silence), || {
                "ready, and no silence would be noticed".into()
            })?;
            demand(FreshEvidence, known.unseen.is_some(), || {
                "ready, and unseen for longer than the silence limit".into()
            })?;
        }
        let owner = self
            .plan
            .layout()
            .lease_owner()
            .map(|owner| self.part(owner));
        if matches!(mode, Mode::Ready | Mode::Starting) && owner.is_some_and(Part::is_live) {
            let lease = known.lease.unwrap_or_default();
            let latest = self.plan.fence_after(lease).unwrap_or_default();
            let due = known.timers[Timer::Fence.index()];
            demand(FencedInTime, due.is_some_and(|due| due <= latest), || {
                format!("the fence is due in {due:?}, at most {latest:?} are left")
            })?;
            let renewed = matches!(input, Some(Input::LeaseRenewed { .. }));
            demand(NoTripWithoutCause, !renewed || due == Some(latest), || {
                format!("just renewed, and the fence is due in {due:?}, not {latest:?}")
            })?;
        }
        // One that runs from anything but the last observation would trip, or void a clean run,
        // without a cause.
        if matches!(input, Some(Input::Alive { .. })) && known.session.is_some() {
            let limit = self.plan.policy().silence_limit();
            let due = known.timers[Timer::Silence.index()];
            let at_work = matches!(mode, Mode::Ready | Mode::Starting);
            let law = if at_work {
                NoTripWithoutCause
            } else {
                RecoveryIsInevitable
            };
            demand(law, due.is_none_or(|due| due == limit), || {
                format!("just observed, and the silence is due in {due:?}, not {limit:?}")
            })?;
        }
        demand(OneDeadline, !step.phase_began, || {
            format!("{input:?} begins a phase without a deadline")
        })?;
        if matches!(mode, Mode::Starting | Mode::Delaying) {
            demand(NoSilentWait, armed(Timer::Stage), || {
                format!("{mode:?} without a deadline")
            })?;
        }
        let at_work = matches!(mode, Mode::Ready | Mode::Starting);
        let in_phase = !matches!(mode, Mode::Ready | Mode::Idle);
        for (timer, law, has_a_use) in [
            (Timer::Stage, OneDeadline, in_phase),
            (Timer::HoldOff, ProvenRecovery, mode == Mode::Idle),
            (Timer::Silence, ProvenRecovery, known.session.is_some()),
            (Timer::Decay, NoTripWithoutCause, mode == Mode::Ready),
            (Timer::Stable, NoHotLoop, mode == Mode::Ready),
            (Timer::Fence, FencedInTime, at_work),
        ] {
            demand(law, has_a_use || !armed(timer), || {
                format!("{timer} is armed in {mode:?}, where it means nothing")
            })?;
        }
        if mode == Mode::Ready {
            let forgets = known.suspicion == 0 || armed(Timer::Decay);
            demand(NoTripWithoutCause, forgets, || {
                "suspicion is never forgotten".into()
            })?;
            let sinks = known.level == 0 || armed(Timer::Stable);
            demand(NoHotLoop, sinks, || "the level never sinks".into())?;
        }
        let in_outage = match mode {
            Mode::Ready => Some(false),
            Mode::Ended => None,
            _ => (known.tripped && known.wish == AfterStop::Monitor).then_some(true),
        };
        demand(
            NothingIsLost,
            in_outage.is_none_or(|open| open == known.outage.is_some()),
            || format!("{mode:?} with outage {:?}", known.outage),
        )?;
        if mode == Mode::Ended {
            return Ok(());
        }
        let at_rest = mode == Mode::Idle;
        let wedged = known.parts.contains(&Part::Wedged);
        let over = at_rest && (known.wish > AfterStop::Drain || wedged);
        demand(ShutdownIsInevitable, !over, || {
            format!(
                "everything is stopped, it should have ended: {:?}",
                known.wish
            )
        })?;
        let drained = at_rest && known.wish == AfterStop::Drain;
        let waits = known.timers.iter().any(Option::is_some);
        demand(NoSilentWait, waits || drained, || "nothing is armed".into())?;
        let unheard = known.session.is_some() && !armed(Timer::Silence);
        demand(ProvenRecovery, !unheard, || {
            "no silence would be noticed".into()
        })?;
        let blind = at_rest && known.wish == AfterStop::Monitor && known.session.is_none();
        demand(RecoveryIsInevitable, !blind, || {
            "at rest, and the dependency is not observed".into()
        })?;
        // A probe may hang for good: only a fresh session gets a fresh call.
        let silent = matches!(input, Some(Input::Fired(Timer::Silence)));
        let fresh = known.session.is_none() || step.session_opened;
        demand(RecoveryIsInevitable, !silent || fresh, || {
            "a session that fell silent is kept".into()
        })?;
        let lasts = mode == Mode::Ready || !step.outage_closed;
        demand(NothingIsLost, lasts, || {
            format!("the outage is called over in {mode:?}")
        })?;
        Ok(())
    }
}
