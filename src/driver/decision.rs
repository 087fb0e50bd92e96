//! The decisions, and which of their effects must be carried out.

use core::time::Duration;

use super::arrival::Source;
use super::order::Tell;
use crate::machine::{Effect, Input, Step};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// The machine made a step: carry out its effects, in order.
    Step(Decision),
    /// See [`Next::Drop`](super::Next::Drop).
    Drop(Source),
    /// See [`Next::WhySilent`](super::Next::WhySilent).
    WhySilent {
        /// When there was last an observation, or when the wait for one began.
        since: Duration,
    },
    /// See [`Next::Wait`](super::Next::Wait).
    Wait(Option<Duration>),
}

/// One step of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The input of the machine, and its result; `None` for the first step, the boot.
    pub told: Option<(Tell, Step)>,
    /// Which of the effects must be carried out. All of them must be logged.
    pub carried: Carried,
    /// Whether the input has changed the state of the machine, its level or its blame.
    ///
    /// A command that changes nothing came too late, e.g. a drain during a shutdown, or was carried out already.
    pub changed: bool,
}

/// Which effects of a step are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carried {
    /// All effects.
    All,
    /// All effects except those on the sessions with the dependency: for the service in a dry run.
    Service,
    /// Only the effects on the sessions with the dependency: for the machine that is only shown in a dry run.
    Sessions,
}

impl Carried {
    /// Whether this effect must be carried out.
    pub fn includes(self, effect: &Effect) -> bool {
        let of_session = matches!(
            effect,
            Effect::OpenSession { .. } | Effect::CloseSession { .. } | Effect::Ask { .. }
        );
        match self {
            Self::All => true,
            Self::Service => !of_session,
            Self::Sessions => of_session,
        }
    }

    /// Whether the step only shows what would be done.
    pub fn is_dry(self) -> bool {
        self == Self::Sessions
    }
}

impl Decision {
    /// The input of the machine; `None` at boot.
    pub fn input(&self) -> Option<Input> {
        self.told.map(|(tell, _)| tell.input)
    }

    /// The result of the input; `None` at boot.
    pub fn step(&self) -> Option<Step> {
        self.told.map(|(_, step)| step)
    }
}
