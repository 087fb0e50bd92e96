//! Every situation that a plan can get into, visited one by one.
//!
//! [`Explorer`] drives the real [`Machine`] through everything that a hostile world can do to it, in
//! every state it can get to, and lets the [laws](crate::law) judge each step. Then it asks of the
//! whole graph what no single step can show: that recovery, the end after a shutdown, and rest when
//! nothing ever answers are inevitable, and that there is no hot loop.
//!
//! ```
//! use overwatch::explore::Explorer;
//! use overwatch::policy::{Layout, Plan, Policy};
//!
//! // The policy of your service, and one component above another.
//! let plan = Plan::new(Policy::default(), Layout::new(&[1, 1])?)?;
//! let proof = Explorer::new(plan)?.run()?;
//! println!("{proof}");
//! assert!(proof.visited.states > 1_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The world
//!
//! In every state, every one of these may come next, as often as it likes:
//!
//! - an answer or an end of every component, in every way it can end, whether it was asked or not;
//! - a report of every class from every component and from outside of any, one or billions at once;
//! - an alive observation, begun before or after the last one was asked for, or a failing one, fatal or
//!   not;
//! - a renewal of the lease for a whole TTL, at the last moment, or too late;
//! - every command of an operator;
//! - that the runtime is frozen;
//! - any of that once more, or from an epoch, session or round that is over or has not begun (reports one at
//!   a time), or from a component that does not exist;
//! - the firing of any timer, armed or not. On a [clock](Explorer::on_a_clock) an armed timer fires
//!   when it is due and time stands still until it has, but anything else may come first.
//!
//! What only grows (epoch, session, round, outage, counts) is kept
//! [relative](crate::law::Checked::normalize), so that the graph is finite. Jitter, which only
//! lengthens a hold-off, is left out.
//!
//! # What is inevitable
//!
//! A path can go on for ever only within one strongly connected part of the graph. So each of these
//! is decided by finding all such parts, and by asking whether what is bound to happen leads out of
//! each of them; that is sound on cycles, and no bound on the length of paths is needed.
//!
//! | law | from every state in which | if only | and these are bound to happen | the end is |
//! | --- | --- | --- | --- | --- |
//! | L6 | nothing is wedged and nobody wants it stopped | components do what they were told, the dependency is seen alive, the lease is renewed, the runtime does not freeze | each of these; the hold-off and the unready delay pass | Running |
//! | L7 | a shutdown is wanted | anything at all happens | the deadlines pass | Ended |
//! | L12 | anything is alive | nothing happens any more | armed timers fire | everything stopped |
//!
//! "Bound to happen" is weak fairness: what could happen at any time from now on happens at last. On
//! a clock it is time that passes, and the longest it can take is measured too. L13 asks that no
//! cycle in which components are started takes no time, unless an operator drains and resumes.

mod counterexample;
mod environment;
mod graph;
mod liveness;
mod scc;
#[cfg(test)]
mod tests;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use crate::machine::{Effect, Input, Machine, Step};
use crate::policy::Plan;

use environment::Environment;
use graph::Graph;

pub use counterexample::{Counterexample, TraceStep};
pub use environment::Action;

/// A function to explore in the place of [`Machine::handle`]. See [`Explorer::by`].
pub type HandleFn = fn(&mut Machine, Input, &mut Vec<Effect>) -> Step;

/// Visits every situation that a plan can get into. See the [module](self) for what the world may do.
///
/// 1. [`new`](Explorer::new) with the plan;
/// 2. [`on_a_clock`](Explorer::on_a_clock), [`at_most`](Explorer::at_most), if wanted;
/// 3. [`run`](Explorer::run) for a proof, or [`visit`](Explorer::visit) to see each step.
///
/// ```
/// use core::time::Duration;
/// use overwatch::explore::{ExploreError, Explorer};
/// use overwatch::policy::{Layout, Plan, Policy};
///
/// // Small numbers of the same order make a small graph on a clock.
/// let s = Duration::from_secs;
/// let policy = Policy::builder().window(s(4)).silence_limit(s(2)).start_deadline(s(2))
///     .stop_deadline(s(2)).abort_deadline(s(1)).build()?;
/// let plan = Plan::new(policy, Layout::new(&[1])?)?;
/// match Explorer::new(plan)?.at_most(1_000_000).run() {
///     Ok(proof) => println!("{proof}"),
///     Err(ExploreError::Counterexample(found)) => panic!("{found}"),
///     Err(other) => return Err(other.into()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Explorer {
    plan: Arc<Plan>,
    handle: HandleFn,
    on_a_clock: bool,
    at_most: usize,
}

/// One step of the machine, in one of the states it can be in.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Edge<'a> {
    /// The machine before.
    pub from: &'a Machine,
    /// The input; the present epoch, session and round have the number 1.
    pub input: Input,
    /// How the machine took the input.
    pub step: Step,
    /// The effects.
    pub effects: &'a [Effect],
    /// The machine after.
    pub to: &'a Machine,
}

/// How much was visited. No law is broken in any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateSpace {
    /// Situations: a state of the machine, with all that the laws must remember to judge it.
    pub states: usize,
    /// Steps that were judged.
    pub edges: u64,
    /// How many of these changed anything; the others were found to be inert.
    pub moves: u64,
    /// Memory used for the states, their index and the shortest paths to them.
    pub bytes: usize,
}

/// What was found: every state was visited, no law is broken in any of them, and what must happen at
/// last does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// How much was visited.
    pub visited: StateSpace,
    /// On a clock: the longest that each can take.
    pub longest: Option<WorstCase>,
}

/// How long something can take at the longest, from the worst state there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorstCase {
    /// Recovery, once the world is well.
    pub recovery: Duration,
    /// A shutdown, whatever happens.
    pub shutdown: Duration,
    /// Until everything is stopped, when nothing happens any more.
    pub rest: Duration,
}

impl fmt::Display for StateSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} states, {} edges ({} of them moves), {} bytes a state",
            self.states,
            self.edges,
            self.moves,
            self.bytes / self.states.max(1),
        )
    }
}

impl fmt::Display for WorstCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "at the longest {:?} to recover, {:?} to shut down, {:?} to come to rest",
            self.recovery, self.shutdown, self.rest
        )
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visited.fmt(f)?;
        match self.longest {
            None => Ok(()),
            Some(longest) => write!(f, "; {longest}"),
        }
    }
}

/// Why there is no proof.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExploreError {
    /// A law is broken, and this is how.
    Counterexample(Box<Counterexample>),
    /// There are more states than were allowed.
    TooManyStates {
        /// How many were.
        at_most: usize,
    },
    /// The plan has numbers that are too large to be told apart one by one.
    TooFine {
        /// Which.
        knob: &'static str,
        /// How many steps it takes, and how many it may.
        bound: String,
    },
}

impl fmt::Display for ExploreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counterexample(refuted) => refuted.fmt(f),
            Self::TooManyStates { at_most } => write!(
                f,
                "more than {at_most} states: allow more with `at_most`, or explore a smaller plan"
            ),
            Self::TooFine { knob, bound } => {
                write!(f, "`{knob}` is too large to explore: {bound}")
            }
        }
    }
}

impl core::error::Error for ExploreError {}

impl From<Counterexample> for ExploreError {
    fn from(refuted: Counterexample) -> Self {
        Self::Counterexample(Box::new(refuted))
    }
}

impl Explorer {
    /// The most states that are visited unless it is [set](Explorer::at_most).
    pub const AT_MOST: usize = 10_000_000;

    /// An explorer of this plan, in which any armed timer may fire at any moment.
    ///
    /// # Errors
    ///
    /// [`ExploreError::TooFine`] for a plan with more components, or larger counts, than can be
    /// enumerated, or with durations that are too far apart: the longest may be at most 65,534
    /// times what all of them are a multiple of.
    pub fn new(plan: impl Into<Arc<Plan>>) -> Result<Self, ExploreError> {
        let plan = Arc::new(plan.into().without_jitter());
        environment::check(&plan)?;
        Ok(Self {
            plan,
            handle: Machine::handle,
            on_a_clock: false,
            at_most: Self::AT_MOST,
        })
    }

    /// Timers fire when they are due, the laws are judged with times, and the [proof](Proof::longest) has the longest
    /// that recovery and shutdown can take. One step of the clock is the greatest common divisor of all durations of
    /// the plan, so small numbers make a small graph.
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use overwatch::explore::Explorer;
    /// # use overwatch::policy::{Layout, Plan, Policy, Tuning};
    /// let s = Duration::from_secs;
    /// let policy = Policy::builder().window(s(2)).silence_limit(s(2)).start_deadline(s(1))
    ///     .stop_deadline(s(2)).abort_deadline(s(1))
    ///     .tuning(Tuning::default().with_growth(1).with_max_level(1).with_min_evidence(1)
    ///         .with_max_hold_off(s(2)).with_decay(s(2)).with_stable_after(s(2)))
    ///     .build()?;
    /// let plan = Plan::new(policy, Layout::new(&[1])?)?;
    /// let proof = Explorer::new(plan)?.on_a_clock().run()?;
    /// let longest = proof.longest.expect("on a clock it is measured");
    /// assert_eq!(longest.shutdown, s(2) + s(1)); // the stop and the abort deadline
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_a_clock(mut self) -> Self {
        self.on_a_clock = true;
        self
    }

    /// The most states to visit. One takes some 70 to 150 bytes, and half as much again while what
    /// is inevitable is proved.
    #[must_use]
    pub fn at_most(mut self, states: usize) -> Self {
        self.at_most = states.min(u32::MAX as usize - 1);
        self
    }

    /// Explores this function in the place of [`Machine::handle`], to see which law catches a machine
    /// with a certain defect.
    ///
    /// ```
    /// use overwatch::explore::{ExploreError, Explorer};
    /// use overwatch::law::Law;
    /// use overwatch::machine::{Effect, Input, Machine, Step};
    /// use overwatch::policy::{Layout, Plan, Policy};
    ///
    /// /// Never turns readiness off.
    /// fn broken(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    ///     let step = machine.handle(input, effects);
    ///     effects.retain(|effect| *effect != Effect::Ready(false));
    ///     step
    /// }
    ///
    /// let plan = Plan::new(Policy::default(), Layout::new(&[1])?)?;
    /// let Err(ExploreError::Counterexample(found)) = Explorer::new(plan)?.by(broken).run() else {
    ///     panic!("a law catches it");
    /// };
    /// assert_eq!(found.violation.law, Law::HealthFirst);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn by(mut self, handle: HandleFn) -> Self {
        self.handle = handle;
        self
    }

    /// Visits every state, lets the laws judge every step, and proves what must happen at last.
    ///
    /// # Errors
    ///
    /// The first law found broken, with a shortest path to where it breaks or to a state from which
    /// what must happen need not; or more states than [allowed](Explorer::at_most).
    pub fn run(&self) -> Result<Proof, ExploreError> {
        let world = self.world();
        let mut graph = Graph::new(&world, self.at_most)?;
        let visited = graph.visit_all(|_| {})?;
        let longest = liveness::prove(&graph)?;
        Ok(Proof {
            visited,
            longest: self.on_a_clock.then_some(longest),
        })
    }

    /// Visits every state, and lets the laws judge every step. `see` is called with each step, also with those that
    /// were inert. What must happen at last is not proved.
    ///
    /// ```
    /// use overwatch::explore::Explorer;
    /// use overwatch::machine::Phase;
    /// use overwatch::policy::{Layout, Plan, Policy};
    ///
    /// let plan = Plan::new(Policy::default(), Layout::new(&[1])?)?;
    /// let mut trips = 0;
    /// Explorer::new(plan)?.visit(|edge| {
    ///     let left = edge.from.phase() == Phase::Running && edge.to.phase() != Phase::Running;
    ///     trips += u32::from(left);
    /// })?;
    /// assert!(trips > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Explorer::run).
    pub fn visit(&self, see: impl FnMut(Edge<'_>)) -> Result<StateSpace, ExploreError> {
        let world = self.world();
        Graph::new(&world, self.at_most)?.visit_all(see)
    }

    fn world(&self) -> Environment {
        Environment::new(Arc::clone(&self.plan), self.handle, self.on_a_clock)
    }
}
