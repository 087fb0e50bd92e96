//! Each law catches its violation: a real run is falsified in one place, and the law that this place breaks
//! must refuse the run.
//!
//! What is falsified is what the [`Monitor`] reads (inputs, effects, times), as if a machine with a
//! defect had taken part in the run.

mod end;
mod order;
mod recovery;
mod time;

use std::sync::Arc;
use std::time::Duration;

use overwatch::law::{Law, Monitor, Violation};
use overwatch::machine::{
    Cause, Effect, Exit, FailureClass, HaltReason, Input, Record, RunOutcome, Timer,
};
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
        self.judge_by(Some(late))
    }

    /// Judges it as a run in which times mean nothing.
    fn judge_untimed(&self) -> Result<(), Violation> {
        self.judge_by(None)
    }

    fn judge_by(&self, timed: Option<Duration>) -> Result<(), Violation> {
        let mut monitor = Monitor::new(Arc::clone(&self.plan), timed);
        for turn in &self.tape {
            match &turn.input {
                None => monitor.boot(&turn.effects)?,
                Some(input) => monitor.step(turn.elapsed, input, &turn.effects)?,
            }
        }
        Ok(())
    }

    fn falsified(&self, falsify: impl FnOnce(&mut Tape)) -> Self {
        let mut tape = Tape(self.tape.clone());
        falsify(&mut tape);
        assert_ne!(tape.0, self.tape, "nothing was falsified");
        Self {
            plan: Arc::clone(&self.plan),
            tape: tape.0,
        }
    }

    /// Falsifies the run so that it breaks this law, and asserts that the law catches it.
    #[track_caller]
    fn breaks(&self, law: Law, falsify: impl FnOnce(&mut Tape)) {
        let judged = self.falsified(falsify).judge();
        let caught = judged.as_ref().map_err(|violation| violation.law);
        assert_eq!(caught, Err(law), "{judged:?}");
    }

    /// The same where times mean nothing.
    #[track_caller]
    fn bites_untimed(&self, law: Law, falsify: impl FnOnce(&mut Tape)) {
        let judged = self.falsified(falsify).judge_untimed();
        let caught = judged.as_ref().map_err(|violation| violation.law);
        assert_eq!(caught, Err(law), "{judged:?}");
    }
}

/// What is falsified. Each method picks the first turn that fits.
struct Tape(Vec<Turn>);

impl Tape {
    fn input(&mut self, wanted: impl Fn(&Input) -> bool) -> &mut Turn {
        let is_wanted = |turn: &&mut Turn| turn.input.as_ref().is_some_and(&wanted);
        self.0.iter_mut().find(is_wanted).expect("such an input")
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

    /// What was observed began in other rounds.
    fn change_rounds(&mut self, change: fn(u64) -> u64) {
        for turn in &mut self.0 {
            if let Some(Input::Alive { round, .. }) = &mut turn.input {
                *round = change(*round);
            }
        }
    }

    /// The run ends with the first turn that fits.
    fn end_with(&mut self, wanted: impl Fn(&Turn) -> bool) {
        let at = self.0.iter().position(wanted).expect("such a turn");
        self.0.truncate(at + 1);
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

const fn stop(stage: u16, epoch: u64) -> Effect {
    Effect::StopStage { stage, epoch }
}

const fn start(stage: u16, epoch: u64) -> Effect {
    Effect::StartStage { stage, epoch }
}

const fn arm(timer: Timer, after: u64) -> Effect {
    Effect::Arm {
        timer,
        after: ms(after),
    }
}

const fn report(class: FailureClass, epoch: u64) -> Input {
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
        world.report(FailureClass::Critical, 1)?;
        world.gone(1, Exit::Returned)?;
        world.wait(Some(10))?;
        assert!(world.recover()?.is_some());
        world.gone(0, Exit::Returned)?;
        assert!(world.recover()?.is_some());
        world.report(FailureClass::Component, 1)?;
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

// All laws together.

/// The three machines that the first twelve laws let pass.
#[test]
fn the_lazy_the_nervous_and_the_desperate_machine_are_caught() {
    let mut world =
        World::running(plan(small_policy().tuning(small_tuning()), &[1])).expect("lawful");
    world.report(FailureClass::Critical, 1).expect("lawful");
    world.answer_all().expect("lawful");
    let run = Run::of(&world);
    // Never trips.
    run.breaks(Law::NoDelay, |tape| tape.asked(ready_off).effects.clear());
    // Halts after any trip.
    run.breaks(Law::HonestEnd, |tape| {
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
            Effect::Ended(RunOutcome::Halted(HaltReason::Fatal)),
        ];
    });
    // Trips on every report, whatever the threshold.
    let mut world = World::running(plan(small_policy().trip_threshold(2), &[1])).expect("lawful");
    world.report(FailureClass::Component, 1).expect("lawful");
    Run::of(&world).breaks(Law::NoTripWithoutCause, |tape| {
        tape.0.last_mut().expect("a report").effects =
            vec![Effect::Ready(false), stop(0, 1), arm(Timer::Stage, 10)];
    });
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
