#![forbid(unsafe_code)]
//! Lesson 1: one service, one dependency, one outage.
//!
//! `cargo run --example 01_first_outage` takes seven seconds.
//!
//! - A service is built from a *probe*, which observes the dependency, and from *components*.
//! - When the dependency fails, the service first stops being ready. Then its components are stopped.
//! - When the dependency has been fine for a whole *window*, the components are started again, in a new
//!   *epoch*: each is called afresh, so its local variables begin anew.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::test_util::FakeDependency;
use overwatch::{Context, Failure, Handle, Overwatch, Policy, Probe, RunEnded};
use tokio::time::sleep;

/// How long the dependency must prove itself after an outage. The default is 30 s.
const WINDOW: Duration = Duration::from_secs(2);
/// How long the dependency is away.
const AWAY: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Your service has a real one, e.g. a database. Lesson 2 shows how to observe it.
    let dependency = FakeDependency::new();
    let service = service(dependency.probe())?;
    let handle = service.handle();
    tokio::spawn(print_transitions(handle.clone()));

    // Your service needs no more than `service.run_until_signal().await?` here.
    let run = tokio::spawn(service.run());
    one_outage(&dependency, &handle).await?;
    handle.shutdown();
    run.await??;
    Ok(())
}

fn service(probe: impl Probe) -> Result<Overwatch, Box<dyn Error>> {
    let policy = Policy::builder().window(WINDOW).build()?;
    let service = Overwatch::builder(probe)
        .policy(policy)
        .task("worker", worker)
        .build()?;
    Ok(service)
}

/// A component is an async function. It returns when it is asked to stop.
async fn worker(ctx: Context) -> Result<(), Failure> {
    println!("worker: starts in epoch {}", ctx.epoch());
    let mut jobs = 0;
    ctx.mark_ready();
    // `sleep` returns false as soon as the component is to stop.
    while ctx.sleep(Duration::from_millis(500)).await {
        jobs += 1;
        println!("worker: job {jobs}");
    }
    println!("worker: stops");
    Ok(())
}

async fn one_outage(dependency: &FakeDependency, handle: &Handle) -> Result<(), RunEnded> {
    handle.wait_until_ready().await?;
    sleep(Duration::from_secs(2)).await;

    println!("dependency: fails");
    dependency.fail("connection refused");
    // In this phase all components are stopped, and the dependency is observed.
    let monitoring = handle.wait_for(|status| status.phase == Phase::Monitoring);
    monitoring.await?;
    sleep(AWAY).await;

    println!("dependency: is back, and must prove itself for {WINDOW:?}");
    dependency.recover();
    handle.wait_until_ready().await?;
    sleep(Duration::from_secs(2)).await;
    Ok(())
}

async fn print_transitions(handle: Handle) {
    let mut transitions = handle.transitions();
    while let Ok(Some(moved)) = transitions.next().await {
        println!("{} -> {}: {}", moved.from, moved.to, moved.reason);
    }
}
