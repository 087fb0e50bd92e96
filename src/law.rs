//! The laws that the machine obeys, and a monitor that checks any run against them. [`Law`] lists the laws.
//!
//! [`Monitor`] reads inputs and effects in order, with the time between them. It does not read the internals of the
//! machine. So the same monitor checks property tests, exhaustive exploration, fuzzing, simulation, the real shell
//! under test, and a log that was recorded in production.
//!
//! [`Checked`] is a machine that is checked at every step. It also checks the laws that need the machine itself: stale
//! input leaves the machine equal ([`Law::StaleIsInert`]), the machine is deterministic ([`Law::Determinism`]), and it
//! reports exactly the transitions that happened ([`Law::HonestTrace`]).

mod accessors;
mod checked;
mod effects;
mod end;
mod invariants;
mod monitor;
mod observe;
mod order;
mod packed;
mod recovery;
#[cfg(test)]
pub(crate) mod tests;
mod time;
mod trace;

use core::fmt;

pub use checked::Checked;
pub use monitor::Monitor;
pub(crate) use monitor::{Activity, ComponentActivity};

macro_rules! laws {
    ($($code:ident $law:ident $name:literal $statement:literal)*) => {
        /// A law, with its statement. The number of a law is in its [`code`](Law::code), which never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Law {
            $(
                #[doc = concat!(stringify!($code), ", ", $name, ". ", $statement)]
                $law,
            )*
        }

        impl Law {
            /// All laws, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$law),*];

            /// The stable code, e.g. `L17`.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$law => stringify!($code),)*
                }
            }

            /// The name of the law: a few words.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$law => $name,)*
                }
            }

            /// The statement of the law.
            pub fn statement(self) -> &'static str {
                match self {
                    $(Self::$law => $statement,)*
                }
            }
        }
    };
}

laws! {
    L1 ReadyMeansRunning "ready means running"
        "Ready only while every component is up in the current epoch, or has finished as it may."

    L2 HealthFirst "health first"
        "On leaving Running, ready off is the first effect."

    L3 OneIncarnation "one incarnation"
        "A component is started only when its earlier incarnation is confirmed gone."

    L4 ProvenRecovery "proven recovery"
        "Components are started only at the end of a clean run (alive observations of one session, no \
         failing one, no silence, no freeze of the runtime) as long as the hold-off demands, the last of \
         them begun when that had passed, and only if nobody wants them stopped."

    L5 StaleIsInert "stale is inert"
        "Stale input has no effect and leaves the machine equal to what it was."

    L6 RecoveryIsInevitable "recovery is inevitable"
        "From every reachable state but Ended, Drained, a stop that leads there, or a wedge: if the \
         dependency stays alive and components answer, Running is reached (a property of the whole graph; \
         the monitor sees to it that the dependency is observed, anew after a silence, that a hold-off is \
         not longer than the policy says, nor begun anew in the middle of a clean run, and that one more \
         observation is asked for when it has passed)."

    L7 ShutdownIsInevitable "shutdown is inevitable"
        "From every reachable state, shutdown leads to Ended within the summed deadlines, even if nothing \
         ever answers."

    L8 StageOrder "stage order"
        "Stages start ascending and stop descending; one begins only when the one before is done (wedged \
         counts as done)."

    L9 NothingIsLost "nothing is lost"
        "Every trip opens an outage, which lasts until Running or the end, and every report and failed \
         start is counted in its record."

    L10 Determinism "determinism"
        "Same plan and inputs, same effects."

    L11 FencedInTime "fenced in time"
        "With a fence, all components are confirmed gone, or the machine has halted, before the lease can \
         expire."

    L12 NoSilentWait "no silent wait"
        "Outside Ended and Drained a timer is always armed, and a start or a delay has its deadline."

    L13 NoHotLoop "no hot loop"
        "After a trip, nothing is started again without a hold-off, and the level sinks while Running is \
         stable, and only then."

    L14 CleanEnd "clean end"
        "At the end nothing is armed or open, and every live component was told to stop and was aborted \
         if it did not."

    L15 OneDeadline "one deadline a phase"
        "The deadline of a phase is armed once, with the value of its stage or of the policy; nothing extends it, and \
         it does not outlive the phase."

    L16 NoDelay "no delay"
        "A condition that must trip, unwind, go on with the stop or open the gate to a start takes effect \
         in the same step."

    L17 NoTripWithoutCause "no trip without cause"
        "Readiness is never lost, and nothing stopped, without a cause that the policy names; suspicion \
         is forgotten in time, and what was just observed or renewed counts in full."

    L18 HonestEnd "honest end"
        "Stopped only if asked, or if every component has finished and the policy ends the run then; Halted \
         only if wedged, fatal, or given up by policy."

    L19 FreshEvidence "fresh evidence"
        "Never ready for longer than the silence limit without a positive observation; a freeze of the \
         runtime never puts off the silence."

    L20 HonestTrace "honest trace"
        "What a step tells of its transitions is where it was, where it is and why: each leads from one \
         state to another, by a cause that names the input or the end of a stop."
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code(), self.name())
    }
}

/// A law that was broken, and what broke it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Violation {
    /// The law.
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

/// Returns a violation of `law` unless `holds`.
fn ensure(law: Law, holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    #[cfg(test)]
    let holds = holds || tests::is_waived(law);
    if holds {
        Ok(())
    } else {
        Err(Violation { law, what: what() })
    }
}
