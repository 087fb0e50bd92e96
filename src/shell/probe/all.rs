//! Several dependencies as one.

use std::future::poll_fn;
use std::task::Poll;

use super::{Observation, Probe};
use crate::policy::{Policy, PolicyError};

/// Several dependencies as one: alive when each of them is, failing as soon as one of them is.
///
/// ```
/// use std::time::Duration;
/// use overwatch::{all, polled, Probe};
///
/// let second = Duration::from_secs(1);
/// let database = polled(second, second, || async { Ok(()) });
/// let queue = polled(second, second, || async { Ok(()) });
/// let probe = all([Box::new(database) as Box<dyn Probe>, Box::new(queue)]);
/// ```
pub fn all(probes: impl IntoIterator<Item = Box<dyn Probe>>) -> All {
    All(probes.into_iter().collect())
}

/// See [`all`].
pub struct All(Vec<Box<dyn Probe>>);

#[async_trait::async_trait]
impl Probe for All {
    async fn observe(&self) -> Observation {
        let mut pending: Vec<_> = self.0.iter().map(|probe| Some(probe.observe())).collect();
        poll_fn(|cx| {
            let mut waits = false;
            for slot in &mut pending {
                let Some(observing) = slot else { continue };
                match observing.as_mut().poll(cx) {
                    Poll::Ready(Observation::Alive { .. }) => *slot = None,
                    // The others are dropped, as a session's end drops them.
                    Poll::Ready(failing) => return Poll::Ready(failing),
                    Poll::Pending => waits = true,
                }
            }
            if waits {
                return Poll::Pending;
            }
            Poll::Ready(Observation::alive(format!(
                "all {} dependencies are",
                self.0.len()
            )))
        })
        .await
    }

    fn hurry(&self) {
        for probe in &self.0 {
            probe.hurry();
        }
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        if self.0.is_empty() {
            // Nothing at all would always be alive.
            return Err(PolicyError::new(
                "all",
                "empty",
                "it needs at least one probe",
            ));
        }
        self.0.iter().try_for_each(|probe| probe.check(policy))
    }
}

impl std::fmt::Debug for All {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "All({} probes)", self.0.len())
    }
}
