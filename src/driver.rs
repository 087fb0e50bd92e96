//! Decides in which order, and when, events reach the [machine](crate::machine).
//!
//! Events can happen at the same time, but the machine takes one input after the other. Trips and restarts depend on
//! the order, so a pure [`Driver`] decides it. The driver does no I/O and gets the time from its caller. It has one
//! slot for each source and holds plain data only. Texts and errors stay with the caller, which finds them by the
//! [`Source`] that the driver names.
//!
//! A [`Decider`] is a driver with its machine, or [in a dry run](Decider::dry_run) two such pairs. Its caller repeats
//! these steps:
//!
//! 1. for each source that [has room](Decider::has_room), pass on what has [arrived](Decider::arrive);
//! 2. ask what is [next](Decider::next), and do it;
//! 3. if there is nothing to do, wait until the returned time, or until something arrives.
//!
//! All times are counted from the start of the run. The same arrivals at the same times give the same steps, so a
//! recorded run can be replayed.
//!
//! # What goes first
//!
//! | source | goes before | because |
//! | --- | --- | --- |
//! | a component has failed too often: the step before has shown it | everything else | it belongs to that step |
//! | the runtime froze | everything else | nothing that runs on it could have been in time |
//! | an answer of a component: up, ended, gone | timers, and all below | an answer that has arrived must not lose against its own deadline |
//! | the last reports of a component | its end | after the end they would be stale |
//! | the end of a component that was not asked to stop | the rest of its last reports, if each of them is milder than the end | if a report trips first, the end becomes an answer to the stop, and its class is ignored |
//! | an observation of the present session | the silence that is due, if the observation is younger than the silence limit and, in Monitoring, was made before the silence was due | with an observation there is no silence; but a clean run must not have a gap |
//! | a renewal of the lease | the fence that is due | a lease that was renewed in time is no reason to stop |
//! | a timer that is due | shutdown, and all below | a deadline is a promise |
//! | shutdown | all below | other requests no longer matter |
//! | a renewal, a command, an observation, a report | each other, in this order | a source that was passed over goes first the next time, so that none waits forever |
//!
//! An alive observation that is as old as the silence limit is dropped: it is no longer a sign of life.
//!
//! Nothing waits forever, as long as each component answers at most three times in an epoch; it cannot answer more
//! often. This order needs no proof of its own that it keeps the laws, because the machine keeps them
//! [in any order](crate::explore).
//!
//! # What waits outside
//!
//! Many reports or answers at once are coalesced before they reach the driver: see [`pace`].
//!
//! ```
//! use std::time::Duration;
//! use overwatch::driver::{Arrival, Decided, Decider, Observed, Seen};
//! use overwatch::machine::{Effect, Input};
//! use overwatch::policy::{Layout, Plan, Policy};
//!
//! let plan = Plan::new(Policy::default(), Layout::new(&[1])?)?;
//! let mut effects = Vec::new();
//! let mut decider = Decider::live(plan);
//! // The first step is the boot.
//! let boot = decider.next(Duration::ZERO, &mut effects);
//! assert!(matches!(boot, Decided::Step(step) if step.input().is_none()));
//! assert!(effects.contains(&Effect::OpenSession { session: 1 }));
//!
//! let at = Duration::from_millis(20);
//! let seen = Observed { session: 1, round: 0, at, seen: Seen::Alive };
//! assert!(decider.arrive(Arrival::Observed(seen)));
//! let Decided::Step(step) = decider.next(at, &mut effects) else { unreachable!() };
//! assert_eq!(step.input(), Some(Input::Alive { session: 1, round: 0 }));
//! assert!(effects.contains(&Effect::StartStage { stage: 0, epoch: 1 }));
//! # Ok::<(), overwatch::PolicyError>(())
//! ```
#![allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "code that brings arrivals has to know all of them, and what may follow: one more is a new major version"
)]

mod arrival;
mod decider;
mod decision;
mod dry_run;
mod failures;
mod live;
mod order;
pub mod pace;
mod stops;
mod timers;

pub use arrival::{Arrival, Ended, LastWords, Observed, Renewed, Reported, Seen, Silence, Source};
pub use decider::Decider;
pub use decision::{Carried, Decided, Decision};
pub use dry_run::DryRun;
pub use live::Live;
pub use order::{Driver, Next, Tell, View};
pub use stops::UncleanEnd;

pub use crate::machine::Command;
