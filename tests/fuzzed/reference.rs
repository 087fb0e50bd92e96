//! The machine a second time, in the plainest style, as an oracle: whatever the real one does, this
//! one must do as well.
//!
//! Nothing is shared with the machine but the public types. Nothing is kept that can be recounted,
//! and each state says in full what it does with each input, so that it can be checked against the
//! table of states by reading.

use std::sync::Arc;

use overwatch::machine::{
    AfterStop, Cause, Command, ComponentState, Effect, Exit, FailureClass, HaltReason,
    IgnoreReason, Input, Record, RunOutcome, Snapshot, State, Step, StopStep, Timer, Transition,
};
use overwatch::policy::{Blame, ComponentId, Plan};

/// The outcome of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It had no effect, and why.
    Ignored(IgnoreReason),
    /// It was taken in where it is.
    Absorbed,
    /// It led through these transitions.
    Moved(Vec<Transition>),
}

impl Outcome {
    /// Whether the machine says the same.
    pub fn agrees_with(&self, step: &Step) -> bool {
        match (self, step) {
            (Self::Ignored(mine), Step::Ignored(its)) => mine == its,
            (Self::Absorbed, Step::Absorbed) => true,
            (Self::Moved(mine), Step::Moved(its)) => its.iter().eq(mine.iter().copied()),
            _ => false,
        }
    }
}

/// The reference: a plan, and all that it knows.
#[derive(Clone, Debug)]
pub struct Reference {
    plan: Arc<Plan>,
    now: Snapshot,
    /// Of the present input.
    effects: Vec<Effect>,
    /// Of the present input.
    hops: Vec<Transition>,
}

impl Reference {
    /// At boot.
    pub fn new(plan: Arc<Plan>, effects: &mut Vec<Effect>) -> Self {
        let slots = vec![ComponentState::Down; plan.layout().components()];
        let mut reference = Self {
            plan,
            now: Snapshot {
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
                armed: Vec::new(),
                component_states: slots,
                record: Record::default(),
                hold_offs: 0,
            },
            effects: Vec::new(),
            hops: Vec::new(),
        };
        reference.emit(Effect::OutageOpened {
            outage: 0,
            cause: Cause::Boot,
        });
        reference.open_session();
        effects.append(&mut reference.effects);
        reference
    }

    /// Goes on from a snapshot, which must be one that the machine accepts for this plan.
    pub fn resume(plan: Arc<Plan>, snapshot: Snapshot) -> Self {
        Self {
            plan,
            now: snapshot,
            effects: Vec::new(),
            hops: Vec::new(),
        }
    }

    /// All that it knows.
    pub fn snapshot(&self) -> Snapshot {
        self.now.clone()
    }

    /// Takes in one input and appends what it asks for.
    pub fn handle(&mut self, input: Input, effects: &mut Vec<Effect>) -> Outcome {
        if let State::Ended(_) = self.now.state {
            return Outcome::Ignored(IgnoreReason::NotHandled);
        }
        let stale = self.stale(input);
        if let Input::Report { count, .. } = input {
            let record = &mut self.now.record;
            let total = match stale {
                Some(_) => &mut record.stale_reports,
                None => &mut record.reports,
            };
            *total += u64::from(count.max(1));
        }
        if let Some(why) = stale {
            return Outcome::Ignored(why);
        }
        if let Input::Fired(timer) = input {
            self.now.armed.retain(|&armed| armed != timer);
        }
        self.hops.clear();
        let means_something = self.act(input);
        effects.append(&mut self.effects);
        if !means_something {
            Outcome::Ignored(IgnoreReason::NotHandled)
        } else if self.hops.is_empty() {
            Outcome::Absorbed
        } else {
            Outcome::Moved(self.hops.clone())
        }
    }

    /// Why the input is not for the present, if it is not.
    fn stale(&self, input: Input) -> Option<IgnoreReason> {
        match input {
            // It ends the run, whenever it was sent.
            Input::Report {
                component: None,
                class: FailureClass::Fatal,
                ..
            } => None,
            Input::Report {
                component, epoch, ..
            } => {
                if epoch != self.now.epoch {
                    Some(IgnoreReason::OtherEpoch)
                } else if component.is_some_and(|component| self.is_gone(component)) {
                    Some(IgnoreReason::NotAlive)
                } else {
                    None
                }
            }
            Input::Alive { session, round } => {
                if !self.now.session_open || session != self.now.session {
                    Some(IgnoreReason::OtherSession)
                } else if round > self.now.round {
                    Some(IgnoreReason::NotAwaited)
                } else {
                    None
                }
            }
            Input::Failing { session, .. } => {
                let present = self.now.session_open && session == self.now.session;
                (!present).then_some(IgnoreReason::OtherSession)
            }
            Input::Up { component, epoch } => {
                if epoch != self.now.epoch {
                    return Some(IgnoreReason::OtherEpoch);
                }
                match self.component_state(component) {
                    ComponentState::Starting => None,
                    ComponentState::Down | ComponentState::Finished => Some(IgnoreReason::NotAlive),
                    ComponentState::Up
                    | ComponentState::Stopping
                    | ComponentState::Aborting
                    | ComponentState::Wedged => Some(IgnoreReason::NotAwaited),
                }
            }
            Input::Exited {
                component, epoch, ..
            }
            | Input::Gone {
                component, epoch, ..
            } => {
                if epoch != self.now.epoch {
                    Some(IgnoreReason::OtherEpoch)
                } else if self.is_gone(component) {
                    Some(IgnoreReason::NotAlive)
                } else {
                    None
                }
            }
            Input::LeaseRenewed { epoch, .. } => {
                let Some(owner) = self.plan.layout().lease_owner() else {
                    return Some(IgnoreReason::NotHandled);
                };
                if epoch != self.now.epoch {
                    Some(IgnoreReason::OtherEpoch)
                } else if self.component_state(owner) == ComponentState::Down {
                    Some(IgnoreReason::NotAlive)
                } else {
                    None
                }
            }
            Input::Fired(timer) => (!self.is_armed(timer)).then_some(IgnoreReason::NotArmed),
            Input::FailedTooOften { component } => {
                if self.plan.policy().failure_limit().is_none() {
                    Some(IgnoreReason::NotHandled)
                } else if self.plan.layout().stage_of(component).is_none() {
                    Some(IgnoreReason::NotAlive)
                } else {
                    None
                }
            }
            Input::Shutdown
            | Input::Drain
            | Input::Resume
            | Input::Trip
            | Input::Reset
            | Input::Frozen => None,
        }
    }

    /// What each state does with each input. `false` if the input means nothing in this state.
    fn act(&mut self, input: Input) -> bool {
        let plan = self.plan.clone();
        let policy = plan.policy();
        match self.now.state {
            State::Monitoring { evidence, done } => match input {
                Input::Alive { round, .. } => {
                    self.arm_silence();
                    let mut done = done;
                    if !done && !self.is_armed(Timer::HoldOff) {
                        if self.now.level == 0 {
                            done = true;
                        } else {
                            let jitter = policy.tuning().jitter_of(self.now.hold_offs);
                            let hold_off = policy.hold_off(self.now.level, self.now.blame);
                            self.now.hold_offs += 1;
                            self.arm(Timer::HoldOff, hold_off + jitter);
                        }
                    }
                    let needed = policy.needed_evidence(self.now.level, self.now.blame);
                    let evidence = (evidence + 1).min(needed);
                    self.now.state = State::Monitoring { evidence, done };
                    if done && evidence >= needed && round == self.now.round {
                        self.now.epoch += 1;
                        let from_the_start = State::Restarting {
                            stage: 0,
                            waiting: 0,
                        };
                        self.move_to(from_the_start, Cause::Recovered);
                        self.start_stage(0);
                    }
                }
                Input::Failing { fatal: true, .. } => {
                    self.end(RunOutcome::Halted(HaltReason::Fatal), Cause::Failing);
                }
                Input::Failing { .. } => {
                    self.void_clean_run();
                    self.now.blame = Blame::Dependency;
                    self.arm_silence();
                }
                Input::Fired(Timer::Silence) => {
                    self.void_clean_run();
                    self.now.blame = Blame::Dependency;
                    // The probe may hang: a new session is a new probe.
                    self.close_session();
                    self.open_session();
                }
                Input::Fired(Timer::HoldOff) => {
                    self.now.state = State::Monitoring {
                        evidence,
                        done: true,
                    };
                    self.now.round += 1;
                    let round = self.now.round;
                    self.emit(Effect::Ask { round });
                }
                Input::Report {
                    component,
                    class: class @ FailureClass::Fatal,
                    ..
                } => {
                    self.end(
                        RunOutcome::Halted(HaltReason::Fatal),
                        Cause::Report { component, class },
                    );
                }
                Input::Report { class, .. } => {
                    let before = (self.now.level, self.now.blame);
                    self.raise_level_to_one();
                    self.blame(class.blames_dependency());
                    // Only what changes the demand begins it anew, so that a program that goes on
                    // reporting does not keep the service down.
                    if before != (self.now.level, self.now.blame) {
                        self.void_clean_run();
                    }
                }
                Input::Trip => {
                    self.raise_level_to_one();
                    self.void_clean_run();
                    self.now.blame = Blame::Dependency;
                    self.arm_silence();
                }
                // Says nothing of the dependency: neither blame, nor a sign of life.
                Input::Frozen => {
                    self.raise_level_to_one();
                    self.void_clean_run();
                }
                Input::FailedTooOften { component } => {
                    let cause = Cause::FailedTooOften { component };
                    match self.after_too_many_failures() {
                        AfterStop::Drain => self.drain(cause),
                        _ => self.end(RunOutcome::Halted(HaltReason::GaveUp), cause),
                    }
                }
                Input::Reset => self.lower_level_to_one(),
                Input::Drain => self.drain(Cause::Command(Command::Drain)),
                Input::Shutdown => self.end(RunOutcome::Stopped, Cause::Shutdown),
                _ => return false,
            },

            State::Restarting { stage, waiting } => match input {
                Input::Up { component, .. } => {
                    self.set_slot(component, ComponentState::Up);
                    self.one_more_is_up(stage, waiting);
                }
                Input::Exited { component, how, .. } if self.may_finish(component, how) => {}
                Input::Gone { component, how, .. } if self.may_finish(component, how) => {
                    let was_up = self.component_state(component) == ComponentState::Up;
                    self.set_slot(component, ComponentState::Finished);
                    if self.all_have_finished() {
                        self.wind_down(Cause::Finished, AfterStop::Stop);
                    } else if !was_up {
                        self.one_more_is_up(stage, waiting);
                    }
                }
                Input::Alive { .. } => self.arm_silence(),
                Input::LeaseRenewed { remaining, .. } => match self.plan.fence_after(remaining) {
                    Some(after) => self.arm(Timer::Fence, after),
                    None => self.unwind(Cause::Fence),
                },
                Input::Gone { component, how, .. } => {
                    let cause = self.exit_cause(component, how);
                    self.set_slot(component, ComponentState::Down);
                    match how.class() {
                        FailureClass::Fatal => self.unwind_for_good(cause),
                        _ => self.unwind(cause),
                    }
                }
                Input::Exited { component, how, .. } => {
                    let cause = self.exit_cause(component, how);
                    match how.class() {
                        FailureClass::Fatal => self.unwind_for_good(cause),
                        _ => self.unwind(cause),
                    }
                }
                Input::Report {
                    component, class, ..
                } => {
                    let cause = Cause::Report { component, class };
                    match class {
                        FailureClass::Fatal => self.unwind_for_good(cause),
                        _ => self.unwind(cause),
                    }
                }
                Input::Failing { fatal: true, .. } => self.unwind_for_good(Cause::Failing),
                Input::Failing { .. } => self.unwind(Cause::Failing),
                Input::Fired(Timer::Silence) => self.unwind(Cause::Silence),
                Input::Fired(Timer::Stage) => self.unwind(Cause::StartOverdue),
                Input::Fired(Timer::Fence) => self.unwind(Cause::Fence),
                Input::Trip => self.unwind(Cause::Command(Command::Trip)),
                Input::Frozen => self.unwind(Cause::Frozen),
                Input::FailedTooOften { component } => {
                    let then = self.after_too_many_failures();
                    self.wind_down(Cause::FailedTooOften { component }, then);
                }
                Input::Reset => self.lower_level_to_one(),
                Input::Drain => self.wind_down(Cause::Command(Command::Drain), AfterStop::Drain),
                Input::Shutdown => self.wind_down(Cause::Shutdown, AfterStop::Stop),
                _ => return false,
            },

            State::Running { suspicion } => match input {
                Input::Exited { component, how, .. } if self.may_finish(component, how) => {}
                Input::Gone { component, how, .. } if self.may_finish(component, how) => {
                    self.set_slot(component, ComponentState::Finished);
                    if self.all_have_finished() {
                        self.leave_running(Cause::Finished, AfterStop::Stop);
                    }
                }
                Input::Alive { .. } => self.arm_silence(),
                Input::LeaseRenewed { remaining, .. } => match self.plan.fence_after(remaining) {
                    Some(after) => self.arm(Timer::Fence, after),
                    None => self.trip(Cause::Fence),
                },
                Input::Failing { fatal: true, .. } => {
                    self.leave_running(Cause::Failing, AfterStop::Halt(HaltReason::Fatal));
                }
                Input::Failing { .. } => {
                    self.now.blame = Blame::Dependency;
                    self.suspect(suspicion, 1, Cause::Failing);
                }
                Input::Report {
                    component,
                    class,
                    count,
                    ..
                } => {
                    let cause = Cause::Report { component, class };
                    self.blame(class.blames_dependency());
                    match class {
                        FailureClass::Component | FailureClass::Dependency => {
                            self.suspect(suspicion, count.max(1), cause);
                        }
                        FailureClass::Critical => self.trip(cause),
                        FailureClass::Fatal => {
                            self.leave_running(cause, AfterStop::Halt(HaltReason::Fatal))
                        }
                    }
                }
                Input::Gone { component, how, .. } => {
                    let cause = self.exit_cause(component, how);
                    self.set_slot(component, ComponentState::Down);
                    match how.class() {
                        FailureClass::Fatal => {
                            self.leave_running(cause, AfterStop::Halt(HaltReason::Fatal))
                        }
                        _ => self.trip(cause),
                    }
                }
                Input::Exited { component, how, .. } => {
                    let cause = self.exit_cause(component, how);
                    match how.class() {
                        FailureClass::Fatal => {
                            self.leave_running(cause, AfterStop::Halt(HaltReason::Fatal))
                        }
                        _ => self.trip(cause),
                    }
                }
                Input::Fired(Timer::Silence) => self.trip(Cause::Silence),
                Input::Fired(Timer::Fence) => self.trip(Cause::Fence),
                Input::Trip => self.trip(Cause::Command(Command::Trip)),
                Input::Frozen => self.trip(Cause::Frozen),
                Input::FailedTooOften { component } => {
                    let then = self.after_too_many_failures();
                    self.leave_running(Cause::FailedTooOften { component }, then);
                }
                Input::Fired(Timer::Decay) => {
                    let suspicion = suspicion.saturating_sub(1);
                    self.now.state = State::Running { suspicion };
                    if suspicion > 0 {
                        self.arm(Timer::Decay, policy.tuning().decay());
                    } else {
                        self.now.blame = Blame::Component;
                    }
                }
                Input::Fired(Timer::Stable) => {
                    self.now.level = self.now.level.saturating_sub(1);
                    if self.now.level > 0 {
                        self.arm(Timer::Stable, policy.tuning().stable_after());
                    }
                }
                Input::Reset => {
                    self.now.state = State::Running { suspicion: 0 };
                    self.now.level = 0;
                    self.now.blame = Blame::Component;
                    self.disarm(Timer::Decay);
                    self.disarm(Timer::Stable);
                }
                Input::Drain => {
                    self.leave_running(Cause::Command(Command::Drain), AfterStop::Drain)
                }
                Input::Shutdown => self.leave_running(Cause::Shutdown, AfterStop::Stop),
                _ => return false,
            },

            State::ShuttingDown { stage, step, then } => match input {
                Input::Exited { component, how, .. } if self.may_finish(component, how) => {}
                Input::Gone { component, how, .. } if self.may_finish(component, how) => {
                    self.set_slot(component, ComponentState::Down);
                    // The delay goes on as long as anything is there.
                    if step == StopStep::Delaying {
                        match self.highest_live_stage() {
                            Some(stage) => {
                                let stage = stage as u16;
                                self.now.state = State::ShuttingDown { stage, step, then };
                            }
                            None => self.stop_next_stage(),
                        }
                    }
                }
                Input::Gone { component, how, .. } => {
                    self.note_exit_while_stopping(component, how);
                    self.set_slot(component, ComponentState::Down);
                    let stage_is_done = self.all_in_stage(stage, |slot| {
                        slot != ComponentState::Stopping && slot != ComponentState::Aborting
                    });
                    // Nothing is being stopped during the delay, which a failure cuts short.
                    if stage_is_done {
                        self.stop_next_stage();
                    }
                }
                Input::Exited { component, how, .. } => {
                    self.note_exit_while_stopping(component, how);
                    if step == StopStep::Delaying {
                        self.stop_next_stage();
                    }
                }
                Input::Report { class, .. } => {
                    self.raise_level_to_one();
                    self.blame(class.blames_dependency());
                    if class == FailureClass::Fatal {
                        self.go_on_to(then.max(AfterStop::Halt(HaltReason::Fatal)));
                    }
                    if step == StopStep::Delaying {
                        self.stop_next_stage();
                    }
                }
                Input::Trip => {
                    self.raise_level_to_one();
                    self.blame(true);
                    if step == StopStep::Delaying {
                        self.stop_next_stage();
                    }
                }
                Input::Frozen => {
                    self.raise_level_to_one();
                    if step == StopStep::Delaying {
                        self.stop_next_stage();
                    }
                }
                Input::Fired(Timer::Stage) => match step {
                    StopStep::Delaying => self.stop_next_stage(),
                    StopStep::Stopping => {
                        for component in self.in_stage(usize::from(stage)) {
                            if self.component_state(component) == ComponentState::Stopping {
                                self.set_slot(component, ComponentState::Aborting);
                                let epoch = self.now.epoch;
                                self.emit(Effect::Abort { component, epoch });
                            }
                        }
                        self.now.state = State::ShuttingDown {
                            stage,
                            step: StopStep::Aborting,
                            then,
                        };
                        self.arm(Timer::Stage, policy.abort_deadline());
                    }
                    StopStep::Aborting => {
                        for component in self.in_stage(usize::from(stage)) {
                            if self.component_state(component) == ComponentState::Aborting {
                                self.set_slot(component, ComponentState::Wedged);
                            }
                        }
                        self.stop_next_stage();
                    }
                },
                Input::FailedTooOften { .. } => {
                    let wanted = self.after_too_many_failures();
                    self.go_on_to(then.max(wanted));
                }
                Input::Alive { .. } => self.arm_silence(),
                Input::LeaseRenewed { remaining, .. } if step == StopStep::Delaying => {
                    match self.plan.fence_after(remaining) {
                        Some(after) => self.arm(Timer::Fence, after),
                        None => self.end_delay_by_the_lease(),
                    }
                }
                // The lease is kept until its owner stops, but nothing is to be started under it.
                Input::LeaseRenewed { .. } => {}
                // It is armed during the delay only.
                Input::Fired(Timer::Fence) => self.end_delay_by_the_lease(),
                Input::Failing { fatal: true, .. } => {
                    self.go_on_to(then.max(AfterStop::Halt(HaltReason::Fatal)));
                }
                Input::Failing { .. } => self.blame(true),
                Input::Fired(Timer::Silence) => {
                    self.now.blame = Blame::Dependency;
                    self.close_session();
                }
                Input::Shutdown => self.go_on_to(then.max(AfterStop::Stop)),
                Input::Drain => self.go_on_to(then.max(AfterStop::Drain)),
                Input::Resume if then == AfterStop::Drain => self.go_on_to(AfterStop::Monitor),
                Input::Reset => self.lower_level_to_one(),
                _ => return false,
            },

            State::Drained => match input {
                Input::Drain => {}
                Input::Resume => self.monitor(Cause::Command(Command::Resume)),
                Input::Shutdown => self.end(RunOutcome::Stopped, Cause::Shutdown),
                Input::Report {
                    component,
                    class: class @ FailureClass::Fatal,
                    ..
                } => {
                    self.end(
                        RunOutcome::Halted(HaltReason::Fatal),
                        Cause::Report { component, class },
                    );
                }
                Input::Report { class, .. } => {
                    self.raise_level_to_one();
                    self.blame(class.blames_dependency());
                }
                Input::Trip => {
                    self.raise_level_to_one();
                    self.blame(true);
                }
                Input::Frozen => self.raise_level_to_one(),
                Input::FailedTooOften { component } => {
                    if self.after_too_many_failures() != AfterStop::Drain {
                        let cause = Cause::FailedTooOften { component };
                        self.end(RunOutcome::Halted(HaltReason::GaveUp), cause);
                    }
                }
                Input::Reset => self.lower_level_to_one(),
                _ => return false,
            },

            State::Ended(_) => return false,
        }
        true
    }

    // ---- Monitoring ----

    fn monitor(&mut self, cause: Cause) {
        let afresh = State::Monitoring {
            evidence: 0,
            done: false,
        };
        self.move_to(afresh, cause);
        self.disarm_all_but(Some(Timer::Silence));
        if self.now.session_open {
            self.arm_silence();
        } else {
            self.open_session();
        }
    }

    fn void_clean_run(&mut self) {
        self.now.state = State::Monitoring {
            evidence: 0,
            done: false,
        };
        self.disarm(Timer::HoldOff);
    }

    // ---- Restarting ----

    /// Starts this stage, or is up if there is none.
    fn start_stage(&mut self, stage: usize) {
        let plan = self.plan.clone();
        let policy = plan.policy();
        let components = self.in_stage(stage);
        if components.is_empty() {
            self.run();
            return;
        }
        self.now.state = State::Restarting {
            stage: stage as u16,
            waiting: components.len() as u32,
        };
        let epoch = self.now.epoch;
        for component in components {
            self.set_slot(component, ComponentState::Starting);
        }
        let stage = stage as u16;
        self.emit(Effect::StartStage { stage, epoch });
        self.arm(Timer::Stage, self.plan.start_deadline(usize::from(stage)));
        // The owner may take the lease from this moment on.
        if let Some(owner) = self.plan.layout().lease_owner()
            && self.plan.layout().stage_of(owner) == Some(usize::from(stage))
            && let Some(fence) = policy.fence()
            && let Some(after) = self.plan.fence_after(fence.lease())
        {
            self.arm(Timer::Fence, after);
        }
    }

    /// A start that failed for a reason that no other start could mend.
    fn unwind_for_good(&mut self, cause: Cause) {
        self.now.record.failed_starts += 1;
        self.wind_down(cause, AfterStop::Halt(HaltReason::Fatal));
    }

    /// The start failed.
    fn unwind(&mut self, cause: Cause) {
        self.raise_level();
        self.now.record.failed_starts += 1;
        let mut then = AfterStop::Monitor;
        // What the dependency or an operator undid says nothing against the service.
        if let Some(limit) = self.plan.policy().give_up_after()
            && !blames_dependency(cause)
        {
            self.now.failed_starts += 1;
            if self.now.failed_starts >= limit {
                then = AfterStop::Halt(HaltReason::GaveUp);
            }
        }
        self.wind_down(cause, then);
    }

    // ---- Running ----

    fn run(&mut self) {
        let stable_interval = self.plan.policy().tuning().stable_after();
        self.move_to(State::Running { suspicion: 0 }, Cause::AllUp);
        self.now.blame = Blame::Component;
        self.now.failed_starts = 0;
        self.disarm(Timer::Stage);
        if self.now.level > 0 {
            self.arm(Timer::Stable, stable_interval);
        }
        self.emit(Effect::Ready(true));
        if self.now.outage_open {
            self.close_outage();
        }
    }

    fn suspect(&mut self, suspicion: u32, more: u32, cause: Cause) {
        let plan = self.plan.clone();
        let policy = plan.policy();
        let suspicion = suspicion.saturating_add(more);
        if suspicion >= policy.trip_threshold() {
            self.trip(cause);
            return;
        }
        self.now.state = State::Running { suspicion };
        if !self.is_armed(Timer::Decay) {
            self.arm(Timer::Decay, policy.tuning().decay());
        }
    }

    fn trip(&mut self, cause: Cause) {
        self.raise_level();
        self.leave_running(cause, AfterStop::Monitor);
    }

    fn leave_running(&mut self, cause: Cause, then: AfterStop) {
        self.emit(Effect::Ready(false));
        self.wind_down(cause, then);
    }

    // ---- ShuttingDown ----

    /// From Running or Restarting: what was under way there is over.
    fn wind_down(&mut self, cause: Cause, then: AfterStop) {
        let plan = self.plan.clone();
        let policy = plan.policy();
        let was_ready = matches!(self.now.state, State::Running { .. });
        // What is fatal ends the run, whoever is to blame.
        if then != AfterStop::Halt(HaltReason::Fatal) {
            self.blame(blames_dependency(cause));
        }
        if then == AfterStop::Monitor && !self.now.outage_open {
            self.now.outage += 1;
            self.now.outage_open = true;
            let outage = self.now.outage;
            self.emit(Effect::OutageOpened { outage, cause });
        }
        // While only components are to blame, the probe goes on, to see whether it stays so.
        if then != AfterStop::Monitor || self.now.blame == Blame::Dependency {
            self.close_session();
        }
        let stopping = State::ShuttingDown {
            stage: 0,
            step: StopStep::Stopping,
            then,
        };
        self.move_to(stopping, cause);
        for state in &mut self.now.component_states {
            if *state == ComponentState::Finished {
                *state = ComponentState::Down;
            }
        }
        let delay = policy.tuning().unready_delay();
        let wanted = then == AfterStop::Drain || then == AfterStop::Stop;
        let delays = was_ready && wanted && !delay.is_zero();
        if self.highest_live_stage().is_some() {
            // An observation means nothing during the delay, and the lease means nothing without it.
            let kept = match delays {
                true => Some(Timer::Fence),
                false => self.now.session_open.then_some(Timer::Silence),
            };
            self.disarm_all_but(kept);
        }
        if let Some(stage) = self.highest_live_stage()
            && delays
        {
            self.now.state = State::ShuttingDown {
                stage: stage as u16,
                step: StopStep::Delaying,
                then,
            };
            self.arm(Timer::Stage, delay);
        } else {
            self.stop_next_stage();
        }
    }

    /// The lease would run out before everything could be stopped, so the delay is over.
    fn end_delay_by_the_lease(&mut self) {
        self.raise_level_to_one();
        self.blame(true);
        self.stop_next_stage();
    }

    /// Asks the highest live stage to stop, or goes on to what follows if none is live.
    fn stop_next_stage(&mut self) {
        let State::ShuttingDown { then, .. } = self.now.state else {
            return;
        };
        let Some(stage) = self.highest_live_stage() else {
            self.finish(then);
            return;
        };
        self.disarm(Timer::Fence);
        self.now.state = State::ShuttingDown {
            stage: stage as u16,
            step: StopStep::Stopping,
            then,
        };
        let epoch = self.now.epoch;
        for component in self.in_stage(stage) {
            if matches!(
                self.component_state(component),
                ComponentState::Starting | ComponentState::Up
            ) {
                self.set_slot(component, ComponentState::Stopping);
            }
        }
        let stage = stage as u16;
        self.emit(Effect::StopStage { stage, epoch });
        self.arm(Timer::Stage, self.plan.stop_deadline(usize::from(stage)));
    }

    /// Everything is gone, or was given up as wedged.
    fn finish(&mut self, then: AfterStop) {
        if self.now.component_states.contains(&ComponentState::Wedged) {
            self.end(RunOutcome::Halted(HaltReason::Wedged), Cause::Wedged);
            return;
        }
        match then {
            AfterStop::Monitor => self.monitor(Cause::AllGone),
            AfterStop::Drain => self.drain(Cause::AllGone),
            AfterStop::Stop => self.end(RunOutcome::Stopped, Cause::AllGone),
            AfterStop::Halt(why) => {
                let cause = match why {
                    HaltReason::GaveUp => Cause::GaveUp,
                    HaltReason::Fatal => Cause::Fatal,
                    HaltReason::Wedged => Cause::Wedged,
                    _ => panic!("a halt for another reason: {why:?}"),
                };
                self.end(RunOutcome::Halted(why), cause);
            }
        }
    }

    /// Changes what follows the stop. A session that was kept stays until the stop is over: the wish
    /// may be taken back.
    fn go_on_to(&mut self, then: AfterStop) {
        if let State::ShuttingDown { stage, step, .. } = self.now.state {
            self.now.state = State::ShuttingDown { stage, step, then };
        }
    }

    /// An error after the stop was asked for blames nobody, but what is fatal stays fatal.
    fn note_exit_while_stopping(&mut self, component: ComponentId, how: Exit) {
        let asked = matches!(
            self.component_state(component),
            ComponentState::Stopping | ComponentState::Aborting | ComponentState::Wedged
        );
        if !asked {
            self.blame(how.class().blames_dependency());
            self.now.level = self.now.level.max(1);
        }
        if let State::ShuttingDown { then, .. } = self.now.state
            && how.class() == FailureClass::Fatal
        {
            self.go_on_to(then.max(AfterStop::Halt(HaltReason::Fatal)));
        }
    }

    // ---- Drained and Ended ----

    fn drain(&mut self, cause: Cause) {
        self.move_to(State::Drained, cause);
        self.close_session();
        self.disarm_all_but(None);
    }

    fn end(&mut self, end: RunOutcome, cause: Cause) {
        self.move_to(State::Ended(end), cause);
        self.close_session();
        self.disarm_all_but(None);
        let record = self.now.record;
        if self.now.outage_open
            || record.reports > 0
            || record.stale_reports > 0
            || record.failed_starts > 0
        {
            self.close_outage();
        }
        self.emit(Effect::Ended(end));
    }

    // ---- What all states share ----

    fn move_to(&mut self, state: State, cause: Cause) {
        self.hops.push(Transition {
            from: self.now.state.phase(),
            to: state.phase(),
            cause,
            epoch: self.now.epoch,
        });
        self.now.state = state;
    }

    fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn is_armed(&self, timer: Timer) -> bool {
        self.now.armed.contains(&timer)
    }

    fn arm(&mut self, timer: Timer, after: std::time::Duration) {
        if !self.is_armed(timer) {
            self.now.armed.push(timer);
            self.now.armed.sort();
        }
        self.emit(Effect::Arm { timer, after });
    }

    fn disarm(&mut self, timer: Timer) {
        if self.is_armed(timer) {
            self.now.armed.retain(|&armed| armed != timer);
            self.emit(Effect::Disarm { timer });
        }
    }

    fn disarm_all_but(&mut self, kept: Option<Timer>) {
        for timer in Timer::ALL {
            if Some(timer) != kept {
                self.disarm(timer);
            }
        }
    }

    fn arm_silence(&mut self) {
        self.arm(Timer::Silence, self.plan.policy().silence_limit());
    }

    fn open_session(&mut self) {
        self.now.session += 1;
        self.now.session_open = true;
        let session = self.now.session;
        self.emit(Effect::OpenSession { session });
        self.arm_silence();
    }

    /// Whether Silence is still of use is for the next state to say.
    fn close_session(&mut self) {
        if self.now.session_open {
            self.now.session_open = false;
            let session = self.now.session;
            self.emit(Effect::CloseSession { session });
        }
    }

    fn close_outage(&mut self) {
        let outage = self.now.outage;
        let record = Record {
            outage,
            ..self.now.record
        };
        self.now.outage_open = false;
        self.now.record = Record::default();
        self.emit(Effect::OutageClosed(record));
    }

    fn blame(&mut self, dependency: bool) {
        if dependency {
            self.now.blame = Blame::Dependency;
        }
    }

    fn raise_level(&mut self) {
        let cap = self.plan.policy().tuning().max_level();
        self.now.level = (self.now.level + 1).min(cap);
    }

    fn raise_level_to_one(&mut self) {
        self.now.level = self.now.level.max(1);
    }

    fn lower_level_to_one(&mut self) {
        self.now.level = self.now.level.min(1);
    }

    fn exit_cause(&self, component: ComponentId, how: Exit) -> Cause {
        let class = how.class();
        match self.component_state(component) {
            ComponentState::Starting => Cause::StartFailed { component, class },
            _ => Cause::Exited { component, class },
        }
    }

    /// What a component is doing. One that does not exist does nothing.
    fn component_state(&self, component: ComponentId) -> ComponentState {
        let slot = self.now.component_states.get(component.0 as usize);
        slot.copied().unwrap_or(ComponentState::Down)
    }

    fn is_gone(&self, component: ComponentId) -> bool {
        matches!(
            self.component_state(component),
            ComponentState::Down | ComponentState::Finished
        )
    }

    /// Whether this is the regular end of a component that was not asked to stop.
    fn may_finish(&self, component: ComponentId, how: Exit) -> bool {
        let works = matches!(
            self.component_state(component),
            ComponentState::Starting | ComponentState::Up
        );
        works && how == Exit::Returned && self.plan.layout().is_one_shot(component)
    }

    /// Whether nothing is left to do, and the run is to end then.
    fn all_have_finished(&self) -> bool {
        let states = &self.now.component_states;
        self.plan.policy().end_when_finished()
            && states
                .iter()
                .all(|state| *state == ComponentState::Finished)
    }

    /// What the policy wants if a component has failed too often.
    fn after_too_many_failures(&self) -> AfterStop {
        match self.plan.policy().failure_limit() {
            Some(limit) if !limit.drains() => AfterStop::Halt(HaltReason::GaveUp),
            _ => AfterStop::Drain,
        }
    }

    fn one_more_is_up(&mut self, stage: u16, waiting: u32) {
        if waiting > 1 {
            let waiting = waiting - 1;
            self.now.state = State::Restarting { stage, waiting };
        } else {
            self.start_stage(usize::from(stage) + 1);
        }
    }

    fn set_slot(&mut self, component: ComponentId, slot: ComponentState) {
        if let Some(old) = self.now.component_states.get_mut(component.0 as usize) {
            *old = slot;
        }
    }

    fn in_stage(&self, stage: usize) -> Vec<ComponentId> {
        let components = self.plan.layout().stage(stage);
        components.map(ComponentId).collect()
    }

    fn all_in_stage(&self, stage: u16, holds: fn(ComponentState) -> bool) -> bool {
        let components = self.in_stage(usize::from(stage));
        components
            .into_iter()
            .all(|component| holds(self.component_state(component)))
    }

    /// The highest stage of which something still has to be asked to stop.
    fn highest_live_stage(&self) -> Option<usize> {
        (0..self.plan.layout().stages()).rev().find(|&stage| {
            let components = self.in_stage(stage);
            let mut slots = components
                .into_iter()
                .map(|component| self.component_state(component));
            slots.any(|slot| matches!(slot, ComponentState::Starting | ComponentState::Up))
        })
    }
}

/// Whether this is the dependency's doing. An operator who trips, and a lease that runs out, mean it.
fn blames_dependency(cause: Cause) -> bool {
    match cause {
        Cause::Failing | Cause::Silence | Cause::Fence | Cause::Command(Command::Trip) => true,
        Cause::Report { class, .. }
        | Cause::Exited { class, .. }
        | Cause::StartFailed { class, .. } => class.blames_dependency(),
        _ => false,
    }
}
