//! The probe of a service that depends on nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::traits::{Observation, Probe, ProbeMode};
use crate::policy::{Policy, PolicyError};
use crate::shell::sync::lock;

/// How much shorter than the silence limit the pause between two observations is: two of them may be late.
const OF_THE_LIMIT: u32 = 3;
/// The pause of a probe that no builder has checked.
const UNCHECKED: Duration = Duration::from_secs(1);
/// The shortest silence limit: a probe is called once in 10 ms at most.
const SHORTEST_LIMIT: Duration = Duration::from_millis(50);

/// Makes a probe for a service without a dependency, which only supervises its own components.
///
/// It is alive at once, whenever it is asked, so after a failure of a component only the backoff is waited for. In between
/// it reports three times within the silence limit of the policy, and costs nothing else.
///
/// ```no_run
/// use overwatch::{Overwatch, no_dependency};
/// use std::time::Duration;
///
/// #[tokio::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let service = Overwatch::builder(no_dependency())
///         .task("indexer", |ctx| async move {
///             ctx.mark_ready();
///             while ctx.sleep(Duration::from_secs(10)).await {
///                 println!("a component that fails is started again, with all others");
///             }
///             Ok(())
///         })
///         .build()?;
///     service.run_until_signal().await?;
///     Ok(())
/// }
/// ```
///
/// If the service does need something to work, watch that: this probe never fails.
pub fn no_dependency() -> NoDependency {
    NoDependency {
        pause: Mutex::new(UNCHECKED),
        rests: AtomicBool::new(false),
        hurry: Notify::new(),
    }
}

/// The probe that [`no_dependency`] makes.
#[derive(Debug)]
pub struct NoDependency {
    /// Between two observations. From the policy, when the service is built.
    pause: Mutex<Duration>,
    /// Whether the next call waits for the pause first.
    rests: AtomicBool,
    hurry: Notify,
}

#[async_trait::async_trait]
impl Probe for NoDependency {
    async fn observe(&self) -> Observation {
        // If this call is dropped, because its session has ended, the next one answers at once.
        if self.rests.swap(false, Ordering::AcqRel) {
            let pause = *lock(&self.pause);
            tokio::select! {
                biased;
                () = self.hurry.notified() => {}
                () = sleep(pause) => {}
            }
        }
        self.rests.store(true, Ordering::Release);
        Observation::alive("there is no dependency to watch")
    }

    fn refresh(&self) -> bool {
        self.hurry.notify_one();
        // The pending call has observed nothing yet.
        true
    }

    fn set_mode(&self, _: ProbeMode) {
        self.hurry.notify_one();
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        let limit = policy.silence_limit();
        if limit < SHORTEST_LIMIT {
            return Err(PolicyError::new(
                "silence_limit",
                format!("{limit:?}"),
                format!(
                    "with `no_dependency` it must be at least {SHORTEST_LIMIT:?}: a probe is called once in 10 ms at \
                     most, and its answers are not always in time"
                ),
            ));
        }
        *lock(&self.pause) = limit / OF_THE_LIMIT;
        Ok(())
    }
}
