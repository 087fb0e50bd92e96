//! For your own tests: a dependency that a test switches up and down, and a context without a
//! supervisor. Feature `test-util`.
//!
//! On tokio's paused clock a whole outage takes no time. Waiting advances the clock to the next
//! timer, so nothing needs to be slept for:
//!
//! ```
//! use overwatch::test_util::Dependency;
//! use overwatch::{Overwatch, machine::Phase};
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let dependency = Dependency::new();
//!     let service = Overwatch::watching(dependency.probe())
//!         .task("worker", |ctx| async move {
//!             ctx.ready();
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
//! Pause the clock only where nothing does real I/O: while a socket is waited for, it runs ahead.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::machine::{Cause, Class};
use crate::policy::{ComponentId, Layout, Plan, Policy};
use crate::shell::{Batch, Context, Incarnation, Observation, Probe, Shared, lock};

/// A dependency that a test switches. It begins up.
#[derive(Clone, Debug)]
pub struct Dependency {
    mode: Arc<watch::Sender<Mode>>,
    every: Duration,
}

#[derive(Clone, Debug)]
enum Mode {
    Up,
    Failing(Cow<'static, str>),
    Hanging,
}

impl Default for Dependency {
    fn default() -> Self {
        Self::new()
    }
}

impl Dependency {
    /// A dependency that is up, and whose probes observe it once a second and at each switch.
    pub fn new() -> Self {
        Self::observed_every(Duration::from_secs(1))
    }

    /// The same with another interval.
    pub fn observed_every(every: Duration) -> Self {
        Self {
            mode: Arc::new(watch::Sender::new(Mode::Up)),
            every,
        }
    }

    /// What observes it. Give it to [`Overwatch::watching`](crate::Overwatch::watching).
    pub fn probe(&self) -> impl Probe + use<> {
        DependencyProbe {
            hurry: Notify::new(),
            _dependency: Arc::clone(&self.mode),
            mode: self.mode.subscribe(),
            every: self.every,
            told: Mutex::new(None),
        }
    }

    /// From now on it is seen to fail, for this reason.
    pub fn fail(&self, reason: impl Into<Cow<'static, str>>) {
        self.mode.send_replace(Mode::Failing(reason.into()));
    }

    /// From now on it gives no answer at all.
    pub fn hang(&self) {
        self.mode.send_replace(Mode::Hanging);
    }

    /// From now on it is up.
    pub fn recover(&self) {
        self.mode.send_replace(Mode::Up);
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        matches!(*self.mode.borrow(), Mode::Up)
    }
}

struct DependencyProbe {
    hurry: Notify,
    /// Keeps it from hanging when the test has dropped its own.
    _dependency: Arc<watch::Sender<Mode>>,
    mode: watch::Receiver<Mode>,
    every: Duration,
    /// When something was told, and of which switch: what this receiver has seen.
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

    fn hurry(&self) {
        self.hurry.notify_waiters();
    }
}

/// A context without a supervisor, to test one component by itself: the test plays the supervisor.
///
/// ```
/// use overwatch::test_util::Detached;
/// use overwatch::{Component, Context, Failure, task};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let component = task(|ctx: Context| async move {
///     ctx.ready();
///     ctx.report(Failure::new("a hiccup"));
///     ctx.stopping().await;
///     Ok(())
/// });
/// let detached = Detached::new("worker");
/// let run = tokio::spawn({
///     let ctx = detached.context();
///     async move { component.run(ctx).await }
/// });
/// detached.wait_until_ready().await;
/// detached.stop();
/// run.await.unwrap().unwrap();
/// assert_eq!(detached.reports()[0].first, "a hiccup");
/// # }
/// ```
#[derive(Debug)]
pub struct Detached {
    context: Context,
    inner: Inner,
}

struct Inner {
    incarnation: Arc<Incarnation>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner")
    }
}

impl Detached {
    /// A context of this name, in epoch 1.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(name: &str) -> Self {
        let layout = Layout::new(&[1]).expect("one component makes a layout");
        let plan = Plan::new(Policy::default(), layout).expect("the default policy works");
        let name: Arc<str> = name.into();
        let shared = Arc::new(Shared::new(Arc::new(plan), vec![name]));
        shared.enter(tokio::runtime::Handle::current());
        let incarnation = Incarnation::new(ComponentId(0), 1, Arc::default(), Arc::clone(&shared));
        incarnation.adopt();
        Self {
            context: Context::new(Arc::clone(&incarnation)),
            inner: Inner {
                incarnation,
                shared,
            },
        }
    }

    /// The context to hand to the component.
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// Tells the component to stop, as a shutdown would.
    pub fn stop(&self) {
        let deadline = Policy::default().stop_deadline();
        self.inner
            .incarnation
            .signal
            .stop(Cause::Shutdown, deadline);
    }

    /// Waits until the component has said that it is up.
    pub async fn wait_until_ready(&self) {
        while !self.inner.incarnation.is_up() {
            self.inner.shared.woken().await;
        }
    }

    /// What the component, and its sub-tasks, have reported since the last call.
    pub fn reports(&self) -> Vec<Reported> {
        self.inner
            .incarnation
            .reports()
            .take()
            .into_iter()
            .map(Into::into)
            .collect()
    }
}

/// Reports of one class, as they wait for a supervisor: a storm is one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reported {
    /// The class.
    pub class: Class,
    /// How many.
    pub count: u64,
    /// The reason of the first.
    pub first: String,
    /// The reason of the last, if there was more than one.
    pub last: Option<String>,
}

impl From<Batch> for Reported {
    fn from(batch: Batch) -> Self {
        Self {
            class: batch.class,
            count: batch.count,
            first: batch.first.to_string(),
            last: batch.last.map(|last| last.to_string()),
        }
    }
}
