#![forbid(unsafe_code)]
//! The machine without the shell, in a simulator of your own: `cargo run --release --example simulator`.
//! It needs no async and none of the crate's features (`default-features = false`).
//!
//! What to learn from it:
//!
//! - The whole contract is: hand the machine one input, carry out all its effects in order, then the
//!   next. Here "carry out" means to put an event into a queue.
//! - Time is whatever you say: years pass in seconds.
//! - [`Checked`] judges every step by the laws. A policy that is to be tried out, or a world that is
//!   nastier than this one, is a few lines away.
//! - Stale events need no care: the machine ignores them, and the laws check that it does.

mod dice;
#[cfg(test)]
mod tests;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use overwatch::policy::{Layout, Plan, Policy, PolicyError};

use world::{Statistics, World};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn main() -> ExitCode {
    let seeds = 1..=4;
    println!("seed  virtual time  outages  availability  longest outage  steps judged");
    for seed in seeds {
        match simulate(seed, YEAR) {
            Ok(statistics) => println!("{seed:>4}  {statistics}"),
            Err(broken) => {
                eprintln!("seed {seed}: {broken}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Lives through that much time. The same seed gives the same life.
fn simulate(seed: u64, lasting: Duration) -> Result<Statistics, Box<dyn std::error::Error>> {
    Ok(World::new(plan()?, seed)?.live(lasting)?)
}

/// Three components on two stages; a probe that looks every 30 s has its limits set accordingly.
fn plan() -> Result<Plan, PolicyError> {
    let policy = Policy::builder()
        .window(Duration::from_secs(120))
        .silence_limit(Duration::from_secs(90))
        .build()?;
    Plan::new(policy, Layout::new(&[2, 1])?)
}
