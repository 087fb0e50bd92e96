//! When it stops the world, and what it tells of its readiness.

use overwatch::law::Law::*;
use overwatch::machine::{
    AfterStop, Effect, HaltReason, Input, Machine, State, Step, StopStep, Timer,
};
use overwatch::policy::Fence;

use super::{
    Exhibit, arms, brief, is_delaying, is_starting, is_stopping, leased, lingering,
    lingering_leased, pair, patient, slow_second_stage, swallow, wish,
};
use crate::world::{failing, ms};

pub(super) const EXHIBITS: &[Exhibit] = &[
    Exhibit::new("never trips", never_trips, NoDelay),
    Exhibit::new(
        "trips on every report",
        trips_on_every_report,
        NoTripWithoutCause,
    )
    .on(patient),
    Exhibit::new("halts after any trip", halts_after_any_trip, HonestEnd),
    Exhibit::new("stops unasked", stops_unasked, NoTripWithoutCause),
    Exhibit::new(
        "a fatal observation is an outage like any other",
        fatal_is_an_outage,
        ShutdownIsInevitable,
    ),
    Exhibit::new(
        "suspicion is never forgotten",
        never_forgets,
        NoTripWithoutCause,
    )
    .on(patient),
    Exhibit::new("suspicion does not add up", does_not_add_up, NoDelay).on(patient),
    Exhibit::new("readiness goes off last", readiness_off_last, HealthFirst),
    Exhibit::new(
        "ready with the first component",
        ready_with_the_first,
        ReadyMeansRunning,
    )
    .on(pair),
    Exhibit::new(
        "a failure waits for the end of the delay",
        delay_is_not_cut,
        NoDelay,
    )
    .on(lingering),
    Exhibit::new(
        "silence is noticed late",
        silence_noticed_late,
        FreshEvidence,
    ),
    Exhibit::new(
        "silence is noticed early",
        silence_noticed_early,
        RecoveryIsInevitable,
    ),
    Exhibit::new(
        "a report puts off the silence",
        report_is_evidence,
        FreshEvidence,
    )
    .on(patient),
    Exhibit::new(
        "nothing puts off the silence",
        nothing_puts_off_silence,
        NoTripWithoutCause,
    )
    .on(brief)
    .with_clock(),
    Exhibit::new(
        "the fence leaves no time to stop",
        fence_without_stop_budget,
        FencedInTime,
    )
    .on(leased),
    Exhibit::new(
        "a renewal does not put off the fence",
        renewals_are_ignored,
        NoTripWithoutCause,
    )
    .on(leased),
    Exhibit::new(
        "a late renewal is taken for a good one",
        late_renewal_is_good,
        NoDelay,
    )
    .on(leased),
    Exhibit::new(
        "the fence is not lifted by a stop",
        fence_outlives_work,
        FencedInTime,
    )
    .on(leased),
    Exhibit::new(
        "the fence is lifted by a delay",
        delay_lifts_the_fence,
        FencedInTime,
    )
    .on(lingering_leased),
    Exhibit::new(
        "the delay goes on when the fence is due",
        delay_outlives_the_fence,
        NoDelay,
    )
    .on(lingering_leased),
    Exhibit::new(
        "a renewal during the delay is ignored",
        delay_ignores_renewals,
        NoTripWithoutCause,
    )
    .on(lingering_leased),
    Exhibit::new(
        "a stage has the deadlines of another",
        deadlines_of_the_first_stage,
        OneDeadline,
    )
    .on(slow_second_stage),
];

/// What would end readiness comes to nothing.
fn never_trips(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let step = machine.handle(input, effects);
    if before.is_ready() && !machine.is_ready() {
        return swallow(machine, before, effects);
    }
    step
}

/// The threshold is not looked at.
fn trips_on_every_report(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let mut input = input;
    if let (Input::Report { count, .. }, true) = (&mut input, machine.is_ready()) {
        *count = u32::MAX;
    }
    machine.handle(input, effects)
}

/// It takes every failure for one that no restart could mend.
fn halts_after_any_trip(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let was_ready = machine.is_ready();
    let step = machine.handle(input, effects);
    if was_ready && is_stopping(machine) {
        wish(machine, AfterStop::Halt(HaltReason::Fatal));
    }
    step
}

/// What no restart could mend is taken for an outage.
fn fatal_is_an_outage(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    match input {
        Input::Failing { session, .. } => machine.handle(failing(session), effects),
        _ => machine.handle(input, effects),
    }
}

/// A good observation is mistaken for a bad one.
fn stops_unasked(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    match input {
        Input::Alive { session, .. } if machine.is_ready() => {
            machine.handle(failing(session), effects)
        }
        _ => machine.handle(input, effects),
    }
}

/// Nothing ever wakes it up to forget.
fn never_forgets(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    effects.retain(|effect| !arms(effect, Timer::Decay));
    step
}

/// A failure that comes while another one is remembered is taken for the same one.
fn does_not_add_up(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    match (*machine.state(), input) {
        (State::Running { suspicion: 1 }, Input::Failing { .. }) => Step::Absorbed,
        _ => machine.handle(input, effects),
    }
}

/// Components are told before load balancers are.
fn readiness_off_last(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if effects.first() == Some(&Effect::Ready(false)) {
        effects.rotate_left(1);
    }
    step
}

/// One component that is up is taken for all.
fn ready_with_the_first(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if matches!((input, step), (Input::Up { .. }, Step::Absorbed)) {
        effects.push(Effect::Ready(true));
    }
    step
}

/// It waits the delay out, though a component just failed.
fn delay_is_not_cut(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let step = machine.handle(input, effects);
    let delays = |machine: &Machine| {
        let step = StopStep::Delaying;
        matches!(*machine.state(), State::ShuttingDown { step: is, .. } if is == step)
    };
    if delays(&before) && !delays(machine) && matches!(input, Input::Report { .. }) {
        return swallow(machine, before, effects);
    }
    step
}

/// One lost observation is forgiven.
fn silence_noticed_late(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    arming(machine, input, effects, Timer::Silence, 4)
}

/// The limit is halved, to be on the safe side.
fn silence_noticed_early(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    arming(machine, input, effects, Timer::Silence, 1)
}

/// Whoever can report is alive, and so the dependency must be.
fn report_is_evidence(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if matches!(input, Input::Report { .. }) && step == Step::Absorbed && machine.is_ready() {
        effects.push(Effect::Arm {
            timer: Timer::Silence,
            after: machine.plan().policy().silence_limit(),
        });
    }
    step
}

/// The limit counts from the start, and not from the last observation.
fn nothing_puts_off_silence(
    machine: &mut Machine,
    input: Input,
    effects: &mut Vec<Effect>,
) -> Step {
    let is_up = machine.is_ready() || is_starting(machine);
    let step = machine.handle(input, effects);
    if is_up {
        effects.retain(|effect| !arms(effect, Timer::Silence));
    }
    step
}

/// Work goes on until the lease is nearly over, and only then is it stopped.
fn fence_without_stop_budget(
    machine: &mut Machine,
    input: Input,
    effects: &mut Vec<Effect>,
) -> Step {
    arming(machine, input, effects, Timer::Fence, 5)
}

/// The fence is only ever brought forward.
fn renewals_are_ignored(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let step = machine.handle(input, effects);
    let ttl = machine.plan().policy().fence().map(Fence::lease);
    if let Input::LeaseRenewed { remaining, .. } = input
        && step == Step::Absorbed
        && Some(remaining) == ttl
    {
        return swallow(machine, before, effects);
    }
    step
}

/// As long as the lease is renewed at all, work may go on.
fn late_renewal_is_good(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let before = machine.clone();
    let step = machine.handle(input, effects);
    let ends = machine.session() != before.session();
    if matches!(input, Input::LeaseRenewed { .. }) && ends {
        return swallow(machine, before, effects);
    }
    step
}

/// The fence goes on counting when work is being stopped already.
fn fence_outlives_work(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    effects.retain(|effect| {
        *effect
            != Effect::Disarm {
                timer: Timer::Fence,
            }
    });
    step
}

/// A stop is under way, so nothing seems to depend on the lease any more.
fn delay_lifts_the_fence(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    if is_delaying(machine) && effects.first() == Some(&Effect::Ready(false)) {
        let timer = Timer::Fence;
        effects.push(Effect::Disarm { timer });
    }
    step
}

/// The load balancer gets all of its delay, whatever the lease says.
fn delay_outlives_the_fence(
    machine: &mut Machine,
    input: Input,
    effects: &mut Vec<Effect>,
) -> Step {
    let before = machine.clone();
    let step = machine.handle(input, effects);
    if is_delaying(&before) && input == Input::Fired(Timer::Fence) {
        return swallow(machine, before, effects);
    }
    step
}

/// Only a service that is ready renews its lease.
fn delay_ignores_renewals(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    if is_delaying(machine) {
        return renewals_are_ignored(machine, input, effects);
    }
    machine.handle(input, effects)
}

/// There is one start deadline, and one stop deadline.
fn deadlines_of_the_first_stage(
    machine: &mut Machine,
    input: Input,
    effects: &mut Vec<Effect>,
) -> Step {
    let step = machine.handle(input, effects);
    let first = machine.plan().start_deadline(0);
    for effect in effects {
        if let Effect::Arm {
            timer: Timer::Stage,
            after,
        } = effect
            && is_starting(machine)
        {
            *after = first;
        }
    }
    step
}

/// Arms this timer with so many milliseconds, whatever the policy says.
fn arming(
    machine: &mut Machine,
    input: Input,
    effects: &mut Vec<Effect>,
    changed: Timer,
    after_ms: u64,
) -> Step {
    let step = machine.handle(input, effects);
    for effect in effects {
        if let Effect::Arm { timer, after } = effect
            && *timer == changed
        {
            *after = ms(after_ms);
        }
    }
    step
}
