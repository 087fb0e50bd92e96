//! The components and their stages.

use core::fmt;
use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::PolicyError;
use super::error::in_range_of;

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

/// How many components there are in each stage, which of them owns the lease, which may finish, and stages with deadlines
/// of their own.
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
    pub(super) start_deadlines: BTreeMap<usize, Duration>,
    pub(super) stop_deadlines: BTreeMap<usize, Duration>,
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

    /// Sets the start deadline of one stage. The other stages have that of the [policy](super::Policy::start_deadline).
    #[must_use]
    pub fn with_start_deadline(mut self, stage: usize, deadline: Duration) -> Self {
        self.start_deadlines.insert(stage, deadline);
        self
    }

    /// Sets the stop deadline of one stage. The other stages have that of the [policy](super::Policy::stop_deadline).
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
    pub(super) fn check_one_shots(&self) -> Result<(), PolicyError> {
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
    pub(super) fn check_deadlines(&self) -> Result<(), PolicyError> {
        for (knob, deadlines) in [
            ("start_deadline", &self.start_deadlines),
            ("stop_deadline", &self.stop_deadlines),
        ] {
            for (&stage, &deadline) in deadlines {
                in_range_of(knob, &format!(" for stage {stage}"), deadline)?;
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
