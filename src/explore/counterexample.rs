//! How a law is broken, as a trace to read.

use core::fmt;

use super::Action;
use crate::law::Violation;
use crate::machine::{Effect, State, Step};

/// One move, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceStep {
    /// What the world did.
    pub made: Action,
    /// What became of an input. `None` for time, and for the step that broke a law.
    pub step: Option<Step>,
    /// What the machine asked for.
    pub effects: Vec<Effect>,
    /// Where it was then.
    pub then: State,
}

/// A law that is broken, and the shortest way to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counterexample {
    /// Which law, and what breaks it.
    pub violation: Violation,
    /// From boot to where it breaks.
    pub path: Vec<TraceStep>,
    /// If it takes the whole graph to see it: a way round among the states from which what must
    /// happen need not. Empty if a single step breaks the law, or if it just stays there.
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
