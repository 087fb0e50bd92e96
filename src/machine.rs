//! The state machine that takes every decision.
//!
//! It takes [`Input`]s and requests [`Effect`]s; it carries out nothing itself. It does no I/O, reads no clock, draws
//! no random number and uses no async code. So its decisions can be enumerated, fuzzed, simulated and replayed.
//!
//! This module is the boundary. The shell, or your own simulator, passes one input at a time to the machine and
//! carries out all effects, in order, before the next input.
//!
//! ```
//! use overwatch::machine::{Effect, Input, Machine, Phase};
//! use overwatch::policy::{ComponentId, Layout, Plan, Policy};
//!
//! let plan = Plan::new(Policy::default(), Layout::new(&[1])?)?;
//! let mut effects = Vec::new();
//! let mut machine = Machine::new(plan, &mut effects);
//! assert!(effects.contains(&Effect::OpenSession { session: 1 }));
//!
//! // At boot one positive observation opens the gate.
//! effects.clear();
//! let step = machine.handle(Input::Alive { session: 1, round: 0 }, &mut effects);
//! assert!(effects.contains(&Effect::StartStage { stage: 0, epoch: 1 }));
//! assert_eq!(step.transitions().next().unwrap().to, Phase::Restarting);
//!
//! effects.clear();
//! let _ = machine.handle(Input::Up { component: ComponentId(0), epoch: 1 }, &mut effects);
//! assert!(machine.is_ready());
//! # Ok::<(), overwatch::PolicyError>(())
//! ```
#![allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "code that drives the machine has to know all inputs and carry out all effects: one more is a new major version"
)]

mod cause;
mod command;
mod core;
mod drained;
mod effect;
mod ended;
mod input;
mod monitoring;
mod moves;
mod packed;
mod restarting;
mod running;
mod shutting_down;
mod snapshot;
mod state;
mod step;
mod supervising;

use std::sync::Arc;

use statig::Outcome;
use statig::blocking::{State as _, StateExt, Superstate as _};

use self::core::{Core, Cx};
use crate::policy::{ComponentId, Plan};

pub use self::cause::Cause;
pub use self::command::Command;
pub(crate) use self::command::any_command;
pub use self::core::ComponentState;
pub use self::effect::{Effect, Record, Timer};
pub use self::input::{Exit, FailureClass, Input};
pub(crate) use self::packed::{code, decode};
pub use self::snapshot::{Snapshot, SnapshotError};
pub use self::state::{AfterStop, HaltReason, Phase, RunOutcome, State, StopStep};
pub use self::step::{Hops, IgnoreReason, Step, Transition};

/// The state machine. See the [module](self) for how to drive it.
///
/// A machine is plain data that can be cloned, compared and hashed. Two equal machines behave alike from then on,
/// except for the counts in their records and for the jitter of hold-offs. The comparison leaves out the numbers
/// behind these because they only grow.
///
/// ```
/// use overwatch::machine::{Input, Machine, Phase};
/// use overwatch::policy::{Layout, Plan, Policy};
///
/// let mut effects = Vec::new();
/// let plan = Plan::new(Policy::default(), Layout::new(&[1])?)?;
/// let mut machine = Machine::new(plan, &mut effects);
/// assert_eq!(machine.phase(), Phase::Monitoring);
/// let step = machine.handle(Input::Alive { session: 1, round: 0 }, &mut effects);
/// assert_eq!(step.transitions().next().unwrap().to, Phase::Restarting);
/// # Ok::<(), overwatch::PolicyError>(())
/// ```
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    state: State,
    core: Core,
}

impl Clone for Machine {
    fn clone(&self) -> Self {
        Self {
            state: self.state,
            core: self.core.clone(),
        }
    }

    fn clone_from(&mut self, source: &Self) {
        self.state = source.state;
        self.core.clone_from(&source.core);
    }
}

impl Machine {
    /// Creates a machine at boot: in Monitoring, at level 0, with outage 0 open. Appends the first effects.
    pub fn new(plan: impl Into<Arc<Plan>>, effects: &mut Vec<Effect>) -> Self {
        let mut state = State::Monitoring {
            evidence: 0,
            done: false,
        };
        let mut core = Core::new(plan.into());
        core.outage_open = true;
        let mut cx = Cx::new(effects, state, ComponentState::Down);
        cx.emit(Effect::OutageOpened {
            outage: 0,
            cause: Cause::Boot,
        });
        let depth = StateExt::<Core>::depth(&mut state);
        state.enter(&mut core, &mut cx, depth);
        Self { state, core }
    }

    /// Handles one input and appends the effects, in the order in which they must be carried out.
    ///
    /// Allocates nothing as long as `effects` has room. One input has at most nine effects. If a stage did not stop
    /// within its deadline, there is also one [`Effect::Abort`] for each component of the stage that is late.
    #[inline]
    pub fn handle(&mut self, input: Input, effects: &mut Vec<Effect>) -> Step {
        match self.state {
            State::Ended(_) => Step::Ignored(IgnoreReason::NotHandled),
            _ => self.take(&input, effects),
        }
    }

    fn take(&mut self, input: &Input, effects: &mut Vec<Effect>) -> Step {
        let Self { state, core } = self;
        let was = match core.admit(input) {
            Ok(was) => was,
            Err(why) => return Step::Ignored(why),
        };
        let mut cx = Cx::new(effects, *state, was);
        match dispatch(state, core, input, &mut cx) {
            Outcome::Super => Step::Ignored(IgnoreReason::NotHandled),
            Outcome::Handled => Step::Absorbed,
            Outcome::Transition(mut target) => {
                let (exits, entries) = StateExt::<Core>::transition_path(state, &mut target);
                state.exit(core, &mut cx, exits);
                *state = target;
                state.enter(core, &mut cx, entries);
                Step::Moved(cx.into_hops())
            }
        }
    }

    pub(crate) fn normalize(&mut self) {
        self.core.normalize();
    }

    /// The current state, with its details.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The name of the current state.
    pub fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// Whether the service is ready, for health endpoints.
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// Whether the next start depends on observations: everything is stopped, or being stopped.
    pub fn is_proving(&self) -> bool {
        !matches!(self.phase(), Phase::Restarting | Phase::Running)
    }

    /// Whether this is the unready delay: everything still works, although a stop was requested.
    pub fn is_delaying(&self) -> bool {
        matches!(
            self.state,
            State::ShuttingDown {
                step: StopStep::Delaying,
                ..
            }
        )
    }

    /// Whether the hold-off is over, so that one more observation is enough for a start.
    pub fn is_proved(&self) -> bool {
        matches!(self.state, State::Monitoring { done: true, .. })
    }

    /// How long the dependency must stay alive before the next start, before jitter. `None` if no start follows.
    ///
    /// It follows from the [level](Self::level) and from [what is at fault](Self::blame).
    pub fn hold_off(&self) -> Option<::core::time::Duration> {
        let starts = match self.state {
            State::ShuttingDown { then, .. } => then <= AfterStop::Drain,
            State::Running { .. } | State::Ended(_) => false,
            State::Monitoring { .. } | State::Restarting { .. } | State::Drained => true,
        };
        let policy = self.core.plan.policy();
        starts.then(|| policy.hold_off(self.level(), self.blame()))
    }

    /// Whether everything is stopped, or will be, as the [limit](crate::policy::FailureLimit) of failures says.
    ///
    /// It is not after a component has failed too often, if something graver follows.
    pub fn follows_failure_limit(&self) -> bool {
        let Some(limit) = self.core.plan.policy().failure_limit() else {
            return false;
        };
        let gives_up = HaltReason::GaveUp;
        match self.state {
            State::ShuttingDown { then, .. } if limit.drains() => then == AfterStop::Drain,
            State::ShuttingDown { then, .. } => then == AfterStop::Halt(gives_up),
            State::Drained => limit.drains(),
            State::Ended(end) => !limit.drains() && end == RunOutcome::Halted(gives_up),
            State::Running { .. } | State::Monitoring { .. } | State::Restarting { .. } => false,
        }
    }

    /// The number of the current epoch, or of the last one. 0 before the first start.
    pub fn epoch(&self) -> u64 {
        self.core.epoch
    }

    /// The open session, if there is one. Only its observations count.
    pub fn session(&self) -> Option<u64> {
        self.core.session_open.then_some(self.core.session)
    }

    /// The last round of observations that was requested; 0 if none was.
    pub fn round(&self) -> u64 {
        self.core.round
    }

    /// The number of the last outage. Boot is outage 0.
    pub fn outage(&self) -> u64 {
        self.core.outage
    }

    /// Whether the last outage is still open.
    pub fn outage_is_open(&self) -> bool {
        self.core.outage_open
    }

    /// The level: how often the service relapsed lately.
    pub fn level(&self) -> u32 {
        self.core.level
    }

    /// What is at fault for the present outage.
    pub fn blame(&self) -> crate::policy::Blame {
        self.core.blame
    }

    /// The counts since the last record was closed.
    pub fn record(&self) -> Record {
        Record {
            outage: self.core.outage,
            ..self.core.ledger.record
        }
    }

    /// The state of a component, as far as the machine knows.
    pub fn component_state(&self, component: ComponentId) -> ComponentState {
        self.core.component_state(component)
    }

    /// How many components of the present stage have not yet reported that they are up, or gone.
    /// 0 if nothing was requested from them.
    pub fn awaited(&self) -> u32 {
        match self.state {
            State::Restarting { waiting, .. } => waiting,
            State::ShuttingDown {
                step: StopStep::Delaying,
                ..
            } => 0,
            State::ShuttingDown { stage, .. } => self.core.live_in(stage),
            _ => 0,
        }
    }

    /// Whether a timer is armed.
    pub fn is_armed(&self, timer: Timer) -> bool {
        self.core.is_armed(timer)
    }

    /// The plan that the machine was built from.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.core.plan
    }
}

/// Calls the handler of the state, then that of each superstate, until one of them handles the input.
// `StateExt::handle` does the same, but it is recursive and so cannot be inlined. It also calls hooks before and after
// each handler, which this machine does not have.
#[inline]
fn dispatch(state: &mut State, core: &mut Core, input: &Input, cx: &mut Cx<'_>) -> Outcome<State> {
    let outcome = state.call_handler(core, input, cx);
    let Outcome::Super = outcome else {
        return outcome;
    };
    let mut above = state.superstate();
    while let Some(mut superstate) = above {
        let outcome = superstate.call_handler(core, input, cx);
        let Outcome::Super = outcome else {
            return outcome;
        };
        above = superstate.superstate();
    }
    Outcome::Super
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use statig::blocking::StateExt;

    use super::core::Cx;
    use super::{Effect, Input, Machine, Step, dispatch};
    use crate::explore::Explorer;
    use crate::policy::{Layout, Plan, Policy, Tuning};

    /// Hands an input on in both ways, and then as it should be.
    fn in_both_ways(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
        let (mut ours, mut theirs) = (machine.clone(), machine.clone());
        let (mut our_effects, mut their_effects) = (Vec::new(), Vec::new());
        let admitted = (ours.core.admit(&input), theirs.core.admit(&input));
        if let (Ok(was), Ok(_)) = admitted {
            let mut cx = Cx::new(&mut our_effects, ours.state, was);
            let our_outcome = dispatch(&mut ours.state, &mut ours.core, &input, &mut cx);
            let mut cx = Cx::new(&mut their_effects, theirs.state, was);
            let their_outcome = theirs.state.handle(&mut theirs.core, &input, &mut cx);
            assert_eq!(our_outcome, their_outcome, "{input:?} in {machine:?}");
        }
        assert_eq!((ours, our_effects), (theirs, their_effects));
        machine.handle(input, effects)
    }

    #[test]
    fn it_hands_on_as_statig_does_in_every_situation() {
        let tick = Duration::from_millis(1);
        let tuning = Tuning::default()
            .with_backoff(tick)
            .with_max_hold_off(2 * tick)
            .with_max_level(1)
            .with_unready_delay(tick);
        let policy = Policy::builder().window(2 * tick).tuning(tuning).build();
        let layout = Layout::new(&[1, 1]).expect("no gaps");
        let plan = Plan::new(policy.expect("it works"), layout).expect("it works");
        let explorer = Explorer::new(plan)
            .expect("small")
            .with_handle(in_both_ways);
        explorer.visit(|_| {}).expect("lawful");
    }
}
