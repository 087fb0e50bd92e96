//! Time: timers, deadlines, and what must happen by when.

use core::time::Duration;

use super::Law::*;
use super::monitor::{Activity, CleanRun, ComponentActivity, Judged, Monitor};
use super::{Violation, ensure};
use crate::machine::{Input, Timer};
use crate::policy::ComponentId;

impl Monitor {
    /// Lets time pass in which nothing happens.
    ///
    /// # Errors
    ///
    /// Returns the law that is broken because something should have happened by then.
    pub fn wait(&mut self, elapsed: Duration) -> Result<(), Violation> {
        let model = &mut self.model;
        for timer in &mut model.timers {
            *timer = timer.map(|left| left.saturating_sub(elapsed));
        }
        let Some(late) = self.timed else {
            return Ok(());
        };
        if let Some(hold_off) = model.clean.hold_off {
            // Time beyond the hold-off makes no difference.
            model.clean.held = model.clean.held.saturating_add(elapsed).min(hold_off);
        }
        let tolerated = self.plan.policy().silence_limit().saturating_add(late);
        model.unseen = model
            .unseen
            .map(|unseen| unseen.saturating_add(elapsed))
            .filter(|unseen| *unseen <= tolerated);
        if let Some((by_clock, _)) = &mut model.shutdown {
            let left = by_clock.checked_sub(elapsed);
            ensure(ShutdownIsInevitable, left.is_some(), || {
                "the summed deadlines of the shutdown have passed".into()
            })?;
            *by_clock = left.unwrap_or_default();
        }
        if let Some(lease) = &mut model.lease {
            let in_time = *lease > elapsed;
            ensure(FencedInTime, in_time, || {
                "the lease ran out and something may still be at work".into()
            })?;
            *lease -= elapsed;
        }
        Ok(())
    }

    pub(super) fn judge_arm(
        &mut self,
        step: &mut Judged,
        timer: Timer,
        after: Duration,
    ) -> Result<(), Violation> {
        let policy = self.plan.policy();
        let anything_live = self.any_live();
        let model = &mut self.model;
        match timer {
            Timer::Stage => {
                let stage = |part: ComponentActivity| {
                    let place = model.parts.iter().position(|&other| other == part);
                    place.and_then(|id| self.plan.layout().stage_of(ComponentId(id as u32)))
                };
                let expected = match (model.mode, stage(ComponentActivity::Stopping)) {
                    (Activity::Starting, _) => {
                        let starting = stage(ComponentActivity::Starting);
                        self.plan.start_deadline(starting.unwrap_or_default())
                    }
                    (Activity::Delaying, _) => policy.tuning().unready_delay(),
                    (_, Some(stopping)) => self.plan.stop_deadline(stopping),
                    _ => policy.abort_deadline(),
                };
                let once = core::mem::take(&mut step.phase_began);
                ensure(OneDeadline, once && after == expected, || {
                    format!(
                        "{:?} arms a deadline of {after:?} in {:?}",
                        step.input, model.mode
                    )
                })?;
                if let Some((_, budget)) = &mut model.shutdown {
                    ensure(ShutdownIsInevitable, *budget >= after, || {
                        "the deadlines exceed the stop budget".into()
                    })?;
                    *budget = budget.saturating_sub(after);
                }
            }
            Timer::HoldOff => {
                ensure(RecoveryIsInevitable, !model.is_armed(timer), || {
                    "the hold-off begins anew in the middle of a clean run".into()
                })?;
                ensure(ProvenRecovery, model.clean.alive > 0, || {
                    "a hold-off begins without evidence".into()
                })?;
                let hold_off = policy.hold_off(model.level, model.blame);
                let longest = hold_off.saturating_add(policy.tuning().jitter());
                ensure(RecoveryIsInevitable, after <= longest, || {
                    format!("a hold-off of {after:?}, where {longest:?} are enough")
                })?;
                model.waits |= !after.is_zero();
                model.clean.hold_off = Some(after);
                model.clean.held = Duration::ZERO;
                model.clean.passed = false;
            }
            Timer::Silence => {
                let limit = policy.silence_limit();
                ensure(FreshEvidence, after <= limit, || {
                    format!("silence is noticed after {after:?}, not {limit:?}")
                })?;
                // In Monitoring the silence may be armed anew without evidence, because the clean run is void then.
                // A freeze must not do this: it is about the runtime, not about the dependency.
                let at_rest = model.mode != Activity::Ready && !anything_live;
                ensure(RecoveryIsInevitable, !at_rest || after == limit, || {
                    format!("at rest silence is noticed after {after:?}, before {limit:?} are over")
                })?;
                let freeze = model.mode == Activity::Idle && step.input == Some(Input::Frozen);
                let evidence =
                    at_rest && !freeze || matches!(step.input, Some(Input::Alive { .. }));
                ensure(FreshEvidence, evidence, || {
                    format!("{:?} is no evidence", step.input)
                })?;
            }
            Timer::Fence => {
                let lease = model.lease.unwrap_or_default();
                let latest = self.plan.fence_after(lease).unwrap_or_default();
                ensure(FencedInTime, after <= latest, || {
                    format!("the fence is due after {after:?}, at most {latest:?} are left")
                })?;
                ensure(NoTripWithoutCause, after == latest, || {
                    format!("the fence is due after {after:?}, though {latest:?} are left")
                })?;
            }
            Timer::Decay => {
                ensure(NoTripWithoutCause, !model.is_armed(timer), || {
                    "suspicion is forgotten later than it should".into()
                })?;
                let expected = policy.tuning().decay();
                ensure(NoTripWithoutCause, after == expected, || {
                    format!("suspicion is forgotten after {after:?}, not {expected:?}")
                })?;
            }
            Timer::Stable => {
                ensure(NoHotLoop, !model.is_armed(timer), || {
                    "the level sinks later than it should".into()
                })?;
                let expected = policy.tuning().stable_after();
                ensure(NoHotLoop, after == expected, || {
                    format!("the level sinks after {after:?}, not {expected:?}")
                })?;
            }
        }
        model.timers[timer.index()] = Some(after);
        Ok(())
    }

    pub(super) fn judge_disarm(&mut self, timer: Timer) -> Result<(), Violation> {
        let model = &mut self.model;
        let was = model.timers[timer.index()].take();
        ensure(CleanEnd, was.is_some(), || format!("{timer} is not armed"))?;
        if timer == Timer::HoldOff {
            model.clean = CleanRun::default();
        }
        Ok(())
    }
}
