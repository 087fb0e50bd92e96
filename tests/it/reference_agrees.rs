//! The machine and the [reference](crate::reference) in lockstep: they agree on everything.

use std::fmt::Write;
use std::sync::Arc;

use overwatch::machine::{Class, How, Input, Machine, Record, Snapshot, Timer};
use overwatch::policy::{Blame, ComponentId, Plan};
use proptest::prelude::*;

use crate::reference::Reference;
use crate::world::{Action, World, any_action, any_plan, ms, walk_length};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

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
    fn reference_agrees_in_noise(plan in any_plan(), noise in prop::collection::vec(any_noise(), 1..300)) {
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
        change.apply(&mut snapshot);
        let Ok(mut pair) = Pair::resume(plan, snapshot) else {
            return Ok(());
        };
        for &noise in &noise {
            pair.handle(noise.input(&pair.machine))?;
        }
    }
}

/// Both, and all that they were told.
struct Pair {
    machine: Machine,
    reference: Reference,
    tape: String,
}

impl Pair {
    fn new(plan: Arc<Plan>) -> Result<Self, TestCaseError> {
        let (mut its, mut mine) = (Vec::new(), Vec::new());
        let pair = Self {
            machine: Machine::new(plan.clone(), &mut its),
            reference: Reference::new(plan, &mut mine),
            tape: String::new(),
        };
        prop_assert_eq!(its, mine, "the effects of boot");
        pair.compare_snapshots()?;
        Ok(pair)
    }

    /// Fails if the machine does not take the snapshot.
    fn resume(
        plan: Arc<Plan>,
        snapshot: Snapshot,
    ) -> Result<Self, overwatch::machine::SnapshotError> {
        Ok(Self {
            machine: Machine::resume(plan.clone(), snapshot.clone())?,
            tape: format!("{snapshot:?}\n"),
            reference: Reference::resume(plan, snapshot),
        })
    }

    fn handle(&mut self, input: Input) -> Result<(), TestCaseError> {
        let (mut its, mut mine) = (Vec::new(), Vec::new());
        let step = self.machine.handle(input, &mut its);
        let told = self.reference.handle(input, &mut mine);
        let _ = writeln!(self.tape, "{input:?} -> {step:?} {its:?}");
        prop_assert_eq!(&its, &mine, "effects: machine, reference\n{}", self.tape);
        prop_assert!(
            told.agrees_with(&step),
            "the reference says {:?}\n{}",
            told,
            self.tape
        );
        self.compare_snapshots()
    }

    fn compare_snapshots(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(
            self.machine.snapshot(),
            self.reference.snapshot(),
            "machine, reference\n{}",
            self.tape
        );
        Ok(())
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
    class: Class,
    how: u8,
    off_by: i8,
    count: u32,
    remaining: u64,
    timer: usize,
}

fn any_noise() -> impl Strategy<Value = AnyInput> {
    let class = prop_oneof![
        4 => Just(Class::Component),
        4 => Just(Class::Dependency),
        2 => Just(Class::Critical),
        1 => Just(Class::Fatal),
    ];
    let off_by = prop_oneof![8 => Just(0_i8), 1 => Just(-1), 1 => Just(1)];
    (
        0_u8..32,
        0_u32..9,
        class,
        0_u8..3,
        off_by,
        0_u32..3,
        0_u64..128,
        0..Timer::ALL.len(),
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
        let class = self.class;
        let how = match self.how {
            0 => How::Returned,
            1 => How::Aborted,
            _ => How::Failed(class),
        };
        match self.kind {
            0..7 => Input::Up { component, epoch },
            7..13 => Input::Alive { session },
            13..20 => Input::Fired(Timer::ALL[self.timer]),
            20..22 => Input::Gone {
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
            25 => Input::Failing { session },
            26 => Input::LeaseRenewed {
                epoch,
                remaining: ms(self.remaining),
            },
            27 => Input::Drain,
            28 => Input::Resume,
            29 => Input::Trip,
            30 => Input::Reset,
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
    record: Option<u64>,
    hold_offs: u64,
}

fn any_change() -> impl Strategy<Value = Change> {
    let blame = prop_oneof![Just(Blame::Component), Just(Blame::Dependency)];
    (
        prop::option::of(0_u32..4),
        prop::option::of(blame),
        prop::option::of(0_u32..3),
        prop::option::of(1_u64..5),
        prop::option::of(any::<bool>()),
        prop::option::of(0_u64..5),
        0_u64..1000,
    )
        .prop_map(
            |(level, blame, failed_starts, session, outage_open, record, hold_offs)| Change {
                level,
                blame,
                failed_starts,
                session,
                outage_open,
                record,
                hold_offs,
            },
        )
}

impl Change {
    fn apply(self, snapshot: &mut Snapshot) {
        let Snapshot { record, .. } = snapshot;
        if let Some(count) = self.record {
            *record = Record {
                reports: count,
                stale_reports: count / 2,
                failed_starts: count / 3,
                ..*record
            };
        }
        snapshot.level = self.level.unwrap_or(snapshot.level);
        snapshot.blame = self.blame.unwrap_or(snapshot.blame);
        snapshot.failed_starts = self.failed_starts.unwrap_or(snapshot.failed_starts);
        snapshot.session = self.session.unwrap_or(snapshot.session);
        snapshot.outage_open = self.outage_open.unwrap_or(snapshot.outage_open);
        snapshot.hold_offs = self.hold_offs;
    }
}
