//! What can arrive at a driver, and the whole of what can happen to it within some moments.

use std::collections::HashSet;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use overwatch::driver::{
    Arrival, Command, Ended, Next, Observed, Renewed, Reported, Seen, Silence, View,
};
use overwatch::machine::{Effect, Exit, FailureClass, Phase, Timer};
use overwatch::policy::ComponentId;

use super::laws::{Broken, Watch};
use super::reference::Drive;
use crate::world::ms;

/// The silence limit in all that is explored.
pub(crate) const LIMIT: Duration = ms(2);

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Move {
    Arrives(Arrival),
    /// An observation is made just now.
    Seen {
        session: u64,
        seen: Seen,
    },
    /// A renewal is good for so long from now.
    Renewed(Duration),
    /// The thread was late by so much.
    Late(Duration),
    Arms(Timer, Duration),
    Disarms(Timer),
    /// The machine moves.
    Views(View),
    /// The driver is asked what is next.
    Next,
    Tick,
}

/// A driver and who watches it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Driven<D> {
    pub(crate) driver: D,
    pub(crate) watch: Watch,
    pub(crate) view: View,
    pub(crate) now: Duration,
    /// The driver has said that there is nothing until then: it is not asked again before.
    rests: bool,
}

impl<D: Drive> Driven<D> {
    pub(crate) fn new(driver: D) -> Self {
        Self {
            driver,
            watch: Watch::new(LIMIT),
            view: View {
                phase: Phase::Running,
                session: Some(1),
                asked: false,
            },
            now: Duration::ZERO,
            rests: false,
        }
    }

    /// Lets something happen. What is next is returned where that was asked for.
    pub(crate) fn make(&mut self, made: Move) -> Result<Option<Next>, Broken> {
        self.rests &= matches!(made, Move::Next);
        match made {
            Move::Arrives(arrival) => self.arrive(arrival)?,
            Move::Seen { session, seen } => {
                let at = self.now;
                let round = 0;
                self.arrive(Arrival::Observed(Observed {
                    session,
                    round,
                    at,
                    seen,
                }))?;
            }
            Move::Renewed(after) => {
                let expires = self.now + after;
                self.arrive(Arrival::Renewed(Renewed { epoch: 1, expires }))?;
            }
            Move::Late(by) => self.arrive(Arrival::Late { at: self.now, by })?,
            Move::Arms(timer, after) => self.carry_out(Effect::Arm { timer, after }),
            Move::Disarms(timer) => self.carry_out(Effect::Disarm { timer }),
            Move::Views(view) => self.view = view,
            Move::Tick => self.now += ms(1),
            Move::Next => {
                let next = self.driver.next(&self.view, self.now);
                self.watch.judge(next, &self.view, self.now)?;
                self.rests = matches!(next, Next::Wait(_));
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    fn arrive(&mut self, arrival: Arrival) -> Result<(), Broken> {
        let taken = self.driver.arrive(arrival);
        self.watch.arrived(arrival, taken)
    }

    fn carry_out(&mut self, effect: Effect) {
        self.driver.carry_out(&[effect], self.now);
        self.watch.carry_out(&[effect], self.now);
    }
}

/// A part of the world: what can happen in it, and for how many ticks.
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) moves: Vec<Move>,
    pub(crate) ticks: u64,
}

/// How much was visited.
#[derive(Debug)]
pub(crate) struct Visited {
    pub(crate) states: usize,
    pub(crate) edges: u64,
}

/// Visits everything that can happen to a driver in this world, the nearest first.
///
/// # Errors
///
/// The first rule that is broken, with the shortest way there.
pub(crate) fn visit<D: Drive>(driver: D, world: &World) -> Result<Visited, (Broken, String)> {
    let boot = Rc::new(Driven::new(driver));
    let mut known = HashSet::from([Rc::clone(&boot)]);
    // Each with the way by which it was reached first.
    let mut states = vec![(boot, None)];
    let mut edges = 0;
    let mut here = 0;
    while let Some((at, _)) = states.get(here) {
        let at = Rc::clone(at);
        for &made in &world.moves {
            // What is postponed again and again is nothing new.
            let over = match made {
                Move::Tick => at.now >= ms(world.ticks),
                Move::Next => at.rests,
                Move::Late(_) | Move::Arrives(Arrival::Silent(_)) => {
                    at.watch.last_due() > Some(at.now + LIMIT)
                }
                _ => false,
            };
            if over {
                continue;
            }
            edges += 1;
            let mut after = (*at).clone();
            if let Err(broken) = after.make(made) {
                return Err((broken, way(&states, here, made)));
            }
            let after = Rc::new(after);
            if known.insert(Rc::clone(&after)) {
                states.push((after, Some((here, made))));
            }
        }
        here += 1;
    }
    let states = states.len();
    Ok(Visited { states, edges })
}

/// A state, and from which one it was reached by what.
type Reached<D> = (Rc<Driven<D>>, Option<(usize, Move)>);

fn way<D>(states: &[Reached<D>], mut here: usize, last: Move) -> String {
    let mut moves = vec![last];
    while let Some((from, made)) = states[here].1 {
        moves.push(made);
        here = from;
    }
    moves.reverse();
    let mut lines = String::new();
    for made in moves {
        let _ = writeln!(lines, "  {made:?}");
    }
    lines
}

// The parts of the world. Each decision of the driver is about few sources; what it is about is explored
// whole, and random walks go through all of it together.

const ID: ComponentId = ComponentId(0);

fn said(class: FailureClass, count: u64, stale: u64) -> Reported {
    Reported {
        component: Some(ID),
        epoch: 1,
        class,
        count,
        stale,
    }
}

pub(crate) fn ended(how: Exit, gone: bool, words: &[Reported]) -> Arrival {
    Arrival::Ended(Ended {
        component: ID,
        epoch: 1,
        how,
        gone,
        last_words: words.iter().copied().collect(),
    })
}

fn views() -> impl Iterator<Item = Move> {
    let phases = [Phase::Running, Phase::Monitoring];
    let views = phases.into_iter().flat_map(|phase| {
        [None, Some(1)].map(|session| View {
            phase,
            session,
            asked: false,
        })
    });
    views.map(Move::Views)
}

/// How components answer, what they and others reported, and whether they were asked to stop.
pub(crate) fn answers() -> World {
    let (component, epoch) = (ID, 1);
    let up = Arrival::Up { component, epoch };
    let mut arrivals = vec![up, Arrival::Froze, Arrival::Shutdown];
    let words = [
        vec![],
        vec![said(FailureClass::Component, 1, 0)],
        vec![said(FailureClass::Critical, 2, 1)],
        vec![
            said(FailureClass::Component, 1, 0),
            said(FailureClass::Fatal, 1, 0),
        ],
    ];
    for how in [
        Exit::Returned,
        Exit::Failed(FailureClass::Dependency),
        Exit::Failed(FailureClass::Fatal),
    ] {
        for gone in [false, true] {
            arrivals.extend(words.iter().map(|words| ended(how, gone, words)));
        }
    }
    let most = u64::from(u32::MAX);
    arrivals.extend([
        Arrival::Reported(said(FailureClass::Component, most + 1, 0)),
        Arrival::Reported(said(FailureClass::Critical, 1, 0)),
        Arrival::Reported(Reported {
            component: None,
            ..said(FailureClass::Dependency, 1, 1)
        }),
        Arrival::Reported(Reported {
            component: Some(ComponentId(1)),
            ..said(FailureClass::Fatal, 1, 0)
        }),
        Arrival::Reported(Reported {
            epoch: 2,
            ..said(FailureClass::Fatal, 1, 0)
        }),
    ]);
    let asked = [false, true].map(|asked| {
        Move::Views(View {
            phase: Phase::Running,
            session: Some(1),
            asked,
        })
    });
    let mut moves: Vec<Move> = arrivals.into_iter().map(Move::Arrives).collect();
    moves.extend(asked);
    moves.extend([Move::Next, Move::Tick, Move::Arms(Timer::Stage, ms(1))]);
    World {
        name: "answers",
        moves,
        ticks: 1,
    }
}

/// What is seen, what is not, and why.
pub(crate) fn silence() -> World {
    let seen = [Seen::Alive, Seen::Failing { fatal: true }];
    let mut moves: Vec<Move> = seen.map(|seen| Move::Seen { session: 1, seen }).into();
    moves.push(Move::Seen {
        session: 2,
        seen: Seen::Alive,
    });
    let whys = [Silence::Polled, Silence::Frozen, Silence::Thawed(ms(1))];
    moves.extend(whys.map(|why| Move::Arrives(Arrival::Silent(why))));
    moves.extend(views());
    moves.extend([
        Move::Next,
        Move::Tick,
        Move::Arms(Timer::Silence, LIMIT),
        Move::Disarms(Timer::Silence),
        Move::Late(ms(1)),
        // What others do meanwhile.
        Move::Arms(Timer::Decay, ms(1)),
        Move::Disarms(Timer::Decay),
        Move::Arrives(Arrival::Up {
            component: ID,
            epoch: 1,
        }),
    ]);
    World {
        name: "silence",
        moves,
        ticks: 4,
    }
}

/// Deadlines, the lease, and what is less urgent than they are.
pub(crate) fn deadlines() -> World {
    let mut moves = vec![
        Move::Next,
        Move::Tick,
        Move::Renewed(ms(2)),
        Move::Renewed(ms(1)),
        Move::Late(ms(1)),
        Move::Arrives(Arrival::Shutdown),
        Move::Arrives(Arrival::Command(Command::Drain)),
        Move::Arrives(Arrival::Reported(said(FailureClass::Component, 1, 0))),
    ];
    for timer in [Timer::Stage, Timer::Fence, Timer::Stable] {
        moves.push(Move::Arms(timer, ms(1)));
        moves.push(Move::Arms(timer, ms(2)));
    }
    moves.push(Move::Disarms(Timer::Fence));
    World {
        name: "deadlines",
        moves,
        ticks: 2,
    }
}

/// Those of which none may wait for ever.
pub(crate) fn fairness() -> World {
    let command = |command| Move::Arrives(Arrival::Command(command));
    World {
        name: "fairness",
        moves: vec![
            Move::Next,
            Move::Tick,
            Move::Renewed(ms(3)),
            command(Command::Resume),
            command(Command::Trip),
            Move::Seen {
                session: 1,
                seen: Seen::Alive,
            },
            Move::Arrives(Arrival::Reported(said(FailureClass::Component, 2, 1))),
            Move::Arrives(Arrival::Shutdown),
            Move::Arms(Timer::Decay, ms(1)),
        ],
        ticks: 3,
    }
}

pub(crate) fn worlds() -> Vec<World> {
    vec![answers(), silence(), deadlines(), fairness()]
}
