//! The explorer itself: that it visits everything, and neither loses nor invents anything by the
//! way it keeps states. What it finds of many plans is shown by the example `prove`.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use overwatch::explore::{ExploreError, Explorer};
use overwatch::law::Checked;
use overwatch::machine::{Command, Exit, FailureClass, Input, Timer};
use overwatch::policy::{ComponentId, FailureLimit, Fence, Layout, Plan, Policy};

use crate::world::{fenced_by, ms, plan, small_tuning};

/// The least numbers that there are, with everything switched on.
fn tiny() -> overwatch::policy::PolicyBuilder {
    let tuning = small_tuning()
        .with_backoff(ms(1))
        .with_max_hold_off(ms(4))
        .with_max_level(2)
        .with_decay(ms(1))
        .with_stable_after(ms(1))
        .with_unready_delay(ms(1));
    Policy::builder()
        .window(ms(2))
        .silence_limit(ms(1))
        .start_deadline(ms(1))
        .stop_deadline(ms(1))
        .abort_deadline(ms(1))
        .trip_threshold(2)
        .give_up_after(2)
        .failure_limit(FailureLimit::new(2, ms(5)))
        .tuning(tuning)
}

fn tiny_fenced(stages: &[usize]) -> Arc<Plan> {
    let ttl = ms(2 * stages.len() as u64 + 3);
    let fence = Fence::new(ttl, ms(1)).with_margin(ms(1));
    fenced_by(tiny(), fence, stages)
}

/// One component that may finish, and then the run ends.
fn tiny_batch() -> Arc<Plan> {
    let policy = tiny().end_when_finished(true).build();
    let layout = Layout::new(&[1]).expect("no gaps");
    let layout = layout.with_one_shot(ComponentId(0));
    Arc::new(Plan::new(policy.expect("works"), layout).expect("works"))
}

/// Everything that a world can tell a machine of one component, written apart from the explorer's
/// own list. The present epoch, session and round are 1; `#1` does not exist.
fn all_inputs(plan: &Plan) -> HashSet<Input> {
    let classes = FailureClass::ALL;
    let components: &[u32] = match plan.layout().components() {
        0 => &[0],
        _ => &[0, 1],
    };
    let mut inputs = HashSet::from([Input::Shutdown, Input::Frozen]);
    inputs.extend(Command::ALL.iter().map(|command| command.input()));
    inputs.extend(Timer::ALL.map(Input::Fired));
    inputs.extend(components.iter().map(|&id| Input::FailedTooOften {
        component: ComponentId(id),
    }));
    for number in 0..=2 {
        for (session, round) in [(number, 1), (1, number)] {
            inputs.insert(Input::Alive { session, round });
        }
        for fatal in [false, true] {
            inputs.insert(Input::Failing {
                session: number,
                fatal,
            });
        }
        let epoch = number;
        for class in classes {
            let reporters = components.iter().map(|&id| Some(ComponentId(id)));
            for component in reporters.chain([None]) {
                let counts: &[u32] = if epoch == 1 { &[1, u32::MAX] } else { &[1] };
                inputs.extend(counts.iter().map(|&count| Input::Report {
                    component,
                    epoch,
                    class,
                    count,
                }));
            }
        }
        for component in components.iter().map(|&id| ComponentId(id)) {
            inputs.insert(Input::Up { component, epoch });
            let failed = classes.map(Exit::Failed);
            for how in failed.into_iter().chain([Exit::Returned, Exit::Aborted]) {
                inputs.insert(Input::Exited {
                    component,
                    epoch,
                    how,
                });
                inputs.insert(Input::Gone {
                    component,
                    epoch,
                    how,
                });
            }
        }
        // Of a lease of 5 ms with a margin of 1 ms and 2 ms to stop: the whole, what leaves a
        // millisecond, and what leaves nothing.
        let remaining = match plan.policy().fence() {
            Some(_) => vec![ms(5), ms(4), ms(3)],
            None => vec![ms(0)],
        };
        inputs.extend(
            remaining
                .into_iter()
                .map(|remaining| Input::LeaseRenewed { epoch, remaining }),
        );
    }
    inputs
}

/// The plainest search there is: whole states in a set, every input in every one of them. Returns
/// the number of states, and of steps.
fn visit_plainly(plan: &Arc<Plan>, inputs: &HashSet<Input>, with_clock: bool) -> (usize, u64) {
    let timed = with_clock.then_some(Duration::ZERO);
    let mut effects = Vec::new();
    let mut boot = Checked::new(Arc::clone(plan), timed, &mut effects).expect("lawful");
    boot.normalize();
    // What equality leaves out, the record, has its bearing on what comes next.
    let told = |state: &Checked| !state.machine().record().is_empty();
    let mut seen = HashSet::from([(told(&boot), boot.clone())]);
    let mut next = VecDeque::from([boot]);
    let mut steps = 0;
    while let Some(here) = next.pop_front() {
        let left = |timer| here.monitor().left(timer);
        let is_due = Timer::ALL
            .into_iter()
            .any(|timer| left(timer) == Some(ms(0)));
        let mut there = Vec::new();
        if with_clock && !is_due {
            let mut later = here.clone();
            later.wait(ms(1)).expect("lawful");
            there.push(later);
        }
        for &input in inputs {
            if let Input::Fired(timer) = input
                && with_clock
                && left(timer).is_some_and(|left| !left.is_zero())
            {
                continue;
            }
            let mut told = here.clone();
            let step = told.handle(Duration::ZERO, input, &mut effects);
            let _ = step.expect("lawful");
            there.push(told);
        }
        for mut there in there {
            steps += 1;
            there.normalize();
            if seen.insert((told(&there), there.clone())) {
                next.push_back(there);
            }
        }
    }
    (seen.len(), steps)
}

#[test]
fn it_visits_what_the_plainest_search_visits() {
    for (plan, with_clock) in [
        (plan(tiny(), &[]), false),
        (plan(tiny(), &[]), true),
        (plan(tiny(), &[1]), false),
        (plan(tiny(), &[1]), true),
        (tiny_fenced(&[1]), false),
        (tiny_batch(), false),
    ] {
        let inputs = all_inputs(&plan);
        let explorer = Explorer::new(Arc::clone(&plan)).expect("small");
        let explorer = if with_clock {
            explorer.with_clock()
        } else {
            explorer
        };
        let mut shown = HashSet::new();
        let visited = explorer
            .visit(|edge| {
                shown.insert(edge.input);
            })
            .expect("lawful");
        assert_eq!(shown, inputs);
        let plainly = visit_plainly(&plan, &inputs, with_clock);
        assert_eq!((visited.states, visited.edges), plainly);
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
    assert!(explorer.clone().with_max_states(all).run().is_ok());
    let stopped = explorer.with_max_states(all - 1).run();
    let Err(ExploreError::TooManyStates { max_states }) = stopped else {
        panic!("{stopped:?}");
    };
    assert_eq!(max_states, all - 1);
}

#[test]
fn plans_that_cannot_be_enumerated_are_refused_with_what_to_do() {
    let refused = |plan: Arc<Plan>| match Explorer::new(plan) {
        Err(ExploreError::TooFine { knob, bound }) => (knob, bound),
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
