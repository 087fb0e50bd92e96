//! What was decided, and which of its effects are to be carried out.

use core::time::Duration;

use super::arrival::Source;
use super::order::Tell;
use crate::machine::{Effect, Input, Step};

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// A step was taken: carry out its effects, in order.
    Step(Decision),
    /// See [`Next::Drop`](super::Next::Drop).
    Drop(Source),
    /// See [`Next::WhySilent`](super::Next::WhySilent).
    WhySilent {
        /// When something was last seen, or the wait for it began.
        since: Duration,
    },
    /// See [`Next::Wait`](super::Next::Wait).
    Wait(Option<Duration>),
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the machine was told, and what became of it; `None` for the first step, the boot.
    pub told: Option<(Tell, Step)>,
    /// Which of the effects are to be carried out. All are to be logged.
    pub carried: Carried,
}

/// Which effects of a step are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carried {
    /// All.
    All,
    /// All but those on the dependency's sessions: of the service in a dry run.
    Service,
    /// Only those on the dependency's sessions: of what is only shown in a dry run.
    Sessions,
}

impl Carried {
    /// Whether this effect is to be carried out.
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
    /// What the machine was told; `None` at boot.
    pub fn input(&self) -> Option<Input> {
        self.told.map(|(tell, _)| tell.input)
    }

    /// What became of it; `None` at boot.
    pub fn step(&self) -> Option<Step> {
        self.told.map(|(_, step)| step)
    }
}
