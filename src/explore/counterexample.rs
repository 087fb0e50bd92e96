//! A broken law, as a readable trace.

use core::fmt;

use super::Action;
use crate::law::Violation;
use crate::machine::{Effect, State, Step};

/// One action of the world, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceStep {
    /// The action.
    pub made: Action,
    /// The result of an input. `None` if time passed, and for the step that broke a law.
    pub step: Option<Step>,
    /// The effects that the machine requested.
    pub effects: Vec<Effect>,
    /// The state of the machine afterwards.
    pub then: State,
}

/// A law that is broken, and a shortest trace that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counterexample {
    /// The law, and what breaks it.
    pub violation: Violation,
    /// The steps from boot to where the law breaks.
    pub path: Vec<TraceStep>,
    /// For a law about the whole graph: a cycle of states from which what must happen may never happen.
    ///
    /// Empty if a single step breaks the law, or if the machine just stays in the last state.
    pub cycle: Vec<TraceStep>,
}

impl Counterexample {
    pub(super) fn new(violation: Violation, mut path: Vec<TraceStep>, last: TraceStep) -> Self {
        path.push(last);
        Self {
            violation,
            path,
            cycle: Vec::new(),
        }
    }

    pub(super) fn at_once(violation: Violation) -> Self {
        Self {
            violation,
            path: Vec::new(),
            cycle: Vec::new(),
        }
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        writeln!(
            f,
            "after boot (the present epoch, session and round have the number 1):"
        )?;
        self.path.iter().try_for_each(|turn| turn.fmt(f))?;
        if !self.cycle.is_empty() {
            writeln!(f, "and then, over and over:")?;
            self.cycle.iter().try_for_each(|turn| turn.fmt(f))?;
        }
        Ok(())
    }
}

impl fmt::Display for TraceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.made)?;
        for effect in &self.effects {
            writeln!(f, "      {effect:?}")?;
        }
        for hop in self.step.iter().flat_map(Step::transitions) {
            writeln!(f, "    -> {} ({})", hop.to, hop.cause)?;
        }
        writeln!(f, "    in {:?}", self.then)
    }
}

impl core::error::Error for Counterexample {}
