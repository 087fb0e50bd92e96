#![forbid(unsafe_code)]
//! Lesson 8: try it on a service that is in production, and let it do nothing.
//!
//! `cargo run --example 08_observe_only` takes ten seconds.
//!
//! - With `observe_only` the components run as if nothing watched them. What would have been done is
//!   logged: the events at the target `overwatch::transition` have the field `observe_only = true`.
//! - `on_step` gives the same to code, e.g. to count the stops that there would have been.
//! - A component that fails by itself is still restarted, commands are still obeyed, and the health endpoints
//!   show how the dependency is seen.
//! - When you believe what you read, remove `observe_only`.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::time::Duration;

use overwatch::test_util::FakeDependency;
use overwatch::{BuildError, Context, Failure, Overwatch, Policy, Probe};
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dependency = FakeDependency::new();
    let policy = Policy::builder().window(Duration::from_secs(2)).build()?;
    let say = |what: String| println!("would go {what}");
    let service = service(dependency.probe(), policy, say)?;
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    handle.wait_until_ready().await?;
    sleep(Duration::from_secs(2)).await;

    println!("dependency: fails");
    dependency.fail("connection refused");
    sleep(Duration::from_secs(2)).await;
    println!("the service is ready: {}", handle.is_ready());
    if let Some(seen) = handle.status().dependency {
        println!(
            "the dependency is alive: {}, {}",
            seen.alive == Some(true),
            seen.what
        );
    }

    println!("dependency: is back");
    dependency.recover();
    sleep(Duration::from_secs(5)).await;
    handle.shutdown();
    run.await??;
    Ok(())
}

fn service(
    probe: impl Probe,
    policy: Policy,
    mut would: impl FnMut(String) + Send + 'static,
) -> Result<Overwatch, BuildError> {
    Overwatch::builder(probe)
        .policy(policy)
        .task("worker", worker)
        .observe_only()
        .on_step(move |record| {
            // Steps that were really taken, e.g. the start of the components, are recorded as well.
            if record.observe_only {
                for moved in record.step.iter().flat_map(|step| step.transitions()) {
                    would(format!("{} -> {}: {}", moved.from, moved.to, moved.cause));
                }
            }
        })
        .build()
}

async fn worker(ctx: Context) -> Result<(), Failure> {
    ctx.mark_ready();
    while ctx.sleep(Duration::from_secs(1)).await {
        println!("worker: one more job, in epoch {}", ctx.epoch());
    }
    Ok(())
}
