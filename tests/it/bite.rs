//! Each law bites: a real run, falsified in one place, is caught by the law that the place breaks.
//!
//! What is falsified is what the [`Monitor`] reads (inputs, effects, times), as if a machine with a
//! defect had taken part in the run.

use std::sync::Arc;
use std::time::Duration;

use overwatch::law::{Law, Monitor, Violation};
use overwatch::machine::{Class, Effect, End, How, Input, Record, Timer, Why};
use overwatch::policy::{ComponentId, Plan};

use crate::world::{
    Action, Turn, World, fenced, ms, plan, small_policy, small_tuning, starts, stops,
};

/// A run that was recorded, and may be falsified.
struct Run {
    plan: Arc<Plan>,
    tape: Vec<Turn>,
}

impl Run {
    fn of(world: &World) -> Self {
        let run = Self {
            plan: Arc::clone(world.machine().plan()),
            tape: world.tape.clone(),
        };
        assert_eq!(run.judge(), Ok(()), "the run itself is lawful");
        run
    }

    fn judge(&self) -> Result<(), Violation> {
        self.judge_late(Duration::ZERO)
    }

    /// Judges it as the run of a shell whose timers fire up to this late.
    fn judge_late(&self, late: Duration) -> Result<(), Violation> {
        let mut monitor = Monitor::new(Arc::clone(&self.plan), Some(late));
        for turn in &self.tape {
            match &turn.input {
                None => monitor.boot(&turn.effects)?,
                Some(input) => monitor.step(turn.elapsed, input, &turn.effects)?,
            }
        }
        Ok(())
    }

    /// Falsifies the run, and demands that this law catches it.
    #[track_caller]
    fn bites(&self, law: Law, falsify: impl FnOnce(&mut Tape)) {
        let mut tape = Tape(self.tape.clone());
        falsify(&mut tape);
        assert_ne!(tape.0, self.tape, "nothing was falsified");
        let run = Self {
            plan: Arc::clone(&self.plan),
            tape: tape.0,
        };
        let caught = run.judge().map_err(|violation| violation.law);
        assert_eq!(caught, Err(law), "{:?}", run.judge());
    }
}

/// What is falsified. Each method picks the first turn that fits.
struct Tape(Vec<Turn>);

impl Tape {
    fn told(&mut self, wanted: impl Fn(&Input) -> bool) -> &mut Turn {
        let told = |turn: &&mut Turn| turn.input.as_ref().is_some_and(&wanted);
        self.0.iter_mut().find(told).expect("such an input")
    }

    fn asked(&mut self, wanted: impl Fn(&Effect) -> bool) -> &mut Turn {
        let asked = |turn: &&mut Turn| turn.effects.iter().any(&wanted);
        self.0.iter_mut().find(asked).expect("such an effect")
    }

    /// The one effect that fits in the first turn that has one.
    fn effect(&mut self, wanted: impl Fn(&Effect) -> bool) -> &mut Effect {
        let mut effects = self.0.iter_mut().flat_map(|turn| &mut turn.effects);
        effects
            .find(|effect| wanted(effect))
            .expect("such an effect")
    }

    fn drop_effect(&mut self, wanted: impl Fn(&Effect) -> bool) {
        self.asked(&wanted).effects.retain(|effect| !wanted(effect));
    }

    /// Never happened; its time did pass.
    fn drop_turn(&mut self, wanted: impl Fn(&Turn) -> bool) {
        let at = self.0.iter().position(wanted).expect("such a turn");
        let gone = self.0.remove(at);
        if let Some(next) = self.0.get_mut(at) {
            next.elapsed += gone.elapsed;
        }
    }

    /// Happens just before the first turn that fits, with these effects.
    fn insert_before(&mut self, wanted: impl Fn(&Turn) -> bool, input: Input, effects: &[Effect]) {
        let at = self.0.iter().position(wanted).expect("such a turn");
        let turn = Turn {
            elapsed: Duration::ZERO,
            input: Some(input),
            effects: effects.to_vec(),
            step: None,
        };
        self.0.insert(at, turn);
    }
}

// Words for effects and inputs.

fn ready_on(effect: &Effect) -> bool {
    *effect == Effect::Ready(true)
}

fn ready_off(effect: &Effect) -> bool {
    *effect == Effect::Ready(false)
}

fn arms(timer: Timer) -> impl Fn(&Effect) -> bool {
    move |effect| matches!(*effect, Effect::Arm { timer: armed, .. } if armed == timer)
}

fn disarms(timer: Timer) -> impl Fn(&Effect) -> bool {
    move |effect| *effect == Effect::Disarm { timer }
}

fn closes_outage(effect: &Effect) -> bool {
    matches!(effect, Effect::OutageClosed(_))
}

fn ends(effect: &Effect) -> bool {
    matches!(effect, Effect::Ended(_))
}

fn turn_with(wanted: impl Fn(&Effect) -> bool) -> impl Fn(&Turn) -> bool {
    move |turn| turn.effects.iter().any(&wanted)
}

fn fired(timer: Timer) -> impl Fn(&Turn) -> bool {
    move |turn| turn.input == Some(Input::Fired(timer))
}

const fn stop(component: u32, epoch: u64) -> Effect {
    Effect::Stop {
        component: ComponentId(component),
        epoch,
    }
}

const fn start(component: u32, epoch: u64) -> Effect {
    Effect::Start {
        component: ComponentId(component),
        epoch,
    }
}

const fn arm(timer: Timer, after: u64) -> Effect {
    Effect::Arm {
        timer,
        after: ms(after),
    }
}

const fn report(class: Class, epoch: u64) -> Input {
    Input::Report {
        component: None,
        epoch,
        class,
        count: 1,
    }
}

// Real runs.

/// Two stages, `#0` below `#1` and `#2`: a start, an outage that the dependency caused and in which
/// `#2` had to be aborted, one that a component caused, some suspicion, and a shutdown.
fn life() -> Run {
    let tell = || -> Result<World, Violation> {
        let mut world = World::running(plan(small_policy().trip_threshold(2), &[1, 2]))?;
        world.stay_alive(4)?;
        world.report(Class::Critical, 1)?;
        world.gone(1, How::Returned)?;
        world.wait(Some(10))?;
        assert!(world.recover()?.is_some());
        world.gone(0, How::Returned)?;
        assert!(world.recover()?.is_some());
        world.report(Class::Component, 1)?;
        world.stay_alive(20)?;
        world.input(Input::Shutdown)?;
        world.answer_all()?;
        Ok(world)
    };
    Run::of(&tell().expect("lawful"))
}

/// One component, which survives its abort.
fn wedge() -> Run {
    let tell = || -> Result<World, Violation> {
        let mut world = World::running(plan(small_policy(), &[1]))?;
        world.input(Input::Shutdown)?;
        world.wait(Some(15))?;
        Ok(world)
    };
    Run::of(&tell().expect("lawful"))
}

/// A lease that is renewed once, and then runs out under a world that answers nothing.
fn lease() -> Run {
    let tell = || -> Result<World, Violation> {
        let mut world = World::running(fenced(small_policy(), &[1, 1]))?;
        world.stay_alive(20)?;
        world.input(Input::LeaseRenewed {
            epoch: 1,
            remaining: ms(100),
        })?;
        world.stay_alive(100)?;
        Ok(world)
    };
    Run::of(&tell().expect("lawful"))
}

// The laws.

#[test]
fn l1_ready_means_running() {
    let life = life();
    // Ready with the last component still starting.
    life.bites(Law::L1, |tape| {
        let ready = tape.0.iter().position(turn_with(ready_on)).expect("ready");
        tape.0[ready - 1].effects.push(Effect::Ready(true));
    });
    // Ready before anything is started.
    life.bites(Law::L1, |tape| tape.0[0].effects.push(Effect::Ready(true)));
    // Ready twice.
    life.bites(Law::L1, |tape| {
        tape.asked(ready_on).effects.push(Effect::Ready(true))
    });
}

#[test]
fn l2_health_first() {
    let life = life();
    life.bites(Law::L2, |tape| tape.asked(ready_off).effects.rotate_left(1));
    life.bites(Law::L2, |tape| {
        let effects = &mut tape.asked(ready_off).effects;
        let last_stop = effects.iter().rposition(stops).expect("stops");
        effects[..=last_stop].rotate_left(1);
    });
    life.bites(Law::L2, |tape| {
        let effects = &mut tape.asked(stops).effects;
        effects.retain(|effect| stops(effect) || arms(Timer::Stage)(effect));
    });
}

#[test]
fn l3_one_incarnation() {
    // Started twice, and in an epoch that is not.
    let life = life();
    life.bites(Law::L3, |tape| tape.asked(starts).effects.push(start(0, 1)));
    life.bites(Law::L3, |tape| *tape.effect(starts) = start(0, 2));
    // Started again while it stops.
    life.bites(Law::L3, |tape| tape.asked(stops).effects.push(start(1, 2)));
}

#[test]
fn l4_proven_recovery() {
    let life = life();
    // The hold-off is cut, never armed, or not waited for.
    life.bites(Law::L4, |tape| {
        *tape.effect(arms(Timer::HoldOff)) = arm(Timer::HoldOff, 29)
    });
    life.bites(Law::L4, |tape| tape.drop_turn(fired(Timer::HoldOff)));
    // A failure in the middle of the clean run.
    life.bites(Law::L4, |tape| {
        let failing = Input::Failing { session: 2 };
        tape.insert_before(fired(Timer::HoldOff), failing, &[arm(Timer::Silence, 8)]);
    });
    // A gap that no timer told of.
    life.bites(Law::L4, |tape| {
        let in_session = |turn: &Turn| turn.input == Some(Input::Alive { session: 2 });
        let first = tape.0.iter().position(in_session).expect("observed");
        tape.0[first + 1].elapsed += ms(8);
    });
    // The silence limit is no longer watched.
    life.bites(Law::L4, |tape| {
        let counting = tape.asked(arms(Timer::HoldOff));
        let timer = Timer::Silence;
        counting.effects.push(Effect::Disarm { timer });
    });
    // Started by the timer instead of by evidence.
    life.bites(Law::L4, |tape| {
        let last = tape.0.iter().rposition(turn_with(starts)).expect("started");
        let hold_off = tape.0[..last]
            .iter()
            .rposition(fired(Timer::HoldOff))
            .expect("waited");
        tape.0[hold_off].effects = vec![start(0, 3), arm(Timer::Stage, 20)];
    });
    // An old session is passed off as a new one.
    life.bites(Law::L4, |tape| {
        *tape.effect(|effect| *effect == Effect::OpenSession { session: 2 }) =
            Effect::OpenSession { session: 1 };
    });
    // Started while a drain is wanted.
    life.bites(Law::L4, |tape| {
        // It comes while the first outage is being stopped, where it has no effect at once.
        let unanswered = |turn: &Turn| matches!(turn.input, Some(Input::Gone { .. }));
        tape.insert_before(unanswered, Input::Drain, &[]);
    });
}

#[test]
fn l5_stale_is_inert() {
    let life = life();
    let stale = [
        report(Class::Critical, 0),
        report(Class::Critical, 9),
        Input::Failing { session: 9 },
        Input::Fired(Timer::HoldOff),
        Input::Up {
            component: ComponentId(1),
            epoch: 1,
        },
        Input::Gone {
            component: ComponentId(1),
            epoch: 0,
            how: How::Returned,
        },
        Input::Exited {
            component: ComponentId(9),
            epoch: 1,
            how: How::Returned,
        },
        Input::LeaseRenewed {
            epoch: 1,
            remaining: ms(9),
        },
    ];
    for input in stale {
        life.bites(Law::L5, |tape| {
            tape.insert_before(turn_with(ready_off), input, &[Effect::Ready(false)]);
        });
    }
}

#[test]
fn l6_recovery_is_inevitable() {
    let life = life();
    // The hung probe is given up, and nobody observes the dependency any more.
    life.bites(Law::L6, |tape| {
        let close = Effect::CloseSession { session: 2 };
        let silence = Input::Fired(Timer::Silence);
        tape.insert_before(fired(Timer::HoldOff), silence, &[close]);
    });
    // Every observation begins the hold-off anew.
    life.bites(Law::L6, |tape| {
        tape.asked(arms(Timer::HoldOff))
            .effects
            .push(arm(Timer::HoldOff, 30));
    });
}

#[test]
fn l7_shutdown_is_inevitable() {
    let life = life();
    // It forgets to end.
    life.bites(Law::L7, |tape| tape.drop_effect(ends));
    wedge().bites(Law::L7, |tape| tape.drop_effect(ends));
    // The deadlines are never acted upon.
    wedge().bites(Law::L7, |tape| {
        tape.told(|input| *input == Input::Fired(Timer::Stage))
            .elapsed += ms(6)
    });
}

#[test]
fn l8_order() {
    let life = life();
    // All stages started at once.
    life.bites(Law::L8, |tape| {
        let effects = &mut tape.asked(starts).effects;
        let first = effects.iter().position(starts).expect("starts");
        effects.insert(first + 1, start(1, 1));
    });
    // The lower stage is stopped before the upper one is done, or instead of it.
    life.bites(Law::L8, |tape| {
        let effects = &mut tape.asked(stops).effects;
        let last = effects.iter().rposition(stops).expect("stops");
        effects.insert(last + 1, stop(0, 1));
    });
    life.bites(Law::L8, |tape| *tape.effect(stops) = stop(0, 1));
    // Stopped twice.
    life.bites(Law::L8, |tape| {
        let effects = &mut tape.asked(stops).effects;
        let first = effects.iter().position(stops).expect("stops");
        effects.insert(first, effects[first]);
    });
}

#[test]
fn l9_nothing_is_lost() {
    let life = life();
    let miscount = |tape: &mut Tape, change: fn(&mut Record)| {
        // The first record is of the boot; the second counted the critical report.
        let mut records = tape.0.iter_mut().flat_map(|turn| &mut turn.effects);
        let Some(Effect::OutageClosed(record)) = records
            .by_ref()
            .filter(|effect| closes_outage(effect))
            .nth(1)
        else {
            panic!("two outages");
        };
        change(record);
    };
    life.bites(Law::L9, |tape| miscount(tape, |record| record.reports = 0));
    life.bites(Law::L9, |tape| miscount(tape, |record| record.reports += 1));
    life.bites(Law::L9, |tape| {
        miscount(tape, |record| record.stale_reports += 1)
    });
    life.bites(Law::L9, |tape| {
        miscount(tape, |record| record.failed_starts += 1)
    });
    life.bites(Law::L9, |tape| miscount(tape, |record| record.outage += 1));
    // The report that came after the last outage is in no record.
    life.bites(Law::L9, |tape| {
        let last = tape.0.last_mut().expect("the end");
        last.effects.retain(|effect| !closes_outage(effect));
    });
    // An outage is never closed, or closed twice, or never opened.
    life.bites(Law::L9, |tape| tape.drop_effect(closes_outage));
    life.bites(Law::L9, |tape| {
        let effects = &mut tape.asked(closes_outage).effects;
        effects.push(*effects.last().expect("closed last"));
    });
    life.bites(Law::L9, |tape| {
        tape.asked(ready_off)
            .effects
            .retain(|effect| !matches!(effect, Effect::OutageOpened { .. }));
    });
    // An outage has no number of its own.
    life.bites(Law::L9, |tape| {
        let opens = |effect: &Effect| matches!(effect, Effect::OutageOpened { outage: 1, .. });
        if let Effect::OutageOpened { outage, .. } = tape.effect(opens) {
            *outage = 2;
        }
    });
}

#[test]
fn l11_fence() {
    let lease = lease();
    let fence = arms(Timer::Fence);
    // Not armed when the owner is told to start, or too late, or not brought forward by a renewal.
    lease.bites(Law::L11, |tape| tape.drop_effect(&fence));
    lease.bites(Law::L11, |tape| {
        *tape.effect(&fence) = arm(Timer::Fence, 89)
    });
    lease.bites(Law::L11, |tape| {
        let renewal = tape.told(|input| matches!(input, Input::LeaseRenewed { .. }));
        renewal.effects = vec![arm(Timer::Fence, 88)];
    });
    // A renewal that shortens the lease leaves the fence where it was.
    lease.bites(Law::L11, |tape| {
        let renewal = tape.told(|input| matches!(input, Input::LeaseRenewed { .. }));
        let (epoch, remaining) = (1, ms(50));
        renewal.input = Some(Input::LeaseRenewed { epoch, remaining });
        renewal.effects.clear();
    });
    // It never fires, and work goes on until the lease is over.
    lease.bites(Law::L11, |tape| {
        let at = tape
            .0
            .iter()
            .position(fired(Timer::Fence))
            .expect("it ran out");
        tape.0.truncate(at);
        let alive = Input::Alive { session: 1 };
        for _ in 0..20 {
            let effects = vec![arm(Timer::Silence, 8)];
            tape.0.push(Turn {
                elapsed: ms(2),
                input: Some(alive),
                effects,
                step: None,
            });
        }
    });
    // The stop takes longer than it may.
    lease.bites(Law::L11, |tape| {
        let at = tape
            .0
            .iter()
            .position(fired(Timer::Fence))
            .expect("it ran out")
            + 1;
        tape.0[at].elapsed += ms(32);
    });
}

#[test]
fn l12_no_silent_wait() {
    let life = life();
    // At boot neither a session nor a timer.
    life.bites(Law::L12, |tape| {
        let boot = &mut tape.0[0].effects;
        boot.retain(|effect| matches!(effect, Effect::OutageOpened { .. }));
    });
    // A start that may take for ever.
    life.bites(Law::L12, |tape| {
        tape.asked(starts).effects.push(Effect::Disarm {
            timer: Timer::Stage,
        });
    });
}

#[test]
fn l13_no_hot_loop() {
    let mut world = World::running(plan(small_policy(), &[1])).expect("lawful");
    world.act(Action::Fail).expect("lawful");
    assert_eq!(world.recover(), Ok(Some(ms(30))));
    let run = Run::of(&world);
    // The level sinks at once, so that the next outage starts from the bottom again.
    run.bites(Law::L13, |tape| {
        *tape.effect(arms(Timer::Stable)) = arm(Timer::Stable, 0)
    });
    // It sinks during the outage.
    run.bites(Law::L13, |tape| {
        tape.asked(stops).effects.push(arm(Timer::Stable, 25))
    });
    // The second outage, in which the session is kept, makes do with the hold-off of the first.
    life().bites(Law::L13, |tape| {
        let last = tape.0.iter().rposition(turn_with(arms(Timer::HoldOff)));
        let last = &mut tape.0[last.expect("two outages")].effects;
        last.retain(|effect| !arms(Timer::HoldOff)(effect));
    });
}

#[test]
fn l14_clean_end() {
    let life = life();
    let at_end = |tape: &mut Tape, effect: Effect| {
        let effects = &mut tape.0.last_mut().expect("the end").effects;
        effects.insert(0, effect);
    };
    life.bites(Law::L14, |tape| at_end(tape, arm(Timer::Silence, 8)));
    life.bites(Law::L14, |tape| {
        at_end(tape, Effect::OpenSession { session: 3 })
    });
    life.bites(Law::L14, |tape| {
        at_end(tape, Effect::CloseSession { session: 2 })
    });
    life.bites(Law::L14, |tape| {
        tape.0
            .last_mut()
            .expect("the end")
            .effects
            .retain(|effect| !disarms(Timer::Stage)(effect))
    });
    life.bites(Law::L14, |tape| {
        tape.0
            .last_mut()
            .expect("the end")
            .effects
            .push(Effect::Ready(true))
    });
    // It ends while a component is still stopping.
    life.bites(Law::L14, |tape| {
        let at = tape.0.len() - 2;
        let end = tape.0.pop().expect("the end");
        tape.0[at].effects = end.effects;
    });
}

#[test]
fn l15_one_deadline_a_phase() {
    let life = life();
    let stage = arms(Timer::Stage);
    life.bites(Law::L15, |tape| {
        *tape.effect(&stage) = arm(Timer::Stage, 21)
    });
    life.bites(Law::L15, |tape| tape.drop_effect(&stage));
    life.bites(Law::L15, |tape| {
        tape.asked(stops).effects.push(arm(Timer::Stage, 10))
    });
    // A deadline outlives its phase.
    life.bites(Law::L15, |tape| tape.drop_effect(disarms(Timer::Stage)));
    // A report or a command while stopping extends the deadline.
    for input in [
        report(Class::Component, 1),
        Input::Shutdown,
        Input::Drain,
        Input::Trip,
    ] {
        life.bites(Law::L15, |tape| {
            let aborts = turn_with(|effect| matches!(effect, Effect::Abort { .. }));
            tape.insert_before(aborts, input, &[arm(Timer::Stage, 10)]);
        });
    }
}

#[test]
fn l16_no_delay() {
    let life = life();
    // It stays ready.
    life.bites(Law::L16, |tape| tape.asked(ready_off).effects.clear());
    life.bites(Law::L16, |tape| {
        let gone = Input::Gone {
            component: ComponentId(1),
            epoch: 1,
            how: How::Returned,
        };
        tape.insert_before(turn_with(ready_off), gone, &[]);
    });
    life.bites(Law::L16, |tape| {
        // The second suspicion is one too many.
        tape.insert_before(
            turn_with(ready_off),
            report(Class::Component, 1),
            &[arm(Timer::Decay, 15)],
        );
        tape.insert_before(turn_with(ready_off), report(Class::Component, 1), &[]);
    });
    // Not ready, but it stops nothing, or not all of the stage.
    life.bites(Law::L16, |tape| tape.asked(ready_off).effects.truncate(1));
    life.bites(Law::L16, |tape| {
        let effects = &mut tape.asked(stops).effects;
        let first = effects.iter().position(stops).expect("stops");
        effects.remove(first);
    });
    // A start goes on though the dependency fails.
    life.bites(Law::L16, |tape| {
        tape.insert_before(turn_with(ready_on), Input::Failing { session: 1 }, &[]);
    });
}

#[test]
fn l17_no_trip_without_cause() {
    let life = life();
    let all_of_it = |tape: &Tape| {
        let trip = tape.0.iter().find(|turn| turn_with(ready_off)(turn));
        trip.expect("a trip").effects.clone()
    };
    // Below the threshold, or for nothing at all.
    for input in [
        report(Class::Component, 1),
        Input::Alive { session: 1 },
        Input::Reset,
        Input::Resume,
    ] {
        life.bites(Law::L17, |tape| {
            let effects = all_of_it(tape);
            tape.insert_before(turn_with(ready_off), input, &effects);
        });
    }
    // Components are stopped under a service that stays ready.
    life.bites(Law::L17, |tape| {
        tape.insert_before(turn_with(ready_off), Input::Reset, &[stop(1, 1)]);
    });
    // Aborted before the deadline.
    life.bites(Law::L17, |tape| {
        let abort = Effect::Abort {
            component: ComponentId(2),
            epoch: 1,
        };
        tape.asked(stops).effects.push(abort);
    });
    // Suspicion that does not decay in time, or at all, trips in the end.
    life.bites(Law::L17, |tape| tape.drop_effect(arms(Timer::Decay)));
    life.bites(Law::L17, |tape| {
        *tape.effect(arms(Timer::Decay)) = arm(Timer::Decay, 1_500)
    });
}

#[test]
fn l18_honest_end() {
    let life = life();
    for why in [Why::Fatal, Why::GaveUp, Why::Wedged] {
        life.bites(Law::L18, |tape| {
            *tape.effect(ends) = Effect::Ended(End::Halted(why))
        });
    }
    wedge().bites(Law::L18, |tape| {
        *tape.effect(ends) = Effect::Ended(End::Stopped)
    });
    // Nobody asked for a stop.
    life.bites(Law::L18, |tape| {
        let rests = tape.asked(|effect| *effect == Effect::OpenSession { session: 2 });
        let record = Record {
            outage: 1,
            reports: 1,
            ..Default::default()
        };
        rests.effects = vec![
            Effect::Disarm {
                timer: Timer::Stage,
            },
            Effect::OutageClosed(record),
            Effect::Ended(End::Stopped),
        ];
    });
}

#[test]
fn l19_fresh_evidence() {
    let life = life();
    // Watched for too long, by something that is no evidence, or not at all.
    life.bites(Law::L19, |tape| {
        *tape.effect(arms(Timer::Silence)) = arm(Timer::Silence, 9)
    });
    life.bites(Law::L19, |tape| {
        let input = report(Class::Component, 1);
        let effects = [arm(Timer::Decay, 15), arm(Timer::Silence, 8)];
        tape.insert_before(turn_with(ready_off), input, &effects);
    });
    life.bites(Law::L19, |tape| {
        tape.insert_before(
            turn_with(ready_off),
            Input::Reset,
            &[Effect::Disarm {
                timer: Timer::Silence,
            }],
        );
    });
    // Time passes, and nothing is seen.
    life.bites(Law::L19, |tape| {
        tape.insert_before(turn_with(ready_off), Input::Reset, &[]);
        tape.told(|input| *input == Input::Reset).elapsed += ms(9);
    });
}

/// The three machines that the first twelve laws let pass.
#[test]
fn the_lazy_the_nervous_and_the_desperate_machine_are_caught() {
    let mut world =
        World::running(plan(small_policy().tuning(small_tuning()), &[1])).expect("lawful");
    world.report(Class::Critical, 1).expect("lawful");
    world.answer_all().expect("lawful");
    let run = Run::of(&world);
    // Never trips.
    run.bites(Law::L16, |tape| tape.asked(ready_off).effects.clear());
    // Halts after any trip.
    run.bites(Law::L18, |tape| {
        let last = tape.0.last_mut().expect("at rest");
        let record = Record {
            outage: 1,
            reports: 1,
            ..Default::default()
        };
        last.effects = vec![
            Effect::Disarm {
                timer: Timer::Stage,
            },
            Effect::OutageClosed(record),
            Effect::Ended(End::Halted(Why::Fatal)),
        ];
    });
    // Trips on every report, whatever the threshold.
    let mut world = World::running(plan(small_policy().trip_threshold(2), &[1])).expect("lawful");
    world.report(Class::Component, 1).expect("lawful");
    Run::of(&world).bites(Law::L17, |tape| {
        tape.0.last_mut().expect("a report").effects =
            vec![Effect::Ready(false), stop(0, 1), arm(Timer::Stage, 10)];
    });
}

#[test]
fn a_shell_may_be_as_late_as_it_says() {
    let mut world = World::running(plan(small_policy(), &[1, 1, 1])).expect("lawful");
    world.input(Input::Shutdown).expect("lawful");
    world.wait(Some(45)).expect("lawful");
    let mut run = Run::of(&world);
    for turn in &mut run.tape {
        if turn.input == Some(Input::Fired(Timer::Stage)) {
            turn.elapsed += ms(2);
        }
    }
    assert_eq!(run.judge_late(ms(2)), Ok(()));
    let too_late = run.judge_late(ms(1)).map_err(|violation| violation.law);
    assert_eq!(too_late, Err(Law::L7));
}

/// Whatever effect is left out, or carried out twice, some law notices; but for what is harmless.
#[test]
fn no_effect_is_missing_or_doubled_unseen() {
    let mut unseen = Vec::new();
    for run in [life(), wedge(), lease()] {
        for (at, turn) in run.tape.iter().enumerate() {
            for (place, &effect) in turn.effects.iter().enumerate() {
                let judge = |falsify: fn(&mut Vec<Effect>, usize)| {
                    let (plan, mut tape) = (Arc::clone(&run.plan), run.tape.clone());
                    falsify(&mut tape[at].effects, place);
                    Run { plan, tape }.judge()
                };
                // It was armed before, and then fires only sooner.
                let rearms = matches!(
                    turn.input,
                    Some(Input::Alive { .. } | Input::LeaseRenewed { .. } | Input::Gone { .. })
                ) && (arms(Timer::Silence)(&effect) || arms(Timer::Fence)(&effect));
                let missing = judge(|effects, place| {
                    effects.remove(place);
                });
                if missing.is_ok() && !rearms {
                    unseen.push(format!("without {effect:?} after {:?}", turn.input));
                }
                // To arm a timer twice in one step is to arm it once.
                let idempotent = matches!(effect, Effect::Arm { .. });
                let doubled = judge(|effects, place| effects.insert(place, effects[place]));
                if doubled.is_ok() && !idempotent {
                    unseen.push(format!("twice {effect:?} after {:?}", turn.input));
                }
            }
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
}
