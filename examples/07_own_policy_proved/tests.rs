use std::time::Duration;

use overwatch::explore::{ExploreError, Explorer};
use overwatch::law::Law;
use overwatch::policy::{Blame, Layout, Plan, Policy};

use super::{SECOND, forgets_readiness, policy, small_plan};

#[test]
fn the_policy_says_what_was_meant() {
    let policy = policy().unwrap();
    let windows = [1, 2, 3, 9].map(|level| policy.hold_off(level, Blame::Dependency).as_secs());
    assert_eq!(windows, [10, 20, 40, 60]);
    assert_eq!(policy.stop_budget(2), 2 * (5 * SECOND + SECOND));
}

#[test]
fn numbers_that_cannot_work_are_refused() {
    let refused = Policy::builder().window(Duration::ZERO).build();
    assert_eq!(refused.unwrap_err().knob(), "window");
}

#[test]
fn a_small_plan_is_proved_on_a_clock() {
    let proof = Explorer::new(small_plan().unwrap()).unwrap();
    let proof = proof.with_clock().run().unwrap();
    let longest = proof.longest.unwrap();
    // One stage: a stop and an abort.
    assert_eq!(longest.shutdown, 2 * SECOND);
}

#[test]
fn a_machine_with_a_defect_is_refuted() {
    let plan = Plan::new(policy().unwrap(), Layout::new(&[1]).unwrap()).unwrap();
    let explorer = Explorer::new(plan).unwrap();
    explorer.run().unwrap();
    match explorer.with_handle(forgets_readiness).run() {
        Err(ExploreError::Counterexample(found)) => {
            assert_eq!(found.violation.law, Law::HealthFirst);
        }
        other => panic!("{other:?}"),
    }
}
