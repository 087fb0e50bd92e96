//! What is asked of the whole graph bites, also where a single step would be caught before: the laws
//! on these steps are waived.

use core::time::Duration;

use super::{Counterexample, ExploreError, Explorer, HandleFn};
use crate::law::Law::{self, *};
use crate::law::tests::waiving;
use crate::machine::{Effect, IgnoreReason, Input, Machine, Phase, Step, Timer};
use crate::policy::{Layout, Plan, Policy, Tuning};

fn plan() -> Plan {
    let tick = Duration::from_millis(1);
    let tuning = Tuning::default()
        .with_backoff(tick)
        .with_max_hold_off(2 * tick)
        .with_max_level(1)
        .with_min_evidence(2)
        .with_decay(tick)
        .with_stable_after(tick);
    let policy = Policy::builder()
        .window(2 * tick)
        .silence_limit(tick)
        .start_deadline(tick)
        .stop_deadline(tick)
        .abort_deadline(tick)
        .tuning(tuning)
        .build();
    let layout = Layout::new(&[1]).expect("no gaps");
    Plan::new(policy.expect("works"), layout).expect("works")
}

#[track_caller]
fn refuted(by: HandleFn, waived: &[Law]) -> Counterexample {
    let explorer = Explorer::new(plan()).expect("small").with_handle(by);
    match waiving(waived, || explorer.run()) {
        Err(ExploreError::Counterexample(refuted)) => *refuted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_real_machine_needs_no_waiver() {
    let explorer = Explorer::new(plan()).expect("small");
    assert!(explorer.run().is_ok());
}

/// The deadline of a stop begins anew instead of being acted upon.
fn deadline_begins_anew(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    if machine.phase() == Phase::ShuttingDown && input == Input::Fired(Timer::Stage) {
        effects.push(Effect::Arm {
            timer: Timer::Stage,
            after: machine.plan().policy().stop_deadline(),
        });
        return Step::Absorbed;
    }
    machine.handle(input, effects)
}

#[test]
fn a_shutdown_that_may_never_end_is_found() {
    let found = refuted(
        deadline_begins_anew,
        &[ShutdownIsInevitable, OneDeadline, NoDelay],
    );
    assert_eq!(found.violation.law, ShutdownIsInevitable);
    assert_eq!(
        found.violation.what,
        "a shutdown is wanted, and may never come to its end"
    );
    assert!(!found.cycle.is_empty(), "{found}");
}

/// Once anything is started nobody listens for silence any more.
fn silence_unnoticed(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    if input == Input::Fired(Timer::Silence) && machine.phase() != Phase::Monitoring {
        return Step::Ignored(IgnoreReason::NotArmed);
    }
    let step = machine.handle(input, effects);
    if matches!(machine.phase(), Phase::Restarting | Phase::Running) {
        for effect in effects {
            if let Effect::Arm { timer, .. } = *effect
                && timer == Timer::Silence
            {
                *effect = Effect::Disarm { timer };
            }
        }
    }
    step
}

#[test]
fn what_stays_up_unwatched_is_found() {
    let found = refuted(
        silence_unnoticed,
        &[
            ProvenRecovery,
            StaleIsInert,
            RecoveryIsInevitable,
            NoSilentWait,
            CleanEnd,
            NoTripWithoutCause,
            FreshEvidence,
        ],
    );
    assert_eq!(found.violation.law, NoSilentWait, "{found}");
    assert_eq!(
        found.violation.what,
        "nothing happens any more, and something stays up unwatched"
    );
    // It just stays there.
    assert!(found.cycle.is_empty(), "{found}");
}

/// The level is forgotten at rest, and so is the hold-off.
fn level_forgotten(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    if machine.phase() == Phase::Monitoring && matches!(input, Input::Alive { .. }) {
        let mut snapshot = machine.snapshot();
        snapshot.level = 0;
        if let Ok(pardoned) = Machine::resume(machine.plan().clone(), snapshot) {
            *machine = pardoned;
        }
    }
    machine.handle(input, effects)
}

#[test]
fn a_hot_loop_is_found() {
    let found = refuted(
        level_forgotten,
        &[ProvenRecovery, StaleIsInert, NoHotLoop, NoDelay],
    );
    assert_eq!(found.violation.law, NoHotLoop);
    assert_eq!(
        found.violation.what,
        "components are started again and again in no time"
    );
    let starts = |effect: &Effect| matches!(effect, Effect::StartStage { .. });
    assert!(
        found
            .cycle
            .iter()
            .any(|turn| turn.effects.iter().any(starts)),
        "{found}"
    );
}
