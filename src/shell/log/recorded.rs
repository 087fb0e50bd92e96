//! A step on its way to the hook.

use std::sync::Arc;
use std::time::Duration;

use crate::driver::{Arrival, Decision};
use crate::machine::Effect;
use crate::policy::Plan;
use crate::shell::overwatch::{Arrived, Hook, StepRecord};
use crate::shell::told::Told;

/// A step, and what had arrived since the one before.
pub(in crate::shell) struct Recorded {
    pub(in crate::shell) plan: Arc<Plan>,
    pub(in crate::shell) at: Duration,
    pub(in crate::shell) came: Vec<Came>,
    /// `None` if what had arrived was too old to be told.
    pub(in crate::shell) decision: Option<Decision>,
    pub(in crate::shell) effects: Vec<Effect>,
    pub(in crate::shell) missed: u64,
}

/// What arrived, and when.
pub(in crate::shell) struct Came {
    pub(in crate::shell) at: Duration,
    pub(in crate::shell) arrival: Arrival,
    pub(in crate::shell) words: Vec<Words>,
}

/// A text that came with it. It is made by who reads it, if nobody has made it by then.
pub(in crate::shell) enum Words {
    Text(Arc<str>),
    Told(Arc<Told>),
}

impl Recorded {
    pub(super) fn read_by(self, hook: &mut Hook) {
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
            missed: self.missed,
        });
    }
}

impl Words {
    fn into_text(self) -> Arc<str> {
        match self {
            Self::Text(text) => text,
            Self::Told(told) => Arc::clone(told.text()),
        }
    }
}
