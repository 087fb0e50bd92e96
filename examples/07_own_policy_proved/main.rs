#![forbid(unsafe_code)]
//! Lesson 7: a policy of your own, and a proof of it.
//!
//! `cargo run --example 07_own_policy_proved` explores every situation that a policy can get into.
//!
//! - A [`Policy`] says how long things may take, and how much trouble stops the service. Numbers that contradict
//!   each other are refused, with the reason.
//! - A [`Plan`] is a policy and a layout: how many components are in each stage.
//! - An [`Explorer`] drives the real state machine through everything that components, the dependency,
//!   operators and timers can do, in every order. 20 laws judge each step. It proves that recovery and
//!   shutdown are inevitable, and on a clock it measures how long they take at most.
//! - A machine with a defect is refuted, with the shortest way to see it.
//!
//! `cargo run --release --example prove` does this for many plans.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::time::Duration;

use overwatch::explore::Explorer;
use overwatch::machine::{Effect, Input, Machine, Step};
use overwatch::policy::{Blame, Layout, Plan, Policy, PolicyError, Tuning};

const SECOND: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let policy = policy()?;
    // What an operator asks first.
    for outage in 1..=4 {
        let window = policy.hold_off(outage, Blame::Dependency);
        println!("outage {outage} in a row: the dependency must prove itself for {window:?}");
    }
    println!("two stages stop within {:?}", policy.stop_budget(2));

    // One component, and another one in the stage above it.
    let plan = Plan::new(policy, Layout::new(&[1, 1])?)?;
    let proof = Explorer::new(plan.clone())?.run()?;
    println!("timers fire at any moment: {proof}");
    let proof = Explorer::new(small_plan()?)?.with_clock().run()?;
    println!("timers fire when they are due: {proof}");

    if let Err(refuted) = Explorer::new(plan)?.with_handle(forgets_readiness).run() {
        println!("a machine that forgets to turn readiness off:\n{refuted}");
    }
    Ok(())
}

/// The policy of your service.
fn policy() -> Result<Policy, PolicyError> {
    Policy::builder()
        // The second sign of trouble stops the service.
        .trip_threshold(2)
        .window(10 * SECOND)
        .silence_limit(5 * SECOND)
        .start_deadline(20 * SECOND)
        .stop_deadline(5 * SECOND)
        .abort_deadline(SECOND)
        // An orchestrator takes over after three failed starts in a row.
        .give_up_after(3)
        .tuning(
            Tuning::default()
                // Each relapse doubles the window, up to a minute.
                .with_growth(2)
                .with_max_hold_off(60 * SECOND),
        )
        .build()
}

/// On a clock all durations are counted in their common measure, here a second. Small numbers make a small
/// graph, and the same switches make the same behaviour.
fn small_plan() -> Result<Plan, PolicyError> {
    let policy = Policy::builder()
        .window(2 * SECOND)
        .silence_limit(SECOND)
        .start_deadline(SECOND)
        .stop_deadline(SECOND)
        .abort_deadline(SECOND)
        .tuning(
            Tuning::default()
                .with_backoff(SECOND)
                .with_max_hold_off(2 * SECOND)
                .with_max_level(1)
                .with_min_evidence(2)
                .with_decay(SECOND)
                .with_stable_after(SECOND),
        )
        .build()?;
    Plan::new(policy, Layout::new(&[1])?)
}

/// A machine with a defect: it never says that the service is not ready.
fn forgets_readiness(machine: &mut Machine, input: Input, effects: &mut Vec<Effect>) -> Step {
    let step = machine.handle(input, effects);
    effects.retain(|effect| *effect != Effect::Ready(false));
    step
}
