//! The explorer itself: that it visits everything, and neither loses nor invents anything by the
//! way it keeps states. What it finds of many plans is shown by the example `prove`.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use overwatch::explore::{Explorer, Unproved};
use overwatch::law::Checked;
use overwatch::machine::Input;
use overwatch::policy::{Fence, Plan, Policy};

use crate::world::{fenced_by, ms, plan, small_tuning};

/// The least numbers that there are, with everything switched on.
fn tiny() -> overwatch::policy::PolicyBuilder {
    let tuning = small_tuning()
        .backoff(ms(1))
        .max_hold_off(ms(4))
        .max_level(2)
        .decay(ms(1))
        .stable_after(ms(1))
        .unready_delay(ms(1));
    Policy::builder()
        .window(ms(2))
        .silence_limit(ms(1))
        .start_deadline(ms(1))
        .stop_deadline(ms(1))
        .abort_deadline(ms(1))
        .trip_threshold(2)
        .give_up_after(2)
        .tuning(tuning)
}

fn tiny_fenced(stages: &[usize]) -> Arc<Plan> {
    let ttl = ms(2 * stages.len() as u64 + 3);
    let fence = Fence::new(ttl, ms(1)).with_margin(ms(1));
    fenced_by(tiny(), fence, stages)
}

/// The plainest search there is: whole states in a set, every input in every one of them.
fn visit_plainly(plan: &Arc<Plan>, inputs: &[Input]) -> usize {
    let mut effects = Vec::new();
    let mut boot = Checked::new(Arc::clone(plan), None, &mut effects).expect("lawful");
    boot.make_relative();
    // What equality leaves out, the record, has its bearing on what comes next.
    let told = |state: &Checked| !state.machine().record().is_empty();
    let mut seen = HashSet::from([(told(&boot), boot.clone())]);
    let mut next = VecDeque::from([boot]);
    while let Some(here) = next.pop_front() {
        for &input in inputs {
            let mut there = here.clone();
            let _ = there
                .handle(Duration::ZERO, input, &mut effects)
                .expect("lawful");
            there.make_relative();
            if seen.insert((told(&there), there.clone())) {
                next.push_back(there);
            }
        }
    }
    seen.len()
}

#[test]
fn it_visits_what_the_plainest_search_visits() {
    for plan in [plan(tiny(), &[]), plan(tiny(), &[1]), tiny_fenced(&[1])] {
        let mut inputs = Vec::new();
        let explorer = Explorer::new(Arc::clone(&plan)).expect("small");
        let visited = explorer.visit(|edge| {
            if !inputs.contains(&edge.input) {
                inputs.push(edge.input);
            }
        });
        let visited = visited.expect("lawful");
        assert_eq!(visited.states, visit_plainly(&plan, &inputs));
        assert_eq!(visited.edges, (visited.states * inputs.len()) as u64);
    }
}

#[test]
fn the_same_plan_gives_the_same_proof() {
    let prove = || Explorer::new(plan(tiny(), &[1])).expect("small").run();
    assert_eq!(prove().expect("lawful"), prove().expect("lawful"));
}

#[test]
fn it_stops_at_as_many_states_as_are_allowed() {
    let explorer = Explorer::new(plan(tiny(), &[1])).expect("small");
    let all = explorer.run().expect("lawful").visited.states;
    assert!(explorer.clone().at_most(all).run().is_ok());
    let stopped = explorer.at_most(all - 1).run();
    let Err(Unproved::TooManyStates { at_most }) = stopped else {
        panic!("{stopped:?}");
    };
    assert_eq!(at_most, all - 1);
}

#[test]
fn plans_that_cannot_be_enumerated_are_refused_with_what_to_do() {
    let refused = |plan: Arc<Plan>| match Explorer::new(plan) {
        Err(Unproved::TooFine { knob, bound }) => (knob, bound),
        other => panic!("{other:?}"),
    };
    let (knob, bound) = refused(plan(tiny(), &[33]));
    assert_eq!(knob, "components");
    assert_eq!(bound, "it is 33, and may be 32 at most");
    let (knob, _) = refused(plan(tiny().trip_threshold(256), &[1]));
    assert_eq!(knob, "trip_threshold");
    // A day, counted in milliseconds.
    let (knob, bound) = refused(plan(tiny().start_deadline(ms(24 * 60 * 60 * 1000)), &[1]));
    assert_eq!(knob, "start_deadline");
    assert!(bound.contains("86400000 times 1ms"), "{bound}");
    // The policy that services run with is none of them.
    let policy = Policy::builder();
    assert!(Explorer::new(plan(policy, &[1, 2])).is_ok());
}
