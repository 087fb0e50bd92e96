//! The builder of a service.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::build_error::BuildError;
use super::control::{Abandoned, Service};
use super::overwatch::Overwatch;
use crate::policy::{ComponentId, Fence, Layout, Need, Plan, Policy};
use crate::shell::component::{
    Added, Begin, Boxed, Component, ComponentResult, Context, LeaseHolder, StartStop, StartStopped,
    Task, Wiring, component_fn,
};
use crate::shell::failure::Failure;
use crate::shell::probe::Probe;
use crate::shell::run_state::RunState;
use crate::shell::step_record::{Hook, StepRecord};

/// Builds a service. From [`Overwatch::builder`].
///
/// Stages are started in order and stopped in reverse order. The components of one stage are started and stopped
/// together. A component belongs to the stage that was begun last: [`next_stage`](Builder::next_stage) begins another
/// one, and [`lease_holder`](Builder::lease_holder) adds the last component of its stage.
/// [`may_finish`](Builder::may_finish) is about the component before it; [`stage_start_deadline`](Builder::stage_start_deadline)
/// and [`stage_stop_deadline`](Builder::stage_stop_deadline) are about the current stage. The other methods may be called
/// in any order. [`build`](Builder::build) checks everything.
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
    one_shots: BTreeSet<ComponentId>,
    /// Whether `may_finish` was called before any component was added.
    nothing_may_finish: bool,
    start_deadlines: BTreeMap<usize, Duration>,
    stop_deadlines: BTreeMap<usize, Duration>,
    /// Whether the next component begins another stage.
    stage_is_closed: bool,
    /// A method that was called where it is not clear which stage is meant.
    misplaced: Option<&'static str>,
    lease_owner: Option<String>,
    lease_holders: Vec<(String, Fence)>,
    observe_only: bool,
    watchdog: Option<bool>,
    control_thread: Option<bool>,
    on_step: Option<Hook>,
    unclean_stop_is_error: bool,
}

impl Overwatch {
    /// Begins to build a service that depends on what this probe observes.
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
            one_shots: BTreeSet::new(),
            nothing_may_finish: false,
            start_deadlines: BTreeMap::new(),
            stop_deadlines: BTreeMap::new(),
            stage_is_closed: false,
            misplaced: None,
            lease_owner: None,
            lease_holders: Vec::new(),
            observe_only: false,
            watchdog: None,
            control_thread: None,
            on_step: None,
            unclean_stop_is_error: true,
        }
    }

    /// Adds a component to the current stage.
    pub fn component(self, name: impl Into<String>, component: impl Component) -> Self {
        self.add(name.into(), Arc::new(Boxed(component)))
    }

    /// This method, if the current stage is complete.
    fn behind_the_stage(&self, method: &'static str) -> Option<&'static str> {
        self.stage_is_closed.then_some(method)
    }

    fn add(mut self, name: String, component: Arc<dyn Begin>) -> Self {
        if self.stage_is_closed {
            self = self.next_stage();
        }
        self.components.push((name.into(), component));
        if let Some(stage) = self.stages.last_mut() {
            *stage += 1;
        }
        self
    }

    /// Adds a closure as a component. The closure is cloned and called once for each epoch.
    ///
    /// **State that the closure captures survives a restart; local variables do not.**
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
        Fut::Output: ComponentResult,
    {
        let component: Arc<dyn Begin> = if size_of::<Fut>() > LARGEST_INLINE {
            Arc::new(Boxed(component_fn(run)))
        } else {
            Arc::new(Task(run))
        };
        self.add(name.into(), component)
    }

    /// Adds a [`StartStop`] as a component.
    pub fn start_stop(self, name: impl Into<String>, service: impl StartStop) -> Self {
        self.component(name, StartStopped(service))
    }

    /// Lets the component that was added last finish: if it returns without an error, it has done its work.
    ///
    /// From then on it counts as up, whether it has called [`Context::mark_ready`] or not. So the next stage starts when
    /// it has returned, or has marked itself as ready before. Its sub-tasks and holds must end as well. In the next
    /// epoch it is started again, so it must be able to repeat its work.
    ///
    /// [`end_when_finished`](crate::policy::PolicyBuilder::end_when_finished) ends the run when all components have
    /// finished.
    ///
    /// ```
    /// # async fn migrate() -> std::io::Result<()> { Ok(()) }
    /// # let (_, probe) = overwatch::feed();
    /// # overwatch::Overwatch::builder(probe)
    /// .task("migration", |_| async {
    ///     migrate().await?;
    ///     Ok(())
    /// })
    /// .may_finish()
    /// .next_stage() // starts when the migration is done
    /// .task("api", |ctx| async move {
    ///     ctx.mark_ready();
    ///     ctx.stopping().await;
    ///     Ok(())
    /// })
    /// # ;
    /// ```
    pub fn may_finish(mut self) -> Self {
        match self.components.len().checked_sub(1) {
            Some(last) => {
                self.one_shots.insert(ComponentId(last as u32));
            }
            None => self.nothing_may_finish = true,
        }
        self
    }

    /// Begins the next stage.
    ///
    /// Components that are added after this call start when all components before it are up, and stop before any of
    /// those stops.
    pub fn next_stage(mut self) -> Self {
        self.stages.push(0);
        self.stage_is_closed = false;
        self
    }

    /// Sets how long the current stage may take to be up, in place of the policy's
    /// [`start_deadline`](crate::policy::PolicyBuilder::start_deadline).
    ///
    /// For a stage that is slow to start, e.g. because it loads a large file. If it comes after the stage of a
    /// [lease owner](Self::lease_owner), the lease is renewed meanwhile, so it does not limit this deadline. The stage of a
    /// [`lease_holder`](Self::lease_holder) is complete, so for that stage call this before.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let (_, probe) = overwatch::feed();
    /// # overwatch::Overwatch::builder(probe)
    /// .next_stage()
    /// .task("index", |ctx| async move {
    ///     // loads for minutes
    ///     ctx.mark_ready();
    ///     ctx.stopping().await;
    ///     Ok(())
    /// })
    /// .stage_start_deadline(Duration::from_secs(600))
    /// .stage_stop_deadline(Duration::from_secs(30))
    /// # ;
    /// ```
    pub fn stage_start_deadline(mut self, deadline: Duration) -> Self {
        self.misplaced = self
            .misplaced
            .or(self.behind_the_stage("stage_start_deadline"));
        self.start_deadlines.insert(self.stages.len() - 1, deadline);
        self
    }

    /// Sets how long the current stage may take to stop before what is left of it is aborted, in place of the policy's
    /// [`stop_deadline`](crate::policy::PolicyBuilder::stop_deadline).
    pub fn stage_stop_deadline(mut self, deadline: Duration) -> Self {
        self.misplaced = self
            .misplaced
            .or(self.behind_the_stage("stage_stop_deadline"));
        self.stop_deadlines.insert(self.stages.len() - 1, deadline);
        self
    }

    /// Sets the policy. Default: [`Policy::default`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the name of the component that holds the lease of the policy's [fence](crate::Fence).
    ///
    /// That component reports renewals with [`Context::lease_renewed`]. A fence without a lease owner is refused.
    /// [`lease_holder`](Self::lease_holder) adds a component, names it and sets its fence in one call. This one is for a
    /// closure.
    pub fn lease_owner(mut self, name: impl Into<String>) -> Self {
        self.lease_owner = Some(name.into());
        self
    }

    /// Switches the fence watchdog on or off.
    ///
    /// The watchdog is a separate thread. It aborts the process if the [fence](crate::policy::PolicyBuilder::fence)
    /// passes and not all components are gone. It is the last resort for threads that are blocked for good, because
    /// only the end of the process ends these.
    ///
    /// Default: on if the policy has a fence and the run has a [separate thread](Self::control_thread). In place, where
    /// the clock may be paused, it is on only if it is switched on here. It is off if no action is taken
    /// ([`observe_only`](Self::observe_only)).
    ///
    /// It aborts the process half of the fence's margin before the lease can expire. It continues after the run as long
    /// as there are components. A process that was stopped (SIGSTOP) beyond that instant is aborted as soon as it
    /// continues: its lease is gone, its work is alive, and another node may be doing the same work. Before the abort a
    /// message is written to stderr, for 100 ms or a quarter of the margin at most.
    ///
    /// If it is switched off, a service whose threads block continues to work after its lease has expired.
    pub fn fence_watchdog(mut self, on: bool) -> Self {
        self.watchdog = Some(on);
        self
    }

    /// Sets whether a separate thread supervises the run.
    ///
    /// By default it does, unless the runtime is a current-thread runtime.
    ///
    /// Without that thread the run is supervised *in place*, where it is awaited: no thread is made, and no clock other
    /// than tokio's is read, so a paused clock or a simulated network controls everything. The cost: whatever delays
    /// that task or its runtime also delays the supervisor, and so does a `tracing` subscriber that blocks.
    pub fn control_thread(mut self, on: bool) -> Self {
        self.control_thread = Some(on);
        self
    }

    /// Takes no action, and only logs the actions that would be taken, with the field `observe_only`.
    ///
    /// Components run as if nothing watched them. Components that fail or end by themselves are still restarted, and
    /// commands are still carried out. A fence is not enforced.
    pub fn observe_only(mut self) -> Self {
        self.observe_only = true;
        self
    }

    /// Calls `each` with each step of the machine, in order, after its effects were carried out.
    ///
    /// This is for recorders, and for tests in which a [`Monitor`](crate::law::Monitor) judges the run.
    ///
    /// If the run has a [separate thread](Self::control_thread), the log thread calls `each`. It may block: up to
    /// 65,536 steps wait for it, and [`StepRecord::missed`] counts the steps that were dropped. A panic in `each` ends
    /// the run, and is resumed where the run is awaited.
    pub fn on_step(mut self, each: impl FnMut(StepRecord<'_>) + Send + 'static) -> Self {
        self.on_step = Some(Box::new(each));
        self
    }

    /// Sets whether a run fails if a component did not stop well at its end. Default: yes.
    ///
    /// A component did not stop well if it was aborted at its stop deadline, returned an error, or panicked: it may have
    /// left something behind. The run then returns a [`RunError`](crate::RunError) that names the component, and
    /// [`Overwatch::run_or_exit`] exits with exit code 1. Without this, the names are only in the log and in
    /// [`Handle::report`](crate::Handle::report).
    pub fn unclean_stop_is_error(mut self, is_error: bool) -> Self {
        self.unclean_stop_is_error = is_error;
        self
    }

    /// Checks everything and builds the service. Nothing is started before the service is run.
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
        if let Some(method) = self.misplaced {
            return Err(BuildError::StageIsComplete { method });
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
        let (policy, lease_owner) = self.leased()?;
        self.probe.check(&policy)?;
        let mut layout = Layout::new(&self.stages)?;
        self.check_finishing(&policy, lease_owner)?;
        for one_shot in self.one_shots.iter().copied() {
            layout = layout.with_one_shot(one_shot);
        }
        for (&stage, &deadline) in &self.start_deadlines {
            layout = layout.with_start_deadline(stage, deadline);
        }
        for (&stage, &deadline) in &self.stop_deadlines {
            layout = layout.with_stop_deadline(stage, deadline);
        }
        if let Some(owner) = lease_owner {
            layout = layout.with_lease_owner(owner);
        }
        if self.watchdog == Some(true) && policy.fence().is_none() {
            return Err(BuildError::WatchdogWithoutFence);
        }
        let plan = Plan::new(policy, layout)?;
        let forgiven = Need::new("what the probe forgives", self.probe.forgives());
        plan.leaves_room_for(&[forgiven])?;
        self.check_components(&plan)?;
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
            unclean_stop_is_error: self.unclean_stop_is_error,
        }))
    }

    /// Adds the component that holds the lease of the service, with its fence.
    ///
    /// This is all that a lease needs. The holder joins the current stage, and all components that are added after it
    /// begin in a later one, so they start when the lease is held, and stop before it is given up. It is the
    /// [lease owner](Self::lease_owner), and its [fence](LeaseHolder::fence) becomes that of the policy, so the policy
    /// needs none. A service has one lease holder.
    ///
    /// ```
    /// use overwatch::{Component, Context, Failure, Fence, LeaseHolder, Overwatch, Policy};
    /// use std::time::Duration;
    /// use tokio::time::Instant;
    ///
    /// struct Lock;
    ///
    /// const TTL: Duration = Duration::from_secs(60);
    /// const RENEWAL: Duration = Duration::from_secs(10);
    ///
    /// # impl Lock { async fn renew(&self) -> std::io::Result<()> { Ok(()) } }
    /// #[overwatch::async_trait]
    /// impl Component for Lock {
    ///     async fn run(&self, ctx: Context) -> Result<(), Failure> {
    ///         loop {
    ///             let sent = Instant::now(); // before the request: the server may count from then
    ///             match ctx.until_stopping(self.renew()).await {
    ///                 Some(Ok(())) => ctx.lease_renewed(sent, TTL),
    ///                 Some(Err(error)) => eprintln!("the next turn tries again: {error}"),
    ///                 None => return Ok(()),
    ///             }
    ///             ctx.mark_ready();
    ///             ctx.sleep(RENEWAL).await;
    ///         }
    ///     }
    /// }
    ///
    /// impl LeaseHolder for Lock {
    ///     fn fence(&self) -> Fence {
    ///         Fence::new(TTL, RENEWAL)
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (_feed, probe) = overwatch::feed();
    /// let service = Overwatch::builder(probe)
    ///     .policy(Policy::builder().start_deadline(Duration::from_secs(10)).build()?)
    ///     .lease_holder("lock", Lock)
    ///     .task("work", |ctx| async move { // in the second stage
    ///         ctx.mark_ready();
    ///         ctx.stopping().await;
    ///         Ok(())
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn lease_holder(mut self, name: impl Into<String>, holder: impl LeaseHolder) -> Self {
        let name = name.into();
        self.lease_holders.push((name.clone(), holder.fence()));
        self = self.component(name, holder);
        self.stage_is_closed = true;
        self
    }

    /// The policy with the fence of the lease holder, and the lease owner.
    fn leased(&self) -> Result<(Policy, Option<ComponentId>), BuildError> {
        let (mut policy, mut owner) = (self.policy.clone(), self.lease_owner.clone());
        for (name, fence) in &self.lease_holders {
            if let Some(other) = owner.filter(|other| other != name) {
                let names = [other, name.clone()];
                return Err(BuildError::SeveralLeaseOwners { names });
            }
            if let Some(other) = policy.fence().filter(|other| *other != fence) {
                return Err(BuildError::FenceOfAnotherLease {
                    name: name.clone(),
                    fence: Box::new(*other),
                    own: Box::new(*fence),
                });
            }
            policy = policy.with_fence(*fence)?;
            owner = Some(name.clone());
        }
        let Some(name) = owner else {
            return match policy.fence() {
                Some(_) => Err(BuildError::FenceWithoutLeaseOwner),
                None => Ok((policy, None)),
            };
        };
        let place = (self.components.iter()).position(|(other, _)| **other == *name);
        let Some(place) = place else {
            return Err(BuildError::UnknownLeaseOwner { name });
        };
        if policy.fence().is_none() {
            return Err(BuildError::LeaseOwnerWithoutFence { name });
        }
        Ok((policy, Some(ComponentId(place as u32))))
    }

    fn check_finishing(
        &self,
        policy: &Policy,
        lease_owner: Option<ComponentId>,
    ) -> Result<(), BuildError> {
        if self.nothing_may_finish {
            return Err(BuildError::NothingMayFinish);
        }
        for (id, (name, _)) in (0..).map(ComponentId).zip(&self.components) {
            let may_finish = self.one_shots.contains(&id);
            if may_finish && lease_owner == Some(id) {
                let name = name.to_string();
                return Err(BuildError::LeaseOwnerMayFinish { name });
            }
            if !may_finish && policy.end_when_finished() {
                let name = name.to_string();
                return Err(BuildError::NeverFinishes { name });
            }
        }
        Ok(())
    }

    fn check_components(&self, plan: &Plan) -> Result<(), BuildError> {
        let added = self.components.iter().map(|(name, begin)| Added {
            name,
            part: begin.component().and_then(Component::as_any),
        });
        let added: Vec<Added<'_>> = added.collect();
        for (id, (name, begin)) in (0..).map(ComponentId).zip(&self.components) {
            let Some(component) = begin.component() else {
                continue;
            };
            if let Err(error) = component.check(&Wiring::new(plan, &added, id)) {
                let component = name.to_string();
                return Err(BuildError::Wiring { component, error });
            }
        }
        Ok(())
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

/// Larger futures are boxed at once, because they would be moved on the stack before they reach their place.
const LARGEST_INLINE: usize = 4096;
