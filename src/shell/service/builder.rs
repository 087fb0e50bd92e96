//! How a service is put together.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::build_error::BuildError;
use super::control::{Abandoned, Service};
use super::overwatch::Overwatch;
use crate::policy::{ComponentId, Layout, Plan, Policy};
use crate::shell::component::{
    Begin, Boxed, Component, Context, StartStop, StartStopped, Task, component_fn,
};
use crate::shell::failure::Failure;
use crate::shell::probe::Probe;
use crate::shell::run_state::RunState;
use crate::shell::step_record::{Hook, StepRecord};

/// Puts a service together. From [`Overwatch::builder`].
///
/// Components are started in the order of their stages and stopped in reverse; those of one stage
/// are started and stopped together. A component belongs to the stage that was begun last:
/// [`next_stage`](Builder::next_stage) begins another one. The other methods may be called in any order;
/// [`build`](Builder::build) checks everything.
///
/// ```
/// use overwatch::{Component, Context, Failure, Overwatch, Policy, feed};
/// use std::time::Duration;
///
/// struct Pool;
///
/// #[overwatch::async_trait]
/// impl Component for Pool {
///     async fn run(&self, ctx: Context) -> Result<(), Failure> {
///         ctx.mark_ready();
///         ctx.stopping().await;
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (_feed, probe) = feed();
/// let service = Overwatch::builder(probe)
///     .policy(Policy::builder().window(Duration::from_secs(10)).build()?)
///     .component("pool", Pool) // the first stage
///     .next_stage()
///     .task("api", |ctx| async move { // starts when the pool is ready, stops before it
///         ctx.mark_ready();
///         ctx.stopping().await;
///         Ok(())
///     })
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    probe: Arc<dyn Probe>,
    policy: Policy,
    components: Vec<(Arc<str>, Arc<dyn Begin>)>,
    stages: Vec<usize>,
    lease_owner: Option<String>,
    observe_only: bool,
    watchdog: Option<bool>,
    control_thread: Option<bool>,
    on_step: Option<Hook>,
}

impl Overwatch {
    /// Begins to build a service that cannot live without the dependency that this probe observes.
    pub fn builder(probe: impl Probe) -> Builder {
        Builder::new(Arc::new(probe))
    }
}

impl Builder {
    pub(crate) fn new(probe: Arc<dyn Probe>) -> Self {
        Self {
            probe,
            policy: Policy::default(),
            components: Vec::new(),
            stages: vec![0],
            lease_owner: None,
            observe_only: false,
            watchdog: None,
            control_thread: None,
            on_step: None,
        }
    }

    /// Adds a component to the present stage.
    pub fn component(self, name: impl Into<String>, component: impl Component) -> Self {
        self.add(name.into(), Arc::new(Boxed(component)))
    }

    fn add(mut self, name: String, component: Arc<dyn Begin>) -> Self {
        self.components.push((name.into(), component));
        if let Some(stage) = self.stages.last_mut() {
            *stage += 1;
        }
        self
    }

    /// Adds a closure as a component. It is cloned and called once for each epoch. **State that it captures survives
    /// a restart; local variables do not.**
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let (_, probe) = overwatch::feed();
    /// # overwatch::Overwatch::builder(probe)
    /// .task("ticker", |ctx| async move {
    ///     ctx.mark_ready();
    ///     while ctx.sleep(Duration::from_secs(1)).await {
    ///         println!("tick");
    ///     }
    ///     Ok(())
    /// })
    /// # ;
    /// ```
    pub fn task<F, Fut>(self, name: impl Into<String>, run: F) -> Self
    where
        F: FnOnce(Context) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let component: Arc<dyn Begin> = if size_of::<Fut>() > LARGEST_INLINE {
            Arc::new(Boxed(component_fn(run)))
        } else {
            Arc::new(Task(run))
        };
        self.add(name.into(), component)
    }

    /// Adds something with a start and a stop as a component.
    pub fn start_stop(self, name: impl Into<String>, service: impl StartStop) -> Self {
        self.component(name, StartStopped(service))
    }

    /// Begins the next stage: what is added from here on is started when all before it is up, and
    /// stopped before any of that is.
    pub fn next_stage(mut self) -> Self {
        self.stages.push(0);
        self
    }

    /// Sets the numbers. Default: [`Policy::default`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Names the component that holds the lease of the policy's [fence](crate::Fence). That component reports
    /// renewals by [`Context::lease_renewed`]. A fence without a lease owner is refused.
    pub fn lease_owner(mut self, name: impl Into<String>) -> Self {
        self.lease_owner = Some(name.into());
        self
    }

    /// Switches the fence watchdog on or off: a separate thread that aborts the process when the
    /// [fence](crate::policy::PolicyBuilder::fence) passes and not all components are gone. It is the last
    /// resort for threads that are blocked for good, which nothing but the end of the process ends.
    ///
    /// Default: on if the policy has a fence and the run has its [own thread](Self::control_thread).
    /// In place, where the clock may be paused, it is on only if it is asked for here. It is off where nothing
    /// is done ([`observe_only`](Self::observe_only)).
    ///
    /// It aborts half of the fence's margin before the lease can expire. It outlives the run as long as
    /// components do. A process that was stopped (SIGSTOP) beyond that instant is aborted as soon as it
    /// goes on: its lease is gone, its work is alive, and another node may be doing the same. The last
    /// words go to stderr, for 100 ms or a quarter of the margin at most.
    ///
    /// Switched off, a service whose threads block goes on working after its lease has expired.
    pub fn fence_watchdog(mut self, on: bool) -> Self {
        self.watchdog = Some(on);
        self
    }

    /// Whether the run is supervised by its own thread. By default it is, unless the runtime has only one
    /// thread.
    ///
    /// Without that thread it is supervised *in place*, where it is awaited: no thread is made, and no clock is
    /// read but tokio's, so that a paused clock or a simulated network controls all of it. The cost:
    /// anything that holds up that task or its runtime holds up the supervisor, and so does a subscriber of
    /// `tracing`.
    pub fn control_thread(mut self, on: bool) -> Self {
        self.control_thread = Some(on);
        self
    }

    /// Takes no action: components run as if nothing watched them, and the actions that would have been taken are
    /// logged, with the field `observe_only`.
    ///
    /// Components that fail or end by themselves are still restarted, and commands still obeyed. A
    /// fence is not enforced.
    pub fn observe_only(mut self) -> Self {
        self.observe_only = true;
        self
    }

    /// Calls `each` with each step of the machine, in order, after its effects are carried out. For
    /// recorders, and for tests in which a [`Monitor`](crate::law::Monitor) judges the run.
    ///
    /// Where the run has its [own thread](Self::control_thread), `each` is called by another thread, which
    /// logs as well. It may block: up to 65,536 steps wait for it, and [`StepRecord::missed`] counts those that are
    /// missing. A panic in it ends the run, and is resumed where that is awaited.
    pub fn on_step(mut self, each: impl FnMut(StepRecord<'_>) + Send + 'static) -> Self {
        self.on_step = Some(Box::new(each));
        self
    }

    /// Checks everything and puts the service together. Nothing is started before it is run.
    ///
    /// # Errors
    ///
    /// See [`BuildError`].
    pub fn build(self) -> Result<Overwatch, BuildError> {
        if self.components.is_empty() {
            return Err(BuildError::NoComponents);
        }
        if let Some(stage) = self.stages.iter().position(|&components| components == 0) {
            return Err(BuildError::EmptyStage { stage });
        }
        let mut names = BTreeSet::new();
        for (place, (name, _)) in self.components.iter().enumerate() {
            if name.trim().is_empty() {
                return Err(BuildError::EmptyName { place });
            }
            if !names.insert(name) {
                let name = name.to_string();
                return Err(BuildError::DuplicateName { name });
            }
        }
        self.probe.check(&self.policy)?;
        let mut layout = Layout::new(&self.stages)?;
        if let Some(name) = self.lease_owner {
            let place = self
                .components
                .iter()
                .position(|(other, _)| **other == *name);
            let Some(place) = place else {
                return Err(BuildError::UnknownLeaseOwner { name });
            };
            layout = layout.with_lease_owner(ComponentId(place as u32));
        }
        if self.watchdog == Some(true) && self.policy.fence().is_none() {
            return Err(BuildError::WatchdogWithoutFence);
        }
        let plan = Plan::new(self.policy, layout)?;
        let (names, components) = self.components.into_iter().unzip();
        let shared = Arc::new(RunState::new(Arc::new(plan), names));
        Ok(Overwatch(Service {
            published: Abandoned(shared),
            components,
            probe: self.probe,
            observe_only: self.observe_only,
            watchdog: self.watchdog,
            control_thread: self.control_thread,
            on_step: self.on_step,
        }))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.components.iter().map(|(name, _)| name).collect();
        f.debug_struct("Builder")
            .field("components", &names)
            .field("stages", &self.stages)
            .finish_non_exhaustive()
    }
}

/// A larger future is boxed at once: it is moved about on the stack before it is at its place.
const LARGEST_INLINE: usize = 4096;
