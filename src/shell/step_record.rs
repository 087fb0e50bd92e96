//! The argument of the hook of [`Builder::on_step`](crate::Builder::on_step).

use std::sync::Arc;
use std::time::Duration;

use crate::driver::Arrival;
use crate::machine::{Effect, Input, Step};
use crate::policy::Plan;

/// The hook of [`Builder::on_step`](crate::Builder::on_step).
pub(crate) type Hook = Box<dyn FnMut(StepRecord<'_>) + Send>;

/// One step of a run, for [`Builder::on_step`](crate::Builder::on_step).
///
/// It contains the arrivals since the step before, the input of the machine, and its effects. A recording of all steps
/// is enough to replay the run with a [`Decider`](crate::driver::Decider): the same arrivals at the same times give
/// the same steps.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StepRecord<'a> {
    /// The plan of the service.
    pub plan: &'a Arc<Plan>,
    /// When, from the beginning of the run.
    pub at: Duration,
    /// The arrivals since the record before, in order.
    pub arrivals: &'a [Arrived],
    /// The input of the machine; `None` at boot, and if the arrivals were too old to be an input.
    pub input: Option<Input>,
    /// The result of the input; `None` if there was no input.
    pub step: Option<Step>,
    /// The effects, in order.
    pub effects: &'a [Effect],
    /// Whether this is the boot of the machine, with its first effects.
    pub is_boot: bool,
    /// Whether the effects are not carried out ([`Builder::observe_only`](crate::Builder::observe_only)).
    ///
    /// Then this is a step of a second machine, beside the one that runs the service.
    pub observe_only: bool,
    /// How many steps before this one are missing, because the hook was too slow.
    pub missed: u64,
}

/// One arrival at the driver of a run, with its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrived {
    /// When, from the beginning of the run.
    pub at: Duration,
    /// The arrival.
    pub arrival: Arrival,
    /// The texts.
    ///
    /// For an observation, its evidence or reason. For reports, the text of the first one. For a component that has
    /// ended, the text of its failure, if it failed, and then the texts of its last reports, in order.
    pub words: Vec<Arc<str>>,
}
