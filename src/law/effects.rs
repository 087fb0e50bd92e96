//! How the monitor judges each effect.

use core::time::Duration;

use super::Law::*;
use super::monitor::{CleanRun, Judged, Leave, Mode, Monitor, Part};
use super::{Violation, demand};
use crate::machine::{AfterStop, Effect, HaltReason, Input, Record, RunOutcome, Timer};
use crate::policy::{Blame, ComponentId};

impl Monitor {
    /// Judges the effect at this place in its step, and learns from it.
    pub(super) fn judge_effect(
        &mut self,
        step: &mut Judged,
        place: usize,
        effect: &Effect,
    ) -> Result<(), Violation> {
        demand(CleanEnd, self.known.mode != Mode::Ended, || {
            format!("{effect:?} after the end")
        })?;
        match *effect {
            Effect::Ready(true) => self.judge_ready(step),
            Effect::Ready(false) => self.judge_not_ready(step, place),
            Effect::StartStage { stage, epoch } => self.judge_start(step, stage, epoch),
            Effect::StopStage { stage, epoch } => self.judge_stop(step, stage, epoch),
            Effect::Abort { component, epoch } => self.judge_abort(step, component, epoch),
            Effect::OpenSession { session } => {
                step.session_opened = true;
                let known = &mut self.known;
                let new = known.session.is_none() && session == known.last_session + 1;
                known.session = Some(session);
                known.last_session = session;
                known.clean = CleanRun::default();
                demand(ProvenRecovery, new, || {
                    format!("session {session} is not a new one")
                })
            }
            Effect::CloseSession { session } => {
                let open = self.known.session.take() == Some(session);
                self.known.clean = CleanRun::default();
                demand(CleanEnd, open, || format!("session {session} is not open"))
            }
            Effect::Ask { round } => {
                step.asked = true;
                let next = self.known.round + 1;
                self.known.round = round;
                let passed = matches!(step.input, Some(Input::Fired(Timer::HoldOff)));
                demand(ProvenRecovery, passed && round == next, || {
                    format!(
                        "{:?} asks for round {round}, {next} is the next",
                        step.input
                    )
                })
            }
            Effect::Arm { timer, after } => self.judge_arm(step, timer, after),
            Effect::Disarm { timer } => self.judge_disarm(timer),
            Effect::OutageOpened { outage, .. } => {
                let known = &mut self.known;
                let next = known.last_outage.map_or(0, |last| last + 1);
                let right = known.outage.is_none() && outage == next;
                known.outage = Some(outage);
                known.last_outage = Some(outage);
                demand(NothingIsLost, right, || {
                    format!("outage {outage} opened, {next} is the next")
                })
            }
            Effect::OutageClosed(record) => {
                step.outage_closed = true;
                self.judge_record(record)
            }
            Effect::Ended(end) => self.judge_end(end),
        }
    }

    /// A new epoch begins: with the first start, or with readiness where there is nothing to start.
    fn judge_epoch(&mut self, step: &mut Judged) -> Result<(), Violation> {
        let policy = self.plan.policy();
        let known = &mut self.known;
        let (level, blame, clean) = (known.level, known.blame, known.clean);
        let hold_off = policy.hold_off(level, blame);
        let needed = policy.needed_evidence(level, blame);
        demand(ProvenRecovery, known.wish == AfterStop::Monitor, || {
            "started although a stop is wanted".into()
        })?;
        let fresh = matches!(step.input, Some(Input::Alive { round, .. }) if round == known.round);
        demand(ProvenRecovery, fresh && clean.alive >= needed, || {
            format!(
                "{:?} starts in round {}, after {} of {needed} observations",
                step.input, known.round, clean.alive
            )
        })?;
        demand(NoHotLoop, known.waits || !known.tripped, || {
            "restarted without any hold-off".into()
        })?;
        if level > 0 {
            let held = clean.passed && clean.hold_off.is_some_and(|held| held >= hold_off);
            demand(ProvenRecovery, held, || {
                format!(
                    "started after a hold-off of {:?}, not {hold_off:?}",
                    clean.hold_off
                )
            })?;
            let lasted = self.timed.is_none() || clean.held >= hold_off;
            demand(ProvenRecovery, lasted, || {
                format!(
                    "started after a clean run of {:?}, not {hold_off:?}",
                    clean.held
                )
            })?;
        }
        known.tripped = false;
        known.waits = false;
        // The next start needs evidence of its own, also if the session is kept until then.
        known.clean = CleanRun::default();
        known.epoch += 1;
        known.mode = Mode::Starting;
        Ok(())
    }

    fn judge_ready(&mut self, step: &mut Judged) -> Result<(), Violation> {
        if self.known.mode == Mode::Idle && self.known.parts.is_empty() {
            self.judge_epoch(step)?;
        }
        let known = &mut self.known;
        demand(ReadyMeansRunning, known.mode == Mode::Starting, || {
            format!("ready in {:?}", known.mode)
        })?;
        known.mode = Mode::Ready;
        known.blame = Blame::Component;
        known.suspicion = 0;
        known.failed_starts = 0;
        Ok(())
    }

    fn judge_not_ready(&mut self, step: &mut Judged, place: usize) -> Result<(), Violation> {
        demand(HealthFirst, place == 0, || {
            format!("readiness goes off as effect {place}, not first")
        })?;
        demand(
            NoTripWithoutCause,
            self.known.mode == Mode::Ready && step.leave.is_some(),
            || format!("{:?} is no cause to lose readiness", step.input),
        )?;
        self.known.suspicion = 0;
        let policy = self.plan.policy();
        let delay = policy.tuning().unready_delay();
        let delays = step.leave == Some(Leave::Wanted)
            && !delay.is_zero()
            && policy.fence().is_none()
            && self.any_live();
        step.phase_began = delays;
        self.known.mode = if delays {
            Mode::Delaying
        } else {
            Mode::Stopping
        };
        Ok(())
    }

    fn judge_start(&mut self, step: &mut Judged, stage: u16, epoch: u64) -> Result<(), Violation> {
        let Some(components) = self.components_of(stage) else {
            return demand(OneIncarnation, false, || {
                format!("there is no stage {stage}")
            });
        };
        for id in components.clone() {
            demand(
                OneIncarnation,
                self.part(ComponentId(id)) == Part::Down,
                || format!("#{id} is not confirmed gone"),
            )?;
        }
        if self.known.mode == Mode::Idle {
            self.judge_epoch(step)?;
        }
        demand(ProvenRecovery, self.known.mode == Mode::Starting, || {
            format!("stage {stage} started in {:?}", self.known.mode)
        })?;
        demand(OneIncarnation, epoch == self.known.epoch, || {
            format!("stage {stage} started in epoch {epoch}")
        })?;
        let below_up = (0..components.start).all(|id| self.part(ComponentId(id)) == Part::Up);
        demand(StageOrder, below_up, || {
            format!("stage {stage} started before the stages below were up")
        })?;
        let owner = self.plan.layout().lease_owner();
        if owner.is_some_and(|owner| components.contains(&owner.0)) {
            self.known.lease = self.plan.policy().fence().map(crate::policy::Fence::ttl);
        }
        for id in components {
            self.known.parts[id as usize] = Part::Starting;
        }
        step.phase_began = true;
        Ok(())
    }

    fn judge_stop(&mut self, step: &mut Judged, stage: u16, epoch: u64) -> Result<(), Violation> {
        let health_first = self.known.mode != Mode::Ready || step.leave.is_none();
        demand(HealthFirst, health_first, || {
            format!("stage {stage} stopped before readiness went off")
        })?;
        demand(
            NoTripWithoutCause,
            self.known.mode == Mode::Stopping,
            || format!("stage {stage} stopped in {:?}", self.known.mode),
        )?;
        let components = self.components_of(stage).unwrap_or_default();
        let live = || {
            let parts = components.clone().map(|id| self.part(ComponentId(id)));
            parts.filter(|part| part.is_live())
        };
        // Each is told once.
        let running = live().all(|part| matches!(part, Part::Starting | Part::Up));
        let any = live().next().is_some();
        demand(
            StageOrder,
            any && running && epoch == self.known.epoch,
            || format!("in epoch {epoch} there is nothing of stage {stage} to stop"),
        )?;
        let above_done = self.highest_live_stage() == usize::from(stage);
        demand(StageOrder, above_done, || {
            format!("stage {stage} stopped before the stages above")
        })?;
        for id in components {
            let part = &mut self.known.parts[id as usize];
            if part.is_live() {
                *part = Part::Stopping;
            }
        }
        step.phase_began = true;
        Ok(())
    }

    /// The components of a stage, if there is such a one.
    fn components_of(&self, stage: u16) -> Option<core::ops::Range<u32>> {
        let layout = self.plan.layout();
        let stage = usize::from(stage);
        (stage < layout.stages()).then(|| layout.stage(stage))
    }

    fn judge_abort(
        &mut self,
        step: &mut Judged,
        component: ComponentId,
        epoch: u64,
    ) -> Result<(), Violation> {
        let overran = matches!(step.input, Some(Input::Fired(Timer::Stage)))
            && self.part(component) == Part::Stopping
            && epoch == self.known.epoch;
        demand(NoTripWithoutCause, overran, || {
            format!("{component} aborted by {:?}", step.input)
        })?;
        self.known.parts[component.index()] = Part::Aborting;
        step.phase_began = true;
        Ok(())
    }

    fn judge_arm(
        &mut self,
        step: &mut Judged,
        timer: Timer,
        after: Duration,
    ) -> Result<(), Violation> {
        let policy = self.plan.policy();
        let anything_live = self.any_live();
        let known = &mut self.known;
        match timer {
            Timer::Stage => {
                let stage = |part: Part| known.parts.contains(&part);
                let expected = match known.mode {
                    Mode::Starting => policy.start_deadline(),
                    Mode::Delaying => policy.tuning().unready_delay(),
                    _ if stage(Part::Stopping) => policy.stop_deadline(),
                    _ => policy.abort_deadline(),
                };
                let once = core::mem::take(&mut step.phase_began);
                demand(OneDeadline, once && after == expected, || {
                    format!(
                        "{:?} arms a deadline of {after:?} in {:?}",
                        step.input, known.mode
                    )
                })?;
                if let Some((_, budget)) = &mut known.shutdown {
                    demand(ShutdownIsInevitable, *budget >= after, || {
                        "the deadlines exceed the stop budget".into()
                    })?;
                    *budget = budget.saturating_sub(after);
                }
            }
            Timer::HoldOff => {
                demand(RecoveryIsInevitable, !known.is_armed(timer), || {
                    "the hold-off begins anew in the middle of a clean run".into()
                })?;
                demand(ProvenRecovery, known.clean.alive > 0, || {
                    "a hold-off begins without evidence".into()
                })?;
                let hold_off = policy.hold_off(known.level, known.blame);
                let longest = hold_off.saturating_add(policy.tuning().jitter());
                demand(RecoveryIsInevitable, after <= longest, || {
                    format!("a hold-off of {after:?}, where {longest:?} are enough")
                })?;
                known.waits |= !after.is_zero();
                known.clean.hold_off = Some(after);
                known.clean.held = Duration::ZERO;
                known.clean.passed = false;
            }
            Timer::Silence => {
                let limit = policy.silence_limit();
                demand(FreshEvidence, after <= limit, || {
                    format!("silence is noticed after {after:?}, not {limit:?}")
                })?;
                // In Monitoring it may be armed anew without evidence: the clean run is void then. Not
                // by a freeze, though, which is news of the runtime and not of the dependency.
                let at_rest = known.mode != Mode::Ready && !anything_live;
                demand(RecoveryIsInevitable, !at_rest || after == limit, || {
                    format!("at rest silence is noticed after {after:?}, before {limit:?} are over")
                })?;
                let freeze = known.mode == Mode::Idle && step.input == Some(Input::Frozen);
                let evidence =
                    at_rest && !freeze || matches!(step.input, Some(Input::Alive { .. }));
                demand(FreshEvidence, evidence, || {
                    format!("{:?} is no evidence", step.input)
                })?;
            }
            Timer::Fence => {
                let lease = known.lease.unwrap_or_default();
                let latest = self.plan.fence_after(lease).unwrap_or_default();
                demand(FencedInTime, after <= latest, || {
                    format!("the fence is due after {after:?}, at most {latest:?} are left")
                })?;
                demand(NoTripWithoutCause, after == latest, || {
                    format!("the fence is due after {after:?}, though {latest:?} are left")
                })?;
            }
            Timer::Decay => {
                demand(NoTripWithoutCause, !known.is_armed(timer), || {
                    "suspicion is forgotten later than it should".into()
                })?;
                let expected = policy.tuning().decay();
                demand(NoTripWithoutCause, after == expected, || {
                    format!("suspicion is forgotten after {after:?}, not {expected:?}")
                })?;
            }
            Timer::Stable => {
                demand(NoHotLoop, !known.is_armed(timer), || {
                    "the level sinks later than it should".into()
                })?;
                let expected = policy.tuning().stable_after();
                demand(NoHotLoop, after == expected, || {
                    format!("the level sinks after {after:?}, not {expected:?}")
                })?;
            }
        }
        known.timers[timer.index()] = Some(after);
        Ok(())
    }

    fn judge_disarm(&mut self, timer: Timer) -> Result<(), Violation> {
        let known = &mut self.known;
        let was = known.timers[timer.index()].take();
        demand(CleanEnd, was.is_some(), || format!("{timer} is not armed"))?;
        if timer == Timer::HoldOff {
            known.clean = CleanRun::default();
        }
        Ok(())
    }

    fn judge_record(&mut self, record: Record) -> Result<(), Violation> {
        let known = &mut self.known;
        // After the last outage a record is made only if it has something to say.
        let due = known.outage.is_some() || self.record != Record::default();
        let outage = known.outage.take().or(known.last_outage);
        let expected = Record {
            outage: outage.unwrap_or_default(),
            ..core::mem::take(&mut self.record)
        };
        demand(NothingIsLost, due && record == expected, || {
            format!("{record:?}, but what happened is {expected:?}")
        })
    }

    fn judge_end(&mut self, end: RunOutcome) -> Result<(), Violation> {
        let known = &self.known;
        let wedged = known.parts.contains(&Part::Wedged);
        let honest = match end {
            RunOutcome::Stopped => known.wish == AfterStop::Stop && !wedged,
            RunOutcome::Halted(HaltReason::Wedged) => wedged,
            RunOutcome::Halted(why) => known.wish == AfterStop::Halt(why) && !wedged,
        };
        demand(HonestEnd, honest, || {
            format!("{end:?}, but what was wanted is {:?}", known.wish)
        })?;
        demand(CleanEnd, !self.any_live(), || {
            format!("{end:?} with components {:?}", known.parts)
        })?;
        demand(CleanEnd, known.session.is_none(), || {
            "a session is open at the end".into()
        })?;
        let armed = Timer::ALL
            .into_iter()
            .find(|timer| known.timers[timer.index()].is_some());
        demand(CleanEnd, armed.is_none(), || {
            format!("{armed:?} is armed at the end")
        })?;
        let told = self.record == Record::default() && known.outage.is_none();
        demand(NothingIsLost, told, || {
            format!("{:?} is in no record", self.record)
        })?;
        demand(ReadyMeansRunning, known.mode != Mode::Ready, || {
            "ready at the end".into()
        })?;
        self.known.mode = Mode::Ended;
        self.known.shutdown = None;
        self.known.lease = None;
        Ok(())
    }
}
