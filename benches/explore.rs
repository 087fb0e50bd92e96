//! How fast every situation of a plan is visited and judged, beside hashing and cloning as many
//! states and nothing else.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::hint::black_box;
use std::time::Duration;

use overwatch::explore::Explorer;
use overwatch::law::Checked;
use overwatch::machine::Effect;
use overwatch::policy::{Layout, Plan, Policy, Tuning};

use crate::lines::{Limit, Lines, by_turns, on_the_core, ratios};

/// The least that a second of one core must do, in millions.
const LIMIT: f64 = 3.0;
const WARM_UP: usize = 1;
const ROUNDS: usize = 5;

pub(crate) fn measure(lines: &mut Lines) {
    let plan = plan();
    let explorer = Explorer::new(plan.clone()).expect("small").with_clock();
    let visited = explorer.visit(|_| {}).expect("lawful");
    let states = some_states(&plan);
    let [ours, least] = by_turns::<_, 2>(WARM_UP, ROUNDS, |who| match who {
        0 => {
            let began = on_the_core();
            let again = black_box(explorer.visit(|_| {}));
            let spent = on_the_core() - began;
            assert_eq!(again.expect("lawful"), visited);
            spent.as_secs_f64()
        }
        _ => hash_and_clone(&states, visited.edges).as_secs_f64(),
    });
    let speeds: Vec<f64> = ours
        .iter()
        .map(|seconds| visited.edges as f64 / seconds / 1e6)
        .collect();
    let what = "explore: million edges judged, a second and core";
    lines.rounds(what, &speeds, Limit::AtLeast(LIMIT), visited);
    let what = "explore: an edge / hashing and cloning alone";
    lines.rounds(what, &ratios(&ours, &least), Limit::None, "");
}

/// The plan: all durations a tick or two, suspicion, give-up and a delay.
fn plan() -> Plan {
    let tick = Duration::from_millis(1);
    let tuning = Tuning::default()
        .with_backoff(tick)
        .with_max_hold_off(2 * tick)
        .with_max_level(1)
        .with_min_evidence(2)
        .with_decay(tick)
        .with_stable_after(tick)
        .with_unready_delay(tick);
    let policy = Policy::builder()
        .window(2 * tick)
        .silence_limit(tick)
        .start_deadline(tick)
        .stop_deadline(tick)
        .abort_deadline(tick)
        .trip_threshold(2)
        .give_up_after(2)
        .tuning(tuning)
        .build()
        .expect("a policy that works");
    let layout = Layout::new(&[1, 1, 1]).expect("no gaps");
    Plan::new(policy, layout).expect("a plan that works")
}

/// States of a run, as they are when they are visited.
fn some_states(plan: &Plan) -> Vec<Checked> {
    let mut effects: Vec<Effect> = Vec::new();
    let mut state = Checked::new(plan.clone(), Some(Duration::ZERO), &mut effects).expect("lawful");
    let mut inputs = Vec::new();
    let explorer = Explorer::new(plan.clone()).expect("small");
    let _ = explorer.visit(|edge| {
        if inputs.len() < 100_000 {
            inputs.push(edge.input);
        }
    });
    let mut states = Vec::new();
    for input in inputs {
        let mut next = state.clone();
        if next.handle(Duration::ZERO, input, &mut effects).is_ok() {
            next.normalize();
            if next != state {
                states.push(next.clone());
            }
            state = next;
        }
        if state.machine().phase().is_ended() {
            state = Checked::new(plan.clone(), Some(Duration::ZERO), &mut effects).expect("lawful");
        }
    }
    states
}

/// Clones and hashes as many states as there are edges.
fn hash_and_clone(states: &[Checked], edges: u64) -> Duration {
    let mut scratch = states[0].clone();
    let mut sum = 0_u64;
    let began = on_the_core();
    for state in states.iter().cycle().take(edges as usize) {
        scratch.clone_from(state);
        let mut hasher = DefaultHasher::new();
        black_box(&scratch).hash(&mut hasher);
        sum ^= hasher.finish();
    }
    black_box(sum);
    on_the_core() - began
}
