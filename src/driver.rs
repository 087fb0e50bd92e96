//! What stands between the world and the [machine](crate::machine): in which order it is told what,
//! and when.
//!
//! Things happen at the same time, and the machine takes one input after the other. Which one is next
//! decides over trips and restarts, so a pure [`Driver`] decides it: it does no I/O, and is told the
//! time. It has one slot for each source and holds plain data only; texts and errors stay with its
//! caller, who finds them by the [`Source`] that the driver names.
//!
//! A [`Decider`] is a driver with its machine, or [in a dry run](Decider::dry_run) with two of them.
//! Its caller does this, over and over:
//!
//! 1. for each source that [has room](Decider::has_room), bring what has [arrived](Decider::arrive);
//! 2. ask what is [next](Decider::next), and do what that says;
//! 3. where that is to wait, wait until then, or until something arrives.
//!
//! All times are since the begin of the run. The same arrivals at the same times give the same steps:
//! what was recorded can be replayed.
//!
//! # What goes first
//!
//! | source | goes before | because |
//! | --- | --- | --- |
//! | the runtime froze | all else | nothing that runs on it could have been in time |
//! | an answer of a component: up, ended, gone | timers, and all below | an answer that is there must not lose against its own deadline |
//! | the last reports of a component | its end | they would be stale afterwards |
//! | the end of a component, unasked | those of its last reports that are left, if each of them is milder | a report that trips makes of the end an answer to a stop, whose class nobody asks for |
//! | an observation of the present session | the silence that is due, if it is younger than the silence limit and, in Monitoring, was made before that was due | what was seen is no silence; but a clean run has no gap |
//! | a renewal of the lease | the fence that is due | a lease that was renewed in time is no reason to stop |
//! | a timer that is due | shutdown, and all below | a deadline is a promise |
//! | shutdown | all below | nothing that is asked for matters any more |
//! | a renewal, a command, an observation, a report | each other, in this order | one that was passed over goes first the next time, so that none waits for ever |
//!
//! An alive observation that is as old as the silence limit is dropped: it is no sign of life any more.
//!
//! Nothing waits for ever as long as components answer only as often as they can: three times in an
//! epoch. That what is told in this order keeps the laws needs no proof of its own, since the machine
//! keeps them [in any order](crate::explore).
//!
//! # What waits outside
//!
//! Storms are coalesced before they get here: see [`pace`].
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
    reason = "who brings arrivals has to know all of them, and what may follow: one more is a new major version"
)]

mod arrival;
mod decider;
mod decision;
mod dry_run;
mod live;
mod order;
pub mod pace;
mod timers;

pub use arrival::{Arrival, Ended, LastWords, Observed, Renewed, Reported, Seen, Silence, Source};
pub use decider::Decider;
pub use decision::{Carried, Decided, Decision};
pub use dry_run::DryRun;
pub use live::Live;
pub use order::{Driver, Next, Tell, View};

pub use crate::machine::Command;
