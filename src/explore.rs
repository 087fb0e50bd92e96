//! Visits every situation that a plan can get into, one by one.
//!
//! [`Explorer`] drives the real [`Machine`] through everything that a hostile world can do to it, in every state that
//! the machine can reach. The [laws](crate::law) judge each step. Then the explorer proves on the whole graph what no
//! single step can show: recovery, the end after a shutdown, and rest if nothing ever answers are inevitable, and there
//! is no hot loop.
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
//! In every state, each of these events may come next, any number of times:
//!
//! - an answer or the end of any component, in every way in which it can end, whether it was asked to stop or not;
//! - a report of any class, from any component or from outside of any component, one or billions at once;
//! - an alive observation that began before or after the last request for one, or a failing one, fatal or not;
//! - a renewal of the lease for a whole lease, at the last moment, or too late;
//! - a shutdown, and every command of an operator;
//! - a freeze of the runtime;
//! - a component that has failed too often, if the policy has a limit;
//! - any of these once more, or from an epoch, session or round that is over or has not begun (then one report at a
//!   time), or from a component that does not exist;
//! - the firing of any timer, armed or not. On a [clock](Explorer::with_clock), an armed timer fires when it is due,
//!   and time stands still until it has fired; but anything else may come first.
//!
//! Numbers that only grow (epoch, session, round, outage, counts) are kept
//! [relative](crate::law::Checked::normalize), so that the graph is finite. Jitter, which only lengthens a hold-off, is
//! left out.
//!
//! # What is inevitable
//!
//! A path can go on forever only within one strongly connected part of the graph. So the explorer finds all such parts,
//! and checks that the events which are bound to happen lead out of each of them. This is sound on cycles, and needs no
//! bound on the length of paths.
//!
//! | law | from every state in which | if only these things happen | and these are bound to happen | the end is |
//! | --- | --- | --- | --- | --- |
//! | L6 | nothing is wedged and no stop is requested | components do what they were asked to do, the dependency is seen alive, the lease is renewed, the runtime does not freeze | each of these; the hold-off and the unready delay pass | Running |
//! | L7 | a shutdown is requested | anything at all | the deadlines pass | Ended |
//! | L12 | anything is alive | nothing but timers | armed timers fire | everything stopped |
//!
//! "Bound to happen" is weak fairness: an event that is possible at every moment from some point on happens in the end.
//! On a clock, time passes too, and the longest time to the end is measured. L13 demands that every cycle in which
//! components are started takes time, unless an operator drains and resumes.

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

/// A function to explore instead of [`Machine::handle`]. See [`Explorer::with_handle`].
pub type HandleFn = fn(&mut Machine, Input, &mut Vec<Effect>) -> Step;

/// Visits every situation that a plan can get into. See the [module](self) for what the world may do.
///
/// 1. [`new`](Explorer::new) with the plan;
/// 2. [`with_clock`](Explorer::with_clock), [`with_max_states`](Explorer::with_max_states), if wanted;
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
/// match Explorer::new(plan)?.with_max_states(1_000_000).run() {
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
    with_clock: bool,
    max_states: usize,
}

/// One step of the machine, in one of the states that it can reach.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Edge<'a> {
    /// The machine before the step.
    pub from: &'a Machine,
    /// The input. The present epoch, session and round have the number 1.
    pub input: Input,
    /// The result of the input.
    pub step: Step,
    /// The effects of the step.
    pub effects: &'a [Effect],
    /// The machine after the step.
    pub to: &'a Machine,
}

/// How much was visited, without finding a broken law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateSpace {
    /// The number of situations: a state of the machine, with all that the laws must remember to judge it.
    pub states: usize,
    /// The number of steps that were judged.
    pub edges: u64,
    /// How many of these steps changed anything; the others had no effect.
    pub moves: u64,
    /// The memory used for the states, their index and the shortest paths to them.
    pub bytes: usize,
}

/// The result of a complete exploration.
///
/// Every state was visited, no law is broken in any of them, and what must happen in the end does happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// How much was visited.
    pub visited: StateSpace,
    /// On a clock: the longest times. `None` without a clock.
    pub longest: Option<WorstCase>,
}

/// The longest times that something can take, from the worst state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorstCase {
    /// Recovery, once nothing goes wrong any more.
    pub recovery: Duration,
    /// A shutdown, whatever happens.
    pub shutdown: Duration,
    /// Until everything is stopped, if nothing but timers happens any more.
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
    /// A law is broken; this shows how.
    Counterexample(Box<Counterexample>),
    /// There are more states than were allowed.
    TooManyStates {
        /// How many were allowed.
        max_states: usize,
    },
    /// The plan has a number that is too large to enumerate.
    TooFine {
        /// The setting with this number.
        knob: &'static str,
        /// How large the number is, and how large it may be.
        bound: String,
    },
}

impl fmt::Display for ExploreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counterexample(refuted) => refuted.fmt(f),
            Self::TooManyStates { max_states } => write!(
                f,
                "more than {max_states} states: allow more with `with_max_states`, or explore a smaller plan"
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
    /// The limit for the number of states, unless it is [set](Explorer::with_max_states).
    pub const MAX_STATES: usize = 10_000_000;

    /// Creates an explorer of this plan, in which any armed timer may fire at any moment.
    ///
    /// # Errors
    ///
    /// Returns [`ExploreError::TooFine`] if the plan has more components or larger counts than can be enumerated, or
    /// durations that are too far apart. The longest duration may be at most 65,534 times the greatest common divisor
    /// of all durations.
    pub fn new(plan: impl Into<Arc<Plan>>) -> Result<Self, ExploreError> {
        let plan = Arc::new(plan.into().without_jitter());
        environment::check(&plan)?;
        Ok(Self {
            plan,
            handle: Machine::handle,
            with_clock: false,
            max_states: Self::MAX_STATES,
        })
    }

    /// Lets timers fire only when they are due.
    ///
    /// The laws are then judged with times, and the [proof](Proof::longest) has the longest times that recovery and
    /// shutdown can take. One tick of the clock is the greatest common divisor of all durations of the plan, so small
    /// numbers make a small graph.
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
    /// let proof = Explorer::new(plan)?.with_clock().run()?;
    /// let longest = proof.longest.expect("on a clock it is measured");
    /// assert_eq!(longest.shutdown, s(2) + s(1)); // the stop and the abort deadline
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_clock(mut self) -> Self {
        self.with_clock = true;
        self
    }

    /// Sets the limit for the number of states.
    ///
    /// One state takes some 70 to 150 bytes, and half as much again during the proof of what must happen in the end.
    #[must_use]
    pub fn with_max_states(mut self, states: usize) -> Self {
        self.max_states = states.min(u32::MAX as usize - 1);
        self
    }

    /// Explores this function instead of [`Machine::handle`].
    ///
    /// This shows which law catches a machine with a certain defect.
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
    /// let Err(ExploreError::Counterexample(found)) = Explorer::new(plan)?.with_handle(broken).run() else {
    ///     panic!("a law catches it");
    /// };
    /// assert_eq!(found.violation.law, Law::HealthFirst);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_handle(mut self, handle: HandleFn) -> Self {
        self.handle = handle;
        self
    }

    /// Visits every state, judges every step by the laws, and proves what must happen in the end.
    ///
    /// # Errors
    ///
    /// Returns the first law that is found broken, with a shortest path to the step that breaks it, or to a state from
    /// which what must happen may never happen. Also fails if there are more states than
    /// [allowed](Explorer::with_max_states).
    pub fn run(&self) -> Result<Proof, ExploreError> {
        let world = self.world();
        let mut graph = Graph::new(&world, self.max_states)?;
        let visited = graph.visit_all(|_| {})?;
        let longest = liveness::prove(&graph)?;
        Ok(Proof {
            visited,
            longest: self.with_clock.then_some(longest),
        })
    }

    /// Visits every state, and judges every step by the laws.
    ///
    /// Calls `see` with each step, including those without any effect. Does not prove what must happen in the end.
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
    /// The same as those of [`run`](Explorer::run).
    pub fn visit(&self, see: impl FnMut(Edge<'_>)) -> Result<StateSpace, ExploreError> {
        let world = self.world();
        Graph::new(&world, self.max_states)?.visit_all(see)
    }

    fn world(&self) -> Environment {
        Environment::new(Arc::clone(&self.plan), self.handle, self.with_clock)
    }
}
