//! Several dependencies as one.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use super::{Observation, Probe};
use crate::policy::{Policy, PolicyError};
use crate::shell::lock;

/// Several dependencies as one: alive when each of them was seen alive since the last time, failing
/// as soon as one of them is.
///
/// It tells that all are alive as often as the slowest of them does. One that hangs is noticed within
/// the silence limit and that interval.
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
    All {
        probes: probes.into_iter().map(Arc::from).collect(),
        kept: Mutex::default(),
    }
}

/// See [`all`].
pub struct All {
    probes: Vec<Arc<dyn Probe>>,
    /// What was under way when the last observation was told; nothing if that call was dropped.
    kept: Mutex<Vec<Part>>,
}

/// One of the probes, and the call of it that is under way.
struct Part {
    probe: Arc<dyn Probe>,
    pending: Option<Pending>,
    /// Whether it was seen alive in this round.
    alive: bool,
}

type Pending = Pin<Box<dyn Future<Output = Observation> + Send>>;

impl Part {
    fn new(probe: &Arc<dyn Probe>) -> Self {
        Self {
            probe: Arc::clone(probe),
            pending: None,
            alive: false,
        }
    }

    /// Goes on with it, and returns what is failing. One that is alive is observed further, or its
    /// failure would wait for the others; but one that answers at once only once more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Observation> {
        for _ in 0..2 {
            let pending = self.pending.get_or_insert_with(|| {
                let probe = Arc::clone(&self.probe);
                Box::pin(async move { probe.observe().await })
            });
            let Poll::Ready(observation) = pending.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            self.pending = None;
            match observation {
                Observation::Alive { .. } => self.alive = true,
                failing => return Poll::Ready(failing),
            }
        }
        Poll::Pending
    }
}

#[async_trait::async_trait]
impl Probe for All {
    async fn observe(&self) -> Observation {
        let mut parts = mem::take(&mut *lock(&self.kept));
        if parts.is_empty() {
            parts = self.probes.iter().map(Part::new).collect();
        }
        for part in &mut parts {
            part.alive = false;
        }
        let observation = poll_fn(|cx| {
            for part in &mut parts {
                // At rest after two answers at once: it has nothing that would wake us.
                if part.alive && part.pending.is_none() {
                    continue;
                }
                if let Poll::Ready(failing) = part.poll(cx) {
                    return Poll::Ready(failing);
                }
            }
            if parts.iter().any(|part| !part.alive) {
                return Poll::Pending;
            }
            Poll::Ready(Observation::alive(format!(
                "all {} dependencies are",
                parts.len()
            )))
        })
        .await;
        *lock(&self.kept) = parts;
        observation
    }

    fn hurry(&self) {
        for probe in &self.probes {
            probe.hurry();
        }
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        if self.probes.is_empty() {
            // Nothing at all would always be alive.
            return Err(PolicyError::new(
                "all",
                "empty",
                "it needs at least one probe",
            ));
        }
        self.probes.iter().try_for_each(|probe| probe.check(policy))
    }
}

impl std::fmt::Debug for All {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "All({} probes)", self.probes.len())
    }
}
