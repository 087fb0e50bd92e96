//! The states, their hierarchy, and where each one's handler is.
//!
//! ```text
//! Supervising                              handles Shutdown, Drain and what is fatal
//! ├── Serving              ready
//! │   └── Running          below the trip threshold; suspicion decays
//! └── Suspended            not ready; a report, a trip or a freeze raises the level to at least 1
//!     ├── ShuttingDown     stop stage by stage; abort what overruns
//!     ├── Monitoring       the hold-off runs only on positive evidence
//!     ├── Restarting       start stage by stage; any failure unwinds
//!     └── Drained          an operator asked; waits for resume
//! Ended                    Stopped (asked for) or Halted (cannot go on safely)
//! ```

use core::fmt;

use statig::Outcome;
use statig::blocking::{self, IntoStateMachine};

use super::core::{Core, Cx};
use super::{Input, drained, ended, monitoring, restarting, running, shutting_down, supervising};

/// Where the machine is. [`Phase`] is the same without the details.
// With a tag of a byte it fits into one register, and what a handler returns is shifted into it and
// out of it again at each level of the hierarchy: a seventh of all that an input costs.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// All components are up and the service is ready.
    Running {
        /// Reports and failing observations that have not decayed yet, below the trip threshold.
        suspicion: u32,
    },
    /// Components are being stopped, stage by stage, descending.
    ShuttingDown {
        /// The stage that is being stopped. During the delay: the highest live one.
        stage: u16,
        /// How far it is.
        step: StopStep,
        /// What follows when everything is gone.
        then: AfterStop,
    },
    /// Everything is stopped; the dependency must prove itself.
    Monitoring {
        /// Alive observations of the present clean run, up to as many as are needed.
        evidence: u32,
        /// Whether the hold-off has passed in this clean run.
        done: bool,
    },
    /// Components are being started, stage by stage, ascending.
    Restarting {
        /// The stage that is being started.
        stage: u16,
        /// How many of its components are not up yet.
        waiting: u32,
    },
    /// Everything is stopped because an operator asked.
    Drained,
    /// The run is over.
    Ended(RunOutcome),
}

/// How far the stop of a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopStep {
    /// Not ready, but nothing is stopped yet: the delay of a wanted stop.
    Delaying,
    /// The stage was asked to stop.
    Stopping,
    /// What did not stop in time was aborted.
    Aborting,
}

/// What follows a stop, from the weakest wish to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AfterStop {
    /// Monitor, and restart when the dependency has proved itself.
    Monitor,
    /// Wait for an operator's resume.
    Drain,
    /// End, because a shutdown was asked for.
    Stop,
    /// End, because it cannot go on.
    Halt(HaltReason),
}

/// How the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunOutcome {
    /// A shutdown was asked for, and everything is stopped.
    Stopped,
    /// It cannot go on safely: the process must exit.
    Halted(HaltReason),
}

/// Why the run was halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HaltReason {
    /// After [as many failed starts in a row](crate::policy::PolicyBuilder::give_up_after) as the
    /// policy allows.
    GaveUp,
    /// A component reported something that no restart could mend.
    Fatal,
    /// Components survived their abort: only the end of the process ends them.
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

/// A state's name, without its details.
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
    /// Everything is stopped because an operator asked.
    Drained,
    /// The run is over, as was asked for.
    Stopped,
    /// The run is over because it cannot go on safely.
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
    /// The state's name, without its details.
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

/// The superstates. They carry nothing: what they need is in [`Core`].
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
