//! Utilities for your tests: a fake dependency, a context without a supervisor, and a judge of runs by the laws. Feature
//! `test-util`.
//!
//! With tokio's paused clock a whole outage takes no real time. Waiting advances the clock to the next
//! timer, so a test needs no sleeps:
//!
//! ```
//! use overwatch::test_util::FakeDependency;
//! use overwatch::{Overwatch, machine::Phase};
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let dependency = FakeDependency::new();
//!     let service = Overwatch::builder(dependency.probe())
//!         .task("worker", |ctx| async move {
//!             ctx.mark_ready();
//!             ctx.stopping().await;
//!             Ok(())
//!         })
//!         .build()?;
//!     let handle = service.handle();
//!     let run = tokio::spawn(service.run());
//!
//!     assert_eq!(handle.wait_until_ready().await?.epoch, 1);
//!     dependency.fail("connection refused");
//!     handle.wait_for(|status| status.phase == Phase::Monitoring).await?;
//!     dependency.recover();
//!     assert_eq!(handle.wait_until_ready().await?.epoch, 2);
//!
//!     handle.shutdown();
//!     run.await??;
//!     Ok(())
//! }
//! ```
//!
//! Pause the clock only if nothing does real I/O: the clock jumps ahead while the test waits for a socket.

mod dependency;
mod detached;
mod judge;
mod script;

pub use dependency::FakeDependency;
pub use detached::{Reported, TestContext};
pub use judge::{Judge, JudgeError, judged, judged_in_real_time};
pub use script::{DependencyMode, DependencyScript};
