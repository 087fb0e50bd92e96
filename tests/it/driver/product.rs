//! Driver and machine together, explored for one and two components: as a check that what is proved of
//! each of them holds of both.
//!
//! What each test lists may arrive at any moment, and wait there while more arrives. From every situation
//! that this leads to, a world that is well from then on leads to Running, or to the end where that is
//! wanted. What is of an earlier epoch or session is left to the explorations of each alone.

use std::collections::HashSet;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use overwatch::driver::{
    Arrival, Command, Decided, Ended, Observed, Renewed, Reported, Seen, Silence, Source,
};
use overwatch::law::Monitor;
use overwatch::machine::{ComponentState, Exit, FailureClass, Phase};
use overwatch::policy::{ComponentId, Fence, Plan};

use super::whole::Whole;
use crate::world::{fenced_by, ms, plan, tiny_policy, tiny_tuning};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Up(u32),
    Ends(u32, Exit, Option<FailureClass>),
    /// Something of it is still held.
    Exits(u32, Exit, Option<FailureClass>),
    Renews,
    /// The process stood still for a moment.
    Late,
    /// From now on this is why nothing is seen.
    Why(Silence),
    Sees(Seen),
    Reports(FailureClass),
    Commands(Command),
    Shutdown,
    Froze,
    Next,
    Tick,
}

/// Both, and who judges them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    whole: Whole,
    monitor: Monitor,
    now: Duration,
    why: Silence,
    /// Nothing is there to be told.
    rests: bool,
}

impl State {
    fn new(plan: Arc<Plan>) -> Self {
        Self {
            whole: Whole::new(Arc::clone(&plan)),
            // A timer is told as late as anybody asks.
            monitor: Monitor::new(plan, None),
            now: Duration::ZERO,
            why: Silence::Polled,
            rests: false,
        }
    }

    fn make(&mut self, made: Move) -> Result<(), String> {
        let machine = self.whole.machine();
        let epoch = machine.epoch();
        let arrival = match made {
            Move::Up(id) => Arrival::Up {
                component: ComponentId(id),
                epoch,
            },
            Move::Ends(id, how, said) | Move::Exits(id, how, said) => {
                let component = ComponentId(id);
                let last_words = said.into_iter().map(|class| Reported {
                    component: Some(component),
                    epoch,
                    class,
                    count: 1,
                    stale: 0,
                });
                Arrival::Ended(Ended {
                    component,
                    epoch,
                    how,
                    gone: matches!(made, Move::Ends(..)),
                    last_words: last_words.collect(),
                })
            }
            Move::Sees(seen) => Arrival::Observed(Observed {
                session: machine.session().unwrap_or_default(),
                round: machine.round(),
                at: self.now,
                seen,
            }),
            Move::Reports(class) => Arrival::Reported(Reported {
                component: None,
                epoch,
                class,
                count: 1,
                stale: 0,
            }),
            Move::Renews => Arrival::Renewed(Renewed {
                epoch,
                expires: self.now + TTL,
            }),
            Move::Late => {
                self.now += ms(1);
                let (at, by) = (self.now, ms(1));
                Arrival::Late { at, by }
            }
            Move::Why(why) => {
                self.why = why;
                return Ok(());
            }
            Move::Commands(command) => Arrival::Command(command),
            Move::Shutdown => Arrival::Shutdown,
            Move::Froze => Arrival::Froze,
            Move::Next => return self.next(),
            Move::Tick => {
                self.now += ms(1);
                self.rests = false;
                return Ok(());
            }
        };
        self.rests = false;
        let arrived = self.whole.arrive(arrival);
        arrived.map(|_| ()).map_err(|broken| broken.to_string())
    }

    fn next(&mut self) -> Result<(), String> {
        let mut effects = Vec::new();
        let decided = self.whole.next(self.now, &mut effects);
        match decided.map_err(|broken| broken.to_string())? {
            Decided::Step(step) => {
                let judged = match step.input() {
                    Some(input) => self.monitor.step(Duration::ZERO, &input, &effects),
                    None => self.monitor.boot(&effects),
                };
                judged.map_err(|violation| format!("{step:?}: {violation}"))
            }
            Decided::Drop(_) => Ok(()),
            Decided::WhySilent { .. } => {
                let arrived = self.whole.arrive(Arrival::Silent(self.why));
                arrived.map(|_| ()).map_err(|broken| broken.to_string())
            }
            Decided::Wait(_) => {
                self.rests = true;
                Ok(())
            }
        }
    }

    /// Everything that is there is told.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..200 {
            if self.rests || self.whole.machine().phase().is_ended() {
                return Ok(());
            }
            self.next()?;
        }
        Err("it never rests".into())
    }

    /// From here on all is well: components do what they were told, and the dependency is seen.
    fn recover(mut self) -> Result<(), String> {
        self.why = Silence::Polled;
        // As many deadlines, hold-offs and limits as there are on the way.
        for _ in 0..40 {
            self.settle()?;
            let machine = self.whole.machine();
            match machine.phase() {
                Phase::Running | Phase::Stopped | Phase::Halted | Phase::Drained => return Ok(()),
                _ => {}
            }
            let components = machine.plan().layout().components() as u32;
            let asked = |id: &u32| {
                let slot = self.whole.machine().component_state(ComponentId(*id));
                matches!(
                    slot,
                    ComponentState::Starting | ComponentState::Stopping | ComponentState::Aborting
                )
            };
            let next = (0..components).find(asked);
            let made = match next {
                Some(id)
                    if self.whole.machine().component_state(ComponentId(id))
                        == ComponentState::Starting =>
                {
                    Move::Up(id)
                }
                Some(id) => Move::Ends(id, Exit::Returned, None),
                None => Move::Sees(Seen::Alive),
            };
            self.make(made)?;
            self.settle()?;
            if next.is_none() {
                self.make(Move::Tick)?;
            }
        }
        Err(format!(
            "never up again: {:?}",
            self.whole.machine().state()
        ))
    }
}

/// Visits all that can happen within so many moments, and returns how many situations there are.
fn visit(plan: Arc<Plan>, moves: &[Move], ticks: u64) -> usize {
    let boot = Rc::new(State::new(plan));
    let mut known = HashSet::from([Rc::clone(&boot)]);
    let mut states = vec![(boot, None::<(usize, Move)>)];
    let mut here = 0;
    while let Some((at, _)) = states.get(here) {
        let at = Rc::clone(at);
        let fail = |why: String, last: Option<Move>| -> ! {
            let (mut way, mut place) = (Vec::from_iter(last), here);
            while let Some((from, made)) = states[place].1 {
                way.push(made);
                place = from;
            }
            let mut lines = String::new();
            for made in way.iter().rev() {
                let _ = writeln!(lines, "  {made:?}");
            }
            panic!("{why}\n{lines}");
        };
        if let Err(why) = (*at).clone().recover() {
            fail(why, None);
        }
        let ended = at.whole.machine().phase().is_ended();
        let mut reached = Vec::new();
        for &made in moves {
            let over = match made {
                Move::Tick | Move::Late => at.now >= ms(ticks),
                Move::Why(why) => at.why == why,
                Move::Next => at.rests,
                made => !has_room(&at.whole, made),
            };
            if ended || over {
                continue;
            }
            let mut after = (*at).clone();
            if let Err(why) = after.make(made) {
                fail(why, Some(made));
            }
            reached.push((Rc::new(after), made));
        }
        for (after, made) in reached {
            if known.insert(Rc::clone(&after)) {
                states.push((after, Some((here, made))));
            }
        }
        here += 1;
    }
    states.len()
}

/// What finds no room waits outside.
fn has_room(whole: &Whole, made: Move) -> bool {
    whole.has_room(match made {
        Move::Up(_) | Move::Ends(..) | Move::Exits(..) => Source::Answer,
        Move::Sees(_) => Source::Observation,
        Move::Reports(_) => Source::Report,
        Move::Commands(_) => Source::Command,
        Move::Shutdown => Source::Shutdown,
        // A later one replaces it.
        Move::Renews => return true,
        Move::Froze | Move::Next | Move::Tick | Move::Late | Move::Why(_) => Source::Runtime,
    })
}

fn one_level(stages: &[usize]) -> Arc<Plan> {
    let tuning = tiny_tuning().with_max_level(1).with_min_evidence(1);
    plan(tiny_policy().tuning(tuning), stages)
}

#[test]
fn one_component() {
    let failed = Exit::Failed(FailureClass::Dependency);
    let states = visit(
        one_level(&[1]),
        &[
            Move::Next,
            Move::Tick,
            Move::Up(0),
            Move::Ends(0, Exit::Returned, None),
            Move::Ends(0, failed, Some(FailureClass::Component)),
            Move::Sees(Seen::Alive),
            Move::Sees(Seen::Failing { fatal: false }),
            Move::Reports(FailureClass::Critical),
            Move::Shutdown,
        ],
        2,
    );
    println!("{states} states");
    assert!(states > 1_000, "{states} states");
}

/// For how long a lease lives.
const TTL: Duration = ms(6);

/// The owner of a lease, in a process that stands still and on a runtime that freezes.
#[test]
fn one_component_with_a_lease() {
    let tuning = tiny_tuning().with_max_level(1).with_min_evidence(1);
    let fence = Fence::new(TTL, ms(1)).with_margin(ms(1));
    let failed = Exit::Failed(FailureClass::Critical);
    let states = visit(
        fenced_by(tiny_policy().tuning(tuning), fence, &[1]),
        &[
            Move::Next,
            Move::Tick,
            Move::Late,
            Move::Up(0),
            Move::Ends(0, Exit::Returned, None),
            Move::Exits(0, failed, Some(FailureClass::Component)),
            Move::Sees(Seen::Alive),
            Move::Renews,
            Move::Why(Silence::Thawed(ms(1))),
        ],
        3,
    );
    println!("{states} states");
    assert!(states > 1_000, "{states} states");
}

/// Two components, in one stage or above each other.
fn two(stages: &[usize]) {
    let states = visit(
        one_level(stages),
        &[
            Move::Next,
            Move::Tick,
            Move::Up(0),
            Move::Up(1),
            Move::Ends(0, Exit::Returned, None),
            Move::Ends(
                1,
                Exit::Failed(FailureClass::Critical),
                Some(FailureClass::Component),
            ),
            Move::Sees(Seen::Alive),
            Move::Sees(Seen::Failing { fatal: false }),
            Move::Froze,
            Move::Commands(Command::Trip),
        ],
        2,
    );
    println!("{stages:?}: {states} states");
    assert!(states > 1_000, "{states} states");
}

#[test]
fn two_components_side_by_side() {
    two(&[2]);
}

#[test]
fn one_component_above_another() {
    two(&[1, 1]);
}
