//! Checks whether every fair path comes to its end, on any graph.
//!
//! A path that never ends stays, from some point on, within one strongly connected part. It is fair there if every
//! kind of edge that is possible at every moment is taken at some time. So a part can hold a fair path forever if and
//! only if each kind of edge that is bound to be taken either stays within the part or is missing in some state of the
//! part. If no part can hold one, every fair path ends.

/// What the search needs to know about an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Out {
    /// The state that the edge leads to; `None` if the path ends there.
    pub(super) to: Option<u32>,
    /// One bit for the kind of edge that is bound to be taken if it is possible at every moment, or no bit.
    pub(super) bound: u64,
    /// How much time the edge takes.
    pub(super) ticks: u32,
    /// Whether the edge must not be taken again and again without time passing.
    pub(super) marked: bool,
}

/// What is known about a strongly connected part, or about one state within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inside {
    /// The kinds of edges that are bound to be taken and exist in all of its states.
    pub(super) possible: u64,
    /// The kinds of edges that are bound to be taken and lead to a state within the part.
    pub(super) taken: u64,
    /// Whether time can pass within the part. Then a path can stay there for any length of time.
    pub(super) takes_time: bool,
    /// Whether a marked edge leads from one of its states to another.
    pub(super) marked: bool,
    /// The longest time from there to the end.
    ticks: u32,
}

impl Inside {
    const NOTHING: Self = Self {
        possible: u64::MAX,
        taken: 0,
        takes_time: false,
        marked: false,
        ticks: 0,
    };

    fn and(self, other: &Self) -> Self {
        Self {
            possible: self.possible & other.possible,
            taken: self.taken | other.taken,
            takes_time: self.takes_time | other.takes_time,
            marked: self.marked | other.marked,
            ticks: self.ticks.max(other.ticks),
        }
    }

    /// Whether a fair path may stay there forever, or for any length of time.
    pub(super) fn can_hold(&self) -> bool {
        self.takes_time || self.possible & !self.taken == 0
    }
}

/// A graph whose edges are computed on demand.
pub(super) trait Edges {
    type Error;

    /// States are numbered from 0.
    fn len(&self) -> usize;

    /// Whether a path that gets to this state has not reached its end.
    fn is_open(&mut self, state: u32) -> bool;

    /// Appends the edges of an open state.
    fn edges(&mut self, state: u32, edges: &mut Vec<Out>) -> Result<(), Self::Error>;

    /// Judges a part. Returns an error if there must not be such a part.
    fn judge(&mut self, part: &[u32], inside: &Inside) -> Result<(), Self::Error>;
}

/// Judges every strongly connected part of the open states. Returns the longest time from any of them to the end.
pub(super) fn judge_all_parts<E: Edges>(graph: &mut E) -> Result<u32, E::Error> {
    let mut search = Search {
        order: vec![UNSEEN; graph.len()],
        lowest: vec![0; graph.len()],
        ticks: vec![0; graph.len()],
        is_open: vec![false; graph.len()],
        visited: 0,
        open: Vec::new(),
        frames: Vec::new(),
        edges: Vec::new(),
    };
    for state in 0..graph.len() as u32 {
        if search.order[state as usize] == UNSEEN && graph.is_open(state) {
            search.search_from(state, graph)?;
        }
    }
    Ok(search.ticks.into_iter().max().unwrap_or_default())
}

const UNSEEN: u32 = u32::MAX;

/// Tarjan's algorithm, without recursion.
struct Search {
    /// The order in which states were visited.
    order: Vec<u32>,
    lowest: Vec<u32>,
    /// The longest time from a state to the end, once its part is complete.
    ticks: Vec<u32>,
    is_open: Vec<bool>,
    visited: u32,
    /// The states of parts that are not complete, and what is known about each state.
    open: Vec<(u32, Inside)>,
    frames: Vec<Frame>,
    /// The edges of all frames.
    edges: Vec<Out>,
}

struct Frame {
    state: u32,
    /// The place of the state among the open ones.
    place: usize,
    /// Where its edges begin, and the next one to follow.
    first: usize,
    next: usize,
}

impl Search {
    fn search_from<E: Edges>(&mut self, state: u32, graph: &mut E) -> Result<(), E::Error> {
        self.visit(state, graph)?;
        while let Some(frame) = self.frames.last_mut() {
            let here = frame.state as usize;
            let Some(edge) = self.edges.get(frame.next) else {
                self.leave(graph)?;
                continue;
            };
            frame.next += 1;
            let Some(to) = edge.to else { continue };
            if self.order[to as usize] == UNSEEN {
                self.visit(to, graph)?;
            } else if self.is_open[to as usize] {
                self.lowest[here] = self.lowest[here].min(self.order[to as usize]);
            }
        }
        Ok(())
    }

    fn visit<E: Edges>(&mut self, state: u32, graph: &mut E) -> Result<(), E::Error> {
        let here = state as usize;
        self.order[here] = self.visited;
        self.lowest[here] = self.visited;
        self.visited += 1;
        self.is_open[here] = true;
        self.frames.push(Frame {
            state,
            place: self.open.len(),
            first: self.edges.len(),
            next: self.edges.len(),
        });
        self.open.push((state, Inside::NOTHING));
        graph.edges(state, &mut self.edges)
    }

    /// Leaves a state after all its edges were followed. If it was the first state of its part, the part is complete.
    fn leave<E: Edges>(&mut self, graph: &mut E) -> Result<(), E::Error> {
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
            let sum = part
                .iter()
                .fold(Inside::NOTHING, |sum, (_, one)| sum.and(one));
            let states: Vec<u32> = part.into_iter().map(|(state, _)| state).collect();
            graph.judge(&states, &sum)?;
            for state in states {
                self.is_open[state as usize] = false;
                self.ticks[state as usize] = sum.ticks;
            }
        }
        Ok(())
    }

    /// Sums up the edges of a state after all of them were followed. An edge stays within the part if and only if the
    /// state that it leads to is still open.
    fn sum_up(&self, edges: &[Out]) -> Inside {
        let mut sum = Inside {
            possible: 0,
            ..Inside::NOTHING
        };
        for edge in edges {
            sum.possible |= edge.bound;
            match edge.to {
                Some(to) if self.is_open[to as usize] => {
                    sum.taken |= edge.bound;
                    sum.takes_time |= edge.ticks > 0;
                    sum.marked |= edge.marked;
                }
                to => {
                    let rest = to.map_or(0, |to| self.ticks[to as usize]);
                    sum.ticks = sum.ticks.max(edge.ticks + rest);
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests;
