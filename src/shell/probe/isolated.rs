//! A probe on a separate thread.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tracing::Level;

use super::traits::{Observation, Probe, ProbeMode};
use crate::policy::{Policy, PolicyError};
use crate::shell::log::log;
use crate::shell::placement::{Logs, OwnRuntime, Placement, relocate};

/// Runs a probe on a separate thread and runtime, so that the service and the probe do not delay each other.
///
/// Without this a probe runs on the service's runtime: if all workers are busy, its answers are late, and if it blocks
/// its thread, the service has one worker fewer. A probe that blocks its separate thread delays nothing else: its
/// silence is noticed in time, and it is not called again until the call has returned.
///
/// Everything that the probe awaits runs on that thread: its timers, its connections, and the tasks that it
/// spawns. So objects that it shares with the service must not be bound to the service's runtime, as clients with an
/// open connection often are. Let the probe make its own client. The thread is named `overwatch-probe`. It is started
/// when the run begins, and ends when the probe is dropped.
///
/// On a current-thread runtime this does nothing: tests with a paused clock run as without it. `EtcdProbe` already has
/// a separate thread.
///
/// ```
/// use std::time::Duration;
/// use overwatch::{isolated, polled};
///
/// let second = Duration::from_secs(1);
/// let disk = isolated(polled(second, second, || async {
///     // Blocks its thread, which is not the service's.
///     std::fs::metadata("/data")?;
///     Ok(())
/// }));
/// ```
pub fn isolated<P: Probe>(probe: P) -> Isolated<P> {
    Isolated {
        probe: Arc::new(probe),
        runtime: OnceLock::new(),
        turn: Arc::default(),
    }
}

/// The probe that [`isolated`] makes.
pub struct Isolated<P> {
    probe: Arc<P>,
    /// `None` if the operating system provided no thread.
    runtime: OnceLock<Option<OwnRuntime>>,
    /// Held by the pending call: a call that blocks continues after it was dropped, and calls must not pile up.
    turn: Arc<Mutex<()>>,
}

#[async_trait::async_trait]
impl<P: Probe> Probe for Isolated<P> {
    async fn observe(&self) -> Observation {
        let home = match Placement::current() {
            Placement::Apart => self.home(),
            Placement::InPlace => None,
        };
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let probe = Arc::clone(&self.probe);
        let observed = relocate(home.as_ref(), async move {
            let _turn = turn;
            probe.observe().await
        });
        let observed = observed.await;
        observed.unwrap_or_else(|_| Observation::failing("the thread of the probe has ended"))
    }

    fn refresh(&self) -> bool {
        self.tell(|probe| {
            probe.refresh();
        });
        // On its own thread a pending call may have ended already.
        false
    }

    fn set_mode(&self, mode: ProbeMode) {
        self.tell(move |probe| probe.set_mode(mode));
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        self.probe.check(policy)
    }

    fn forgives(&self) -> Duration {
        self.probe.forgives()
    }

    fn home(&self) -> Option<Handle> {
        let start = || match OwnRuntime::start("overwatch-probe", Logs::Everything) {
            Ok(runtime) => Some(runtime),
            Err(error) => {
                log(Level::WARN, move |at_ms| {
                    tracing::warn!(
                        target: "overwatch::probe", at_ms, %error,
                        "the probe has no thread of its own, and shares those of the service"
                    );
                });
                None
            }
        };
        let runtime = self.runtime.get_or_init(start).as_ref();
        runtime.map(|runtime| runtime.handle().clone())
    }
}

impl<P: Probe> Isolated<P> {
    /// Calls a method of the probe, on its own thread if that exists.
    fn tell(&self, tell: impl FnOnce(&P) + Send + 'static) {
        let home = self.runtime.get().and_then(Option::as_ref);
        let here = |home: &&OwnRuntime| {
            Handle::try_current().is_ok_and(|here| here.id() == home.handle().id())
        };
        match home.filter(|home| !here(home)) {
            Some(home) => {
                let probe = Arc::clone(&self.probe);
                home.handle().spawn(async move { tell(&probe) });
            }
            None => tell(&self.probe),
        }
    }
}

impl<P: fmt::Debug> fmt::Debug for Isolated<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Isolated").field(&self.probe).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::all;

    /// Says on which thread it is observed.
    struct Where;

    #[async_trait::async_trait]
    impl Probe for Where {
        async fn observe(&self) -> Observation {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Observation::alive(thread::current().name().unwrap_or_default().to_owned())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn it_is_observed_on_a_thread_of_its_own() {
        let probe = isolated(Where);
        assert_eq!(probe.observe().await, Observation::alive("overwatch-probe"));
        let home = probe.home().expect("a thread");
        assert_eq!(
            home.id(),
            probe.home().expect("a thread").id(),
            "one for all calls"
        );
    }

    #[tokio::test]
    async fn in_place_it_does_nothing() {
        let probe = isolated(Where);
        let here = thread::current().name().unwrap_or_default().to_owned();
        assert_eq!(probe.observe().await, Observation::alive(here));
        assert!(probe.runtime.get().is_none());
    }

    #[test]
    fn all_have_a_home_if_it_is_that_of_each_part() {
        let homes = |probes: Vec<Box<dyn Probe>>| all(probes).home().is_some();
        let one = Arc::new(isolated(Where));
        assert!(homes(vec![
            Box::new(Arc::clone(&one)),
            Box::new(Arc::clone(&one))
        ]));
        let other = Box::new(isolated(Where));
        assert!(!homes(vec![Box::new(Arc::clone(&one)), other]));
        assert!(!homes(vec![Box::new(one), Box::new(Where)]));
        assert!(!homes(Vec::new()));
        let boxed: Box<dyn Probe> = Box::new(Arc::new(isolated(Where)));
        assert!(boxed.home().is_some());
    }

    /// Blocks its thread, and counts the calls.
    struct Blocks(
        Arc<AtomicU32>,
        std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
    );

    #[async_trait::async_trait]
    impl Probe for Blocks {
        async fn observe(&self) -> Observation {
            self.0.fetch_add(1, Ordering::AcqRel);
            let _ = self.1.lock().map(|released| released.recv());
            Observation::alive("released")
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn one_that_blocks_is_not_called_again_and_holds_up_nothing_else() {
        let calls = Arc::new(AtomicU32::new(0));
        let (release, released) = std::sync::mpsc::channel();
        let blocks = isolated(Blocks(Arc::clone(&calls), std::sync::Mutex::new(released)));
        for _ in 0..20 {
            let call = timeout(Duration::from_millis(10), blocks.observe());
            assert!(call.await.is_err(), "it blocks");
        }
        assert_eq!(calls.load(Ordering::Acquire), 1);
        // Its own thread is blocked, and the only worker is not; nor is another probe's.
        assert_eq!(
            isolated(Where).observe().await,
            Observation::alive("overwatch-probe")
        );
        drop(release);
        let again = timeout(Duration::from_secs(20), blocks.observe()).await;
        assert_eq!(again, Ok(Observation::alive("released")));
        assert_eq!(calls.load(Ordering::Acquire), 2);
    }
}
