#![forbid(unsafe_code)]
//! Lesson 5: tests of your service, on the paused clock of tokio.
//!
//! `cargo run --example 05_testing_on_a_paused_clock` plays an outage of an hour in no time. The lesson is
//! in `tests.rs`: `cargo test --example 05_testing_on_a_paused_clock`.
//!
//! - A [`FakeDependency`] fails, hangs and recovers when the test says so.
//! - On a runtime of one thread whose clock is paused, time passes only while everything waits. A window
//!   of 30 s takes no time, and is still measured exactly.
//! - A [`TestContext`](overwatch::test_util::TestContext) runs one component without a supervisor.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::test_util::FakeDependency;
use overwatch::{BuildError, Component, Context, Failure, Overwatch, Probe};
use tokio::time::{Instant, sleep};

/// What is tested: a component that delivers mails, a hundred a second.
struct Mailer {
    /// The outbox outlives epochs: an outage loses no mail.
    outbox: Arc<AtomicU64>,
}

#[async_trait::async_trait]
impl Component for Mailer {
    async fn run(&self, ctx: Context) -> Result<(), Failure> {
        ctx.mark_ready();
        while ctx.sleep(Duration::from_millis(10)).await {
            let deliver = |left: u64| left.checked_sub(1);
            let delivered = self
                .outbox
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, deliver);
            if delivered.is_err() {
                // For operators: it is part of `Handle::components`.
                ctx.note("the outbox is empty");
            }
        }
        Ok(())
    }
}

/// The service takes its probe from outside, so that a test can give it another one.
fn service(probe: impl Probe, outbox: &Arc<AtomicU64>) -> Result<Overwatch, BuildError> {
    let outbox = Arc::clone(outbox);
    Overwatch::builder(probe)
        .component("mailer", Mailer { outbox })
        .build()
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let (begun, virtually_begun) = (std::time::Instant::now(), Instant::now());
    let dependency = FakeDependency::new();
    let service = service(dependency.probe(), &Arc::new(AtomicU64::new(1_000)))?;
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    handle.wait_until_ready().await?;

    dependency.hang();
    let monitoring = handle.wait_for(|status| status.phase == Phase::Monitoring);
    monitoring.await?;
    sleep(Duration::from_secs(3600)).await;
    dependency.recover();
    handle.wait_until_ready().await?;
    handle.shutdown();
    run.await??;

    let (took, virtually) = (begun.elapsed(), virtually_begun.elapsed());
    println!("an outage of {virtually:.1?}, played in {took:.1?}");
    Ok(())
}
