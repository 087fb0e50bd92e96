//! The visited states, each as a few bytes, and the path to each.

use super::counterexample::{Counterexample, TraceStep};
use super::environment::Environment;
use super::{Action, Edge, ExploreError, StateSpace};
use crate::law::{Checked, Violation};
use crate::machine::{Effect, Input, Step};
use crate::pack::{Packer, Unpacker};

/// No state.
const NONE: u32 = u32::MAX;

pub(super) struct Graph<'a> {
    world: &'a Environment,
    max_states: usize,
    /// All states. Each takes as many bytes as the first.
    bytes: Vec<u8>,
    stride: usize,
    /// The state from which, and the move by which, each state was reached first. This gives a shortest path.
    came: Vec<(u32, u16)>,
    /// Open addressing: the upper half of a state's hash, and its number.
    index: Vec<(u32, u32)>,
    boot: Checked,
}

/// What one move does in one state.
pub(super) struct Made<'a> {
    pub(super) made: Action,
    /// `None` if time passed.
    pub(super) step: Option<Step>,
    pub(super) effects: &'a [Effect],
    /// `None` if nothing changed.
    pub(super) after: Option<&'a mut Checked>,
}

/// Buffers that are reused for every visited state.
pub(super) struct Scratch {
    pub(super) at: Checked,
    after: Checked,
    effects: Vec<Effect>,
    packed: Vec<u8>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(world: &'a Environment, max_states: usize) -> Result<Self, ExploreError> {
        let mut effects = Vec::new();
        let mut boot = world.boot(&mut effects).map_err(Counterexample::at_once)?;
        boot.normalize();
        let mut graph = Self {
            world,
            max_states,
            bytes: Vec::new(),
            stride: 0,
            came: Vec::new(),
            index: vec![(0, NONE); 1 << 12],
            boot,
        };
        let mut packed = Vec::new();
        graph.pack(&graph.boot, &mut packed)?;
        graph.stride = packed.len();
        graph.insert(&packed, (NONE, 0))?;
        Ok(graph)
    }

    pub(super) fn world(&self) -> &Environment {
        self.world
    }

    pub(super) fn len(&self) -> usize {
        self.came.len()
    }

    /// The memory that all states take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity()
            + self.came.capacity() * size_of::<(u32, u16)>()
            + self.index.capacity() * size_of::<(u32, u32)>()
    }

    pub(super) fn scratch(&self) -> Scratch {
        Scratch {
            at: self.boot.clone(),
            after: self.boot.clone(),
            effects: Vec::new(),
            packed: Vec::with_capacity(self.stride),
        }
    }

    /// Visits every state, the nearest first, and calls `see` with every step.
    pub(super) fn visit_all(
        &mut self,
        mut see: impl FnMut(Edge<'_>),
    ) -> Result<StateSpace, ExploreError> {
        let mut scratch = self.scratch();
        let (mut edges, mut moves) = (0, 0);
        let mut here = 0;
        while (here as usize) < self.len() {
            self.read(here, &mut scratch.at);
            let Scratch {
                at,
                after,
                effects,
                packed,
            } = &mut scratch;
            let from = at.machine();
            expand(
                self.world,
                Judged::Now,
                at,
                after,
                effects,
                |_, _| true,
                |place, made| {
                    edges += 1;
                    if let (Action::Tell(input), Some(step)) = (made.made, made.step) {
                        see(Edge {
                            from,
                            input,
                            step,
                            effects: made.effects,
                            to: made.after.as_deref().map_or(from, Checked::machine),
                        });
                    }
                    let Some(after) = made.after else {
                        return Ok(());
                    };
                    moves += 1;
                    self.pack(after, packed)?;
                    if self.insert(packed, (here, place as u16))? {
                        self.demand_all_is_kept(after, packed);
                    }
                    Ok::<(), ExploreError>(())
                },
            )
            .map_err(|stopped| match stopped {
                Stopped::By(unproved) => unproved,
                Stopped::Violation(violation, last) => {
                    Counterexample::new(violation, self.path(here), *last).into()
                }
            })?;
            here += 1;
        }
        Ok(StateSpace {
            states: self.len(),
            edges,
            moves,
            bytes: self.bytes(),
        })
    }

    /// Calls `each` for every wanted move in the state that `scratch` is at.
    ///
    /// `each` gets what the move does, and the number of the state that it leads to.
    ///
    /// # Errors
    ///
    /// A move that does not do what it did when it was judged.
    pub(super) fn successors(
        &self,
        scratch: &mut Scratch,
        here: u32,
        wanted: impl Fn(&Checked, Action) -> bool,
        mut each: impl FnMut(&Checked, Made<'_>, u32),
    ) -> Result<(), Action> {
        let Scratch {
            at,
            after,
            effects,
            packed,
        } = scratch;
        expand(
            self.world,
            Judged::Before,
            at,
            after,
            effects,
            wanted,
            |_, mut moved| {
                let made = moved.made;
                let to = match &mut moved.after {
                    None => Some(here),
                    Some(after) => self
                        .pack(after, packed)
                        .ok()
                        .and_then(|()| self.find(packed)),
                };
                each(at, moved, to.ok_or(made)?);
                Ok::<(), Action>(())
            },
        )
        .map_err(|stopped| match stopped {
            Stopped::By(made) => made,
            Stopped::Violation(_, last) => last.made,
        })
    }

    /// Packs a state. Only its relative part is kept.
    fn pack(&self, state: &Checked, packed: &mut Vec<u8>) -> Result<(), ExploreError> {
        packed.clear();
        let mut packer = Packer {
            bytes: packed,
            tick: self.world.tick(),
            fits: true,
        };
        state.pack(&mut packer);
        if packer.fits {
            return Ok(());
        }
        // `check` found that the numbers of the plan fit, so this is a function that replaces `Machine::handle`.
        Err(ExploreError::TooFine {
            knob: "a number of the state",
            bound: "what is counted may be 255 at most, and what is timed a number of ticks".into(),
        })
    }

    /// Asserts that the bytes hold the whole state. Otherwise two different states could be taken for one.
    fn demand_all_is_kept(&self, state: &Checked, packed: &[u8]) {
        if cfg!(debug_assertions) {
            let mut kept = self.boot.clone();
            self.unpack(packed, &mut kept);
            let mut relative = state.clone();
            relative.normalize();
            assert_eq!(kept, relative);
            assert_eq!(kept.machine().record(), relative.machine().record());
        }
    }

    fn unpack(&self, packed: &[u8], state: &mut Checked) {
        state.unpack(&mut Unpacker {
            bytes: packed,
            tick: self.world.tick(),
        });
    }

    /// Sets `state` to the state with this number.
    pub(super) fn read(&self, number: u32, state: &mut Checked) {
        let start = number as usize * self.stride;
        self.unpack(&self.bytes[start..start + self.stride], state);
    }

    fn packed(&self, number: u32) -> &[u8] {
        let start = number as usize * self.stride;
        &self.bytes[start..start + self.stride]
    }

    /// The number of a state, or the place in the index where it belongs.
    fn look_up(&self, packed: &[u8], hash: u64) -> Result<u32, usize> {
        let mask = self.index.len() - 1;
        let tag = (hash >> 32) as u32;
        let mut place = hash as usize & mask;
        loop {
            match self.index[place] {
                (_, NONE) => return Err(place),
                (known, number) if known == tag && self.packed(number) == packed => {
                    return Ok(number);
                }
                _ => place = (place + 1) & mask,
            }
        }
    }

    fn find(&self, packed: &[u8]) -> Option<u32> {
        self.look_up(packed, hash(packed)).ok()
    }

    /// Adds a state. Returns whether it is new.
    fn insert(&mut self, packed: &[u8], came: (u32, u16)) -> Result<bool, ExploreError> {
        let hash = hash(packed);
        let Err(place) = self.look_up(packed, hash) else {
            return Ok(false);
        };
        let max_states = self.max_states;
        if self.len() >= max_states {
            return Err(ExploreError::TooManyStates { max_states });
        }
        self.index[place] = ((hash >> 32) as u32, self.len() as u32);
        self.bytes.extend_from_slice(packed);
        self.came.push(came);
        // Probing takes long if the index is more than three quarters full.
        if self.len() * 4 > self.index.len() * 3 {
            self.grow();
        }
        Ok(true)
    }

    fn grow(&mut self) {
        let mask = self.index.len() * 2 - 1;
        let mut index = vec![(0, NONE); mask + 1];
        for number in 0..self.len() as u32 {
            let hash = hash(self.packed(number));
            let mut place = hash as usize & mask;
            while index[place].1 != NONE {
                place = (place + 1) & mask;
            }
            index[place] = ((hash >> 32) as u32, number);
        }
        self.index = index;
    }

    /// A shortest path from boot to a state.
    pub(super) fn path(&self, to: u32) -> Vec<TraceStep> {
        let mut moves = Vec::new();
        let mut here = to;
        while self.came[here as usize].0 != NONE {
            let (from, place) = self.came[here as usize];
            moves.push(self.world.moves()[usize::from(place)]);
            here = from;
        }
        moves.reverse();
        self.walk(0, &moves)
    }

    /// What happens on a path that was found lawful, or lawful up to its last move.
    pub(super) fn walk(&self, from: u32, moves: &[Action]) -> Vec<TraceStep> {
        let mut at = self.boot.clone();
        self.read(from, &mut at);
        let mut turns = Vec::new();
        for &made in moves {
            let mut effects = Vec::new();
            let step = self.world.make(&mut at, made, &mut effects);
            at.normalize();
            turns.push(TraceStep {
                made,
                step: step.unwrap_or_default(),
                effects,
                then: *at.machine().state(),
            });
        }
        turns
    }
}

/// Why not all moves of a state were made.
enum Stopped<E> {
    By(E),
    Violation(Violation, Box<TraceStep>),
}

/// Whether the laws judge a step now, or judged it before.
#[derive(Clone, Copy)]
enum Judged {
    Now,
    Before,
}

/// Makes every wanted move that is possible, and calls `each` with what the move does.
fn expand<E>(
    world: &Environment,
    judged: Judged,
    at: &Checked,
    after: &mut Checked,
    effects: &mut Vec<Effect>,
    wanted: impl Fn(&Checked, Action) -> bool,
    mut each: impl FnMut(usize, Made<'_>) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let mut pristine = false;
    for (place, &made) in world.moves().iter().enumerate() {
        if !world.can(at, made) || !wanted(at, made) {
            continue;
        }
        if !pristine {
            match judged {
                Judged::Now => after.clone_from(at),
                Judged::Before => after.repeat_from(at),
            }
        }
        let step = match judged {
            Judged::Now => world.make(after, made, effects),
            Judged::Before => world.repeat(after, made, effects),
        };
        let step = match step {
            Ok(step) => step,
            Err(violation) => {
                let last = TraceStep {
                    made,
                    step: None,
                    effects: effects.clone(),
                    then: *after.machine().state(),
                };
                return Err(Stopped::Violation(violation, Box::new(last)));
            }
        };
        // L5 guarantees that an ignored input changes neither the machine nor the monitor. Only ignored reports are
        // counted.
        let counted = matches!(made, Action::Tell(Input::Report { .. }));
        let inert = matches!(step, Some(Step::Ignored(_))) && !counted;
        pristine = inert;
        let made = Made {
            made,
            step,
            effects,
            after: (!inert).then_some(&mut *after),
        };
        each(place, made).map_err(Stopped::By)?;
    }
    Ok(())
}

/// Fast, and the same on every machine: multiply and fold, eight bytes at a time.
fn hash(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        (product as u64) ^ (product >> 64) as u64
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(0x2545_f491_4f6c_dd1d, |hash, word| {
        mix(hash, u64::from_le_bytes(*word))
    });
    let last = rest
        .iter()
        .fold(1, |last, &byte| last << 8 | u64::from(byte));
    mix(mix(hash, last), 0xd6e8_feb8_6659_fd93)
}
