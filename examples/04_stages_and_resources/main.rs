#![forbid(unsafe_code)]
//! Lesson 4: stages, and a resource that must be released before it is acquired again.
//!
//! `cargo run --example 04_stages_and_resources` takes twelve seconds. Its first start fails half-way, and
//! later the driver loses the device.
//!
//! - A *stage* is started when all stages before it are up, and stopped before any of them is.
//! - [`StartStop`] is for what is started and stopped by calls. `stop` is called after each start, also
//!   after one that failed or was cut short: it must cope with half a start.
//! - A [`Reporter`](overwatch::Reporter) goes into callbacks and other threads. It never blocks.
//! - A [`Hold`](overwatch::Hold) goes where the resource goes: the component counts as gone, and may be
//!   started again, only when the hold is dropped.
//! - Work that blocks goes into `ctx.spawn_blocking`.

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
    // The thread of the driver.
    std::thread::spawn(move || {
        for reading in 1.. {
            std::thread::sleep(Duration::from_millis(250));
            driver.emit(if reading % 18 == 0 {
                Event::Lost("unplugged")
            } else {
                Event::Reading(reading)
            });
        }
    });
    let end = tokio::time::sleep(Duration::from_secs(12));
    service.run_until(end).await?;
    Ok(())
}

fn service(probe: impl Probe, driver: Arc<Driver>) -> Result<Overwatch, BuildError> {
    let device = Arc::clone(&driver);
    Overwatch::builder(probe)
        .start_stop("device", Device { driver })
        .next_stage()
        // The device is open whenever this runs: it is started later, and stopped earlier.
        .task("monitor", |ctx| monitor(ctx, device))
        .build()
}

/// Reads a device through its driver.
struct Device {
    /// Shared by all epochs; what it holds must be reset by `stop`.
    driver: Arc<Driver>,
}

#[async_trait::async_trait]
impl StartStop for Device {
    async fn start(&self, ctx: &Context) -> Result<(), Failure> {
        self.driver.open()?;

        // The inner result is returned here. An error of the closure itself would be reported.
        let driver = Arc::clone(&self.driver);
        let calibrated = ctx.spawn_blocking(move || Ok(driver.calibrate())).await;
        let zero = calibrated.ok_or_else(|| Failure::new("calibration was cut short"))??;

        // An error from here on leaves half a start behind. `stop` clears it away.
        let (reporter, hold) = (ctx.reporter(), ctx.hold());
        self.driver.subscribe(move |event| {
            // Dropped with the callback.
            let _hold = &hold;
            match event {
                Event::Reading(value) => println!("device: read {}", value - zero),
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

async fn monitor(ctx: Context, device: Arc<Driver>) -> Result<(), Failure> {
    ctx.mark_ready();
    while ctx.sleep(Duration::from_millis(500)).await {
        println!("monitor: the device is open: {}", device.is_open());
    }
    Ok(())
}
