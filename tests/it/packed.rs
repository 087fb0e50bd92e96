//! How an explored state is kept: as a few bytes that are all of it. The explorer asserts that of
//! each state it visits when it is built with debug assertions, as tests are.

use overwatch::explore::{Explorer, Unproved};
use overwatch::policy::PolicyBuilder;

use crate::world::{fenced, ms, plan, small_policy, small_tuning};

/// Few enough states to visit all of them in a moment: one step of the clock is 2 ms.
fn tiny() -> PolicyBuilder {
    let tuning = small_tuning()
        .backoff(ms(2))
        .max_hold_off(ms(2))
        .max_level(1)
        .decay(ms(2))
        .stable_after(ms(2));
    small_policy()
        .window(ms(2))
        .silence_limit(ms(2))
        .start_deadline(ms(2))
        .stop_deadline(ms(2))
        .abort_deadline(ms(2))
        .tuning(tuning)
}

/// With everything that can be counted, and a delay.
fn counting() -> PolicyBuilder {
    let tuning = small_tuning().max_level(2).unready_delay(ms(2));
    tiny().trip_threshold(2).give_up_after(2).tuning(tuning)
}

/// Visits every state, then all of them again for the proof, and says how many there are.
fn visits(explored: Result<Explorer, Unproved>) -> usize {
    let explorer = explored.expect("small numbers").at_most(100_000);
    match explorer.run() {
        Ok(proof) => proof.visited.states,
        Err(unproved) => panic!("{unproved}"),
    }
}

#[test]
fn every_state_is_all_of_its_bytes() {
    assert!(visits(Explorer::new(plan(tiny(), &[1, 1]))) > 500);
    assert!(visits(Explorer::new(plan(counting(), &[1]))) > 500);
    assert!(visits(Explorer::new(fenced(tiny(), &[1]))) > 500);
    let on_a_clock = Explorer::new(plan(tiny(), &[1])).map(Explorer::on_a_clock);
    assert!(visits(on_a_clock) > 500);
}
