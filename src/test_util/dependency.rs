//! A dependency that a test switches up and down.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::shell::probe::{Observation, Probe};
use crate::shell::sync::lock;

/// A dependency that a test switches up and down. It is up at first.
///
/// Give [`probe`](Self::probe) to the service, and keep this. Each change is observed at once.
///
/// ```
/// use overwatch::Overwatch;
/// use overwatch::test_util::FakeDependency;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dependency = FakeDependency::new();
/// let service = Overwatch::builder(dependency.probe())
///     .task("worker", |ctx| async move {
///         ctx.mark_ready();
///         ctx.stopping().await;
///         Ok(())
///     })
///     .build()?;
/// let handle = service.handle();
/// let run = tokio::spawn(service.run());
/// handle.wait_until_ready().await?;
///
/// dependency.hang(); // no answer at all: the silence limit passes
/// let status = handle.wait_for(|status| !status.ready).await?;
/// println!("{}", status.reason);
///
/// dependency.recover();
/// handle.wait_until_ready().await?;
/// # handle.shutdown();
/// # run.await??;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FakeDependency {
    mode: Arc<watch::Sender<Mode>>,
    every: Duration,
}

#[derive(Clone, Debug)]
enum Mode {
    Up,
    Failing(Cow<'static, str>),
    Hanging,
}

impl Default for FakeDependency {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeDependency {
    /// A dependency that is up. Its probes observe it once a second and at each change.
    pub fn new() -> Self {
        Self::observed_every(Duration::from_secs(1))
    }

    /// As [`new`](Self::new), with another interval.
    pub fn observed_every(every: Duration) -> Self {
        Self {
            mode: Arc::new(watch::Sender::new(Mode::Up)),
            every,
        }
    }

    /// A probe that observes this dependency, for [`Overwatch::builder`](crate::Overwatch::builder).
    pub fn probe(&self) -> impl Probe + use<> {
        DependencyProbe {
            hurry: Notify::new(),
            _dependency: Arc::clone(&self.mode),
            mode: self.mode.subscribe(),
            every: self.every,
            told: Mutex::new(None),
        }
    }

    /// From now on the dependency fails, with this reason.
    pub fn fail(&self, reason: impl Into<Cow<'static, str>>) {
        self.mode.send_replace(Mode::Failing(reason.into()));
    }

    /// From now on the dependency gives no answer at all.
    pub fn hang(&self) {
        self.mode.send_replace(Mode::Hanging);
    }

    /// From now on the dependency is up.
    pub fn recover(&self) {
        self.mode.send_replace(Mode::Up);
    }

    /// Whether the dependency is up.
    pub fn is_up(&self) -> bool {
        matches!(*self.mode.borrow(), Mode::Up)
    }
}

struct DependencyProbe {
    hurry: Notify,
    /// Keeps the channel open after the test has dropped its own handle.
    _dependency: Arc<watch::Sender<Mode>>,
    mode: watch::Receiver<Mode>,
    every: Duration,
    /// When the last observation was returned, and a receiver that has seen the change it was made from.
    told: Mutex<Option<(Instant, watch::Receiver<Mode>)>>,
}

#[async_trait::async_trait]
impl Probe for DependencyProbe {
    async fn observe(&self) -> Observation {
        let told = lock(&self.told).clone();
        let (mut due, mut mode) = match told {
            Some((at, seen)) => (at + self.every, seen),
            None => (Instant::now(), self.mode.clone()),
        };
        loop {
            let hangs = matches!(*mode.borrow(), Mode::Hanging);
            tokio::select! {
                biased;
                switched = mode.changed() => match switched {
                    Ok(()) => due = Instant::now(),
                    Err(_) => std::future::pending().await,
                },
                () = self.hurry.notified() => due = Instant::now(),
                () = sleep_until(due), if !hangs => {
                    let observation = match &*mode.borrow() {
                        Mode::Failing(reason) => Observation::failing(reason.clone()),
                        _ => Observation::alive("it is up"),
                    };
                    *lock(&self.told) = Some((Instant::now(), mode));
                    return observation;
                }
            }
        }
    }

    fn refresh(&self) -> bool {
        self.hurry.notify_waiters();
        // The pending call returns the mode of the moment when it completes.
        true
    }
}
