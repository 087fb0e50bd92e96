//! What must happen at last, decided on the whole graph.
//!
//! A path that never gets to its end stays, from some point on, within one strongly connected part.
//! It is fair there if whatever could happen at every moment does happen; so a part holds it for
//! ever just if each move that is bound to happen either happens within the part or cannot be made
//! in some state of it. If no part can, every fair path gets to its end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::graph::{Graph, Made, Scratch};
use super::refuted::Refuted;
use super::world::World;
use super::{Longest, Move};
use crate::law::{Checked, Law, Mode, Part, Violation};
use crate::machine::{Input, Then, Timer};
use crate::policy::ComponentId;

/// Proves what the laws say of the whole graph, and measures how long it takes at the longest.
pub(super) fn prove(graph: &Graph<'_>) -> Result<Longest, Refuted> {
    let ask = |question: &dyn Question| {
        let ticks = Search::new(graph, question).run()?;
        Ok::<_, Refuted>(graph.world().tick() * ticks)
    };
    let longest = Longest {
        recovery: ask(&Recovery)?,
        shutdown: ask(&Shutdown)?,
        rest: ask(&Rest)?,
    };
    ask(&HotLoop)?;
    Ok(longest)
}

/// Whether a move is made in the world that a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Will {
    /// It is not.
    Not,
    /// It may be.
    May,
    /// What could be made at every moment from some point on is made at last. Moves of one number
    /// are one in this: any of them will do.
    Must(u8),
}

/// What must happen at last, from where, and in which world.
trait Question {
    fn law(&self) -> Law;

    /// Whether the question is still open in this state.
    fn is_open(&self, at: &Checked) -> bool;

    fn will(&self, world: &World, at: &Checked, next: Move) -> Will;

    /// What is wrong with getting to a state in which the question is no longer open.
    fn wrong_end(&self, _after: &Checked) -> Option<&'static str> {
        None
    }

    /// Whether a step that leads there is one that must not be made again and again.
    fn is_marked(&self, _after: &Checked) -> bool {
        false
    }

    /// Whether it may stay within a part for ever, though it must not.
    fn may_stay(&self, part: &Inside) -> bool {
        let leaves = part.possible & !part.made;
        part.takes_time || leaves == 0
    }

    /// What is wrong with that.
    fn wrong_stay(&self) -> &'static str;
}

/// What is known of a strongly connected part, or of one state within it.
#[derive(Clone, Copy)]
struct Inside {
    /// Which of the moves that are bound to happen can be made in all of its states.
    possible: u64,
    /// Which of them lead to another state of it.
    made: u64,
    /// Whether time can pass within it: then it can go on for as long as one likes.
    takes_time: bool,
    /// Whether a marked step can be made within it.
    marked: bool,
    /// How long it can take from there to the end, in ticks.
    ticks: u32,
}

impl Inside {
    const NOTHING: Self = Self {
        possible: u64::MAX,
        made: 0,
        takes_time: false,
        marked: false,
        ticks: 0,
    };

    fn and(self, other: &Self) -> Self {
        Self {
            possible: self.possible & other.possible,
            made: self.made | other.made,
            takes_time: self.takes_time | other.takes_time,
            marked: self.marked | other.marked,
            ticks: self.ticks.max(other.ticks),
        }
    }
}

/// L6: the dependency stays alive, components do what they are told, and the lease is renewed.
struct Recovery;

impl Question for Recovery {
    fn law(&self) -> Law {
        Law::L6
    }

    fn is_open(&self, at: &Checked) -> bool {
        let monitor = at.monitor();
        let wedged = components(at).any(|id| monitor.part(id) == Part::Wedged);
        let mode = monitor.mode();
        monitor.wish() == Then::Monitor && !matches!(mode, Mode::Ready | Mode::Ended) && !wedged
    }

    fn will(&self, world: &World, at: &Checked, next: Move) -> Will {
        const ALIVE: u8 = 0;
        const TIME: u8 = 1;
        const HOLD_OFF: u8 = 2;
        const DELAY: u8 = 3;
        const RENEWAL: u8 = 4;
        const ANSWER: u8 = 5;
        let monitor = at.monitor();
        let Move::Tell(input) = next else {
            return Will::Must(TIME);
        };
        if World::is_present_alive(&input) && at.machine().session().is_some() {
            return Will::Must(ALIVE);
        }
        if let Some((component, is_up)) = World::answers(&input) {
            let asked = match monitor.part(component) {
                Part::Starting => is_up,
                Part::Stopping | Part::Aborting => !is_up,
                Part::Down | Part::Up | Part::Wedged => false,
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
            // Its deadline is the end of the delay, and not one that somebody missed.
            Input::Fired(Timer::Stage) if monitor.mode() == Mode::Delaying => Will::Must(DELAY),
            _ if world.is_healthy_renewal(&input) && monitor.left(Timer::Fence).is_some() => {
                Will::Must(RENEWAL)
            }
            _ => Will::Not,
        }
    }

    fn wrong_end(&self, after: &Checked) -> Option<&'static str> {
        let ready = after.monitor().mode() == Mode::Ready;
        (!ready).then_some("the world is well, and yet it does not recover")
    }

    fn wrong_stay(&self) -> &'static str {
        "the world is well, and yet it may never recover"
    }
}

/// L7: whatever happens, and even if nothing ever answers, the deadlines pass.
struct Shutdown;

impl Question for Shutdown {
    fn law(&self) -> Law {
        Law::L7
    }

    fn is_open(&self, at: &Checked) -> bool {
        at.monitor().wish() >= Then::Stop && at.monitor().mode() != Mode::Ended
    }

    fn will(&self, world: &World, at: &Checked, next: Move) -> Will {
        match next {
            Move::Tick(_) => Will::Must(0),
            // Without a clock it is enough that the deadlines pass; on one, what is due comes before
            // time goes on.
            Move::Tell(Input::Fired(timer))
                if at.monitor().left(timer).is_some()
                    && (timer == Timer::Stage || world.on_a_clock()) =>
            {
                Will::Must(1 + timer.index() as u8)
            }
            Move::Tell(_) => Will::May,
        }
    }

    fn wrong_stay(&self) -> &'static str {
        "a shutdown is wanted, and may never come to its end"
    }
}

/// L12: nothing ever happens any more but that armed timers fire.
struct Rest;

impl Question for Rest {
    fn law(&self) -> Law {
        Law::L12
    }

    fn is_open(&self, at: &Checked) -> bool {
        !matches!(at.monitor().mode(), Mode::Idle | Mode::Ended)
    }

    fn will(&self, _world: &World, at: &Checked, next: Move) -> Will {
        match next {
            Move::Tick(_) => Will::Must(0),
            Move::Tell(Input::Fired(timer)) if at.monitor().left(timer).is_some() => {
                Will::Must(1 + timer.index() as u8)
            }
            Move::Tell(_) => Will::Not,
        }
    }

    fn wrong_stay(&self) -> &'static str {
        "nothing happens any more, and something stays up unwatched"
    }
}

/// L13: starts again and again without any time between them.
struct HotLoop;

impl Question for HotLoop {
    fn law(&self) -> Law {
        Law::L13
    }

    fn is_open(&self, _at: &Checked) -> bool {
        true
    }

    fn will(&self, world: &World, at: &Checked, next: Move) -> Will {
        // Where no clock says what takes time, a hold-off does.
        let takes_time = match next {
            Move::Tick(_) => true,
            Move::Tell(Input::Fired(timer)) => {
                !world.on_a_clock() && timer == Timer::HoldOff && at.monitor().left(timer).is_some()
            }
            // An operator may drain and resume as fast as he likes.
            Move::Tell(input) => input == Input::Drain,
        };
        if takes_time { Will::Not } else { Will::May }
    }

    fn wrong_stay(&self) -> &'static str {
        "components are started again and again in no time"
    }

    fn is_marked(&self, after: &Checked) -> bool {
        World::starts_an_epoch(after)
    }

    fn may_stay(&self, part: &Inside) -> bool {
        part.marked
    }
}

fn components(at: &Checked) -> impl Iterator<Item = ComponentId> + use<> {
    let count = at.machine().plan().layout().components();
    (0..count as u32).map(ComponentId)
}

/// No state, or one that was not visited yet.
const NONE: u32 = u32::MAX;

/// Tarjan's search for the strongly connected parts, without recursion. What leads out of a state is
/// worked out anew when it is visited, so that no edges need to be kept.
struct Search<'a> {
    graph: &'a Graph<'a>,
    question: &'a dyn Question,
    /// In which order states were visited.
    order: Vec<u32>,
    lowest: Vec<u32>,
    /// Once a state's part is complete: the longest from there to the end, in ticks.
    ticks: Vec<u32>,
    visited: u32,
    /// States of parts that are not complete, and what is known of each.
    open: Vec<(u32, Inside)>,
    is_open: Vec<bool>,
    frames: Vec<Frame>,
    edges: Vec<Out>,
    scratch: Scratch,
}

struct Frame {
    state: u32,
    /// Its place among the open ones.
    place: usize,
    /// Where its edges begin, and the next one to follow.
    first: usize,
    next: usize,
}

/// An edge of the world that the question is about.
#[derive(Clone, Copy)]
struct Out {
    made: Move,
    /// `NONE` where the question ends.
    to: u32,
    will: Will,
    marked: bool,
}

impl Out {
    fn ticks(&self) -> u32 {
        u32::from(matches!(self.made, Move::Tick(_)))
    }

    /// How much a cycle through it tells to whoever reads it.
    fn weight(&self) -> u32 {
        2 * u32::from(self.marked) + self.ticks()
    }
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph<'a>, question: &'a dyn Question) -> Self {
        Self {
            graph,
            question,
            order: vec![NONE; graph.len()],
            lowest: vec![0; graph.len()],
            ticks: vec![0; graph.len()],
            visited: 0,
            open: Vec::new(),
            is_open: vec![false; graph.len()],
            frames: Vec::new(),
            edges: Vec::new(),
            scratch: graph.scratch(),
        }
    }

    /// The longest from any state to the end.
    fn run(mut self) -> Result<u32, Refuted> {
        for state in 0..self.graph.len() as u32 {
            if self.order[state as usize] != NONE {
                continue;
            }
            self.graph.read(state, &mut self.scratch.at);
            if self.question.is_open(&self.scratch.at) {
                self.search_from(state)?;
            }
        }
        Ok(self.ticks.into_iter().max().unwrap_or_default())
    }

    fn search_from(&mut self, state: u32) -> Result<(), Refuted> {
        self.visit(state)?;
        while let Some(frame) = self.frames.last_mut() {
            let here = frame.state as usize;
            let Some(edge) = self.edges.get(frame.next) else {
                self.leave()?;
                continue;
            };
            let to = edge.to;
            frame.next += 1;
            if to == NONE {
                continue;
            }
            if self.order[to as usize] == NONE {
                self.visit(to)?;
            } else if self.is_open[to as usize] {
                self.lowest[here] = self.lowest[here].min(self.order[to as usize]);
            }
        }
        Ok(())
    }

    fn visit(&mut self, state: u32) -> Result<(), Refuted> {
        let place = state as usize;
        self.order[place] = self.visited;
        self.lowest[place] = self.visited;
        self.visited += 1;
        self.is_open[place] = true;
        let first = self.edges.len();
        self.frames.push(Frame {
            state,
            place: self.open.len(),
            first,
            next: first,
        });
        self.open.push((state, Inside::NOTHING));
        self.expand(state)
    }

    /// Appends the edges of a state.
    fn expand(&mut self, state: u32) -> Result<(), Refuted> {
        let Self {
            graph,
            question,
            edges,
            scratch,
            ..
        } = self;
        let world = graph.world();
        graph.read(state, &mut scratch.at);
        let mut wrong = None;
        graph.successors(
            scratch,
            state,
            |at, next| question.will(world, at, next) != Will::Not,
            |at, Made { made, after, .. }, to| {
                let after = after.as_deref().unwrap_or(at);
                let ends = !question.is_open(after);
                if ends && let Some(what) = question.wrong_end(after) {
                    wrong.get_or_insert((made, what));
                }
                edges.push(Out {
                    made,
                    to: if ends { NONE } else { to },
                    will: question.will(world, at, made),
                    marked: question.is_marked(after),
                });
            },
        );
        match wrong {
            None => Ok(()),
            Some((made, what)) => {
                let mut refuted = self.refuted(state, what);
                refuted.path.extend(self.graph.walk(state, &[made]));
                Err(refuted)
            }
        }
    }

    /// All edges of a state were followed: if it was the first of its part, that is complete.
    fn leave(&mut self) -> Result<(), Refuted> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        let here = frame.state as usize;
        if let Some(parent) = self.frames.last() {
            let parent = parent.state as usize;
            self.lowest[parent] = self.lowest[parent].min(self.lowest[here]);
        }
        self.open[frame.place].1 = self.sum_up(&self.edges[frame.first..]);
        self.edges.truncate(frame.first);
        if self.lowest[here] == self.order[here] {
            let part = self.open.split_off(frame.place);
            let inside = part
                .iter()
                .fold(Inside::NOTHING, |sum, (_, one)| sum.and(one));
            if self.question.may_stay(&inside) {
                return Err(self.refute(&part));
            }
            for (state, _) in part {
                self.is_open[state as usize] = false;
                self.ticks[state as usize] = inside.ticks;
            }
        }
        Ok(())
    }

    /// What the edges of a state tell, once all were followed. An edge stays within the part if the
    /// state that it leads to is still open.
    fn sum_up(&self, edges: &[Out]) -> Inside {
        let mut sum = Inside {
            possible: 0,
            ..Inside::NOTHING
        };
        for edge in edges {
            let bound = match edge.will {
                Will::Must(number) => 1 << number,
                _ => 0,
            };
            sum.possible |= bound;
            if self.stays(edge) {
                sum.made |= bound;
                sum.takes_time |= edge.ticks() > 0;
                sum.marked |= edge.marked;
            } else {
                let rest = self.ticks.get(edge.to as usize);
                sum.ticks = sum.ticks.max(edge.ticks() + rest.unwrap_or(&0));
            }
        }
        sum
    }

    fn stays(&self, edge: &Out) -> bool {
        self.is_open.get(edge.to as usize) == Some(&true)
    }

    /// The shortest way to a part in which it may stay for ever, and how.
    fn refute(&mut self, part: &[(u32, Inside)]) -> Refuted {
        let inside: BTreeSet<u32> = part.iter().map(|(state, _)| *state).collect();
        let first = inside.first().copied().unwrap_or_default();
        let mut refuted = self.refuted(first, self.question.wrong_stay());
        let mut worst: Option<(u32, Out)> = None;
        for &state in &inside {
            self.edges.clear();
            // No edge of this part leads to a wrong end: that would have been found before.
            let _ = self.expand(state);
            let within = self.edges.iter().filter(|edge| inside.contains(&edge.to));
            for &edge in within {
                if worst.is_none_or(|(_, worst)| edge.weight() > worst.weight()) {
                    worst = Some((state, edge));
                }
            }
        }
        if let Some((from, edge)) = worst {
            refuted = self.refuted(from, self.question.wrong_stay());
            let mut moves = vec![edge.made];
            moves.extend(self.way(&inside, edge.to, from));
            refuted.cycle = self.graph.walk(from, &moves);
        }
        refuted
    }

    /// The shortest way from one state of a part to another.
    fn way(&mut self, part: &BTreeSet<u32>, from: u32, to: u32) -> Vec<Move> {
        let mut ways = BTreeMap::from([(from, Vec::new())]);
        let mut next = VecDeque::from([from]);
        while let Some(here) = next.pop_front() {
            if here == to {
                break;
            }
            self.edges.clear();
            let _ = self.expand(here);
            for edge in &self.edges {
                if part.contains(&edge.to) && !ways.contains_key(&edge.to) {
                    let mut way: Vec<Move> = ways[&here].clone();
                    way.push(edge.made);
                    ways.insert(edge.to, way);
                    next.push_back(edge.to);
                }
            }
        }
        ways.remove(&to).unwrap_or_default()
    }

    fn refuted(&self, state: u32, what: &str) -> Refuted {
        Refuted {
            violation: Violation {
                law: self.question.law(),
                what: what.into(),
            },
            path: self.graph.path(state),
            cycle: Vec::new(),
        }
    }
}
