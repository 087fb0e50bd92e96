//! The result of one input.

use core::fmt;

use super::{Cause, Phase};

/// The result of one input: it was ignored, it was absorbed, or it caused a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "it says whether the input was ignored"]
pub enum Step {
    /// The input had no effect, for this reason.
    Ignored(IgnoreReason),
    /// The input was handled without a transition.
    Absorbed,
    /// The input caused these transitions.
    Moved(Hops),
}

impl Step {
    /// The transitions that the input caused, in order. Most inputs cause none.
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
    /// It is about a component that is not alive.
    NotAlive,
    /// It is an answer that the machine does not wait for.
    ///
    /// It is a second Up, an Up after the stop, or an observation of a round that was not requested.
    NotAwaited,
    /// The timer is not armed.
    NotArmed,
    /// It has no meaning in this state.
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
    /// The state before.
    pub from: Phase,
    /// The state after.
    pub to: Phase,
    /// Why the transition happened.
    pub cause: Cause,
    /// The epoch after the transition.
    pub epoch: u64,
}

/// The transitions of one step, in order.
///
/// There is one, or there are two if the machine passed through a state that had nothing to wait for.
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
