//! What the machine says of one input.

use core::fmt;

use super::{Cause, Phase};

/// What became of one input. Nothing vanishes: it was ignored, absorbed, or it moved the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "it says whether the input was ignored"]
pub enum Step {
    /// It had no effect, and why.
    Ignored(IgnoreReason),
    /// It was taken in without a transition.
    Absorbed,
    /// It moved the machine.
    Moved(Hops),
}

impl Step {
    /// The transitions that it caused, in order. None for most inputs.
    pub fn transitions(&self) -> impl Iterator<Item = Transition> + use<> {
        let hops = match self {
            Self::Moved(hops) => *hops,
            Self::Ignored(_) | Self::Absorbed => Hops::default(),
        };
        hops.iter()
    }
}

/// Why an input was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IgnoreReason {
    /// It belongs to another epoch.
    OtherEpoch,
    /// It belongs to another session.
    OtherSession,
    /// It speaks of a component that is not alive.
    NotAlive,
    /// It is an answer that nobody waits for: a second Up, an Up after the stop, or an observation of
    /// a round that was not asked for.
    NotAwaited,
    /// The timer is not armed.
    NotArmed,
    /// It means nothing in this state.
    NotHandled,
}

impl IgnoreReason {
    /// The stable name used in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherEpoch => "other_epoch",
            Self::OtherSession => "other_session",
            Self::NotAlive => "not_alive",
            Self::NotAwaited => "not_awaited",
            Self::NotArmed => "not_armed",
            Self::NotHandled => "not_handled",
        }
    }
}

impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transition {
    /// The state that was left.
    pub from: Phase,
    /// The state that was entered.
    pub to: Phase,
    /// Why.
    pub cause: Cause,
    /// The epoch, after the transition.
    pub epoch: u64,
}

/// The transitions of one step, in order: one, or two where a state was passed through because it
/// had nothing to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Hops([Option<Transition>; 2]);

impl Hops {
    pub(super) fn push(&mut self, hop: Transition) {
        let free = self.0.iter_mut().find(|slot| slot.is_none());
        debug_assert!(free.is_some(), "no step makes three hops: {hop:?}");
        if let Some(free) = free {
            *free = Some(hop);
        }
    }

    /// The transitions, in order.
    pub fn iter(&self) -> impl Iterator<Item = Transition> + use<> {
        self.0.into_iter().flatten()
    }

    pub(super) fn last(&self) -> Option<Transition> {
        self.iter().last()
    }
}
