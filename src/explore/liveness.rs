//! What must happen in the end: the questions that the laws ask about the whole graph.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use super::counterexample::Counterexample;
use super::environment::Environment;
use super::graph::{Graph, Made, Scratch};
use super::scc::{Edges, Inside, Out, judge_all_parts};
use super::{Action, WorstCase};
use crate::law::{Activity, Checked, ComponentActivity, Law, Violation};
use crate::machine::{AfterStop, Command, Input, Timer};
use crate::policy::ComponentId;

/// Proves what the laws demand of the whole graph, and measures the longest times.
pub(super) fn prove(graph: &Graph<'_>) -> Result<WorstCase, Counterexample> {
    let ask = |question: &dyn Question| {
        let ticks = judge_all_parts(&mut Asked::new(graph, question))?;
        Ok::<_, Counterexample>(graph.world().tick() * ticks)
    };
    let longest = WorstCase {
        recovery: ask(&Recovery)?,
        shutdown: ask(&Shutdown)?,
        rest: ask(&Rest)?,
    };
    ask(&HotLoop)?;
    Ok(longest)
}

/// Whether a move is made in the world of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Will {
    /// It is not made.
    Not,
    /// It may be made.
    May,
    /// If it is possible at every moment from some point on, it is made in the end. Moves with the same number count as
    /// one: any of them will do.
    Must(u8),
}

/// What must happen in the end, from which states, and in which world.
trait Question {
    fn law(&self) -> Law;

    /// Whether the question is still open in this state.
    fn is_open(&self, at: &Checked) -> bool;

    fn will(&self, world: &Environment, at: &Checked, next: Action) -> Will;

    /// What is wrong with a state in which the question is no longer open, if anything.
    fn wrong_end(&self, _after: &Checked) -> Option<&'static str> {
        None
    }

    /// Whether a step to this state must not be made again and again.
    fn is_marked(&self, _after: &Checked) -> bool {
        false
    }

    /// Whether a path may stay within this part forever, although it must not.
    fn may_stay(&self, part: &Inside) -> bool {
        part.can_hold()
    }

    /// What is wrong if a path may stay.
    fn wrong_stay(&self) -> &'static str;
}

/// L6: the dependency stays alive, components do what they are asked to do, and the lease is renewed.
struct Recovery;

impl Question for Recovery {
    fn law(&self) -> Law {
        Law::RecoveryIsInevitable
    }

    fn is_open(&self, at: &Checked) -> bool {
        let monitor = at.monitor();
        let wedged = components(at).any(|id| monitor.part(id) == ComponentActivity::Wedged);
        let mode = monitor.mode();
        monitor.goal() == AfterStop::Monitor
            && !matches!(mode, Activity::Ready | Activity::Ended)
            && !wedged
    }

    fn will(&self, world: &Environment, at: &Checked, next: Action) -> Will {
        const ALIVE: u8 = 0;
        const TIME: u8 = 1;
        const HOLD_OFF: u8 = 2;
        const DELAY: u8 = 3;
        const RENEWAL: u8 = 4;
        const ANSWER: u8 = 5;
        let monitor = at.monitor();
        let Action::Tell(input) = next else {
            return Will::Must(TIME);
        };
        if Environment::is_present_alive(&input) && at.machine().session().is_some() {
            return Will::Must(ALIVE);
        }
        if let Some((component, is_up)) = Environment::answers(&input) {
            let may_finish = at.machine().plan().layout().is_one_shot(component);
            let asked = match monitor.part(component) {
                ComponentActivity::Starting => is_up || may_finish,
                ComponentActivity::Up if may_finish && !is_up => return Will::May,
                ComponentActivity::Stopping | ComponentActivity::Aborting => !is_up,
                ComponentActivity::Down
                | ComponentActivity::Up
                | ComponentActivity::Wedged
                | ComponentActivity::Finished => false,
            };
            return if asked {
                Will::Must(ANSWER + component.0 as u8)
            } else {
                Will::Not
            };
        }
        match input {
            Input::Fired(Timer::HoldOff) if monitor.left(Timer::HoldOff).is_some() => {
                Will::Must(HOLD_OFF)
            }
            // During the delay, this deadline is the regular end of the delay. No component has missed it.
            Input::Fired(Timer::Stage) if monitor.mode() == Activity::Delaying => Will::Must(DELAY),
            _ if world.is_healthy_renewal(&input) && monitor.left(Timer::Fence).is_some() => {
                Will::Must(RENEWAL)
            }
            _ => Will::Not,
        }
    }

    fn wrong_end(&self, after: &Checked) -> Option<&'static str> {
        let ready = after.monitor().mode() == Activity::Ready;
        // A run whose components have all finished ends.
        let finished = after.monitor().goal() == AfterStop::Stop;
        (!ready && !finished).then_some("the world is well, and yet it does not recover")
    }

    fn wrong_stay(&self) -> &'static str {
        "the world is well, and yet it may never recover"
    }
}

/// L7: whatever happens, and even if nothing ever answers, the deadlines pass.
struct Shutdown;

impl Question for Shutdown {
    fn law(&self) -> Law {
        Law::ShutdownIsInevitable
    }

    fn is_open(&self, at: &Checked) -> bool {
        at.monitor().goal() >= AfterStop::Stop && at.monitor().mode() != Activity::Ended
    }

    fn will(&self, world: &Environment, at: &Checked, next: Action) -> Will {
        match next {
            Action::Tick(_) => Will::Must(0),
            // Without a clock it is enough that the deadlines pass. On a clock, a timer that is due fires before time
            // goes on.
            Action::Tell(Input::Fired(timer))
                if at.monitor().left(timer).is_some()
                    && (timer == Timer::Stage || world.with_clock()) =>
            {
                Will::Must(1 + timer.index() as u8)
            }
            Action::Tell(_) => Will::May,
        }
    }

    fn wrong_stay(&self) -> &'static str {
        "a shutdown is wanted, and may never come to its end"
    }
}

/// L12: nothing happens any more except that armed timers fire.
struct Rest;

impl Question for Rest {
    fn law(&self) -> Law {
        Law::NoSilentWait
    }

    fn is_open(&self, at: &Checked) -> bool {
        !matches!(at.monitor().mode(), Activity::Idle | Activity::Ended)
    }

    fn will(&self, _world: &Environment, at: &Checked, next: Action) -> Will {
        match next {
            Action::Tick(_) => Will::Must(0),
            Action::Tell(Input::Fired(timer)) if at.monitor().left(timer).is_some() => {
                Will::Must(1 + timer.index() as u8)
            }
            Action::Tell(_) => Will::Not,
        }
    }

    fn wrong_stay(&self) -> &'static str {
        "nothing happens any more, and something stays up unwatched"
    }
}

/// L13: there are no starts again and again without any time between them.
struct HotLoop;

impl Question for HotLoop {
    fn law(&self) -> Law {
        Law::NoHotLoop
    }

    fn is_open(&self, _at: &Checked) -> bool {
        true
    }

    fn will(&self, world: &Environment, at: &Checked, next: Action) -> Will {
        // Without a clock, it is the hold-off that takes time.
        let takes_time = match next {
            Action::Tick(_) => true,
            Action::Tell(Input::Fired(timer)) => {
                !world.with_clock() && timer == Timer::HoldOff && at.monitor().left(timer).is_some()
            }
            // A component that fails too often was restarted before, each time after a hold-off. If it is drained, only
            // an operator resumes.
            Action::Tell(Input::FailedTooOften { .. }) => true,
            // An operator may drain and resume at any speed.
            Action::Tell(input) => {
                input.command().and_then(Command::goal) == Some(AfterStop::Drain)
            }
        };
        if takes_time { Will::Not } else { Will::May }
    }

    fn wrong_stay(&self) -> &'static str {
        "components are started again and again in no time"
    }

    fn is_marked(&self, after: &Checked) -> bool {
        Environment::starts_an_epoch(after)
    }

    fn may_stay(&self, part: &Inside) -> bool {
        part.marked
    }
}

fn components(at: &Checked) -> impl Iterator<Item = ComponentId> + use<> {
    let count = at.machine().plan().layout().components();
    (0..count as u32).map(ComponentId)
}

/// The part of the graph that a question is about.
struct Asked<'a> {
    graph: &'a Graph<'a>,
    question: &'a dyn Question,
    scratch: Scratch,
}

impl<'a> Asked<'a> {
    fn new(graph: &'a Graph<'a>, question: &'a dyn Question) -> Self {
        Self {
            graph,
            question,
            scratch: graph.scratch(),
        }
    }

    /// Calls `each` for every edge of a state, with the move that makes the edge. Returns a wrong move, and why.
    fn expand(
        &mut self,
        state: u32,
        mut each: impl FnMut(Action, Out),
    ) -> Option<(Action, Law, &'static str)> {
        let Self {
            graph,
            question,
            scratch,
        } = self;
        let world = graph.world();
        graph.read(state, &mut scratch.at);
        let mut wrong = None;
        let steady = graph.successors(
            scratch,
            state,
            |at, next| question.will(world, at, next) != Will::Not,
            |at, Made { made, after, .. }, to| {
                let after = after.as_deref().unwrap_or(at);
                let ends = !question.is_open(after);
                if ends && let Some(what) = question.wrong_end(after) {
                    wrong.get_or_insert((made, question.law(), what));
                }
                let bound = match question.will(world, at, made) {
                    Will::Must(kind) => 1 << kind,
                    Will::May | Will::Not => 0,
                };
                let edge = Out {
                    to: (!ends).then_some(to),
                    bound,
                    ticks: u32::from(matches!(made, Action::Tick(_))),
                    marked: question.is_marked(after),
                };
                each(made, edge);
            },
        );
        match steady {
            Ok(()) => wrong,
            Err(made) => Some((
                made,
                Law::Determinism,
                "the second time it does something else",
            )),
        }
    }

    /// A shortest path to a part in which a path may stay forever, and a cycle in that part.
    fn refute(&mut self, part: &[u32]) -> Counterexample {
        let part: BTreeSet<u32> = part.iter().copied().collect();
        // States are numbered in the order of their distance from boot.
        let nearest = part.first().copied().unwrap_or_default();
        let mut refuted = self.refuted(nearest, self.question.wrong_stay());
        // The most informative edge within the part: the cycle leads through it.
        let mut telling: Option<(u32, u32, u32, Action)> = None;
        for &from in &part {
            self.expand(from, |made, edge| {
                let weight = 2 * u32::from(edge.marked) + edge.ticks;
                if let Some(to) = edge.to.filter(|to| part.contains(to))
                    && telling.is_none_or(|(most, ..)| weight > most)
                {
                    telling = Some((weight, from, to, made));
                }
            });
        }
        if let Some((_, from, to, made)) = telling {
            let mut moves = self.way(&part, nearest, from);
            moves.push(made);
            moves.extend(self.way(&part, to, nearest));
            refuted.cycle = self.graph.walk(nearest, &moves);
        }
        refuted
    }

    /// A shortest path from one state of a part to another.
    fn way(&mut self, part: &BTreeSet<u32>, from: u32, to: u32) -> Vec<Action> {
        let mut ways = BTreeMap::from([(from, Vec::new())]);
        let mut next = VecDeque::from([from]);
        while let Some(here) = next.pop_front() {
            if here == to {
                break;
            }
            let so_far: Vec<Action> = ways[&here].clone();
            self.expand(here, |made, edge| {
                if let Some(to) = edge.to.filter(|to| part.contains(to))
                    && !ways.contains_key(&to)
                {
                    let mut way = so_far.clone();
                    way.push(made);
                    ways.insert(to, way);
                    next.push_back(to);
                }
            });
        }
        ways.remove(&to).unwrap_or_default()
    }

    fn refuted(&self, state: u32, what: &str) -> Counterexample {
        Counterexample {
            violation: Violation {
                law: self.question.law(),
                what: what.into(),
            },
            path: self.graph.path(state),
            cycle: Vec::new(),
        }
    }
}

impl Edges for Asked<'_> {
    type Error = Counterexample;

    fn len(&self) -> usize {
        self.graph.len()
    }

    fn is_open(&mut self, state: u32) -> bool {
        self.graph.read(state, &mut self.scratch.at);
        self.question.is_open(&self.scratch.at)
    }

    fn edges(&mut self, state: u32, edges: &mut Vec<Out>) -> Result<(), Counterexample> {
        match self.expand(state, |_, edge| edges.push(edge)) {
            None => Ok(()),
            Some((made, law, what)) => {
                let mut refuted = self.refuted(state, what);
                refuted.violation.law = law;
                refuted.path.extend(self.graph.walk(state, &[made]));
                Err(refuted)
            }
        }
    }

    fn judge(&mut self, part: &[u32], inside: &Inside) -> Result<(), Counterexample> {
        if self.question.may_stay(inside) {
            return Err(self.refute(part));
        }
        Ok(())
    }
}
