#![forbid(unsafe_code)]
//! An agent that has a start and a stop of its own, and a driver that calls back from its own thread.
//! `cargo run --example agent` runs for eight seconds: its first start fails half-way, and later on
//! the driver loses the device.
//!
//! What to learn from it:
//!
//! - [`StartStop`] fits what is started and stopped by calls. `stop` is called for each start, also
//!   for one that failed or was cut short, so it has to cope with half a start.
//! - [`Reporter`](overwatch::Reporter) goes into callbacks and threads: it never blocks.
//! - A [`Hold`](overwatch::Hold) goes where the callback goes: the agent counts as gone, and may be
//!   started again, only when the driver has let go of it.
//! - Work that blocks belongs into `ctx.spawn_blocking`.

mod driver;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use overwatch::test_util::FakeDependency;
use overwatch::{BuildError, Context, Failure, Overwatch, Probe, StartStop};

use driver::{Driver, Event};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let driver = Arc::new(Driver::default());
    driver.refuse_next_subscription();
    let service = service(FakeDependency::new().probe(), Arc::clone(&driver))?;

    let mut transitions = service.handle().transitions();
    tokio::spawn(async move {
        while let Ok(Some(moved)) = transitions.next().await {
            println!("{} -> {}: {}", moved.from, moved.to, moved.reason);
        }
    });
    // The driver's own thread.
    std::thread::spawn(move || {
        for reading in 1.. {
            std::thread::sleep(Duration::from_millis(500));
            driver.emit(if reading % 8 == 0 {
                Event::Lost("unplugged")
            } else {
                Event::Reading(reading)
            });
        }
    });
    service
        .run_until(tokio::time::sleep(Duration::from_secs(8)))
        .await?;
    Ok(())
}

fn service(probe: impl Probe, driver: Arc<Driver>) -> Result<Overwatch, BuildError> {
    Overwatch::builder(probe)
        .start_stop("agent", Agent { driver })
        .build()
}

/// Reads a device through its driver.
struct Agent {
    /// Shared by all epochs; what it holds must be reset by `stop`.
    driver: Arc<Driver>,
}

#[async_trait::async_trait]
impl StartStop for Agent {
    async fn start(&self, ctx: &Context) -> Result<(), Failure> {
        self.driver.open()?;

        // A result as the task's value comes back here; as its error it would be reported.
        let driver = Arc::clone(&self.driver);
        let calibrated = ctx.spawn_blocking(move || Ok(driver.calibrate())).await;
        let zero = calibrated.ok_or_else(|| Failure::new("calibration was cut short"))??;

        // From here on an error leaves half a start behind, which `stop` clears away.
        let (reporter, hold) = (ctx.reporter(), ctx.hold());
        self.driver.subscribe(move |event| {
            // Dropped with the callback.
            let _hold = &hold;
            match event {
                Event::Reading(value) => println!("reading: {}", value - zero),
                Event::Lost(why) => reporter.report(Failure::new(format!("device lost: {why}"))),
            }
        })?;
        Ok(())
    }

    async fn stop(&self, _: &Context) -> Result<(), Failure> {
        self.driver.unsubscribe();
        self.driver.close();
        Ok(())
    }
}
