//! The machine's table as a plain match, written for speed and for nothing else: no hierarchy, no
//! account of what became of an input, no hops. It is what [`Machine`](overwatch::machine::Machine)
//! is measured against, and must ask for exactly the same effects.

use std::sync::Arc;
use std::time::Duration;

use overwatch::machine::{
    AfterStop, Cause, Command, ComponentState, Effect, Exit, FailureClass, HaltReason, Input,
    Record, RunOutcome, State, StopStep, Timer,
};
use overwatch::policy::{Blame, ComponentId, Plan, Policy};

pub(crate) struct ByHand {
    plan: Arc<Plan>,
    state: State,
    epoch: u64,
    session: u64,
    session_open: bool,
    round: u64,
    outage: u64,
    outage_open: bool,
    level: u32,
    blame: Blame,
    failed_starts: u32,
    armed: [bool; 6],
    slots: Vec<ComponentState>,
    live: Vec<u32>,
    wedged: u32,
    record: Record,
    hold_offs: u64,
}

impl ByHand {
    pub(crate) fn new(plan: Arc<Plan>, out: &mut Vec<Effect>) -> Self {
        let layout = plan.layout();
        let mut new = Self {
            state: State::Monitoring {
                evidence: 0,
                done: false,
            },
            epoch: 0,
            session: 0,
            session_open: false,
            round: 0,
            outage: 0,
            outage_open: true,
            level: 0,
            blame: Blame::Component,
            failed_starts: 0,
            armed: [false; 6],
            slots: vec![ComponentState::Down; layout.components()],
            live: vec![0; layout.stages()],
            wedged: 0,
            record: Record::default(),
            hold_offs: 0,
            plan,
        };
        out.push(Effect::OutageOpened {
            outage: 0,
            cause: Cause::Boot,
        });
        new.monitor(out);
        new
    }

    pub(crate) fn handle(&mut self, input: Input, out: &mut Vec<Effect>) {
        if matches!(self.state, State::Ended(_)) {
            return;
        }
        match input {
            Input::Alive { session, round } if self.observes(session) && round <= self.round => {
                self.alive(round, out)
            }
            Input::Failing { session, fatal } if self.observes(session) => match self.state {
                _ if fatal => self.want(AfterStop::Halt(HaltReason::Fatal), Cause::Failing, out),
                State::Running { suspicion } => {
                    self.suspect(suspicion, 1, true, Cause::Failing, out)
                }
                State::Restarting { .. } => self.fail(true, Cause::Failing, out),
                State::Monitoring { .. } => self.void(true, out),
                _ => self.blame = Blame::Dependency,
            },
            Input::Fired(timer) if self.armed[timer.index()] => {
                self.armed[timer.index()] = false;
                self.fired(timer, out);
            }
            Input::Report {
                component,
                epoch,
                class,
                count,
            } => {
                let count = count.max(1);
                let outside_and_fatal = component.is_none() && class == FailureClass::Fatal;
                let other_epoch = epoch != self.epoch && !outside_and_fatal;
                if other_epoch
                    || component.is_some_and(|id| self.component_state(id) == ComponentState::Down)
                {
                    self.record.stale_reports += u64::from(count);
                    return;
                }
                self.record.reports += u64::from(count);
                self.report(class, count, Cause::Report { component, class }, out);
            }
            Input::Up { component, epoch }
                if epoch == self.epoch
                    && self.component_state(component) == ComponentState::Starting =>
            {
                self.slots[component.0 as usize] = ComponentState::Up;
                if let State::Restarting { stage, waiting } = self.state {
                    self.up(stage, waiting - 1, out);
                }
            }
            Input::Gone {
                component,
                epoch,
                how,
            } if self.lives(component, epoch) => {
                let slot =
                    std::mem::replace(&mut self.slots[component.0 as usize], ComponentState::Down);
                if slot == ComponentState::Wedged {
                    self.wedged -= 1;
                } else if let Some(stage) = self.plan.layout().stage_of(component) {
                    self.live[stage] -= 1;
                }
                self.lost(component, how, slot, true, out);
            }
            Input::Exited {
                component,
                epoch,
                how,
            } if self.lives(component, epoch) => {
                self.lost(component, how, self.component_state(component), false, out);
            }
            Input::LeaseRenewed { epoch, remaining } => {
                let owner = self.plan.layout().lease_owner();
                let delays = self.is_delaying();
                let serves = matches!(self.state, State::Running { .. } | State::Restarting { .. });
                if (serves || delays) && owner.is_some_and(|owner| self.lives(owner, epoch)) {
                    match self.plan.fence_after(remaining) {
                        Some(after) => self.arm(Timer::Fence, after, out),
                        None if delays => self.trouble(true, out),
                        None => self.fail(true, Cause::Fence, out),
                    }
                }
            }
            Input::Shutdown => self.want(AfterStop::Stop, Cause::Shutdown, out),
            Input::Drain => match self.state {
                State::Drained => {}
                _ => self.want(AfterStop::Drain, Cause::Command(Command::Drain), out),
            },
            Input::Resume => match &mut self.state {
                State::Drained => self.rest(AfterStop::Monitor, out),
                State::ShuttingDown { then, .. } if *then == AfterStop::Drain => {
                    *then = AfterStop::Monitor
                }
                _ => {}
            },
            Input::Trip => match self.state {
                State::Running { .. } | State::Restarting { .. } => {
                    self.fail(true, Cause::Command(Command::Trip), out)
                }
                _ => self.trouble(true, out),
            },
            // No plan of the benches has a limit, or components that may finish.
            Input::FailedTooOften { .. } => {}
            Input::Frozen => match self.state {
                State::Running { .. } | State::Restarting { .. } => {
                    self.fail(false, Cause::Frozen, out)
                }
                State::Monitoring { .. } => {
                    self.level = self.level.max(1);
                    self.forget(out);
                }
                _ => self.trouble(false, out),
            },
            Input::Reset => match &mut self.state {
                State::Running { suspicion } => {
                    *suspicion = 0;
                    self.level = 0;
                    self.blame = Blame::Component;
                    self.disarm(Timer::Decay, out);
                    self.disarm(Timer::Stable, out);
                }
                _ => self.level = self.level.min(1),
            },
            // Stale.
            Input::Alive { .. }
            | Input::Failing { .. }
            | Input::Fired(_)
            | Input::Up { .. }
            | Input::Gone { .. }
            | Input::Exited { .. } => {}
        }
    }

    fn alive(&mut self, round: u64, out: &mut Vec<Effect>) {
        self.arm(Timer::Silence, self.policy().silence_limit(), out);
        let State::Monitoring {
            mut evidence,
            mut done,
        } = self.state
        else {
            return;
        };
        if !done && !self.armed[Timer::HoldOff.index()] {
            if self.level == 0 {
                done = true;
            } else {
                let policy = self.policy();
                let jitter = policy.tuning().jitter_of(self.hold_offs);
                let hold_off = policy.hold_off(self.level, self.blame) + jitter;
                self.hold_offs += 1;
                self.arm(Timer::HoldOff, hold_off, out);
            }
        }
        let needed = self.policy().needed_evidence(self.level, self.blame);
        evidence = (evidence + 1).min(needed);
        if !done || evidence < needed || round != self.round {
            self.state = State::Monitoring { evidence, done };
            return;
        }
        self.epoch += 1;
        match self.plan.layout().components() {
            0 => self.run(out),
            _ => self.start(0, out),
        }
    }

    fn fired(&mut self, timer: Timer, out: &mut Vec<Effect>) {
        match (timer, self.state) {
            (Timer::Silence, State::Running { .. } | State::Restarting { .. }) => {
                self.fail(true, Cause::Silence, out);
            }
            (Timer::Silence, State::Monitoring { .. }) => {
                self.blame = Blame::Dependency;
                self.state = State::Monitoring {
                    evidence: 0,
                    done: false,
                };
                self.disarm(Timer::HoldOff, out);
                self.close_session(out);
                self.open_session(out);
                self.arm(Timer::Silence, self.policy().silence_limit(), out);
            }
            (Timer::Silence, _) => {
                self.blame = Blame::Dependency;
                self.close_session(out);
            }
            (Timer::HoldOff, State::Monitoring { evidence, .. }) => {
                self.state = State::Monitoring {
                    evidence,
                    done: true,
                };
                self.round += 1;
                out.push(Effect::Ask { round: self.round });
            }
            (Timer::Fence, State::ShuttingDown { .. }) => self.trouble(true, out),
            (Timer::Fence, _) => self.fail(true, Cause::Fence, out),
            (Timer::Decay, State::Running { suspicion }) => {
                self.state = State::Running {
                    suspicion: suspicion - 1,
                };
                if suspicion > 1 {
                    self.arm(Timer::Decay, self.policy().tuning().decay(), out);
                } else {
                    self.blame = Blame::Component;
                }
            }
            (Timer::Stable, _) => {
                self.level = self.level.saturating_sub(1);
                if self.level > 0 {
                    self.arm(Timer::Stable, self.policy().tuning().stable_after(), out);
                }
            }
            (Timer::Stage, State::Restarting { .. }) => self.fail(false, Cause::StartOverdue, out),
            (Timer::Stage, State::ShuttingDown { stage, step, then }) => match step {
                StopStep::Delaying => self.next_stage(then, out),
                StopStep::Stopping => {
                    let step = StopStep::Aborting;
                    self.state = State::ShuttingDown { stage, step, then };
                    for id in self.plan.layout().stage(usize::from(stage)) {
                        if self.slots[id as usize] == ComponentState::Stopping {
                            self.slots[id as usize] = ComponentState::Aborting;
                            let component = ComponentId(id);
                            out.push(Effect::Abort {
                                component,
                                epoch: self.epoch,
                            });
                        }
                    }
                    self.arm(Timer::Stage, self.policy().abort_deadline(), out);
                }
                StopStep::Aborting => {
                    for id in self.plan.layout().stage(usize::from(stage)) {
                        if self.slots[id as usize] == ComponentState::Aborting {
                            self.slots[id as usize] = ComponentState::Wedged;
                            self.live[usize::from(stage)] -= 1;
                            self.wedged += 1;
                        }
                    }
                    self.next_stage(then, out);
                }
            },
            _ => {}
        }
    }

    fn report(&mut self, class: FailureClass, count: u32, cause: Cause, out: &mut Vec<Effect>) {
        let blames = class.blames_dependency();
        match self.state {
            State::ShuttingDown { .. } => {
                if class == FailureClass::Fatal {
                    self.raise_wish(AfterStop::Halt(HaltReason::Fatal));
                }
                self.trouble(blames, out);
            }
            _ if class == FailureClass::Fatal => {
                self.want(AfterStop::Halt(HaltReason::Fatal), cause, out)
            }
            State::Running { .. } if class == FailureClass::Critical => self.fail(true, cause, out),
            State::Running { suspicion } => self.suspect(suspicion, count, blames, cause, out),
            State::Restarting { .. } => self.fail(blames, cause, out),
            State::Monitoring { .. } => {
                let before = (self.level, self.blame);
                self.level = self.level.max(1);
                self.blame_if(blames);
                if (self.level, self.blame) != before {
                    self.forget(out);
                }
            }
            _ => self.trouble(blames, out),
        }
    }

    /// A report or a trip while suspended.
    fn trouble(&mut self, blames: bool, out: &mut Vec<Effect>) {
        self.level = self.level.max(1);
        match self.state {
            State::Monitoring { .. } => self.void(blames, out),
            State::ShuttingDown { step, then, .. } => {
                self.blame_if(blames);
                if step == StopStep::Delaying {
                    self.next_stage(then, out);
                }
            }
            _ => self.blame_if(blames),
        }
    }

    fn suspect(
        &mut self,
        suspicion: u32,
        more: u32,
        blames: bool,
        cause: Cause,
        out: &mut Vec<Effect>,
    ) {
        self.blame_if(blames);
        let suspicion = suspicion.saturating_add(more);
        if suspicion >= self.policy().trip_threshold() {
            return self.fail(blames, cause, out);
        }
        self.state = State::Running { suspicion };
        if !self.armed[Timer::Decay.index()] {
            self.arm(Timer::Decay, self.policy().tuning().decay(), out);
        }
    }

    fn forget(&mut self, out: &mut Vec<Effect>) {
        self.state = State::Monitoring {
            evidence: 0,
            done: false,
        };
        self.disarm(Timer::HoldOff, out);
    }

    fn void(&mut self, blames: bool, out: &mut Vec<Effect>) {
        self.blame_if(blames);
        self.forget(out);
        self.arm(Timer::Silence, self.policy().silence_limit(), out);
    }

    fn up(&mut self, stage: u16, waiting: u32, out: &mut Vec<Effect>) {
        if waiting > 0 {
            self.state = State::Restarting { stage, waiting };
        } else if usize::from(stage) + 1 < self.plan.layout().stages() {
            self.start(stage + 1, out);
        } else {
            self.run(out);
        }
    }

    fn run(&mut self, out: &mut Vec<Effect>) {
        self.state = State::Running { suspicion: 0 };
        self.disarm(Timer::Stage, out);
        self.blame = Blame::Component;
        self.failed_starts = 0;
        if self.level > 0 {
            self.arm(Timer::Stable, self.policy().tuning().stable_after(), out);
        }
        out.push(Effect::Ready(true));
        if self.outage_open {
            self.close_outage(out);
        }
    }

    fn lost(
        &mut self,
        component: ComponentId,
        how: Exit,
        was: ComponentState,
        gone: bool,
        out: &mut Vec<Effect>,
    ) {
        let class = how.class();
        let cause = match was {
            ComponentState::Starting => Cause::StartFailed { component, class },
            _ => Cause::Exited { component, class },
        };
        if let State::ShuttingDown { stage, step, .. } = self.state {
            if class == FailureClass::Fatal {
                self.raise_wish(AfterStop::Halt(HaltReason::Fatal));
            }
            let asked = matches!(
                was,
                ComponentState::Stopping | ComponentState::Aborting | ComponentState::Wedged
            );
            if !asked {
                self.blame_if(class.blames_dependency());
                self.level = self.level.max(1);
            }
            let done = gone && self.live[usize::from(stage)] == 0;
            if let State::ShuttingDown { then, .. } = self.state
                && (done || step == StopStep::Delaying)
            {
                self.next_stage(then, out);
            }
        } else if class == FailureClass::Fatal {
            self.want(AfterStop::Halt(HaltReason::Fatal), cause, out);
        } else {
            self.fail(class.blames_dependency(), cause, out);
        }
    }

    /// A trip from Running, an unwinding from Restarting.
    fn fail(&mut self, blames: bool, cause: Cause, out: &mut Vec<Effect>) {
        self.blame_if(blames);
        self.level = (self.level + 1).min(self.policy().tuning().max_level());
        let mut then = AfterStop::Monitor;
        if let State::Restarting { .. } = self.state {
            self.record.failed_starts += 1;
            if let (Some(limit), false) = (self.policy().give_up_after(), blames) {
                self.failed_starts += 1;
                if self.failed_starts >= limit {
                    then = AfterStop::Halt(HaltReason::GaveUp);
                }
            }
        }
        self.wind_down(then, cause, out);
    }

    fn want(&mut self, then: AfterStop, cause: Cause, out: &mut Vec<Effect>) {
        if let (State::Restarting { .. }, AfterStop::Halt(_)) = (self.state, then) {
            self.record.failed_starts += 1;
        }
        match self.state {
            State::ShuttingDown { .. } => self.raise_wish(then),
            State::Monitoring { .. } | State::Drained => self.rest(then, out),
            _ => self.wind_down(then, cause, out),
        }
    }

    fn raise_wish(&mut self, wish: AfterStop) {
        if let State::ShuttingDown { then, .. } = &mut self.state {
            *then = (*then).max(wish);
        }
    }

    fn wind_down(&mut self, then: AfterStop, cause: Cause, out: &mut Vec<Effect>) {
        let was_running = matches!(self.state, State::Running { .. });
        if was_running {
            out.push(Effect::Ready(false));
        }
        if then == AfterStop::Monitor && !self.outage_open {
            self.outage_open = true;
            self.outage += 1;
            out.push(Effect::OutageOpened {
                outage: self.outage,
                cause,
            });
        }
        if then != AfterStop::Monitor || self.blame == Blame::Dependency {
            self.close_session(out);
        }
        let Some(stage) = self.live.iter().rposition(|&live| live > 0) else {
            return self.rest(then, out);
        };
        let stage = stage as u16;
        let delay = self.policy().tuning().unready_delay();
        let wanted = matches!(then, AfterStop::Drain | AfterStop::Stop);
        let delays = was_running && wanted && !delay.is_zero();
        for timer in Timer::ALL {
            let kept = match timer {
                Timer::Silence => self.session_open,
                Timer::Fence => delays,
                _ => false,
            };
            if !kept {
                self.disarm(timer, out);
            }
        }
        if delays {
            self.state = State::ShuttingDown {
                stage,
                step: StopStep::Delaying,
                then,
            };
            self.arm(Timer::Stage, delay, out);
        } else {
            self.stop(stage, then, out);
        }
    }

    fn is_delaying(&self) -> bool {
        let step = match self.state {
            State::ShuttingDown { step, .. } => Some(step),
            _ => None,
        };
        step == Some(StopStep::Delaying)
    }

    fn next_stage(&mut self, then: AfterStop, out: &mut Vec<Effect>) {
        match self.live.iter().rposition(|&live| live > 0) {
            Some(stage) => {
                self.disarm(Timer::Fence, out);
                self.stop(stage as u16, then, out);
            }
            None => self.rest(then, out),
        }
    }

    fn rest(&mut self, then: AfterStop, out: &mut Vec<Effect>) {
        let end = match then {
            _ if self.wedged > 0 => RunOutcome::Halted(HaltReason::Wedged),
            AfterStop::Monitor => return self.monitor(out),
            AfterStop::Drain => {
                self.state = State::Drained;
                self.close_session(out);
                return Timer::ALL
                    .into_iter()
                    .for_each(|timer| self.disarm(timer, out));
            }
            AfterStop::Stop => RunOutcome::Stopped,
            AfterStop::Halt(why) => RunOutcome::Halted(why),
        };
        self.state = State::Ended(end);
        self.close_session(out);
        Timer::ALL
            .into_iter()
            .for_each(|timer| self.disarm(timer, out));
        if self.outage_open || self.record != Record::default() {
            self.close_outage(out);
        }
        out.push(Effect::Ended(end));
    }

    fn monitor(&mut self, out: &mut Vec<Effect>) {
        self.state = State::Monitoring {
            evidence: 0,
            done: false,
        };
        for timer in Timer::ALL {
            if timer != Timer::Silence {
                self.disarm(timer, out);
            }
        }
        self.open_session(out);
        self.arm(Timer::Silence, self.policy().silence_limit(), out);
    }

    fn start(&mut self, stage: u16, out: &mut Vec<Effect>) {
        let ids = self.plan.layout().stage(usize::from(stage));
        let waiting = ids.len() as u32;
        for id in ids.clone() {
            self.slots[id as usize] = ComponentState::Starting;
        }
        out.push(Effect::StartStage {
            stage,
            epoch: self.epoch,
        });
        self.live[usize::from(stage)] = waiting;
        self.state = State::Restarting { stage, waiting };
        self.arm(Timer::Stage, self.plan.start_deadline(stage.into()), out);
        let owner = self.plan.layout().lease_owner();
        if let (Some(fence), Some(owner)) = (self.policy().fence(), owner)
            && ids.contains(&owner.0)
            && let Some(after) = self.plan.fence_after(fence.lease())
        {
            self.arm(Timer::Fence, after, out);
        }
    }

    fn stop(&mut self, stage: u16, then: AfterStop, out: &mut Vec<Effect>) {
        self.state = State::ShuttingDown {
            stage,
            step: StopStep::Stopping,
            then,
        };
        for id in self.plan.layout().stage(usize::from(stage)) {
            let slot = &mut self.slots[id as usize];
            if matches!(slot, ComponentState::Starting | ComponentState::Up) {
                *slot = ComponentState::Stopping;
            }
        }
        out.push(Effect::StopStage {
            stage,
            epoch: self.epoch,
        });
        self.arm(Timer::Stage, self.plan.stop_deadline(stage.into()), out);
    }

    fn policy(&self) -> &Policy {
        self.plan.policy()
    }

    fn component_state(&self, component: ComponentId) -> ComponentState {
        self.slots
            .get(component.0 as usize)
            .copied()
            .unwrap_or(ComponentState::Down)
    }

    fn lives(&self, component: ComponentId, epoch: u64) -> bool {
        epoch == self.epoch && self.component_state(component) != ComponentState::Down
    }

    fn observes(&self, session: u64) -> bool {
        self.session_open && session == self.session
    }

    fn blame_if(&mut self, blames: bool) {
        if blames {
            self.blame = Blame::Dependency;
        }
    }

    fn arm(&mut self, timer: Timer, after: Duration, out: &mut Vec<Effect>) {
        self.armed[timer.index()] = true;
        out.push(Effect::Arm { timer, after });
    }

    fn disarm(&mut self, timer: Timer, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.armed[timer.index()]) {
            out.push(Effect::Disarm { timer });
        }
    }

    fn open_session(&mut self, out: &mut Vec<Effect>) {
        if !self.session_open {
            self.session_open = true;
            self.session += 1;
            out.push(Effect::OpenSession {
                session: self.session,
            });
        }
    }

    fn close_session(&mut self, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.session_open) {
            out.push(Effect::CloseSession {
                session: self.session,
            });
        }
    }

    fn close_outage(&mut self, out: &mut Vec<Effect>) {
        let record = std::mem::take(&mut self.record);
        self.outage_open = false;
        out.push(Effect::OutageClosed(Record {
            outage: self.outage,
            ..record
        }));
    }
}
