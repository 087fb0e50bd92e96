//! A machine as plain data: what can be resumed, what is refused and why, and what makes two
//! machines equal.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use overwatch::machine::{
    AfterStop, ComponentState, HaltReason, Machine, Record, RunOutcome, Snapshot, SnapshotError,
    State, StopStep, Timer,
};
use overwatch::policy::{Blame, ComponentId, Layout, Plan, PolicyBuilder};

use crate::world::{fenced, ms, plan, small_policy};

use ComponentState::{Aborting, Down, Starting, Stopping, Up, Wedged};
use Timer::{Decay, Fence, HoldOff, Silence, Stable, Stage};

/// `#0` below `#1` and `#2`.
const STAGES: &[usize] = &[1, 2];

/// The largest number that may still grow.
const LARGEST: u64 = u64::MAX / 2;

/// Three reports trip, two failed starts are too many, and the highest level is 4.
fn policy() -> PolicyBuilder {
    small_policy().trip_threshold(3).give_up_after(2)
}

fn resume(snapshot: Snapshot) -> Result<Machine, SnapshotError> {
    Machine::resume(plan(policy(), STAGES), snapshot)
}

fn why_refused(resumed: Result<Machine, SnapshotError>) -> String {
    let error = resumed.expect_err("refused").to_string();
    let why = error.strip_prefix("no machine of this plan can be there: ");
    why.expect("it says so").to_owned()
}

/// At level 0, with a session if silence is watched, and with an outage where there must be one.
fn at(state: State, slots: [ComponentState; 3], armed: &[Timer]) -> Snapshot {
    Snapshot {
        state,
        epoch: 7,
        session: 7,
        session_open: armed.contains(&Silence),
        round: 7,
        outage: 7,
        outage_open: !matches!(state, State::Running { .. } | State::Ended(_)),
        level: 0,
        blame: Blame::Component,
        failed_starts: 0,
        armed: armed.to_vec(),
        component_states: slots.to_vec(),
        record: Record::default(),
        hold_offs: 0,
    }
}

fn running(suspicion: u32, slots: [ComponentState; 3], armed: &[Timer]) -> Snapshot {
    at(State::Running { suspicion }, slots, armed)
}

fn monitoring(evidence: u32, done: bool, slots: [ComponentState; 3], armed: &[Timer]) -> Snapshot {
    let state = State::Monitoring { evidence, done };
    let (level, blame) = (1, Blame::Dependency);
    Snapshot {
        level,
        blame,
        ..at(state, slots, armed)
    }
}

fn restarting(stage: u16, waiting: u32, slots: [ComponentState; 3], armed: &[Timer]) -> Snapshot {
    at(State::Restarting { stage, waiting }, slots, armed)
}

fn stop(stage: u16, step: StopStep, slots: [ComponentState; 3], armed: &[Timer]) -> Snapshot {
    let then = AfterStop::Monitor;
    at(State::ShuttingDown { stage, step, then }, slots, armed)
}

fn stopping(stage: u16, slots: [ComponentState; 3]) -> Snapshot {
    stop(stage, StopStep::Stopping, slots, &[Stage])
}

fn drained(slots: [ComponentState; 3], armed: &[Timer]) -> Snapshot {
    at(State::Drained, slots, armed)
}

fn ended(end: RunOutcome, slots: [ComponentState; 3], armed: &[Timer]) -> Snapshot {
    at(State::Ended(end), slots, armed)
}

fn halted(why: HaltReason, slots: [ComponentState; 3]) -> Snapshot {
    ended(RunOutcome::Halted(why), slots, &[])
}

#[track_caller]
fn resumes(snapshot: Snapshot) {
    let resumed = resume(snapshot.clone()).map(|machine| machine.snapshot());
    assert_eq!(resumed, Ok(snapshot));
}

#[track_caller]
fn refuses(why: &str, snapshots: impl IntoIterator<Item = Snapshot>) {
    for snapshot in snapshots {
        assert_eq!(why_refused(resume(snapshot.clone())), why, "{snapshot:#?}");
    }
}

#[test]
fn every_state_can_be_written_down_by_hand() {
    for snapshot in [
        running(0, [Up; 3], &[Silence]),
        monitoring(0, false, [Down; 3], &[Silence]),
        monitoring(1, false, [Down; 3], &[HoldOff, Silence]),
        monitoring(1, true, [Down; 3], &[Silence]),
        restarting(0, 1, [Starting, Down, Down], &[Stage, Silence]),
        restarting(1, 2, [Up, Starting, Starting], &[Stage, Silence]),
        restarting(1, 1, [Up, Starting, Up], &[Stage, Silence]),
        stop(1, StopStep::Delaying, [Up; 3], &[Stage]),
        stop(1, StopStep::Stopping, [Up, Stopping, Down], &[Stage]),
        stop(
            1,
            StopStep::Stopping,
            [Up, Stopping, Down],
            &[Stage, Silence],
        ),
        stop(1, StopStep::Aborting, [Up, Down, Aborting], &[Stage]),
        stop(1, StopStep::Stopping, [Down, Down, Stopping], &[Stage]),
        stopping(0, [Stopping, Wedged, Down]),
        drained([Down; 3], &[]),
        ended(RunOutcome::Stopped, [Down; 3], &[]),
        halted(HaltReason::Wedged, [Wedged, Down, Down]),
        halted(HaltReason::Fatal, [Down; 3]),
        halted(HaltReason::GaveUp, [Down; 3]),
    ] {
        resumes(snapshot);
    }
}

#[test]
fn a_snapshot_names_each_component() {
    let of = |slots: &[ComponentState]| Snapshot {
        component_states: slots.to_vec(),
        ..drained([Down; 3], &[])
    };
    refuses(
        "`component_states` must name each component of the layout",
        [of(&[Down; 2]), of(&[Down; 4]), of(&[])],
    );
}

#[test]
fn what_only_grows_has_room_to_grow() {
    let set: [fn(&mut Snapshot, u64); 8] = [
        |snapshot, n| snapshot.epoch = n,
        |snapshot, n| snapshot.session = n,
        |snapshot, n| snapshot.outage = n,
        |snapshot, n| snapshot.hold_offs = n,
        |snapshot, n| snapshot.record.reports = n,
        |snapshot, n| snapshot.round = n,
        |snapshot, n| snapshot.record.stale_reports = n,
        |snapshot, n| snapshot.record.failed_starts = n,
    ];
    for set in set {
        let with = |n| {
            let mut snapshot = running(0, [Up; 3], &[Silence]);
            set(&mut snapshot, n);
            snapshot
        };
        resumes(with(LARGEST));
        refuses(
            "a number that only grows has no room to grow",
            [with(LARGEST + 1), with(u64::MAX)],
        );
    }
}

#[test]
fn the_level_is_at_most_the_highest() {
    let at_level = |level| Snapshot {
        level,
        ..running(0, [Up; 3], &[Silence, Stable])
    };
    resumes(at_level(4));
    refuses("`level` is above the highest", [at_level(5)]);
}

#[test]
fn who_failed_to_start_too_often_has_given_up() {
    let with = |failed_starts, snapshot: Snapshot| Snapshot {
        failed_starts,
        ..snapshot
    };
    let start = || restarting(0, 1, [Starting, Down, Down], &[Stage, Silence]);
    resumes(with(1, start()));
    refuses(
        "`failed_starts` is at the limit",
        [
            with(2, start()),
            with(2, drained([Down; 3], &[])),
            with(2, stopping(0, [Stopping, Down, Down])),
        ],
    );
    let (stage, step, then) = (0, StopStep::Stopping, AfterStop::Halt(HaltReason::GaveUp));
    let giving_up = State::ShuttingDown { stage, step, then };
    resumes(with(2, at(giving_up, [Stopping, Down, Down], &[Stage])));
    resumes(with(2, halted(HaltReason::GaveUp, [Down; 3])));
    // Without a limit nothing is counted.
    let unlimited = |snapshot| Machine::resume(plan(small_policy(), STAGES), snapshot);
    assert!(unlimited(with(0, start())).is_ok());
    assert_eq!(
        why_refused(unlimited(with(1, start()))),
        "`failed_starts` is at the limit"
    );
}

#[test]
fn slots_fit_the_state() {
    let start = &[Stage, Silence];
    refuses(
        "`component_states` do not fit the state",
        [
            // Running: all are up.
            running(0, [Down, Up, Up], &[Silence]),
            running(0, [Up, Starting, Up], &[Silence]),
            running(0, [Up, Up, Stopping], &[Silence]),
            // At rest: nothing is alive, or wedged.
            monitoring(0, false, [Up, Down, Down], &[Silence]),
            monitoring(0, false, [Down, Down, Wedged], &[Silence]),
            drained([Up, Down, Down], &[]),
            drained([Down, Down, Wedged], &[]),
            ended(RunOutcome::Stopped, [Down, Stopping, Down], &[]),
            ended(RunOutcome::Stopped, [Down, Down, Wedged], &[]),
            halted(HaltReason::Fatal, [Down, Down, Wedged]),
            halted(HaltReason::Wedged, [Down; 3]),
            halted(HaltReason::Wedged, [Up, Down, Wedged]),
            // Restarting: as many are starting as are awaited, all below are up, none above is.
            restarting(0, 0, [Up, Down, Down], start),
            restarting(1, 1, [Up, Starting, Starting], start),
            restarting(1, 2, [Up, Up, Starting], start),
            restarting(1, 1, [Up, Starting, Down], start),
            restarting(1, 1, [Starting, Starting, Up], start),
            restarting(1, 2, [Down, Starting, Starting], start),
            restarting(0, 1, [Starting, Up, Down], start),
            restarting(0, 1, [Starting, Down, Starting], start),
            restarting(2, 1, [Up; 3], start),
            restarting(2, 0, [Up; 3], start),
            // Stopping: something is left to stop, and all that is left is at that step; below it
            // nothing was told, above it nothing is left.
            stopping(1, [Stopping, Down, Down]),
            stopping(0, [Down; 3]),
            stopping(2, [Stopping, Down, Down]),
            stopping(1, [Up, Stopping, Up]),
            stopping(1, [Up, Stopping, Aborting]),
            stopping(1, [Up, Stopping, Wedged]),
            stopping(1, [Stopping, Stopping, Down]),
            stopping(1, [Starting, Stopping, Down]),
            stopping(0, [Stopping, Up, Down]),
            stopping(0, [Stopping, Down, Stopping]),
            stop(1, StopStep::Aborting, [Up, Aborting, Stopping], &[Stage]),
            stop(1, StopStep::Delaying, [Up, Up, Stopping], &[Stage]),
        ],
    );
}

#[test]
fn exactly_the_timers_that_the_state_needs_are_armed() {
    let at_level = |level, snapshot: Snapshot| Snapshot { level, ..snapshot };
    let starting = [Starting, Down, Down];
    let last = [Stopping, Down, Down];
    refuses(
        "`armed` does not fit the state",
        [
            // The deadline of a phase, where there is one.
            running(0, [Up; 3], &[Stage, Silence]),
            monitoring(0, false, [Down; 3], &[Stage, Silence]),
            restarting(0, 1, starting, &[Silence]),
            stop(0, StopStep::Stopping, last, &[]),
            drained([Down; 3], &[Stage]),
            // The hold-off, from the first evidence until it has passed.
            monitoring(0, false, [Down; 3], &[HoldOff, Silence]),
            monitoring(1, false, [Down; 3], &[Silence]),
            monitoring(1, true, [Down; 3], &[HoldOff, Silence]),
            running(0, [Up; 3], &[HoldOff, Silence]),
            // Silence, while there is a session.
            Snapshot {
                session_open: true,
                ..running(0, [Up; 3], &[])
            },
            Snapshot {
                session_open: false,
                ..stop(0, StopStep::Stopping, last, &[Stage, Silence])
            },
            // Decay, while there is suspicion.
            running(0, [Up; 3], &[Silence, Decay]),
            running(1, [Up; 3], &[Silence]),
            restarting(0, 1, starting, &[Stage, Silence, Decay]),
            // The level sinks while Running lasts.
            at_level(1, running(0, [Up; 3], &[Silence])),
            at_level(0, running(0, [Up; 3], &[Silence, Stable])),
            at_level(1, stop(0, StopStep::Stopping, last, &[Stage, Stable])),
            at_level(1, drained([Down; 3], &[Stable])),
            // No lease, no fence.
            running(0, [Up; 3], &[Silence, Fence]),
            ended(RunOutcome::Stopped, [Down; 3], &[Fence]),
        ],
    );
}

#[test]
fn a_timer_is_armed_however_often_it_is_named() {
    let once = restarting(0, 1, [Starting, Down, Down], &[Stage, Silence]);
    let armed = vec![Silence, Stage, Stage, Silence];
    let twice = Snapshot {
        armed,
        ..once.clone()
    };
    assert_eq!(resume(twice).map(|machine| machine.snapshot()), Ok(once));
}

#[test]
fn a_fence_is_armed_while_its_owner_is_at_work() {
    let owned_by = |owner| {
        let policy = fenced(policy(), STAGES).policy().clone();
        let layout = Layout::new(STAGES).expect("no gaps");
        Plan::new(policy, layout.with_lease_owner(ComponentId(owner))).expect("a plan that works")
    };
    let resume = |owner, snapshot| Machine::resume(owned_by(owner), snapshot);
    for (owner, lawful) in [
        (0, running(0, [Up; 3], &[Silence, Fence])),
        (
            0,
            restarting(0, 1, [Starting, Down, Down], &[Stage, Silence, Fence]),
        ),
        // It is not started yet.
        (
            2,
            restarting(0, 1, [Starting, Down, Down], &[Stage, Silence]),
        ),
        (0, stopping(1, [Up, Stopping, Down])),
        (0, drained([Down; 3], &[])),
    ] {
        assert!(resume(owner, lawful.clone()).is_ok(), "{lawful:?}");
    }
    for (owner, unlawful) in [
        (0, running(0, [Up; 3], &[Silence])),
        (
            0,
            restarting(0, 1, [Starting, Down, Down], &[Stage, Silence]),
        ),
        (
            2,
            restarting(0, 1, [Starting, Down, Down], &[Stage, Silence, Fence]),
        ),
        // The stop that runs ends before the lease does.
        (
            0,
            stop(1, StopStep::Stopping, [Up, Stopping, Down], &[Stage, Fence]),
        ),
    ] {
        let refused = why_refused(resume(owner, unlawful));
        assert_eq!(refused, "`armed` does not fit the state");
    }
}

#[test]
fn what_a_state_tells_of_itself_is_what_it_can_come_to() {
    resumes(running(2, [Up; 3], &[Silence, Decay]));
    // Two observations are needed, and the hold-off is not over.
    resumes(monitoring(2, false, [Down; 3], &[HoldOff, Silence]));
    let (stage, step, then) = (0, StopStep::Stopping, AfterStop::Halt(HaltReason::Wedged));
    let meant_to_be_wedged = State::ShuttingDown { stage, step, then };
    refuses(
        "a number in `state` is out of its range",
        [
            running(3, [Up; 3], &[Silence, Decay]),
            monitoring(3, false, [Down; 3], &[HoldOff, Silence]),
            // A hold-off begins with the first observation.
            monitoring(0, true, [Down; 3], &[Silence]),
            // Wedged is what a stop turns out to be.
            at(meant_to_be_wedged, [Stopping, Down, Down], &[Stage]),
        ],
    );
}

#[test]
fn the_session_is_open_where_the_dependency_is_observed() {
    refuses(
        "`session_open` does not fit the state",
        [
            running(0, [Up; 3], &[]),
            monitoring(0, false, [Down; 3], &[]),
            restarting(0, 1, [Starting, Down, Down], &[Stage]),
            stop(1, StopStep::Delaying, [Up; 3], &[Stage, Silence]),
            drained([Down; 3], &[Silence]),
            ended(RunOutcome::Stopped, [Down; 3], &[Silence]),
        ],
    );
    let first = |snapshot: Snapshot| Snapshot {
        session: 0,
        ..snapshot
    };
    refuses(
        "an open session has a number above 0",
        [first(running(0, [Up; 3], &[Silence]))],
    );
    resumes(first(ended(RunOutcome::Stopped, [Down; 3], &[])));
}

#[test]
fn no_outage_is_open_while_it_runs() {
    let outage_open = true;
    let open = Snapshot {
        outage_open,
        ..running(0, [Up; 3], &[Silence])
    };
    refuses("an outage ends when Running is reached", [open]);
}

// Equality.

fn hash(machine: &Machine) -> u64 {
    let mut hasher = DefaultHasher::new();
    machine.hash(&mut hasher);
    hasher.finish()
}

/// A machine that is stopping, where many of its numbers can be anything.
fn base() -> Snapshot {
    let armed = &[Stage, Silence];
    stop(1, StopStep::Stopping, [Up, Stopping, Stopping], armed)
}

/// Changes one thing that decides what a machine does from there on.
const DECISIVE: [fn(&mut Snapshot); 10] = [
    |snapshot| {
        let (stage, step, then) = (1, StopStep::Stopping, AfterStop::Drain);
        snapshot.state = State::ShuttingDown { stage, step, then };
    },
    |snapshot| snapshot.epoch += 1,
    |snapshot| snapshot.session += 1,
    |snapshot| {
        snapshot.session_open = false;
        snapshot.armed = vec![Stage];
    },
    |snapshot| snapshot.outage += 1,
    |snapshot| snapshot.outage_open = false,
    |snapshot| snapshot.level += 1,
    |snapshot| snapshot.blame = Blame::Dependency,
    |snapshot| snapshot.failed_starts += 1,
    |snapshot| snapshot.component_states[2] = Down,
];

#[test]
fn machines_are_equal_if_nothing_differs_that_decides() {
    let machine = resume(base()).expect("it can be there");
    assert_eq!(machine, resume(base()).expect("it can be there"));
    for change in DECISIVE {
        let mut snapshot = base();
        change(&mut snapshot);
        let other = resume(snapshot.clone()).expect("it can be there");
        assert_ne!(machine, other, "{snapshot:#?}");
        assert_ne!(hash(&machine), hash(&other), "{snapshot:#?}");
    }
    let other_plan = plan(policy().window(ms(31)), STAGES);
    let other = Machine::resume(other_plan, base()).expect("it can be there");
    assert_ne!(machine, other);
    // What only grows is left out.
    let (reports, hold_offs) = (9, 9);
    let record = Record {
        reports,
        ..Record::default()
    };
    let older = Snapshot {
        record,
        hold_offs,
        ..base()
    };
    let older = resume(older).expect("it can be there");
    assert_eq!(machine, older);
    assert_eq!(hash(&machine), hash(&older));
}

#[test]
fn a_copy_into_another_machine_leaves_nothing_of_that() {
    let mut other = Machine::new(plan(policy(), &[1]), &mut Vec::new());
    for change in DECISIVE {
        let mut snapshot = base();
        snapshot.record.reports = 9;
        snapshot.hold_offs = 9;
        change(&mut snapshot);
        let machine = resume(snapshot.clone()).expect("it can be there");
        other.clone_from(&machine);
        assert_eq!(other, machine);
        assert_eq!(other.snapshot(), snapshot);
        assert!(Arc::ptr_eq(other.plan(), machine.plan()));
    }
}
