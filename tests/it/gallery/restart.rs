//! What it takes for proof, how long it waits, and how it starts components.

use overwatch::law::Law::*;
use overwatch::machine::{Effect, Input, Machine, State, Step, Timer};
use overwatch::policy::Blame;

use super::{
    Exhibit, arms, brief, demanding, is_at_rest, is_starting, is_stopping, surgery, tower,
};
use crate::world::{alive, ms};

pub(super) const EXHIBITS: &[Exhibit] = &[
    Exhibit::new(
        "the timer restarts, without evidence",
        timer_restarts,
        ProvenRecovery,
    ),
    Exhibit::new(
        "the second observation is always enough",
        two_are_enough,
        ProvenRecovery,
    )
    .on(demanding),
    Exhibit::new("one observation more than it needs", one_more, NoDelay),
    Exhibit::new(
        "the backoff is waited for, whoever is to blame",
        backoff_for_all,
        ProvenRecovery,
    ),
    Exhibit::new("no hold-off after a trip", no_hold_off, NoHotLoop),
    Exhibit::new(
        "the hold-off grows a level too early",
        grows_too_early,
        RecoveryIsInevitable,
    ),
    Exhibit::new(
        "each observation begins the hold-off anew",
        begins_anew,
        RecoveryIsInevitable,
    ),
    Exhibit::new(
        "each observation that is one too many voids the run",
        every_other_voids,
        RecoveryIsInevitable,
    )
    .in_the_long_run(),
    Exhibit::new(
        "a hold-off that has passed is forgotten",
        hold_off_forgotten,
        RecoveryIsInevitable,
    )
    .in_the_long_run(),
    Exhibit::new(
        "a probe that hangs is kept",
        hung_probe_is_kept,
        RecoveryIsInevitable,
    ),
    Exhibit::new(
        "at rest nothing puts off the silence",
        silence_at_rest,
        RecoveryIsInevitable,
    )
    .on(brief)
    .with_clock(),
    Exhibit::new(
        "observations lengthen the start deadline",
        start_deadline_rearmed,
        OneDeadline,
    ),
    Exhibit::new(
        "an observation lifts the start deadline",
        start_deadline_lifted,
        NoSilentWait,
    ),
    Exhibit::new(
        "what was seen before the hold-off had passed opens the gate",
        rounds_are_one,
        ProvenRecovery,
    ),
    Exhibit::new(
        "nothing is asked for after the hold-off",
        asks_for_nothing,
        RecoveryIsInevitable,
    ),
    Exhibit::new(
        "each observation asks for one more",
        asks_again,
        ProvenRecovery,
    ),
    Exhibit::new(
        "a slow start is begun again",
        slow_start_again,
        OneIncarnation,
    ),
    Exhibit::new("restarts in the old epoch", old_epoch_again, OneIncarnation),
    Exhibit::new(
        "all stages are started at once",
        starts_all_at_once,
        StageOrder,
    )
    .on(tower),
    Exhibit::new(
        "the level sinks during the outage",
        sinks_in_outage,
        NoHotLoop,
    ),
    Exhibit::new(
        "each observation puts off the sinking of the level",
        never_stable,
        NoHotLoop,
    ),
];

/// The end of the hold-off opens the gate, whether or not the dependency is still there.
fn timer_restarts(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    match (input, machine.session()) {
        (Input::Fired(Timer::HoldOff), Some(session)) if step == Step::Absorbed => {
            machine.handle(alive(machine, session), effects)
        }
        _ => step,
    }
}

/// The policy's least evidence is not looked at.
fn two_are_enough(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    let needed = machine
        .plan()
        .policy()
        .needed_evidence(machine.level(), machine.blame());
    surgery(machine, |snapshot| {
        if let State::Monitoring { evidence, .. } = &mut snapshot.state
            && *evidence > 0
        {
            *evidence = needed;
        }
    });
    step
}

/// An observation is compared with what was seen before it.
fn one_more(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let policy = before.plan().policy();
    let needed = policy.needed_evidence(before.level(), before.blame());
    let step = machine.handle(input, effects);
    match *before.state() {
        State::Monitoring { evidence, .. } if is_starting(machine) && evidence < needed => {
            *machine = before;
            surgery(machine, |snapshot| {
                let (evidence, done) = (needed, true);
                snapshot.state = State::Monitoring { evidence, done };
            });
            effects.retain(|effect| arms(effect, Timer::Silence));
            Step::Absorbed
        }
        _ => step,
    }
}

/// The window after which a dependency is trusted again is not looked at.
fn backoff_for_all(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    hold_off_of(machine, input, effects, 1)
}

/// The growth is applied to the first level too.
fn grows_too_early(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    hold_off_of(machine, input, effects, 4)
}

/// That the dependency was fine before a component failed is taken for the hold-off.
fn no_hold_off(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let was_stopping = is_stopping(machine);
    let step = machine.handle(input, effects);
    if was_stopping && is_at_rest(machine) && machine.blame() == Blame::Component {
        surgery(machine, |snapshot| {
            snapshot.state = State::Monitoring {
                evidence: 1,
                done: true,
            };
        });
    }
    step
}

/// The hold-off is armed by every observation of the clean run, and not only by the first.
fn begins_anew(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if matches!(input, Input::Alive { .. })
        && step == Step::Absorbed
        && machine.is_armed(Timer::HoldOff)
    {
        let policy = machine.plan().policy();
        effects.push(Effect::Arm {
            timer: Timer::HoldOff,
            after: policy.hold_off(machine.level(), machine.blame()),
        });
    }
    step
}

/// An observation within the hold-off is taken for one that came too early, and voids the run.
fn every_other_voids(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let counts = machine.is_armed(Timer::HoldOff);
    let step = machine.handle(input, effects);
    if counts && matches!(input, Input::Alive { .. }) && step == Step::Absorbed {
        void(machine);
        effects.push(Effect::Disarm {
            timer: Timer::HoldOff,
        });
    }
    step
}

/// When the hold-off has passed, it begins to look for evidence from nothing.
fn hold_off_forgotten(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if input == Input::Fired(Timer::HoldOff) && step == Step::Absorbed {
        void(machine);
    }
    step
}

fn void(machine: &mut Machine) {
    surgery(machine, |snapshot| {
        snapshot.state = State::Monitoring {
            evidence: 0,
            done: false,
        };
        snapshot.armed.retain(|&timer| timer != Timer::HoldOff);
    });
}

/// An observation counts in whichever round it began.
fn rounds_are_one(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    match input {
        Input::Alive { session, round } if round < machine.round() => {
            machine.handle(alive(machine, session), effects)
        }
        _ => machine.handle(input, effects),
    }
}

/// The next observation will come anyway.
fn asks_for_nothing(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    effects.retain(|effect| !matches!(effect, Effect::Ask { .. }));
    step
}

/// The gate is never opened by what is there, but by one more.
fn asks_again(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    let seen = matches!(input, Input::Alive { .. }) && step == Step::Absorbed;
    if seen && is_at_rest(machine) && !machine.is_armed(Timer::HoldOff) {
        surgery(machine, |snapshot| snapshot.round += 1);
        effects.push(Effect::Ask {
            round: machine.round(),
        });
    }
    step
}

/// A probe that hangs is waited for, for ever.
fn hung_probe_is_kept(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    match (input, machine.session()) {
        (Input::Fired(Timer::Silence), Some(session)) if is_at_rest(machine) => machine.handle(
            Input::Failing {
                session,
                fatal: false,
            },
            effects,
        ),
        _ => machine.handle(input, effects),
    }
}

/// At rest the silence limit counts from the opening of the session.
fn silence_at_rest(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if is_at_rest(machine) && matches!(input, Input::Alive { .. }) {
        effects.retain(|effect| !arms(effect, Timer::Silence));
    }
    step
}

/// As long as the dependency is there, a start may take its time.
fn start_deadline_rearmed(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if is_starting(machine) && matches!(input, Input::Alive { .. }) && step == Step::Absorbed {
        effects.push(Effect::Arm {
            timer: Timer::Stage,
            after: machine.plan().policy().start_deadline(),
        });
    }
    step
}

/// As long as the dependency is there, a start may take for ever.
fn start_deadline_lifted(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if is_starting(machine) && matches!(input, Input::Alive { .. }) && step == Step::Absorbed {
        effects.push(Effect::Disarm {
            timer: Timer::Stage,
        });
    }
    step
}

/// What is not up yet is started once more with each observation.
fn slow_start_again(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if is_starting(machine) && matches!(input, Input::Alive { .. }) && step == Step::Absorbed {
        effects.push(Effect::StartStage {
            stage: 0,
            epoch: machine.epoch(),
        });
    }
    step
}

/// A restart forgets to begin a new epoch.
fn old_epoch_again(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let epoch = machine.epoch();
    let step = machine.handle(input, effects);
    if machine.epoch() > epoch {
        surgery(machine, |snapshot| snapshot.epoch = epoch);
        for effect in effects {
            if let Effect::StartStage { epoch: started, .. } = effect {
                *started = epoch;
            }
        }
    }
    step
}

/// The upper stage is started before the lower one is up.
fn starts_all_at_once(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    let told = |effect: &Effect| matches!(effect, Effect::StartStage { stage: 0, .. });
    if let Some(place) = effects.iter().position(told) {
        let epoch = machine.epoch();
        effects.insert(place + 1, Effect::StartStage { stage: 1, epoch });
    }
    step
}

/// The timer that lowers the level goes on through the outage.
fn sinks_in_outage(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    let timer = Timer::Stable;
    effects.retain(|effect| *effect != Effect::Disarm { timer });
    step
}

/// The time that it was stable counts from the last observation.
fn never_stable(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    let alive = matches!(input, Input::Alive { .. }) && step == Step::Absorbed;
    if alive && machine.is_armed(Timer::Stable) {
        effects.push(Effect::Arm {
            timer: Timer::Stable,
            after: machine.plan().policy().tuning().stable_after(),
        });
    }
    step
}

/// Arms the hold-off with so many milliseconds, whatever the policy says.
fn hold_off_of(
    machine: &mut Machine,
    input: Input,
    effects: &mut Vec<Effect>,
    after_ms: u64,
) -> Step {
    let step = machine.handle(input, effects);
    for effect in effects {
        if let Effect::Arm {
            timer: Timer::HoldOff,
            after,
        } = effect
        {
            *after = ms(after_ms);
        }
    }
    step
}
