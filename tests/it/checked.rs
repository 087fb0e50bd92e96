//! A machine under judgement: what the laws say of a machine that lies about itself, and when two
//! machines with their monitors are equal.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use overwatch::law::{Checked, Law, Monitor};
use overwatch::machine::{Effect, Exit, FailureClass, IgnoreReason, Input, Machine, Step, Timer};
use overwatch::policy::{ComponentId, Plan};

use crate::world::{Action, World, ms, plan, small_policy};

fn small_plan() -> Arc<Plan> {
    plan(small_policy().trip_threshold(3), &[1, 2])
}

fn boot(plan: Arc<Plan>, timed: Option<Duration>) -> Checked {
    Checked::new(plan, timed, &mut Vec::new()).expect("boot obeys the laws")
}

fn running() -> Checked {
    World::running(small_plan()).expect("lawful").checked
}

fn report(class: FailureClass, epoch: u64) -> Input {
    Input::Report {
        component: None,
        epoch,
        class,
        count: 1,
    }
}

/// Demands that this law catches a machine that answers this input by `handle`.
#[track_caller]
fn caught(law: Law, input: Input, handle: impl Fn(&mut Machine, Input, &mut Vec<Effect>) -> Step) {
    let judged = running().handle_by(handle, Duration::ZERO, input, &mut Vec::new());
    let by = judged.map_err(|violation| violation.law);
    assert_eq!(by, Err(law), "{input:?}");
}

#[test]
fn a_violation_names_its_law_and_what_broke_it() {
    let mut checked = running();
    let ignores = |_: &mut Machine, _, _: &mut Vec<Effect>| Step::Absorbed;
    let judged = checked.handle_by(ignores, Duration::ZERO, Input::Trip, &mut Vec::new());
    let violation = judged.expect_err("it must trip");
    assert_eq!(violation.law.code(), "L16");
    assert_eq!(
        violation.to_string(),
        "L16 (no delay): Some(Trip) must stop the world at once"
    );
}

#[test]
fn what_is_stale_or_ignored_changes_nothing_and_says_so() {
    let stale = report(FailureClass::Critical, 0);
    caught(Law::StaleIsInert, stale, |_, _, _| Step::Absorbed);
    caught(Law::StaleIsInert, stale, |machine, _, _| {
        let _ = machine.handle(report(FailureClass::Component, 1), &mut Vec::new());
        Step::Ignored(IgnoreReason::OtherEpoch)
    });
    // Not stale, but it means nothing in Running.
    caught(Law::StaleIsInert, Input::Resume, |machine, _, _| {
        let _ = machine.handle(report(FailureClass::Component, 1), &mut Vec::new());
        Step::Ignored(IgnoreReason::NotHandled)
    });
    caught(Law::StaleIsInert, Input::Resume, |_, _, effects| {
        let (timer, after) = (Timer::Decay, ms(15));
        effects.push(Effect::Arm { timer, after });
        Step::Ignored(IgnoreReason::NotHandled)
    });
}

#[test]
fn the_same_input_does_the_same_again() {
    let once = || {
        let told = Cell::new(false);
        move || !told.replace(true)
    };
    // Another step.
    let first = once();
    caught(Law::Determinism, Input::Reset, |machine, input, effects| {
        let step = machine.handle(input, effects);
        if first() {
            step
        } else {
            Step::Ignored(IgnoreReason::NotHandled)
        }
    });
    // Another effect.
    let first = once();
    caught(Law::Determinism, Input::Reset, |machine, input, effects| {
        let step = machine.handle(input, effects);
        if !first() {
            effects.push(Effect::Ready(true));
        }
        step
    });
    // Another state.
    let first = once();
    caught(Law::Determinism, Input::Reset, |machine, input, effects| {
        let step = machine.handle(input, effects);
        if !first() {
            let _ = machine.handle(report(FailureClass::Component, 1), &mut Vec::new());
        }
        step
    });
}

#[test]
fn the_machine_says_of_itself_what_its_effects_told() {
    // It is told that a component is up, and does not note it.
    let (component, epoch) = (ComponentId(2), 1);
    let up = Input::Up { component, epoch };
    let mut world = World::new(small_plan(), true).expect("lawful");
    world.act(Action::Alive).expect("lawful");
    world.act(Action::Answer).expect("lawful");
    let forgets = |_: &mut Machine, _, _: &mut Vec<Effect>| Step::Absorbed;
    let mut checked = world.checked;
    let judged = checked.handle_by(forgets, Duration::ZERO, up, &mut Vec::new());
    assert_eq!(
        judged.map_err(|violation| violation.law),
        Err(Law::OneIncarnation)
    );
    // It stops everything, and still says that it is ready.
    caught(
        Law::ReadyMeansRunning,
        Input::Drain,
        |machine, input, effects| {
            let _ = machine.clone().handle(input, effects);
            Step::Absorbed
        },
    );
    // The same with a transition that it tells of and has not made.
    caught(Law::HonestTrace, Input::Drain, |machine, input, effects| {
        machine.clone().handle(input, effects)
    });
    // It tells that it came from where it was not.
    let mut elsewhere = World::new(small_plan(), true).expect("lawful");
    elsewhere.act(Action::Alive).expect("lawful");
    let elsewhere = elsewhere.machine();
    caught(Law::HonestTrace, Input::Trip, |machine, input, effects| {
        let _ = machine.handle(input, effects);
        elsewhere.clone().handle(input, &mut Vec::new())
    });
    // It tells of an operator's trip when a component ended.
    let (component, epoch, how) = (ComponentId(0), 1, Exit::Returned);
    let exited = Input::Exited {
        component,
        epoch,
        how,
    };
    let gone = Input::Gone {
        component,
        epoch,
        how,
    };
    for ended in [exited, gone] {
        caught(Law::HonestTrace, ended, |machine, _, effects| {
            machine.handle(Input::Trip, effects)
        });
    }
    // It counts one report of two.
    let (component, epoch, class, count) = (None, 1, FailureClass::Component, 2);
    let two = Input::Report {
        component,
        epoch,
        class,
        count,
    };
    caught(Law::NothingIsLost, two, |machine, _, effects| {
        machine.handle(report(class, epoch), effects)
    });
}

#[test]
fn time_alone_breaks_a_law_when_something_should_have_happened() {
    let mut checked = running();
    let told = checked.handle(ms(0), Input::Shutdown, &mut Vec::new());
    assert!(told.is_ok());
    // Two stages, each with 10 ms to stop and 5 ms to be aborted.
    assert_eq!(checked.wait(ms(30)), Ok(()));
    let late = checked.wait(ms(1)).map_err(|violation| violation.law);
    assert_eq!(late, Err(Law::ShutdownIsInevitable));
}

// Equality, copies, and what only grows.

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn judged_machines_are_equal_if_machine_and_monitor_are() {
    let shared = small_plan();
    let timed = Some(ms(0));
    let checked = boot(shared.clone(), timed);
    let same = boot(shared.clone(), timed);
    assert_eq!(checked, same);
    assert_eq!(checked.monitor(), same.monitor());
    assert_eq!(hash(&checked), hash(&same));
    // The machine is the same, and is judged differently.
    let untimed = boot(shared.clone(), None);
    assert_eq!(checked.machine(), untimed.machine());
    assert_ne!(checked.monitor(), untimed.monitor());
    assert_ne!(checked, untimed);
    // Nothing has happened yet, so that the plan alone tells these apart.
    let (this, other) = (small_policy(), small_policy().window(ms(31)));
    let monitors = [this, other].map(|policy| Monitor::new(plan(policy, &[1]), timed));
    assert_ne!(monitors[0], monitors[1]);
    // Further on in the same run.
    let further = World::running(shared).expect("lawful").checked;
    assert_ne!(checked, further);
    assert_ne!(checked.monitor(), further.monitor());
    assert_ne!(hash(&checked), hash(&further));
    assert_ne!(hash(checked.monitor()), hash(further.monitor()));
}

#[test]
fn a_copy_of_a_monitor_goes_on_as_the_original_would() {
    let mut world = World::running(small_plan()).expect("lawful");
    world.report(FailureClass::Component, 1).expect("lawful");
    let monitor = world.checked.monitor();
    // Copied into one of another plan, where something else had been counted.
    let mut other = World::running(plan(small_policy().trip_threshold(2), &[1])).expect("lawful");
    other.act(Action::Fail).expect("lawful");
    let mut into = other.checked.monitor().clone();
    into.clone_from(monitor);
    for mut copy in [monitor.clone(), into] {
        assert_eq!(copy, *monitor);
        let mut machine = world.machine().clone();
        for _ in 0..2 {
            let mut effects = Vec::new();
            let input = report(FailureClass::Dependency, 1);
            let _ = machine.handle(input, &mut effects);
            assert_eq!(copy.step(Duration::ZERO, &input, &effects), Ok(()));
        }
        // All three reports are in the record.
        let mut effects = Vec::new();
        let _ = machine.handle(Input::Shutdown, &mut effects);
        assert_eq!(
            copy.step(Duration::ZERO, &Input::Shutdown, &effects),
            Ok(())
        );
        for component in [2, 1, 0].map(ComponentId) {
            let (epoch, how) = (1, Exit::Returned);
            let gone = Input::Gone {
                component,
                epoch,
                how,
            };
            effects.clear();
            let _ = machine.handle(gone, &mut effects);
            assert_eq!(copy.step(Duration::ZERO, &gone, &effects), Ok(()));
        }
        assert!(machine.phase().is_ended());
    }
}

/// A service that runs as if nothing had ever happened, after so many outages.
fn after(outages: u32) -> World {
    let mut world = World::running(small_plan()).expect("lawful");
    for _ in 0..outages {
        world.act(Action::Fail).expect("lawful");
        world.report(FailureClass::Critical, 1).expect("lawful");
        assert!(world.recover().expect("lawful").is_some());
        world.stay_alive(60).expect("lawful");
    }
    assert_eq!(world.machine().level(), 0);
    world.act(Action::Alive).expect("lawful");
    world
}

#[test]
fn runs_that_differ_in_what_only_grows_are_equal_when_made_relative() {
    let (mut young, mut old) = (after(0).checked, after(3).checked);
    assert_ne!(young, old);
    young.normalize();
    old.normalize();
    assert_eq!(young, old);
    assert_eq!(young.machine().snapshot(), old.machine().snapshot());
    // They go on as the first session, epoch and outage would.
    for checked in [&mut young, &mut old] {
        let mut effects = Vec::new();
        for input in [
            Input::Alive {
                session: 1,
                round: 0,
            },
            report(FailureClass::Critical, 1),
        ] {
            let step = checked.handle(ms(0), input, &mut effects);
            assert!(step.is_ok(), "{step:?}");
        }
        let opens = |effect: &Effect| matches!(effect, Effect::OutageOpened { outage: 2, .. });
        assert!(effects.iter().any(opens), "{effects:?}");
    }
    assert_eq!(young, old);
}

#[test]
fn of_the_counts_it_only_matters_whether_there_is_anything_to_tell() {
    let reports_after = |reports: u32, outage: bool| {
        let mut world = after(1);
        if outage {
            world.report(FailureClass::Critical, 1).expect("lawful");
        }
        for _ in 0..reports {
            world.report(FailureClass::Component, 1).expect("lawful");
            // Until it is forgotten.
            world.stay_alive(20).expect("lawful");
        }
        world.checked.normalize();
        world.machine().record().reports
    };
    assert_eq!(
        [0, 1, 5].map(|reports| reports_after(reports, false)),
        [0, 1, 1]
    );
    // The record of an open outage is closed whatever it says.
    assert_eq!(
        [0, 1, 5].map(|reports| reports_after(reports, true)),
        [0, 0, 0]
    );
}
