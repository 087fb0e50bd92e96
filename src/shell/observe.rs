//! Observe-only: the service runs as if nothing watched it, beside a shadow that shows what would
//! happen.
//!
//! It is no mode of the machine. The real machine is told of a dependency that is always alive, and
//! of no reports but fatal ones; the shadow is told what was really seen.

use std::sync::Arc;

use tokio::time::Instant;

use super::describe::describe;
use super::journal::Transitioned;
use super::session::Sessions;
use super::shared::Shared;
use super::timers::Timers;
use super::{log::Log, trace};
use crate::machine::{Class, Effect, Input, Machine, Phase, Shadow, Timer};
use crate::policy::Plan;

pub(super) struct Observed {
    shadow: Shadow,
    pub(super) timers: Timers,
    entered: Instant,
    transitions: u64,
}

/// Who is told an input in observe-only.
pub(super) struct Route {
    pub(super) real: Option<Input>,
    pub(super) shadow: Option<Input>,
}

impl Observed {
    pub(super) fn new(plan: Arc<Plan>, sessions: &mut Sessions, log: &Log) -> Self {
        let mut effects = Vec::new();
        let shadow = Shadow::new(plan, &mut effects);
        let mut observed = Self {
            shadow,
            timers: Timers::default(),
            entered: Instant::now(),
            transitions: 0,
        };
        sessions.enter(observed.phase());
        carry_out(&effects, &mut observed.timers, sessions, log);
        observed
    }

    /// The session whose observations count.
    pub(super) fn session(&self) -> Option<u64> {
        self.shadow.machine().session()
    }

    /// Where the shadow is.
    pub(super) fn phase(&self) -> Phase {
        self.shadow.machine().phase()
    }

    /// Who is to be told an input that would otherwise go to the real machine.
    pub(super) fn route(input: Input, machine: &Machine) -> Route {
        let alive = |session| Input::Alive {
            session,
            round: machine.round(),
        };
        let (real, shadow) = match input {
            Input::Alive { .. } => (None, Some(input)),
            // Nothing that the probe says ends the run.
            Input::Failing { session, .. } => {
                let fatal = false;
                (None, Some(Input::Failing { session, fatal }))
            }
            Input::Report {
                class: Class::Fatal,
                ..
            } => (Some(input), None),
            Input::Report { .. } => (None, Some(input)),
            Input::LeaseRenewed { .. } | Input::Frozen => (None, Some(input)),
            Input::Fired(Timer::Fence) => (None, None),
            Input::Fired(Timer::Silence) => (machine.session().map(alive), None),
            Input::Drain | Input::Resume | Input::Reset | Input::Trip => (Some(input), Some(input)),
            Input::Up { .. }
            | Input::Exited { .. }
            | Input::Gone { .. }
            | Input::Fired(_)
            | Input::Shutdown => (Some(input), None),
        };
        Route { real, shadow }
    }

    /// Tells the shadow, and logs what it would have done.
    pub(super) fn handle(
        &mut self,
        input: Input,
        detail: Option<&str>,
        shared: &Arc<Shared>,
        sessions: &mut Sessions,
        log: &Log,
    ) {
        if let Input::Fired(timer) = input {
            self.timers.disarm(timer);
        }
        let (timers, entered, transitions) =
            (&mut self.timers, &mut self.entered, &mut self.transitions);
        self.shadow.handle(input, |machine, _, step, effects| {
            let now = Instant::now();
            for hop in step.transitions() {
                let transitioned = Transitioned {
                    number: *transitions,
                    at: now,
                    from: hop.from,
                    to: hop.to,
                    cause: hop.cause,
                    reason: describe(hop.cause, detail, shared).into(),
                    epoch: hop.epoch,
                    outage: machine.outage(),
                    spent: now - *entered,
                };
                trace::transition(log, transitioned, shared, true);
                *entered = now;
                *transitions += 1;
            }
            sessions.enter(machine.phase());
            carry_out(effects, timers, sessions, log);
        });
    }
}

/// Timers and sessions are real; the rest is only logged.
fn carry_out(effects: &[Effect], timers: &mut Timers, sessions: &mut Sessions, log: &Log) {
    for effect in effects {
        match *effect {
            Effect::Arm { timer, after } => {
                timers.arm(timer, after);
            }
            Effect::Disarm { timer } => timers.disarm(timer),
            Effect::OpenSession { session } => sessions.open(session),
            Effect::CloseSession { .. } => sessions.close(),
            Effect::Ask { round } => sessions.ask(round),
            _ => {}
        }
    }
    trace::effects(log, effects, true);
}
