//! What the hook of [`Builder::on_step`](crate::Builder::on_step) gets.

use std::sync::Arc;
use std::time::Duration;

use crate::driver::Arrival;
use crate::machine::{Effect, Input, Step};
use crate::policy::Plan;

/// What [`Builder::on_step`](crate::Builder::on_step) calls.
pub(crate) type Hook = Box<dyn FnMut(StepRecord<'_>) + Send>;

/// One step of a run, for [`Builder::on_step`](crate::Builder::on_step): what had arrived since the step before, the
/// input of the machine, and its effects. A recording of them is enough to replay the run with a
/// [`Decider`](crate::driver::Decider): the same arrivals at the same times give the same steps.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StepRecord<'a> {
    /// The plan of the service.
    pub plan: &'a Arc<Plan>,
    /// When, from the begin of the run.
    pub at: Duration,
    /// What had arrived since the record before, in order.
    pub arrivals: &'a [Arrived],
    /// The input of the machine; `None` at boot, and where what had arrived was too old to be an input.
    pub input: Option<Input>,
    /// How the machine took the input; `None` where there was none.
    pub step: Option<Step>,
    /// The effects, in order.
    pub effects: &'a [Effect],
    /// Whether this is the boot of the machine: its first effects.
    pub is_boot: bool,
    /// Whether it only shows what would be done ([`Builder::observe_only`](crate::Builder::observe_only)): a step of the machine that
    /// is beside that of the service.
    pub observe_only: bool,
    /// How many steps before this one are missing, because the hook was too slow.
    pub missed: u64,
}

/// What arrived at the driver of a run, with the texts that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrived {
    /// When, from the begin of the run.
    pub at: Duration,
    /// What.
    pub arrival: Arrival,
    /// Of an observation, its evidence or reason. Of reports, the first one's text. Of a component that has
    /// ended, the text of its failure, if it failed, and then of its last reports, in their order.
    pub words: Vec<Arc<str>>,
}
