//! Which plans are explored.

use std::fmt;
use std::time::Duration;

use overwatch::policy::{
    Blame, ComponentId, FailureLimit, Fence, Layout, Plan, Policy, PolicyError, Tuning,
};

/// A plan of small numbers, and whether it is explored on a clock.
#[derive(Clone, Debug)]
pub(crate) struct Size {
    /// How many components in each stage.
    pub(crate) stages: Vec<usize>,
    /// What the policy has switched on.
    pub(crate) switches: Switches,
    /// When timers fire.
    pub(crate) clock: Clock,
}

/// When timers fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// At any moment.
    Off,
    /// When they are due, on a clock with so many ticks to the shortest duration of the plan.
    On(u32),
}

/// Every switch of a policy that changes behaviour.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Switches {
    /// The trip threshold is 2, so that there is suspicion.
    pub(crate) suspicion: bool,
    /// A wanted stop is delayed.
    pub(crate) delay: bool,
    /// It gives up after two failed starts.
    pub(crate) give_up: bool,
    /// Hold-offs grow: the highest level is 3, not 1. An abort may take twice as long as a stop, and
    /// three observations are needed, not two.
    pub(crate) growth: bool,
    /// The last stage may take twice as long to start and to stop as the others.
    pub(crate) slow: bool,
    /// Components may finish, but for the owner of a lease, and there is a limit on their failures.
    pub(crate) finish: bool,
    /// This component owns a lease.
    pub(crate) lease: Option<u32>,
}

impl Size {
    fn new(stages: Vec<usize>, switches: Switches, clock: Clock) -> Self {
        Self {
            stages,
            switches,
            clock,
        }
    }

    /// The plan.
    ///
    /// # Errors
    ///
    /// None, as long as the numbers below fit each other.
    pub(crate) fn plan(&self) -> Result<Plan, PolicyError> {
        let tick = Duration::from_millis(1);
        let short = match self.clock {
            Clock::Off => tick,
            Clock::On(ticks) => tick * ticks,
        };
        // One that nothing else is a multiple of is what the clock counts in.
        let decay = match self.clock {
            Clock::On(ticks) if ticks > 1 => short + tick,
            _ => short,
        };
        let on = self.switches;
        let mut tuning = Tuning::default()
            .with_backoff(short)
            .with_max_hold_off(if on.growth { 4 * short } else { 2 * short })
            .with_max_level(if on.growth { 3 } else { 1 })
            .with_min_evidence(if on.growth { 3 } else { 2 })
            .with_decay(decay)
            .with_stable_after(short)
            .with_jitter(Duration::ZERO);
        if on.delay {
            tuning = tuning.with_unready_delay(short);
        }
        let abort = if on.growth { 2 * short } else { short };
        let mut policy = Policy::builder()
            .window(2 * short)
            .silence_limit(short)
            .start_deadline(short)
            .stop_deadline(short)
            .abort_deadline(abort)
            .trip_threshold(if on.suspicion { 2 } else { 1 })
            .tuning(tuning);
        if on.give_up {
            policy = policy.give_up_after(2);
        }
        let mut layout = Layout::new(&self.stages)?;
        let mut slower = Duration::ZERO;
        if on.slow && !self.stages.is_empty() {
            let last = self.stages.len() - 1;
            slower = short;
            layout = layout
                .with_start_deadline(last, short + slower)
                .with_stop_deadline(last, short + slower);
        }
        if on.finish {
            policy = policy.failure_limit(FailureLimit::new(2, short));
            let may_finish = |id: &u32| Some(*id) != on.lease;
            for id in (0..layout.components() as u32).filter(may_finish) {
                layout = layout.with_one_shot(ComponentId(id));
            }
        }
        if let Some(owner) = on.lease {
            // The least that leaves time for work: the margin, the stop, and two steps more.
            let ttl = (short + abort) * self.stages.len() as u32 + 3 * short + 2 * slower;
            policy = policy.fence(Fence::new(ttl, short).with_margin(short));
            layout = layout.with_lease_owner(ComponentId(owner));
        }
        Plan::new(policy.build()?, layout)
    }
}

/// How long recovery, a shutdown and rest can take at most, as it follows from the deadlines on the
/// longest way to each.
pub(crate) fn at_most(plan: &Plan) -> [Duration; 3] {
    let policy = plan.policy();
    let tuning = policy.tuning();
    let stages = plan.layout().stages();
    let delay = match stages {
        0 => Duration::ZERO,
        _ => tuning.unready_delay(),
    };
    let shutdown = delay + plan.stop_budget();
    // Silence is what notices that nothing happens any more.
    let rest = plan.stop_budget() + policy.silence_limit().max(delay);
    // Every answer and every observation comes at the last moment; one stage may be at its abort.
    let later = (0..stages).map(|stage| {
        let abort = policy.abort_deadline();
        abort.saturating_sub(plan.stop_deadline(stage))
    });
    let stops = (0..stages)
        .map(|stage| plan.stop_deadline(stage))
        .chain(later.max())
        .sum::<Duration>();
    let starts = (0..stages).map(|stage| plan.start_deadline(stage));
    let highest = tuning.max_level();
    let evidence = policy.needed_evidence(highest, Blame::Dependency);
    let clean_run = policy
        .hold_off(highest, Blame::Dependency)
        .max(policy.hold_off(highest, Blame::Component))
        .max(policy.silence_limit() * (evidence - 1));
    // One silence until the clean run begins, and one until it is seen that it was long enough.
    let recovery = delay
        + stops
        + policy.silence_limit()
        + clean_run
        + policy.silence_limit()
        + starts.sum::<Duration>();
    [recovery, shutdown, rest]
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = self.switches;
        write!(f, "{:?}", self.stages)?;
        for (on, name) in [
            (on.suspicion, "suspicion"),
            (on.delay, "delay"),
            (on.give_up, "give-up"),
            (on.growth, "growth"),
            (on.slow, "slow stage"),
            (on.finish, "finish"),
        ] {
            if on {
                write!(f, " {name}")?;
            }
        }
        if let Some(owner) = on.lease {
            write!(f, " lease#{owner}")?;
        }
        match self.clock {
            Clock::Off => Ok(()),
            Clock::On(ticks) => write!(f, ", clock x{ticks}"),
        }
    }
}

/// All ways to put this many components in stages.
fn layouts(components: usize) -> Vec<Vec<usize>> {
    if components == 0 {
        return vec![vec![]];
    }
    let first = |first: usize| {
        layouts(components - first)
            .into_iter()
            .map(move |mut rest| {
                rest.insert(0, first);
                rest
            })
    };
    (1..=components).flat_map(first).collect()
}

/// What is switched on together: nothing, everything without a lease, and with one.
fn combinations(components: usize) -> Vec<Switches> {
    let everything = Switches {
        suspicion: true,
        delay: true,
        give_up: true,
        growth: true,
        slow: true,
        finish: false,
        lease: None,
    };
    let lease = |owner: usize| Switches {
        lease: Some(owner as u32),
        ..everything
    };
    let mut combinations = vec![Switches::default(), everything];
    if components > 0 {
        combinations.push(Switches {
            delay: true,
            finish: true,
            ..Switches::default()
        });
    }
    if components > 0 {
        combinations.push(lease(0));
    }
    if components > 1 {
        combinations.push(lease(components - 1));
    }
    combinations
}

/// Every combination of switches.
fn all_combinations(components: usize) -> Vec<Switches> {
    let leases = [None].into_iter().chain((0..components as u32).map(Some));
    let mut all = Vec::new();
    for lease in leases {
        for bits in 0..16_u32 {
            let bit = |place: u32| bits >> place & 1 == 1;
            all.push(Switches {
                suspicion: bit(0),
                delay: bit(1),
                give_up: bit(2),
                growth: bit(3),
                slow: bit(1),
                finish: bit(0),
                lease,
            });
        }
    }
    all
}

/// Which switches plans of so many components are explored with.
type Pick = fn(usize) -> Vec<Switches>;

fn sizes(components: impl IntoIterator<Item = usize>, switches: Pick, clock: Clock) -> Vec<Size> {
    let mut sizes = Vec::new();
    for components in components {
        for stages in layouts(components) {
            let switches = switches(components).into_iter();
            sizes.extend(switches.map(|switches| Size::new(stages.clone(), switches, clock)));
        }
    }
    sizes
}

/// What is explored in every test run.
pub(crate) fn default_sizes() -> Vec<Size> {
    let nothing: Pick = |components| combinations(components)[..1].to_vec();
    let no_lease: Pick = |components| combinations(components)[..2].to_vec();
    let mut all = sizes(0..=2, combinations, Clock::Off);
    all.extend(sizes([3], no_lease, Clock::Off));
    all.extend(sizes([4], nothing, Clock::Off));
    all.extend(sizes(0..=1, combinations, Clock::On(1)));
    all.extend(sizes([2], no_lease, Clock::On(1)));
    all.extend(sizes([3], nothing, Clock::On(1)));
    for stages in [&[4][..], &[1; 4]] {
        all.push(Size::new(
            stages.to_vec(),
            Switches::default(),
            Clock::On(1),
        ));
    }
    all
}

/// What takes longer.
pub(crate) fn large_sizes() -> Vec<Size> {
    let nothing: Pick = |components| combinations(components)[..1].to_vec();
    let no_lease: Pick = |components| combinations(components)[..2].to_vec();
    let mut all = sizes(0..=2, all_combinations, Clock::Off);
    all.extend(sizes(3..=4, combinations, Clock::Off));
    all.extend(sizes(0..=1, all_combinations, Clock::On(1)));
    all.extend(sizes([2], combinations, Clock::On(1)));
    all.extend(sizes([3], no_lease, Clock::On(1)));
    all.extend(sizes([4], nothing, Clock::On(1)));
    all.extend(sizes(0..=1, no_lease, Clock::On(4)));
    all.extend(sizes([2], nothing, Clock::On(4)));
    for stages in [&[6][..], &[3, 3], &[1, 1, 2, 2], &[1; 6]] {
        for clock in [Clock::Off, Clock::On(1)] {
            all.push(Size::new(stages.to_vec(), Switches::default(), clock));
        }
    }
    all.push(Size::new(vec![6], Switches::default(), Clock::On(4)));
    all
}
