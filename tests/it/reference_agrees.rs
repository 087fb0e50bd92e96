//! The machine and the [reference](overwatch_fuzzed::reference) in lockstep: they agree on everything.

use std::fmt::Write;
use std::sync::Arc;

use overwatch::machine::{
    Command, ComponentState, Effect, Exit, FailureClass, Input, Machine, Record, Snapshot,
    SnapshotError, State, Step, Timer,
};
use overwatch::policy::{Blame, ComponentId, Plan};
use overwatch_fuzzed::reference::Reference;
use proptest::prelude::*;

use crate::world::{Action, World, any_action, any_plan, ms, plan, small_policy, walk_length};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reference_agrees_whenever_timers_fire(plan in any_plan(), actions in prop::collection::vec(any_action(), walk_length())) {
        let _ = walk(plan, &actions, false)?;
    }

    #[test]
    fn reference_agrees_on_a_clock(plan in any_plan(), actions in prop::collection::vec(any_action(), walk_length())) {
        let _ = walk(plan, &actions, true)?;
    }

    /// Hardly anything that comes makes sense.
    #[test]
    fn reference_agrees_in_noise(plan in any_plan(), noise in prop::collection::vec(any_noise(), 1..200)) {
        let mut pair = Pair::new(plan)?;
        for &noise in &noise {
            pair.handle(noise.input(&pair.machine))?;
        }
    }

    /// From states to which no walk has led, as long as the machine takes them.
    #[test]
    fn reference_agrees_after_resuming(
        plan in any_plan(),
        actions in prop::collection::vec(any_action(), walk_length()),
        change in any_change(),
        noise in prop::collection::vec(any_noise(), 1..40),
    ) {
        let mut snapshot = walk(plan.clone(), &actions, false)?.machine.snapshot();
        change.apply(&plan, &mut snapshot);
        let Ok(mut pair) = Pair::resume(plan, snapshot) else {
            return Ok(());
        };
        for &noise in &noise {
            pair.handle(noise.input(&pair.machine))?;
        }
        // Few walks end by themselves.
        pair.handle(Input::Shutdown)?;
        while pair.machine.is_armed(Timer::Stage) {
            pair.handle(Input::Fired(Timer::Stage))?;
        }
        prop_assert!(pair.machine.phase().is_ended(), "{}", pair.trace());
    }
}

/// Too rare for chance: a component answers after it was given up as wedged.
#[test]
fn reference_agrees_on_a_late_answer() -> Result<(), TestCaseError> {
    for class in [FailureClass::Dependency, FailureClass::Fatal] {
        let mut pair = Pair::new(plan(small_policy(), &[1, 1]))?;
        let (epoch, how) = (1, Exit::Failed(class));
        let [low, high] = [ComponentId(0), ComponentId(1)];
        for input in [
            Input::Alive {
                session: 1,
                round: 0,
            },
            Input::Up {
                component: low,
                epoch,
            },
            Input::Up {
                component: high,
                epoch,
            },
            Input::Drain,
            Input::Fired(Timer::Stage),
            Input::Fired(Timer::Stage),
        ] {
            pair.handle(input)?;
        }
        prop_assert_eq!(pair.machine.component_state(high), ComponentState::Wedged);
        pair.handle(Input::Gone {
            component: high,
            epoch,
            how,
        })?;
        pair.handle(Input::Gone {
            component: low,
            epoch,
            how,
        })?;
    }
    Ok(())
}

/// Both, and all that they were told.
struct Pair {
    machine: Machine,
    reference: Reference,
    resumed_from: Option<Snapshot>,
    tape: Vec<(Input, Step, Vec<Effect>)>,
}

impl Pair {
    fn new(plan: Arc<Plan>) -> Result<Self, TestCaseError> {
        let (mut its, mut mine) = (Vec::new(), Vec::new());
        let pair = Self {
            machine: Machine::new(plan.clone(), &mut its),
            reference: Reference::new(plan, &mut mine),
            resumed_from: None,
            tape: Vec::new(),
        };
        prop_assert_eq!(its, mine, "the effects of boot");
        pair.compare_snapshots()?;
        Ok(pair)
    }

    /// Fails if the machine does not take the snapshot.
    fn resume(plan: Arc<Plan>, snapshot: Snapshot) -> Result<Self, SnapshotError> {
        Ok(Self {
            machine: Machine::resume(plan.clone(), snapshot.clone())?,
            reference: Reference::resume(plan, snapshot.clone()),
            resumed_from: Some(snapshot),
            tape: Vec::new(),
        })
    }

    fn handle(&mut self, input: Input) -> Result<(), TestCaseError> {
        let (mut its, mut mine) = (Vec::new(), Vec::new());
        let step = self.machine.handle(input, &mut its);
        let told = self.reference.handle(input, &mut mine);
        prop_assert_eq!(
            &its,
            &mine,
            "effects: machine, reference\n{:?}\n{}",
            input,
            self.trace()
        );
        self.tape.push((input, step, its));
        prop_assert!(
            told.agrees_with(&step),
            "the reference says {:?}\n{}",
            told,
            self.trace()
        );
        self.compare_snapshots()
    }

    fn compare_snapshots(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(
            self.machine.snapshot(),
            self.reference.snapshot(),
            "machine, reference\n{}",
            self.trace()
        );
        Ok(())
    }

    /// All that happened, in words, for the one who reads a failure.
    fn trace(&self) -> String {
        let mut lines = String::new();
        if let Some(snapshot) = &self.resumed_from {
            let _ = writeln!(lines, "{snapshot:?}");
        }
        for (input, step, effects) in &self.tape {
            let _ = writeln!(lines, "{input:?} -> {step:?} {effects:?}");
        }
        lines
    }
}

/// Lets the world choose the inputs, and both take them in.
fn walk(plan: Arc<Plan>, actions: &[Action], timed: bool) -> Result<Pair, TestCaseError> {
    let broken = |violation| TestCaseError::fail(format!("{violation}"));
    let mut world = World::new(plan.clone(), timed).map_err(broken)?;
    let mut pair = Pair::new(plan)?;
    let mut compared = 0;
    for &action in actions {
        let lawful = world.act(action);
        // What the world told its machine, one input at a time.
        for turn in &world.tape[compared..] {
            if let Some(input) = turn.input {
                pair.handle(input)?;
            }
        }
        compared = world.tape.len();
        lawful.map_err(broken)?;
    }
    Ok(pair)
}

/// Any input, of numbers most of which are the right ones.
#[derive(Clone, Copy, Debug)]
struct AnyInput {
    kind: u8,
    component: u32,
    class: FailureClass,
    how: u8,
    off_by: i8,
    count: u32,
    remaining: u64,
    timer: Timer,
}

fn any_noise() -> impl Strategy<Value = AnyInput> {
    let class = prop_oneof![
        4 => Just(FailureClass::Component),
        4 => Just(FailureClass::Dependency),
        2 => Just(FailureClass::Critical),
        1 => Just(FailureClass::Fatal),
    ];
    let timer = prop_oneof![
        3 => Just(Timer::Stage),
        6 => prop::sample::select(&Timer::ALL[..]),
    ];
    let off_by = prop_oneof![8 => Just(0_i8), 1 => Just(-1), 1 => Just(1)];
    (
        0_u8..34,
        0_u32..9,
        class,
        0_u8..6,
        off_by,
        0_u32..3,
        0_u64..128,
        timer,
    )
        .prop_map(
            |(kind, component, class, how, off_by, count, remaining, timer)| AnyInput {
                kind,
                component,
                class,
                how,
                off_by,
                count,
                remaining,
                timer,
            },
        )
}

impl AnyInput {
    fn input(self, machine: &Machine) -> Input {
        let near = |number: u64| number.saturating_add_signed(i64::from(self.off_by));
        let component = ComponentId(self.component);
        let epoch = near(machine.epoch());
        let session = near(machine.session().unwrap_or_default());
        // A round off by one, or a session, and seldom both.
        let round = machine
            .round()
            .saturating_add_signed(match self.remaining % 8 {
                0 => -1,
                1 => 1,
                _ => 0,
            });
        let class = self.class;
        let how = match self.how {
            0 => Exit::Returned,
            1 => Exit::Aborted,
            _ => Exit::Failed(class),
        };
        match self.kind {
            0..6 => Input::Up { component, epoch },
            6..12 => Input::Alive { session, round },
            12..18 => Input::Fired(self.timer),
            18..22 => Input::Gone {
                component,
                epoch,
                how,
            },
            22 => Input::Exited {
                component,
                epoch,
                how,
            },
            23..25 => Input::Report {
                component: (component.0 < 8).then_some(component),
                epoch,
                class,
                count: self.count,
            },
            25 => Input::Failing {
                session,
                fatal: self.count == 0,
            },
            26 => Input::LeaseRenewed {
                epoch,
                remaining: ms(self.remaining),
            },
            kind @ 27..31 => {
                let which = usize::from(kind - 27) + 4 * self.count as usize;
                Command::ALL[which % Command::ALL.len()].input()
            }
            31 => Input::Frozen,
            32 => Input::FailedTooOften { component },
            // One that ends the run is rare.
            _ if self.remaining == 0 => Input::Shutdown,
            _ => Input::Resume,
        }
    }
}

/// A change of what a machine knows.
#[derive(Clone, Copy, Debug)]
struct Change {
    level: Option<u32>,
    blame: Option<Blame>,
    failed_starts: Option<u32>,
    session: Option<u64>,
    outage_open: Option<bool>,
    record: Option<(u64, u64, u64)>,
    hold_offs: u64,
    /// Whether what was stopped before the present stage turned out to be wedged.
    wedged: bool,
}

fn any_change() -> impl Strategy<Value = Change> {
    let blame = prop_oneof![Just(Blame::Component), Just(Blame::Dependency)];
    (
        prop::option::of(0_u32..4),
        prop::option::of(blame),
        prop::option::of(0_u32..3),
        prop::option::of(1_u64..5),
        prop::option::of(any::<bool>()),
        prop::option::of((0_u64..2, 0_u64..2, 0_u64..2)),
        0_u64..1000,
        any::<bool>(),
    )
        .prop_map(
            |(level, blame, failed_starts, session, outage_open, record, hold_offs, wedged)| {
                Change {
                    level,
                    blame,
                    failed_starts,
                    session,
                    outage_open,
                    record,
                    hold_offs,
                    wedged,
                }
            },
        )
}

impl Change {
    fn apply(self, plan: &Plan, snapshot: &mut Snapshot) {
        if let Some((reports, stale_reports, failed_starts)) = self.record {
            snapshot.record = Record {
                reports,
                stale_reports,
                failed_starts,
                ..snapshot.record
            };
        }
        if let State::ShuttingDown { stage, .. } = snapshot.state
            && self.wedged
        {
            let above = plan.layout().stage(usize::from(stage)).end as usize;
            snapshot.component_states[above..].fill(ComponentState::Wedged);
        }
        snapshot.level = self.level.unwrap_or(snapshot.level);
        snapshot.blame = self.blame.unwrap_or(snapshot.blame);
        snapshot.failed_starts = self.failed_starts.unwrap_or(snapshot.failed_starts);
        snapshot.session = self.session.unwrap_or(snapshot.session);
        snapshot.outage_open = self.outage_open.unwrap_or(snapshot.outage_open);
        snapshot.hold_offs = self.hold_offs;
    }
}
