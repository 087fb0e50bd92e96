//! Any snapshot, and what a machine that goes on from it does, compared with the reference.

use std::fmt::Arguments;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use overwatch::machine::{
    AfterStop, Command, ComponentState, Exit, FailureClass, HaltReason, Input, Machine, Record,
    RunOutcome, Snapshot, State, Step, StopStep, Timer,
};
use overwatch::policy::{Blame, ComponentId, Plan};

use crate::plans::Knobs;
use crate::reference::Reference;
use crate::wild::{beside, wild};

/// Panics if a machine accepts a snapshot that it cannot go on from.
pub fn check(data: &[u8]) {
    explore(data, &mut |_| ());
}

/// The same as [`check`], and notes what was seen on the way.
pub fn explore(data: &[u8], note: &mut dyn FnMut(Arguments<'_>)) {
    // Bytes that cannot be decoded mean nothing.
    let _ = resume(&mut Unstructured::new(data), note);
}

fn resume(bytes: &mut Unstructured<'_>, note: &mut dyn FnMut(Arguments<'_>)) -> Result<()> {
    let plan = Knobs::arbitrary(bytes)?.plan();
    let mut snapshot = plausible(&plan, bytes)?;
    for _ in 0..u8::arbitrary(bytes)? % 4 {
        spoil(&mut snapshot, bytes)?;
    }
    let machine = match Machine::resume(Arc::clone(&plan), snapshot.clone()) {
        Ok(machine) => machine,
        Err(error) => {
            let text = error.to_string();
            let (_, why) = text.split_once(": ").expect("it says why");
            assert!(why.len() > 10, "{text:?}");
            note(format_args!("refused: {why}"));
            return Ok(());
        }
    };
    note(format_args!("resumed: {}", machine.phase()));
    // The order of the timers, and how often each is named, make no difference.
    snapshot.armed.sort();
    snapshot.armed.dedup();
    assert_eq!(machine.snapshot(), snapshot);
    let reference = Reference::resume(plan, machine.snapshot());
    for input in every_input(&machine) {
        survive(&mut machine.clone(), &mut reference.clone(), input);
    }
    // And a few in a row.
    let (mut machine, mut reference) = (machine, reference);
    for _ in 0..bytes.len().min(MOST_INPUTS) {
        let inputs = every_input(&machine);
        let choice = usize::from(u8::arbitrary(bytes)?) % inputs.len();
        survive(&mut machine, &mut reference, inputs[choice]);
    }
    Ok(())
}

const MOST_INPUTS: usize = 16;

/// A snapshot that most likely fits, so that not all are refused.
fn plausible(plan: &Plan, bytes: &mut Unstructured<'_>) -> Result<Snapshot> {
    let layout = plan.layout();
    let [state, detail, stage, kept] = <[u8; 4]>::arbitrary(bytes)?;
    let pattern = u16::arbitrary(bytes)?;
    let level = u32::from(u8::arbitrary(bytes)? % 4).min(plan.policy().tuning().max_level());
    let stage = u16::from(stage) % (layout.stages().max(1) as u16);
    let mut snapshot = Snapshot {
        state: State::Drained,
        epoch: number(bytes)?,
        session: number(bytes)?.max(1),
        session_open: kept % 2 == 1,
        outage: number(bytes)?,
        outage_open: kept & 2 != 0,
        level,
        blame: blame(kept & 4 != 0),
        failed_starts: 0,
        armed: Vec::new(),
        component_states: vec![ComponentState::Down; layout.components()],
        record: Record {
            outage: number(bytes)?,
            reports: number(bytes)?,
            stale_reports: number(bytes)?,
            failed_starts: number(bytes)?,
        },
        hold_offs: number(bytes)?,
        round: (kept >> 3).into(),
    };
    // Which of two a component is, by its place.
    let either = |id: usize, set: ComponentState, unset: ComponentState| {
        if pattern >> (id % 16) & 1 == 1 {
            set
        } else {
            unset
        }
    };
    let step =
        [StopStep::Delaying, StopStep::Stopping, StopStep::Aborting][usize::from(detail) % 3];
    for (id, slot) in snapshot.component_states.iter_mut().enumerate() {
        let here = layout.stage_of(ComponentId(id as u32)).unwrap_or_default();
        let order = here.cmp(&usize::from(stage));
        *slot = match (state % 8, order) {
            (0, _) => ComponentState::Up,
            (2, std::cmp::Ordering::Less) => ComponentState::Up,
            (2, std::cmp::Ordering::Equal) => {
                either(id, ComponentState::Up, ComponentState::Starting)
            }
            (3, std::cmp::Ordering::Less) => either(id, ComponentState::Down, ComponentState::Up),
            (3, std::cmp::Ordering::Equal) => {
                let live = match step {
                    StopStep::Delaying => ComponentState::Up,
                    StopStep::Stopping => ComponentState::Stopping,
                    StopStep::Aborting => ComponentState::Aborting,
                };
                either(id, ComponentState::Down, live)
            }
            (3, std::cmp::Ordering::Greater) => {
                either(id, ComponentState::Wedged, ComponentState::Down)
            }
            (6, _) => either(id, ComponentState::Wedged, ComponentState::Down),
            _ => ComponentState::Down,
        };
    }
    let waiting = snapshot
        .component_states
        .iter()
        .filter(|slot| **slot == ComponentState::Starting)
        .count() as u32;
    snapshot.state = match state % 8 {
        0 => State::Running {
            suspicion: u32::from(detail) % plan.policy().trip_threshold(),
        },
        1 => State::Monitoring {
            evidence: u32::from(detail % 4),
            done: detail & 4 != 0,
        },
        2 => State::Restarting { stage, waiting },
        3 => State::ShuttingDown {
            stage,
            step,
            then: then(detail / 3),
        },
        4 => State::Drained,
        5 => State::Ended(RunOutcome::Stopped),
        6 => State::Ended(RunOutcome::Halted(HaltReason::Wedged)),
        _ => State::Ended(RunOutcome::Halted(why(detail))),
    };
    let rests = matches!(snapshot.state, State::Drained | State::Ended(_));
    let delays = state % 8 == 3 && step == StopStep::Delaying;
    if state % 8 != 3 || delays {
        snapshot.session_open = !rests && !delays;
    }
    if state % 8 == 0 {
        snapshot.outage_open = false;
    }
    snapshot.armed = timers(plan, &snapshot);
    Ok(snapshot)
}

/// The timers that fit a snapshot.
fn timers(plan: &Plan, snapshot: &Snapshot) -> Vec<Timer> {
    let owner = plan.layout().lease_owner();
    let fenced = owner
        .is_some_and(|owner| snapshot.component_states[owner.0 as usize] != ComponentState::Down);
    let fits = |timer: &Timer| match (*timer, snapshot.state) {
        (Timer::Stage, State::ShuttingDown { .. } | State::Restarting { .. }) => true,
        (Timer::HoldOff, State::Monitoring { evidence, done }) => evidence > 0 && !done,
        (Timer::Silence, _) => snapshot.session_open,
        (Timer::Decay, State::Running { suspicion }) => suspicion > 0,
        (Timer::Stable, State::Running { .. }) => snapshot.level > 0,
        (Timer::Fence, State::Running { .. } | State::Restarting { .. }) => fenced,
        _ => false,
    };
    Timer::ALL.into_iter().filter(fits).collect()
}

/// Changes one thing about a snapshot.
fn spoil(snapshot: &mut Snapshot, bytes: &mut Unstructured<'_>) -> Result<()> {
    let [what, value] = <[u8; 2]>::arbitrary(bytes)?;
    let odd = value % 2 == 1;
    match what % 17 {
        0 => snapshot.epoch = number(bytes)?,
        1 => snapshot.session = number(bytes)?,
        2 => snapshot.session_open = odd,
        3 => snapshot.outage = number(bytes)?,
        4 => snapshot.outage_open = odd,
        5 => snapshot.level = count(bytes)?,
        6 => snapshot.blame = blame(odd),
        7 => snapshot.failed_starts = count(bytes)?,
        8 => snapshot.armed.push(Timer::ALL[usize::from(value % 6)]),
        9 => drop(snapshot.armed.pop()),
        10 => snapshot
            .component_states
            .push(ComponentState::ALL[usize::from(value % 6)]),
        11 => drop(snapshot.component_states.pop()),
        12 => {
            if let Some(slot) = snapshot.component_states.get_mut(usize::from(value / 6)) {
                *slot = ComponentState::ALL[usize::from(value % 6)];
            }
        }
        13 => snapshot.record.reports = number(bytes)?,
        14 => snapshot.record.stale_reports = number(bytes)?,
        15 if odd => snapshot.round = number(bytes)?,
        15 => snapshot.hold_offs = number(bytes)?,
        _ => snapshot.state = any_state(value, bytes)?,
    }
    Ok(())
}

fn any_state(value: u8, bytes: &mut Unstructured<'_>) -> Result<State> {
    Ok(match value % 7 {
        0 => State::Running {
            suspicion: count(bytes)?,
        },
        1 => State::ShuttingDown {
            stage: wild(bytes, &[0, 1, u16::MAX])?,
            step: [StopStep::Delaying, StopStep::Stopping, StopStep::Aborting]
                [usize::from(value / 7 % 3)],
            then: then(value / 21),
        },
        2 => State::Monitoring {
            evidence: count(bytes)?,
            done: value & 8 != 0,
        },
        3 => State::Restarting {
            stage: wild(bytes, &[0, 1, u16::MAX])?,
            waiting: count(bytes)?,
        },
        4 => State::Drained,
        5 => State::Ended(RunOutcome::Stopped),
        _ => State::Ended(RunOutcome::Halted(why(value / 7))),
    })
}

/// Everything that could be said to this machine now, and some of it stale.
fn every_input(machine: &Machine) -> Vec<Input> {
    let now = machine.epoch();
    let session = machine.session().unwrap_or_default();
    let round = machine.round();
    let mut inputs = vec![
        Input::Alive { session, round },
        Input::Failing {
            session,
            fatal: false,
        },
        Input::Failing {
            session,
            fatal: true,
        },
        Input::Alive {
            session,
            round: u64::MAX,
        },
        Input::Alive {
            session: u64::MAX,
            round,
        },
        Input::Shutdown,
        Input::Frozen,
    ];
    inputs.extend(Command::ALL.iter().map(|command| command.input()));
    inputs.extend(Timer::ALL.map(Input::Fired));
    let plan = machine.plan();
    let fence = plan.policy().fence();
    let too_late = fence.map(|fence| beside(fence.margin() + plan.stop_budget()));
    for remaining in [Duration::ZERO, Duration::MAX]
        .into_iter()
        .chain(too_late.into_iter().flatten())
    {
        inputs.push(Input::LeaseRenewed {
            epoch: now,
            remaining,
        });
    }
    for epoch in [now, now.wrapping_sub(1)] {
        for class in FailureClass::ALL {
            for (component, count) in [(None, 1), (Some(0), 0), (Some(1), u32::MAX)] {
                inputs.push(Input::Report {
                    component: component.map(ComponentId),
                    epoch,
                    class,
                    count,
                });
            }
        }
        // One more than there are.
        for id in 0..=machine.plan().layout().components() as u32 {
            let component = ComponentId(id);
            inputs.push(Input::Up { component, epoch });
            for how in HOWS {
                inputs.push(Input::Gone {
                    component,
                    epoch,
                    how,
                });
            }
            for how in [Exit::Returned, Exit::Failed(FailureClass::Fatal)] {
                inputs.push(Input::Exited {
                    component,
                    epoch,
                    how,
                });
            }
        }
    }
    inputs
}

/// One step: it is the one that the reference takes, and what it leaves behind can be resumed as well.
fn survive(machine: &mut Machine, reference: &mut Reference, input: Input) {
    let before = machine.clone();
    let mut effects = Vec::new();
    let step = machine.handle(input, &mut effects);
    let mut expected = Vec::new();
    let told = reference.handle(input, &mut expected);
    assert_eq!(effects, expected, "{input:?} on {before:?}");
    assert!(
        told.agrees_with(&step),
        "{input:?} on {before:?} is {step:?}, not {told:?}"
    );
    assert_eq!(
        machine.snapshot(),
        reference.snapshot(),
        "{input:?} on {before:?}"
    );
    if let Step::Ignored(_) = step {
        let inert = effects.is_empty() && *machine == before;
        assert!(inert, "{input:?} was ignored, and changed {before:?}");
    }
    let mut phase = before.phase();
    for hop in step.transitions() {
        assert_eq!(hop.from, phase, "{step:?} of {input:?} on {before:?}");
        phase = hop.to;
    }
    assert_eq!(
        machine.phase(),
        phase,
        "{step:?} of {input:?} on {before:?}"
    );
    let layout = machine.plan().layout();
    let widest = (0..layout.stages()).map(|stage| layout.stage(stage).len());
    let most = widest.max().unwrap_or_default() + 8;
    assert!(
        effects.len() <= most,
        "{input:?} on {before:?}: {effects:?}"
    );
    match Machine::resume(Arc::clone(machine.plan()), machine.snapshot()) {
        Ok(resumed) => assert_eq!(resumed, *machine),
        // What begins at the largest number that is taken grows beyond it.
        Err(error) if error.to_string().contains("no room to grow") => {}
        Err(error) => panic!("{error}: {machine:?} after {input:?} on {before:?}"),
    }
}

const HOWS: [Exit; 6] = [
    Exit::Returned,
    Exit::Aborted,
    Exit::Failed(FailureClass::Component),
    Exit::Failed(FailureClass::Dependency),
    Exit::Failed(FailureClass::Critical),
    Exit::Failed(FailureClass::Fatal),
];

fn number(bytes: &mut Unstructured<'_>) -> Result<u64> {
    wild(
        bytes,
        &[1, 2, u64::MAX / 2, 0, 1, 2, u64::MAX / 2 + 1, u64::MAX],
    )
}

fn count(bytes: &mut Unstructured<'_>) -> Result<u32> {
    wild(bytes, &[0, 1, 2, 3, u32::MAX])
}

fn blame(dependency: bool) -> Blame {
    if dependency {
        Blame::Dependency
    } else {
        Blame::Component
    }
}

fn then(value: u8) -> AfterStop {
    match value % 4 {
        0 => AfterStop::Monitor,
        1 => AfterStop::Drain,
        2 => AfterStop::Stop,
        _ => AfterStop::Halt(why(value / 4)),
    }
}

fn why(value: u8) -> HaltReason {
    [HaltReason::GaveUp, HaltReason::Fatal, HaltReason::Wedged][usize::from(value % 3)]
}
