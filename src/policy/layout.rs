//! The components, their stages, and the plan that joins them to a policy.

use core::fmt;
use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::error::in_range;
use super::room::{Need, Room};
use super::{Policy, PolicyError};

/// The number of a component in its [`Layout`].
///
/// Components are numbered from 0 in the order of their stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "it is a number")]
pub struct ComponentId(pub u32);

impl ComponentId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// How many components there are in each stage, which of them owns the lease, and stages with deadlines of their own.
///
/// Stages are started in ascending order and stopped in descending order; the components of one
/// stage are started and stopped together.
///
/// ```
/// use overwatch::policy::Layout;
/// use std::time::Duration;
///
/// // Two components, and a third one above them, which takes long to start.
/// let layout = Layout::new(&[2, 1])?.with_start_deadline(1, Duration::from_secs(600));
/// assert_eq!((layout.stages(), layout.components()), (2, 3));
/// # Ok::<(), overwatch::PolicyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Layout {
    /// Where each stage ends. A stage begins where the one before ends.
    ends: Vec<u32>,
    stage_of: Vec<u16>,
    lease_owner: Option<ComponentId>,
    one_shots: BTreeSet<ComponentId>,
    /// The stages whose deadlines are not those of the policy.
    start_deadlines: BTreeMap<usize, Duration>,
    stop_deadlines: BTreeMap<usize, Duration>,
}

impl Layout {
    /// The most components that a layout can have.
    pub const MAX_COMPONENTS: usize = 16_000_000;
    /// The most stages that a layout can have.
    pub const MAX_STAGES: usize = 1_000;

    /// Creates a layout with this many components in each stage.
    ///
    /// A layout may have no stages at all. The machine then has nothing to start and nothing to stop.
    ///
    /// # Errors
    ///
    /// If a stage has no components (a gap), or if there are more components or stages than the limits.
    pub fn new(stages: &[usize]) -> Result<Self, PolicyError> {
        if stages.len() > Self::MAX_STAGES {
            return Err(PolicyError::new(
                "stages",
                format!("{}", stages.len()),
                format!("there may be at most {}", Self::MAX_STAGES),
            ));
        }
        let mut layout = Self::default();
        for (stage, &count) in stages.iter().enumerate() {
            if count == 0 {
                return Err(PolicyError::new(
                    "stages",
                    format!("empty at stage {stage}"),
                    "every stage needs at least one component: leave the gap out",
                ));
            }
            let total = layout.stage_of.len().saturating_add(count);
            if total > Self::MAX_COMPONENTS {
                return Err(PolicyError::new(
                    "components",
                    format!("{total} or more"),
                    format!("there may be at most {}", Self::MAX_COMPONENTS),
                ));
            }
            layout.stage_of.resize(total, stage as u16);
            layout.ends.push(total as u32);
        }
        Ok(layout)
    }

    /// Names the component that holds the lease of the policy's [`Fence`](super::Fence).
    #[must_use]
    pub fn with_lease_owner(mut self, owner: ComponentId) -> Self {
        self.lease_owner = Some(owner);
        self
    }

    /// Lets a component finish: if it returns without an error, it has done its work and counts as up from then on.
    ///
    /// All other components may only return when they are asked to stop. In the next epoch the component is started
    /// again, as all others are.
    #[must_use]
    pub fn with_one_shot(mut self, component: ComponentId) -> Self {
        self.one_shots.insert(component);
        self
    }

    /// Sets the start deadline of one stage. The other stages have that of the [policy](Policy::start_deadline).
    #[must_use]
    pub fn with_start_deadline(mut self, stage: usize, deadline: Duration) -> Self {
        self.start_deadlines.insert(stage, deadline);
        self
    }

    /// Sets the stop deadline of one stage. The other stages have that of the [policy](Policy::stop_deadline).
    #[must_use]
    pub fn with_stop_deadline(mut self, stage: usize, deadline: Duration) -> Self {
        self.stop_deadlines.insert(stage, deadline);
        self
    }

    /// How many components there are.
    pub fn components(&self) -> usize {
        self.stage_of.len()
    }

    /// How many stages there are.
    pub fn stages(&self) -> usize {
        self.ends.len()
    }

    /// The components of a stage. Empty for a stage that does not exist.
    pub fn stage(&self, stage: usize) -> Range<u32> {
        let Some(&end) = self.ends.get(stage) else {
            return 0..0;
        };
        let start = stage.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..end
    }

    /// The stage of a component, or `None` if there is no such component.
    pub fn stage_of(&self, component: ComponentId) -> Option<usize> {
        self.stage_of
            .get(component.index())
            .map(|&stage| usize::from(stage))
    }

    /// The component that holds the lease, if any.
    pub fn lease_owner(&self) -> Option<ComponentId> {
        self.lease_owner
    }

    /// Whether a component may finish.
    pub fn is_one_shot(&self, component: ComponentId) -> bool {
        self.one_shots.contains(&component)
    }

    /// The components that may finish.
    pub fn one_shots(&self) -> impl Iterator<Item = ComponentId> + '_ {
        self.one_shots.iter().copied()
    }

    /// Checks the components that may finish.
    fn check_one_shots(&self) -> Result<(), PolicyError> {
        let missing = self.one_shots().find(|&id| self.stage_of(id).is_none());
        if let Some(missing) = missing {
            return Err(PolicyError::new(
                "one_shot",
                format!("{missing}"),
                format!("there are only {} components", self.components()),
            ));
        }
        match self.lease_owner.filter(|&owner| self.is_one_shot(owner)) {
            None => Ok(()),
            Some(owner) => Err(PolicyError::new(
                "one_shot",
                format!("{owner}"),
                "it owns the lease, which must be renewed as long as there is work: let it run until it is asked to stop",
            )),
        }
    }

    /// Checks the deadlines of single stages.
    fn check_deadlines(&self) -> Result<(), PolicyError> {
        for (knob, deadlines) in [
            ("start_deadline", &self.start_deadlines),
            ("stop_deadline", &self.stop_deadlines),
        ] {
            for (&stage, &deadline) in deadlines {
                in_range(knob, deadline)?;
                if stage >= self.stages() {
                    return Err(PolicyError::new(
                        knob,
                        format!("{deadline:?} for stage {stage}"),
                        format!("there are only {} stages, from 0", self.stages()),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// A policy and a layout that were checked together.
///
/// A machine is built from a plan, and so is the monitor that judges the machine.
///
/// ```
/// use overwatch::policy::{Layout, Plan, Policy};
/// use std::time::Duration;
///
/// let plan = Plan::new(Policy::default(), Layout::new(&[2, 1])?)?;
/// assert_eq!(plan.stop_budget(), Duration::from_secs(24)); // two stages, 10 s + 2 s each
/// # Ok::<(), overwatch::PolicyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    policy: Policy,
    layout: Layout,
    stop_budget: Duration,
}

impl Plan {
    /// Checks a policy against a layout.
    ///
    /// # Errors
    ///
    /// - There is a fence without a lease owner, a lease owner without a fence, or an owner that is not a component.
    /// - A component that may finish does not exist, or owns the lease.
    /// - A deadline of a single stage is out of bounds, or there is no such stage.
    /// - The fence leaves no room: TTL − grace − margin − Σ(stop + abort deadlines of all stages) must be above the start
    ///   deadline of the owner's stage (the owner may need all of it to acquire the lease), the renewal interval
    ///   (otherwise a lease that is renewed on time would trip), and the unready delay (so that the delay is complete
    ///   if the lease was just renewed). The error shows the arithmetic.
    pub fn new(policy: Policy, layout: Layout) -> Result<Self, PolicyError> {
        layout.check_deadlines()?;
        layout.check_one_shots()?;
        let stop_budget = stop_budget(&policy, &layout);
        match (policy.fence(), layout.lease_owner()) {
            (None, None) => {}
            (None, Some(owner)) => {
                return Err(PolicyError::new(
                    "fence",
                    "not set",
                    format!("component {owner} owns a lease: set the fence, or name no owner"),
                ));
            }
            (Some(_), None) => {
                return Err(PolicyError::new(
                    "fence",
                    "set",
                    "no component owns its lease: name the owner, or set no fence",
                ));
            }
            (Some(fence), Some(owner)) => {
                if layout.stage_of(owner).is_none() {
                    return Err(PolicyError::new(
                        "lease_owner",
                        format!("{owner}"),
                        format!("there are only {} components", layout.components()),
                    ));
                }
                let stage = layout.stage_of(owner).unwrap_or_default();
                let start = start_deadline(&policy, &layout, stage);
                let delay = policy.tuning().unready_delay();
                let room = Room::new(*fence, stop_budget, stop_deadlines(&policy, &layout));
                room.is_more_than(&[Need::new("`start_deadline`", start)])?;
                room.is_more_than(&[Need::renewal(fence)])?;
                room.is_more_than(&[Need::new("`unready_delay`", delay)])?;
            }
        }
        Ok(Self {
            policy,
            layout,
            stop_budget,
        })
    }

    /// The same plan without jitter, which only lengthens a hold-off.
    pub(crate) fn without_jitter(&self) -> Self {
        let mut plan = self.clone();
        plan.policy = plan.policy.without_jitter();
        plan
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How long a stage may take to be up: its own deadline, or that of the policy.
    pub fn start_deadline(&self, stage: usize) -> Duration {
        start_deadline(&self.policy, &self.layout, stage)
    }

    /// How long a stage may take to stop before what is left of it is aborted: its own deadline, or that of the policy.
    pub fn stop_deadline(&self, stage: usize) -> Duration {
        stop_deadline(&self.policy, &self.layout, stage)
    }

    /// The longest time that it can take to stop everything.
    pub fn stop_budget(&self) -> Duration {
        self.stop_budget
    }

    /// Checks that the fence leaves more time than all of these need together, counted from when a renewal is due.
    ///
    /// A renewal that is due may have to wait for them: e.g. for an election, which the probe does not report. Without a
    /// fence everything passes.
    ///
    /// ```
    /// use overwatch::policy::{ComponentId, Fence, Layout, Need, Plan, Policy};
    /// use std::time::Duration;
    ///
    /// let policy = Policy::builder()
    ///     .fence(Fence::new(Duration::from_secs(20), Duration::from_secs(4)))
    ///     .start_deadline(Duration::from_secs(5))
    ///     .stop_deadline(Duration::from_secs(3))
    ///     .abort_deadline(Duration::from_secs(1))
    ///     .build()?;
    /// let plan = Plan::new(policy, Layout::new(&[1, 1])?.with_lease_owner(ComponentId(0)))?;
    /// // 20 s less the margin of 2 s, the stop budget of 8 s and the renewal interval of 4 s leave 6 s.
    /// assert!(plan.leaves_room_for(&[Need::new("an election", Duration::from_secs(5))]).is_ok());
    /// assert!(plan.leaves_room_for(&[Need::new("an election", Duration::from_secs(6))]).is_err());
    /// # Ok::<(), overwatch::PolicyError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it leaves less. The error shows the arithmetic.
    pub fn leaves_room_for(&self, needs: &[Need]) -> Result<(), PolicyError> {
        let Some(fence) = self.policy.fence() else {
            return Ok(());
        };
        let mut all = vec![Need::renewal(fence)];
        all.extend_from_slice(needs);
        let stops = stop_deadlines(&self.policy, &self.layout);
        Room::new(*fence, self.stop_budget, stops).is_more_than(&all)
    }

    /// How long work may continue if the lease is still valid for `remaining`.
    ///
    /// This is `remaining` minus the margin and the stop budget. `None` if stopping must begin at once, or if there is
    /// no fence.
    pub fn fence_after(&self, remaining: Duration) -> Option<Duration> {
        self.policy.fence()?.slack(remaining, self.stop_budget)
    }
}

fn start_deadline(policy: &Policy, layout: &Layout, stage: usize) -> Duration {
    let own = layout.start_deadlines.get(&stage).copied();
    own.unwrap_or_else(|| policy.start_deadline())
}

fn stop_deadline(policy: &Policy, layout: &Layout, stage: usize) -> Duration {
    let own = layout.stop_deadlines.get(&stage).copied();
    own.unwrap_or_else(|| policy.stop_deadline())
}

/// The longest time that it can take to stop all stages.
fn stop_budget(policy: &Policy, layout: &Layout) -> Duration {
    let others = layout.stages() - layout.stop_deadlines.len();
    let own = layout.stop_deadlines.values();
    own.fold(policy.stop_budget(others), |budget, &deadline| {
        budget + deadline + policy.abort_deadline()
    })
}

/// The stop budget in words, without its sum.
fn stop_deadlines(policy: &Policy, layout: &Layout) -> String {
    let (stop, abort) = (policy.stop_deadline(), policy.abort_deadline());
    let others = layout.stages() - layout.stop_deadlines.len();
    let of = |stages: usize, stop: Duration| {
        format!("{stages} stages \u{d7} ({stop:?} stop + {abort:?} abort)")
    };
    let own = layout
        .stop_deadlines
        .iter()
        .map(|(stage, stop)| format!("stage {stage} ({stop:?} stop + {abort:?} abort)"));
    let others = (others > 0).then(|| of(others, stop));
    let parts: Vec<_> = others.into_iter().chain(own).collect();
    parts.join(" + ")
}
