//! Machines that take an input, or give an effect, in a wrong way.

use std::sync::atomic::{AtomicU64, Ordering};

use overwatch::law::Law::*;
use overwatch::machine::{
    Cause, Command, ComponentState, Effect, Exit, FailureClass, IgnoreReason, Input, Machine,
    Phase, Record, State, Step, Timer,
};

use super::{Exhibit, arms, patient, surgery};
use crate::world::ms;

pub(super) const EXHIBITS: &[Exhibit] = &[
    Exhibit::new("resurrects on a late Up", late_up_resurrects, StaleIsInert),
    Exhibit::new("believes old epochs", believes_old_epochs, StaleIsInert),
    Exhibit::new("believes old sessions", believes_old_sessions, StaleIsInert),
    Exhibit::new(
        "a resume after the end begins anew",
        lives_after_the_end,
        StaleIsInert,
    ),
    Exhibit::new(
        "a storm counts as one report",
        storm_counts_as_one,
        NothingIsLost,
    ),
    Exhibit::new(
        "an outage goes unannounced",
        outage_unannounced,
        NothingIsLost,
    ),
    Exhibit::new("the last words are lost", last_words_lost, NothingIsLost),
    Exhibit::new("draws its jitter at random", random_jitter, Determinism),
    Exhibit::new("moves and does not say so", move_untold, HonestTrace),
    Exhibit::new("blames the wrong cause", wrong_cause, HonestTrace),
    Exhibit::new("overhears a drain", overhears_a_drain, StaleIsInert),
    Exhibit::new(
        "believes mild reports, however late",
        believes_mild_reports,
        StaleIsInert,
    ),
    Exhibit::new(
        "believes old ends that failed",
        believes_old_failures,
        StaleIsInert,
    ),
    Exhibit::new(
        "a component's storm counts as one",
        own_storm_counts_as_one,
        NoDelay,
    )
    .on(patient),
];

/// A drain is said to mean nothing while something is stopped already.
fn overhears_a_drain(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    if input == Input::Drain && machine.phase() == Phase::ShuttingDown {
        return Step::Ignored(IgnoreReason::NotHandled);
    }
    machine.handle(input, effects)
}

/// Only grave reports are held to their epoch.
fn believes_mild_reports(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let mut input = input;
    if let Input::Report {
        class: FailureClass::Component,
        epoch,
        ..
    } = &mut input
    {
        *epoch = machine.epoch();
    }
    machine.handle(input, effects)
}

/// Only ends that did not fail are held to their epoch.
fn believes_old_failures(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let mut input = input;
    if let Input::Gone {
        how: Exit::Failed(_),
        epoch,
        ..
    } = &mut input
    {
        *epoch = machine.epoch();
    }
    machine.handle(input, effects)
}

/// Of many reports of one component only one adds suspicion; all are counted.
fn own_storm_counts_as_one(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let Input::Report {
        component: Some(component),
        epoch,
        class,
        count,
    } = input
    else {
        return machine.handle(input, effects);
    };
    // After the end nothing is counted any more.
    let count = if machine.phase().is_ended() { 1 } else { count };
    let step = machine.handle(
        Input::Report {
            component: Some(component),
            epoch,
            class,
            count: 1,
        },
        effects,
    );
    let stale = matches!(step, Step::Ignored(_));
    surgery(machine, |snapshot| {
        let record = &mut snapshot.record;
        let counted = if stale {
            &mut record.stale_reports
        } else {
            &mut record.reports
        };
        *counted += u64::from(count - 1);
    });
    step
}

/// The step of a transition is not passed on.
fn move_untold(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    match machine.handle(input, effects) {
        Step::Moved(_) => Step::Absorbed,
        step => step,
    }
}

/// Every outage is told as a trip by hand.
fn wrong_cause(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    for effect in effects {
        if let Effect::OutageOpened { cause, .. } = effect {
            *cause = Cause::Command(Command::Trip);
        }
    }
    step
}

/// A component that says it is up is taken for up, though it was told to stop.
fn late_up_resurrects(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let was_told = |slot: &ComponentState| *slot == ComponentState::Stopping;
    if let Input::Up { component, epoch } = input
        && epoch == machine.epoch()
        && was_told(&machine.component_state(component))
    {
        surgery(machine, |snapshot| {
            snapshot.state = State::Restarting {
                stage: 0,
                waiting: 1,
            };
            snapshot.component_states = vec![ComponentState::Starting];
            snapshot.session_open = true;
            snapshot.armed = vec![Timer::Stage, Timer::Silence];
        });
    }
    machine.handle(input, effects)
}

/// The epoch is not compared.
fn believes_old_epochs(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let mut input = input;
    if let Input::Report { epoch, .. }
    | Input::Up { epoch, .. }
    | Input::Exited { epoch, .. }
    | Input::Gone { epoch, .. }
    | Input::LeaseRenewed { epoch, .. } = &mut input
    {
        *epoch = machine.epoch();
    }
    machine.handle(input, effects)
}

/// The session is not compared.
fn believes_old_sessions(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let mut input = input;
    if let Input::Alive { session, .. } | Input::Failing { session, .. } = &mut input {
        *session = machine.session().unwrap_or(*session);
    }
    machine.handle(input, effects)
}

/// Stopped is treated as if it were drained.
fn lives_after_the_end(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    if machine.phase().is_ended() && input == Input::Resume {
        surgery(machine, |snapshot| {
            snapshot.state = State::Drained;
            snapshot.component_states = vec![ComponentState::Down];
        });
    }
    machine.handle(input, effects)
}

/// Reports that come all at once are counted once.
fn storm_counts_as_one(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let mut input = input;
    if let Input::Report { count, .. } = &mut input {
        *count = 1;
    }
    machine.handle(input, effects)
}

/// A trip opens no outage.
fn outage_unannounced(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    effects.retain(|effect| !matches!(effect, Effect::OutageOpened { .. }));
    step
}

/// What was reported since the last outage is in no record at the end.
fn last_words_lost(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let was_open = machine.outage_is_open();
    let step = machine.handle(input, effects);
    if machine.phase().is_ended() && !was_open {
        effects.retain(|effect| !matches!(effect, Effect::OutageClosed(_)));
        surgery(machine, |snapshot| snapshot.record = Record::default());
    }
    step
}

/// The same run does not happen twice.
fn random_jitter(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    static DICE: AtomicU64 = AtomicU64::new(0);
    let step = machine.handle(input, effects);
    for effect in effects {
        if arms(effect, Timer::HoldOff)
            && let Effect::Arm { after, .. } = effect
        {
            *after += ms(DICE.fetch_add(1, Ordering::Relaxed) % 2);
        }
    }
    step
}
