//! The laws that the machine obeys, as a monitor that judges any run.
//!
//! [`Monitor`] reads inputs and effects in order, with the time between them, and never the
//! machine's insides. So the same monitor judges property tests, exhaustive exploration, fuzzing,
//! simulation, the real shell under test, and a log that was recorded in production. [`Checked`] is
//! a machine that is judged at every step; it also checks the laws that need the machine itself: that
//! stale input leaves it equal ([`Law::L5`]), that it is deterministic ([`Law::L10`]), and that what
//! it tells of its transitions is what happened ([`Law::L20`]).
//!
//! | law | statement |
//! | --- | --- |
//! | L1 ready means running | ready only while every component is up in the current epoch |
//! | L2 health first | on leaving Running, ready off is the first effect |
//! | L3 one incarnation | a component is started only when its earlier incarnation is confirmed gone |
//! | L4 proven recovery | components are started only at the end of a clean run (alive observations of one session, no failing one, no silence, no freeze of the runtime) as long as the hold-off demands, the last of them begun when that had passed, and only if nobody wants them stopped |
//! | L5 stale is inert | stale input has no effect and leaves the machine equal to what it was |
//! | L6 recovery is inevitable | from every reachable state but Ended, Drained, a stop that leads there, or a wedge: if the dependency stays alive and components answer, Running is reached (a property of the whole graph; the monitor sees to it that the dependency is observed, anew after a silence, that a hold-off is not longer than the policy says, nor begun anew in the middle of a clean run, and that one more observation is asked for when it has passed) |
//! | L7 shutdown is inevitable | from every reachable state, shutdown leads to Ended within the summed deadlines, even if nothing ever answers |
//! | L8 order | stages start ascending and stop descending; one begins only when the one before is done (wedged counts as done) |
//! | L9 nothing is lost | every trip opens an outage, which lasts until Running or the end, and every report and failed start is counted in its record |
//! | L10 determinism | same plan and inputs, same effects |
//! | L11 fence | with a fence, all components are confirmed gone, or the machine has halted, before the lease can expire |
//! | L12 no silent wait | outside Ended and Drained a timer is always armed, and a start or a delay has its deadline |
//! | L13 no hot loop | after a trip, nothing is started again without a hold-off, and the level sinks while Running is stable, and only then |
//! | L14 clean end | at the end nothing is armed or open, and every live component was told to stop and was aborted if it did not |
//! | L15 one deadline a phase | the deadline of a phase is armed once, with the policy's value; nothing extends it, and it does not outlive the phase |
//! | L16 no delay | a condition that must trip, unwind, go on with the stop or open the gate to a start takes effect in the same step |
//! | L17 no trip without cause | readiness is never lost, and nothing stopped, without a cause that the policy names; suspicion is forgotten in time, and what was just observed or renewed counts in full |
//! | L18 honest end | Stopped only if asked; Halted only if wedged, fatal, or given up by policy |
//! | L19 fresh evidence | never ready for longer than the silence limit without a positive observation; a freeze of the runtime never puts off the silence |
//! | L20 honest trace | what a step tells of its transitions is where it was, where it is and why: each leads from one state to another, by a cause that names the input or the end of a stop |

mod agree;
mod checked;
mod effects;
mod learn;
mod monitor;
mod packed;
mod rest;
#[cfg(test)]
pub(crate) mod tests;
mod trace;

use core::fmt;

pub use checked::Checked;
pub use monitor::Monitor;
pub(crate) use monitor::{Mode, Part};

/// A law, by its number. The [module](self) has the statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(
    missing_docs,
    reason = "the table in the module's documentation says what each one states"
)]
pub enum Law {
    L1,
    L2,
    L3,
    L4,
    L5,
    L6,
    L7,
    L8,
    L9,
    L10,
    L11,
    L12,
    L13,
    L14,
    L15,
    L16,
    L17,
    L18,
    L19,
    L20,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A law that was broken, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    /// Which law.
    pub law: Law,
    /// What broke it.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.what)
    }
}

impl core::error::Error for Violation {}

/// Breaks `law` unless `holds`.
fn demand(law: Law, holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    #[cfg(test)]
    let holds = holds || tests::is_waived(law);
    if holds {
        Ok(())
    } else {
        Err(Violation { law, what: what() })
    }
}
