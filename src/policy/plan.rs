//! A policy and a layout that were checked together.

use core::time::Duration;

use super::room::{Need, Room};
use super::{Layout, Policy, PolicyError};

/// How many stages with deadlines of their own an error lists before it counts the rest.
const LISTED: usize = 3;

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
                let room = Room::new(*fence, stop_budget, stop_budget_in_words(&policy, &layout));
                room.check(&[Need::new("`start_deadline`", start)])?;
                room.check(&[Need::renewal(fence)])?;
                room.check(&[Need::new("`unready_delay`", delay)])?;
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
        let stops = stop_budget_in_words(&self.policy, &self.layout);
        Room::new(*fence, self.stop_budget, stops).check(&all)
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
fn stop_budget_in_words(policy: &Policy, layout: &Layout) -> String {
    let (stop, abort) = (policy.stop_deadline(), policy.abort_deadline());
    let own = &layout.stop_deadlines;
    let of = |stages: usize| match stages {
        1 => "1 stage".to_owned(),
        stages => format!("{stages} stages"),
    };
    let each = |stop: Duration| format!("({stop:?} stop + {abort:?} abort)");
    let others = layout.stages() - own.len();
    let others = (others > 0).then(|| format!("{} \u{d7} {}", of(others), each(stop)));
    let listed = own.iter().take(LISTED);
    let listed = listed.map(|(stage, &stop)| format!("stage {stage} {}", each(stop)));
    let more = own.len().saturating_sub(LISTED);
    let more = (more > 0).then(|| format!("{} more with deadlines of their own", of(more)));
    let parts: Vec<_> = others.into_iter().chain(listed).chain(more).collect();
    parts.join(" + ")
}
