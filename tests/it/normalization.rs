//! Normalization (counting what only grows from the present one) loses nothing: a run that is normalized
//! after every step does the same as one that never is.

use std::time::Duration;

use overwatch::law::Checked;
use overwatch::machine::{Effect, Input, Machine, Record, Step, Transition};
use proptest::prelude::*;

use crate::world::{World, any_action, any_plan_with_jitter, walk_length};

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_normalized_run_does_the_same(
        plan in any_plan_with_jitter(Duration::ZERO),
        timed: bool,
        actions in prop::collection::vec(any_action(), walk_length()),
    ) {
        let mut world = World::new(plan.clone(), timed).expect("boot obeys the laws");
        for action in actions {
            world.act(action).expect("found lawful elsewhere");
        }
        let timed = timed.then_some(Duration::ZERO);
        let mut effects = Vec::new();
        let mut plain = Checked::new(plan, timed, &mut effects).expect("as before");
        let mut normalized = plain.clone();
        normalized.normalize();
        for turn in &world.tape {
            let Some(input) = turn.input else { continue };
            let before = Numbers::of(plain.machine());
            let (mut done, mut same) = (Vec::new(), Vec::new());
            let step = plain.handle(turn.elapsed, input, &mut done).expect("as before");
            let again = normalized
                .handle(turn.elapsed, before.input(input), &mut same)
                .expect("lawful too");
            prop_assert_eq!(before.step(step), again.transitions().collect::<Vec<_>>());
            prop_assert_eq!(std::mem::discriminant(&step), std::mem::discriminant(&again));
            for (done, same) in done.iter().zip(&same) {
                prop_assert_eq!(before.effect(*done), before.without_counts(*same));
            }
            prop_assert_eq!(done.len(), same.len());
            normalized.normalize();
            let mut plain = plain.clone();
            plain.normalize();
            prop_assert_eq!(&plain, &normalized, "after {:?}", input);
            prop_assert_eq!(plain.machine().record(), normalized.machine().record());
        }
    }
}

/// The present numbers of a machine.
#[derive(Clone, Copy)]
struct Numbers {
    epoch: u64,
    session: u64,
    round: u64,
    outage: u64,
}

impl Numbers {
    fn of(machine: &Machine) -> Self {
        let snapshot = machine.snapshot();
        Self {
            epoch: snapshot.epoch,
            session: snapshot.session,
            round: snapshot.round,
            outage: snapshot.outage,
        }
    }

    fn input(self, mut input: Input) -> Input {
        match &mut input {
            Input::Report { epoch, .. }
            | Input::Up { epoch, .. }
            | Input::Exited { epoch, .. }
            | Input::Gone { epoch, .. }
            | Input::LeaseRenewed { epoch, .. } => *epoch = next_to(*epoch, self.epoch),
            Input::Alive { session, round } => {
                *session = next_to(*session, self.session);
                *round = next_to(*round, self.round);
            }
            Input::Failing { session, .. } => *session = next_to(*session, self.session),
            _ => {}
        }
        input
    }

    fn effect(self, mut effect: Effect) -> Effect {
        match &mut effect {
            Effect::StartStage { epoch, .. }
            | Effect::StopStage { epoch, .. }
            | Effect::Abort { epoch, .. } => *epoch = next_to(*epoch, self.epoch),
            Effect::OpenSession { session } | Effect::CloseSession { session } => {
                *session = next_to(*session, self.session);
            }
            Effect::Ask { round } => *round = next_to(*round, self.round),
            Effect::OutageOpened { outage, .. } => *outage = next_to(*outage, self.outage),
            Effect::OutageClosed(record) => record.outage = next_to(record.outage, self.outage),
            Effect::Ready(_) | Effect::Arm { .. } | Effect::Disarm { .. } | Effect::Ended(_) => {}
        }
        self.without_counts(effect)
    }

    /// Clears the counts of a record, which are what normalization changes.
    fn without_counts(self, effect: Effect) -> Effect {
        match effect {
            Effect::OutageClosed(record) => Effect::OutageClosed(Record {
                outage: record.outage,
                ..Record::default()
            }),
            other => other,
        }
    }

    fn step(self, step: Step) -> Vec<Transition> {
        let normalized = |hop: Transition| Transition {
            epoch: next_to(hop.epoch, self.epoch),
            ..hop
        };
        step.transitions().map(normalized).collect()
    }
}

/// A number as it stands to the present one, which is 1.
fn next_to(number: u64, present: u64) -> u64 {
    number.wrapping_sub(present).wrapping_add(1)
}
