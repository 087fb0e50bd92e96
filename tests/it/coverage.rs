//! Coverage of the random walks that judge the laws: they reach every phase, cause, effect and timer.

use std::collections::BTreeMap;

use overwatch::machine::{
    Cause, ComponentState, Effect, Input, Phase, RunOutcome, State, Step, StopStep, Timer,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::world::{IGNORED, World, any_action, any_plan, causes, walk_length};

const WALKS: usize = 1_500;

/// How often each of these must be seen at least.
const ENOUGH: u32 = 3;

#[test]
fn random_walks_reach_everything() {
    let mut runner = TestRunner::deterministic();
    let mut seen = Seen::default();
    for walk in 0..WALKS {
        let walks = (
            any_plan(),
            prop::collection::vec(any_action(), walk_length()),
        );
        let tree = walks.new_tree(&mut runner).expect("a walk");
        let (plan, actions) = tree.current();
        let mut world = World::new(plan, walk % 2 == 0).expect("boot obeys the laws");
        world.effects.iter().for_each(|effect| seen.effect(effect));
        for action in actions {
            let before = world.tape.len();
            let (state, kept) = (*world.machine().state(), world.machine().session());
            let wedged = wedged(&world);
            if let Err(violation) = world.act(action) {
                panic!("{violation}\n{}", world.trace());
            }
            for turn in &world.tape[before..] {
                seen.step(turn.step.expect("no violation"), turn.input);
                turn.effects.iter().for_each(|effect| seen.effect(effect));
            }
            seen.change(&world, state, kept, wedged);
        }
    }
    let missed: Vec<_> = everything()
        .into_iter()
        .filter(|what| seen.0.get(what).is_none_or(|&times| times < ENOUGH))
        .collect();
    assert!(
        missed.is_empty(),
        "too seldom: {missed:#?}\nseen: {:#?}",
        seen.0
    );
}

fn wedged(world: &World) -> usize {
    let slots = world.machine().snapshot().component_states;
    slots
        .iter()
        .filter(|slot| **slot == ComponentState::Wedged)
        .count()
}

/// All that must be seen.
fn everything() -> Vec<String> {
    let effects = [
        "ready on",
        "ready off",
        "start stage",
        "stop stage",
        "ask",
        "abort",
        "open session",
        "close session",
        "open outage",
        "close outage",
        "end: stopped",
        "end: gave_up",
        "end: fatal",
        "end: wedged",
    ];
    let stories = [
        "absorbed",
        "passed through a state",
        "a fence that was renewed too late",
        "a fence that ran out",
        "a session kept",
        "a kept session brought to Monitoring",
        "a delay",
        "a delay cut short",
        "a delay that ran its course",
        "a drain taken back in its delay",
        "a wedge undone",
        "suspicion without a trip",
        "suspicion forgotten",
        "level at its cap",
        "level back to 0",
        "one service without components",
    ];
    let phases = Phase::ALL.map(|phase| format!("phase {phase}"));
    let timers = Timer::ALL
        .iter()
        .flat_map(|timer| ["arm", "disarm", "fired"].map(|what| format!("{what} {timer}")));
    let ignored = IGNORED.map(|why| format!("ignored {why}"));
    phases
        .into_iter()
        .chain(timers)
        .chain(ignored)
        .chain(causes().map(|cause| format!("cause {cause}")))
        .chain(effects.map(str::to_owned))
        .chain(stories.map(str::to_owned))
        .collect()
}

#[derive(Default)]
struct Seen(BTreeMap<String, u32>);

impl Seen {
    fn note(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    fn note_if(&mut self, holds: bool, what: &str) {
        if holds {
            self.note(what);
        }
    }

    fn step(&mut self, step: Step, input: Option<Input>) {
        match step {
            Step::Ignored(why) => return self.note(format!("ignored {why}")),
            Step::Absorbed => self.note("absorbed"),
            Step::Moved(_) => {
                self.note_if(step.transitions().count() > 1, "passed through a state")
            }
        }
        if let Some(Input::Fired(timer)) = input {
            self.note(format!("fired {timer}"));
        }
        for hop in step.transitions() {
            self.note(format!("phase {}", hop.to));
            self.note(format!("cause {}", hop.cause));
            let fence = hop.cause == Cause::Fence;
            let renewed = matches!(input, Some(Input::LeaseRenewed { .. }));
            self.note_if(fence && renewed, "a fence that was renewed too late");
            self.note_if(fence && !renewed, "a fence that ran out");
        }
    }

    fn effect(&mut self, effect: &Effect) {
        match *effect {
            Effect::Ready(true) => self.note("ready on"),
            Effect::Ready(false) => self.note("ready off"),
            Effect::StartStage { .. } => self.note("start stage"),
            Effect::StopStage { .. } => self.note("stop stage"),
            Effect::Abort { .. } => self.note("abort"),
            Effect::OpenSession { .. } => self.note("open session"),
            Effect::CloseSession { .. } => self.note("close session"),
            Effect::Ask { .. } => self.note("ask"),
            Effect::Arm { timer, .. } => self.note(format!("arm {timer}")),
            Effect::Disarm { timer } => self.note(format!("disarm {timer}")),
            Effect::OutageOpened { cause, .. } => {
                self.note("open outage");
                self.note(format!("cause {cause}"));
            }
            Effect::OutageClosed(_) => self.note("close outage"),
            Effect::Ended(RunOutcome::Stopped) => self.note("end: stopped"),
            Effect::Ended(RunOutcome::Halted(why)) => self.note(format!("end: {}", why.as_str())),
        }
    }

    /// What the effects of an action do not tell.
    fn change(&mut self, world: &World, was: State, session: Option<u64>, wedged_before: usize) {
        use State::{Monitoring, Running, ShuttingDown};
        let machine = world.machine();
        let is = *machine.state();
        let delays = |state| {
            matches!(
                state,
                ShuttingDown {
                    step: StopStep::Delaying,
                    ..
                }
            )
        };
        let stops = |state| {
            matches!(
                state,
                ShuttingDown {
                    step: StopStep::Stopping,
                    ..
                }
            )
        };
        let kept = session.is_some() && machine.session() == session;
        let by_timer =
            world.tape.last().and_then(|turn| turn.input) == Some(Input::Fired(Timer::Stage));
        self.note_if(
            matches!((was, is), (Running { .. }, ShuttingDown { .. })) && kept,
            "a session kept",
        );
        let rested = matches!((was, is), (ShuttingDown { .. }, Monitoring { .. }));
        self.note_if(rested && kept, "a kept session brought to Monitoring");
        self.note_if(!delays(was) && delays(is), "a delay");
        self.note_if(delays(was) && stops(is) && !by_timer, "a delay cut short");
        self.note_if(
            delays(was) && stops(is) && by_timer,
            "a delay that ran its course",
        );
        if let (ShuttingDown { then: before, .. }, ShuttingDown { then: after, .. }) = (was, is) {
            self.note_if(
                delays(is) && after < before,
                "a drain taken back in its delay",
            );
        }
        self.note_if(wedged(world) < wedged_before, "a wedge undone");
        if let (Running { suspicion: before }, Running { suspicion: after }) = (was, is) {
            self.note_if(after > before, "suspicion without a trip");
            self.note_if(after < before, "suspicion forgotten");
        }
        let cap = machine.plan().policy().tuning().max_level();
        self.note_if(machine.level() == cap, "level at its cap");
        self.note_if(
            machine.level() == 0 && machine.epoch() > 1,
            "level back to 0",
        );
        let empty = machine.plan().layout().components() == 0;
        self.note_if(
            empty && machine.is_ready(),
            "one service without components",
        );
    }
}
