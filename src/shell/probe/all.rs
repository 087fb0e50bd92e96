//! Several probes as one.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::traits::{Observation, Probe, ProbeMode};
use crate::policy::{Policy, PolicyError};
use crate::shell::sync::lock;

/// The shortest time between two calls of one probe.
const PACE: Duration = Duration::from_millis(10);
/// How long pending calls are kept between two observations. After a longer time a session has ended in
/// between, and their results no longer count.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Combines several probes: alive when each was alive since the last time, failing as soon as one is failing.
///
/// It reports that all are alive as often as its slowest probe does. A probe that hangs is noticed within the silence
/// limit plus that interval.
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
        hurried: Mutex::default(),
    }
}

/// The probe that [`all`] makes.
pub struct All {
    probes: Vec<Arc<dyn Probe>>,
    /// The pending calls when the last observation was returned, and when that was; `None` if the call was
    /// dropped.
    kept: Mutex<Option<(Instant, Vec<Child>)>>,
    /// A requested refresh: for each probe whether its pending call observes anew.
    hurried: Mutex<Option<Vec<bool>>>,
}

/// One of the probes, and its pending call.
struct Child {
    probe: Arc<dyn Probe>,
    pending: Option<Pending>,
    /// Whether it was seen alive in this round.
    alive: bool,
    /// Whether the pending call began before the last refresh.
    is_old: bool,
}

type Pending = Pin<Box<dyn Future<Output = Observation> + Send>>;

impl Child {
    fn new(probe: &Arc<dyn Probe>) -> Self {
        Self {
            probe: Arc::clone(probe),
            pending: None,
            alive: false,
            is_old: false,
        }
    }

    /// Handles a refresh. `anew` if the pending call observes anew.
    fn hurried(&mut self, anew: bool) {
        self.alive = false;
        self.is_old = self.pending.is_some() && !anew;
    }

    /// Polls the pending call, and returns a failure. A probe that is alive is called again at once.
    ///
    /// Otherwise its next failure would wait for the other probes.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Observation> {
        loop {
            let pending = self
                .pending
                .get_or_insert_with(|| observe(&self.probe, Duration::ZERO));
            let Poll::Ready(observation) = pending.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            let was_old = mem::take(&mut self.is_old);
            if !matches!(observation, Observation::Alive { .. }) {
                self.pending = None;
                return Poll::Ready(observation);
            }
            if was_old {
                self.probe.refresh();
            } else {
                self.alive = true;
            }
            self.pending = Some(observe(&self.probe, PACE));
        }
    }
}

/// One call, after a pause.
fn observe(probe: &Arc<dyn Probe>, pause: Duration) -> Pending {
    let probe = Arc::clone(probe);
    Box::pin(async move {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        probe.observe().await
    })
}

#[async_trait::async_trait]
impl Probe for All {
    async fn observe(&self) -> Observation {
        let kept = mem::take(&mut *lock(&self.kept));
        let mut parts = match kept {
            Some((at, parts)) if at.elapsed() < KEPT_FOR => parts,
            _ => self.probes.iter().map(Child::new).collect(),
        };
        for part in &mut parts {
            part.alive = false;
        }
        let observation = poll_fn(|cx| {
            if let Some(anew) = lock(&self.hurried).take() {
                for (part, anew) in parts.iter_mut().zip(anew) {
                    part.hurried(anew);
                }
            }
            for part in &mut parts {
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
        *lock(&self.kept) = Some((Instant::now(), parts));
        observation
    }

    fn refresh(&self) -> bool {
        let anew = self.probes.iter().map(|probe| probe.refresh()).collect();
        *lock(&self.hurried) = Some(anew);
        // From here on only new observations of the probes count.
        true
    }

    fn set_mode(&self, mode: ProbeMode) {
        for probe in &self.probes {
            probe.set_mode(mode);
        }
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        if self.probes.is_empty() {
            // Without probes it would always be alive.
            return Err(PolicyError::new(
                "all",
                "empty",
                "it needs at least one probe",
            ));
        }
        self.probes.iter().try_for_each(|probe| probe.check(policy))
    }

    /// The longest, because it is not known which of the dependencies has the lease.
    fn forgives(&self) -> Duration {
        let forgiven = self.probes.iter().map(|probe| probe.forgives());
        forgiven.max().unwrap_or_default()
    }

    /// The runtime of all probes, if they have the same one: a probe must not be called on the runtime of another one.
    fn home(&self) -> Option<Handle> {
        let homes: Option<Vec<Handle>> = self.probes.iter().map(|probe| probe.home()).collect();
        let homes = homes?;
        let first = homes.first()?;
        let is_shared = homes.iter().all(|home| home.id() == first.id());
        is_shared.then(|| first.clone())
    }
}

impl std::fmt::Debug for All {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "All({} probes)", self.probes.len())
    }
}
