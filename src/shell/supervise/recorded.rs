//! A step on its way to the hook.

use std::sync::Arc;
use std::time::Duration;

use crate::driver::{Arrival, Decision};
use crate::machine::Effect;
use crate::policy::Plan;
use crate::shell::failure::ReportedFailure;
use crate::shell::step_record::{Arrived, Hook, StepRecord};

/// A step, with the arrivals since the step before.
pub(crate) struct Recorded {
    pub(crate) plan: Arc<Plan>,
    pub(crate) at: Duration,
    pub(crate) came: Vec<Came>,
    /// `None` if the arrivals were too old to be an input.
    pub(crate) decision: Option<Decision>,
    pub(crate) effects: Vec<Effect>,
}

/// One arrival, with its time and its texts.
pub(crate) struct Came {
    pub(crate) at: Duration,
    pub(crate) arrival: Arrival,
    pub(crate) words: Vec<Words>,
}

/// The text of an arrival. The reader makes it, if it was not made before.
pub(crate) enum Words {
    Text(Arc<str>),
    Failure(Arc<ReportedFailure>),
}

impl Recorded {
    pub(crate) fn read_by(self, missed: u64, hook: &mut Hook) {
        let arrived = |came: Came| Arrived {
            at: came.at,
            arrival: came.arrival,
            words: came.words.into_iter().map(Words::into_text).collect(),
        };
        let arrivals: Vec<Arrived> = self.came.into_iter().map(arrived).collect();
        let decision = self.decision;
        hook(StepRecord {
            plan: &self.plan,
            at: self.at,
            arrivals: &arrivals,
            input: decision.and_then(|decision| decision.input()),
            step: decision.and_then(|decision| decision.step()),
            effects: &self.effects,
            is_boot: decision.is_some_and(|decision| decision.told.is_none()),
            observe_only: decision.is_some_and(|decision| decision.carried.is_dry()),
            missed,
        });
    }
}

impl Words {
    fn into_text(self) -> Arc<str> {
        match self {
            Self::Text(text) => text,
            Self::Failure(told) => Arc::clone(told.text()),
        }
    }
}
