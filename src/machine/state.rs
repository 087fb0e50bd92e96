//! The states, their hierarchy, and the calls to their handlers.
//!
//! ```text
//! Supervising                              handles Shutdown, Drain, what is fatal and what failed too often
//! ├── Serving              ready
//! │   └── Running          below the trip threshold; suspicion decays
//! └── Suspended            not ready; a report, a trip or a freeze raises the level to at least 1
//!     ├── ShuttingDown     stop stage by stage; abort what overruns
//!     ├── Monitoring       the hold-off runs only on positive evidence
//!     ├── Restarting       start stage by stage; any failure unwinds
//!     └── Drained          an operator or a failure limit asked; waits for resume
//! Ended                    Stopped (asked for, or all finished) or Halted (cannot go on safely)
//! ```

use core::fmt;

use statig::Outcome;
use statig::blocking::{self, IntoStateMachine};

use super::core::{Core, Cx};
use super::{Input, drained, ended, monitoring, restarting, running, shutting_down, supervising};

/// The state of the machine. [`Phase`] is the same without the details.
// `u32`, because with a tag of one byte the state fits into one register. Then the result of a handler is shifted into
// the register and out again at each level of the hierarchy, which is a seventh of the cost of an input.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// All components are up and the service is ready.
    Running {
        /// The number of reports and failing observations that have not decayed yet, below the trip threshold.
        suspicion: u32,
    },
    /// Components are being stopped, stage by stage, in descending order.
    ShuttingDown {
        /// The stage that is being stopped. During the delay this is the highest live stage.
        stage: u16,
        /// How far the stop of this stage is.
        step: StopStep,
        /// What follows when everything is gone.
        then: AfterStop,
    },
    /// Everything is stopped; the dependency must prove itself.
    Monitoring {
        /// The number of alive observations in this clean run, up to the number that is needed.
        evidence: u32,
        /// Whether the hold-off has passed in this clean run.
        done: bool,
    },
    /// Components are being started, stage by stage, in ascending order.
    Restarting {
        /// The stage that is being started.
        stage: u16,
        /// How many of its components are not up yet.
        waiting: u32,
    },
    /// Everything is stopped because an operator asked for it, or because a component failed too often.
    Drained,
    /// The run is over.
    Ended(RunOutcome),
}

/// How far the stop of a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopStep {
    /// Not ready, but nothing is stopped yet: the unready delay of a requested stop.
    Delaying,
    /// The stage was asked to stop.
    Stopping,
    /// The components that did not stop in time were aborted.
    Aborting,
}

/// What follows a stop, from the weakest request to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AfterStop {
    /// Monitor the dependency, and restart when it has proved itself.
    Monitor,
    /// Wait for an operator's resume.
    Drain,
    /// End, because a shutdown was requested, or because every component has finished.
    Stop,
    /// End, because the run cannot go on.
    Halt(HaltReason),
}

/// How the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunOutcome {
    /// A shutdown was requested, or every component has finished. Everything is stopped.
    Stopped,
    /// The run cannot go on safely: the process must exit.
    Halted(HaltReason),
}

/// Why the run was halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HaltReason {
    /// Too many starts failed in a row, or a component failed too often.
    ///
    /// The policy sets both limits: [`give_up_after`](crate::policy::PolicyBuilder::give_up_after) and
    /// [`failure_limit`](crate::policy::PolicyBuilder::failure_limit).
    GaveUp,
    /// There was a failure that a restart cannot fix.
    Fatal,
    /// A component was not gone within the abort deadline: only the end of the process ends it.
    Wedged,
}

impl HaltReason {
    /// The stable name used in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GaveUp => "gave_up",
            Self::Fatal => "fatal",
            Self::Wedged => "wedged",
        }
    }
}

/// The name of a state, without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// All components are up and the service is ready.
    Running,
    /// Components are being stopped.
    ShuttingDown,
    /// Everything is stopped; the dependency must prove itself.
    Monitoring,
    /// Components are being started.
    Restarting,
    /// Everything is stopped because an operator asked for it, or because a component failed too often.
    Drained,
    /// The run is over, as requested, or because every component has finished.
    Stopped,
    /// The run is over because it could not go on safely.
    Halted,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 7] = [
        Self::Running,
        Self::ShuttingDown,
        Self::Monitoring,
        Self::Restarting,
        Self::Drained,
        Self::Stopped,
        Self::Halted,
    ];

    /// The stable name used in logs, in status pages and in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::ShuttingDown => "ShuttingDown",
            Self::Monitoring => "Monitoring",
            Self::Restarting => "Restarting",
            Self::Drained => "Drained",
            Self::Stopped => "Stopped",
            Self::Halted => "Halted",
        }
    }

    /// Whether the run is over.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Stopped | Self::Halted)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl State {
    /// The name of the state, without its details.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Running { .. } => Phase::Running,
            Self::ShuttingDown { .. } => Phase::ShuttingDown,
            Self::Monitoring { .. } => Phase::Monitoring,
            Self::Restarting { .. } => Phase::Restarting,
            Self::Drained => Phase::Drained,
            Self::Ended(RunOutcome::Stopped) => Phase::Stopped,
            Self::Ended(RunOutcome::Halted(_)) => Phase::Halted,
        }
    }
}

/// The superstates. They have no data: what they need is in [`Core`].
pub(super) enum Superstate {
    Supervising,
    Serving,
    Suspended,
}

impl IntoStateMachine for Core {
    type Event<'evt> = Input;
    type Context<'cx> = Cx<'cx>;
    type State = State;
    type Superstate<'sub> = Superstate;

    fn initial() -> State {
        State::Monitoring {
            evidence: 0,
            done: false,
        }
    }
}

impl blocking::State<Core> for State {
    #[inline]
    fn call_handler(&mut self, core: &mut Core, input: &Input, cx: &mut Cx<'_>) -> Outcome<Self> {
        match self {
            Self::Running { suspicion } => running::handle(suspicion, core, input, cx),
            Self::ShuttingDown { stage, step, then } => {
                shutting_down::handle(stage, step, then, core, input, cx)
            }
            Self::Monitoring { evidence, done } => {
                monitoring::handle(evidence, done, core, input, cx)
            }
            Self::Restarting { stage, waiting } => {
                restarting::handle(stage, waiting, core, input, cx)
            }
            Self::Drained => drained::handle(core, input, cx),
            Self::Ended(_) => Outcome::Super,
        }
    }

    fn call_entry_action(&mut self, core: &mut Core, cx: &mut Cx<'_>) {
        match self {
            Self::Running { .. } => running::enter(core, cx),
            Self::ShuttingDown { stage, step, .. } => shutting_down::enter(*stage, *step, core, cx),
            Self::Monitoring { .. } => monitoring::enter(core, cx),
            Self::Restarting { stage, .. } => restarting::enter(*stage, core, cx),
            Self::Drained => drained::enter(core, cx),
            Self::Ended(end) => ended::enter(*end, core, cx),
        }
    }

    #[inline]
    fn superstate(&mut self) -> Option<Superstate> {
        match self {
            Self::Running { .. } => Some(Superstate::Serving),
            Self::ShuttingDown { .. }
            | Self::Monitoring { .. }
            | Self::Restarting { .. }
            | Self::Drained => Some(Superstate::Suspended),
            Self::Ended(_) => None,
        }
    }
}

impl blocking::Superstate<Core> for Superstate {
    #[inline]
    fn call_handler(&mut self, core: &mut Core, input: &Input, cx: &mut Cx<'_>) -> Outcome<State> {
        match self {
            Self::Supervising => supervising::supervising(core, input, cx),
            Self::Serving => Outcome::Super,
            Self::Suspended => supervising::suspended(core, input),
        }
    }

    #[inline]
    fn superstate(&mut self) -> Option<Self> {
        match self {
            Self::Supervising => None,
            Self::Serving | Self::Suspended => Some(Self::Supervising),
        }
    }
}
