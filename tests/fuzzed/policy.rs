//! Any numbers for any knob: what is refused, how, and what is taken.

use std::fmt::Arguments;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use overwatch::law::Checked;
use overwatch::machine::{Effect, Exit, Input, Phase, Timer};
use overwatch::policy::{
    Blame, ComponentId, Fence, Layout, MAX_COUNT, MAX_DURATION, MIN_DURATION, Plan, Policy,
    PolicyError, Tuning,
};

use crate::wild::{beside, wild};

/// Panics if a knob takes what it should refuse, refuses what it should take, does not say why, or
/// lets a number through that does harm.
pub fn check(data: &[u8]) {
    explore(data, &mut |_| ());
}

/// The same as [`check`], and notes what was seen on the way.
pub fn explore(data: &[u8], note: &mut dyn FnMut(Arguments<'_>)) {
    // Bytes that cannot be decoded mean nothing.
    let _ = set(&mut Unstructured::new(data), note);
}

fn set(bytes: &mut Unstructured<'_>, note: &mut dyn FnMut(Arguments<'_>)) -> Result<()> {
    let knobs = Knobs::decode(bytes)?;
    let number = wild(bytes, &[0, 1, u64::MAX])?;
    let level = wild(bytes, &[1, 2, 3, 1_000, u32::MAX])?.max(1);
    // Tuning computes before anybody has checked it.
    let _ = knobs.tuning().jitter_of(number);
    let broken = knobs.broken();
    let built = knobs.policy().build();
    let layout = Layout::new(&knobs.stages);
    let taken = match (built, layout) {
        (Ok(policy), Ok(layout)) => Some((policy, layout)),
        (built, layout) => {
            let (policy, layout) = (built.err(), layout.err());
            for error in [&policy, &layout].into_iter().flatten() {
                explains_itself(error);
                note(format_args!("refused: {}", error.knob()));
            }
            if let Some(error) = policy {
                let said = (error.knob(), error.value().to_owned());
                assert!(broken.contains(&said), "{error}, but {broken:?}");
            } else {
                assert!(broken.is_empty(), "taken: {broken:?}");
            }
            assert_eq!(
                layout.as_ref().map(PolicyError::knob),
                knobs.broken_layout()
            );
            None
        }
    };
    let Some((policy, mut layout)) = taken else {
        return Ok(());
    };
    assert!(broken.is_empty(), "taken: {broken:?}");
    assert_eq!(knobs.broken_layout(), None);
    derived(&knobs, &policy, level, number);
    stages(&knobs, &layout);
    if let Some(owner) = knobs.lease_owner {
        layout = layout.with_lease_owner(ComponentId(owner));
    }
    let expected = knobs.broken_plan();
    let plan = match Plan::new(policy, layout) {
        Ok(plan) => plan,
        Err(error) => {
            explains_itself(&error);
            note(format_args!("refused with the layout: {}", error.knob()));
            assert_eq!(expected, Some(error.knob()), "{error}");
            return Ok(());
        }
    };
    assert_eq!(expected, None, "taken: {plan:?}");
    fence(&knobs, &plan, wild(bytes, DURATIONS)?);
    if let Some(lease) = plan.policy().fence() {
        let too_late = lease.margin() + plan.stop_budget();
        fence(&knobs, &plan, lease.lease());
        for remaining in beside(too_late) {
            fence(&knobs, &plan, remaining);
        }
    }
    if plan.layout().components() > 64 || knobs.min_evidence > MOST_EVIDENCE {
        note(format_args!("too large to live"));
        return Ok(());
    }
    note(format_args!(
        "lived{}",
        if knobs.fence.is_some() {
            ", with a fence"
        } else {
            ""
        }
    ));
    short_life(plan);
    Ok(())
}

/// One value for each knob, sensible or not.
#[derive(Debug)]
struct Knobs {
    window: Duration,
    silence_limit: Duration,
    start_deadline: Duration,
    stop_deadline: Duration,
    abort_deadline: Duration,
    trip_threshold: u32,
    give_up_after: Option<u32>,
    fence: Option<Fence>,
    backoff: Duration,
    growth: u32,
    max_hold_off: Option<Duration>,
    max_level: u32,
    min_evidence: u32,
    decay: Duration,
    stable_after: Duration,
    unready_delay: Duration,
    jitter: Duration,
    jitter_seed: u64,
    name: Option<String>,
    stages: Vec<usize>,
    lease_owner: Option<u32>,
}

impl Knobs {
    /// The defaults, but for a few knobs: if all were wild, none would ever be accepted.
    fn decode(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let seconds = Duration::from_secs;
        let mut knobs = Self {
            window: seconds(30),
            silence_limit: seconds(5),
            start_deadline: seconds(30),
            stop_deadline: seconds(10),
            abort_deadline: seconds(2),
            trip_threshold: 1,
            give_up_after: None,
            fence: None,
            backoff: seconds(1),
            growth: 2,
            max_hold_off: None,
            max_level: 10,
            min_evidence: 3,
            decay: seconds(60),
            stable_after: seconds(60),
            unready_delay: Duration::ZERO,
            jitter: Duration::from_millis(250),
            jitter_seed: 0,
            name: None,
            stages: Vec::new(),
            lease_owner: None,
        };
        for _ in 0..u8::arbitrary(bytes)? % 16 {
            knobs.turn_one(bytes)?;
        }
        Ok(knobs)
    }

    fn turn_one(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        match u8::arbitrary(bytes)? % 24 {
            0 => self.window = wild(bytes, DURATIONS)?,
            1 => self.silence_limit = wild(bytes, DURATIONS)?,
            2 => self.start_deadline = wild(bytes, DURATIONS)?,
            3 => self.stop_deadline = wild(bytes, DURATIONS)?,
            4 => self.abort_deadline = wild(bytes, DURATIONS)?,
            5 => self.trip_threshold = wild(bytes, COUNTS)?,
            6 => self.give_up_after = Some(wild(bytes, COUNTS)?),
            7 | 8 => {
                let fence = Fence::new(wild(bytes, DURATIONS)?, wild(bytes, DURATIONS)?);
                self.fence = Some(match bool::arbitrary(bytes)? {
                    true => fence.with_margin(wild(bytes, DURATIONS)?),
                    false => fence,
                });
            }
            9 => self.backoff = wild(bytes, DURATIONS)?,
            10 => self.growth = wild(bytes, COUNTS)?,
            11 => self.max_hold_off = Some(wild(bytes, DURATIONS)?),
            12 => self.max_level = wild(bytes, COUNTS)?,
            13 => self.min_evidence = wild(bytes, COUNTS)?,
            14 => self.decay = wild(bytes, DURATIONS)?,
            15 => self.stable_after = wild(bytes, DURATIONS)?,
            16 => self.unready_delay = wild(bytes, DURATIONS)?,
            17 => self.jitter = wild(bytes, DURATIONS)?,
            18 => self.jitter_seed = wild(bytes, &[0, u64::MAX])?,
            19 => self.name = Some(String::arbitrary(bytes)?),
            20 => self.lease_owner = Some(wild(bytes, &[0, 1, 2, u32::MAX])?),
            21 => self.add_stages(bytes)?,
            22 => {
                let least = self.window.max(self.backoff);
                self.max_hold_off = Some(*bytes.choose(&beside(least))?);
            }
            _ => self.bring_fence_to_its_bound(bytes)?,
        }
        Ok(())
    }

    /// A lease that is just long enough, or just too short.
    fn bring_fence_to_its_bound(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let Some(fence) = self.fence else {
            return Ok(());
        };
        if let Ok(needed) = u64::try_from(self.needed_lease(fence)) {
            let ttl = *bytes.choose(&beside(Duration::from_nanos(needed)))?;
            let margin = fence.margin();
            self.fence = Some(Fence::new(ttl, fence.renewal_interval()).with_margin(margin));
        }
        Ok(())
    }

    /// Few, or many alike. None is so large that it is taken and fills the memory.
    fn add_stages(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let [how_many, size] = <[u8; 2]>::arbitrary(bytes)?;
        let how_many = match how_many {
            0..=249 => usize::from(how_many % 5),
            _ => Layout::MAX_STAGES - 252 + usize::from(how_many),
        };
        let size = match size {
            0..=247 => usize::from(size % 8),
            248..=251 => Layout::MAX_COMPONENTS + usize::from(size - 247),
            _ => usize::MAX - usize::from(size - 252),
        };
        self.stages.extend(std::iter::repeat_n(size, how_many));
        self.stages.truncate(Layout::MAX_STAGES + 3);
        Ok(())
    }

    fn tuning(&self) -> Tuning {
        let mut tuning = Tuning::default()
            .with_backoff(self.backoff)
            .with_growth(self.growth)
            .with_max_level(self.max_level)
            .with_min_evidence(self.min_evidence)
            .with_decay(self.decay)
            .with_stable_after(self.stable_after)
            .with_unready_delay(self.unready_delay)
            .with_jitter(self.jitter)
            .with_jitter_seed(self.jitter_seed);
        if let Some(longest) = self.max_hold_off {
            tuning = tuning.with_max_hold_off(longest);
        }
        match &self.name {
            Some(name) => tuning.with_jitter_seed_from(name),
            None => tuning,
        }
    }

    fn policy(&self) -> overwatch::policy::PolicyBuilder {
        let mut builder = Policy::builder()
            .window(self.window)
            .silence_limit(self.silence_limit)
            .trip_threshold(self.trip_threshold)
            .start_deadline(self.start_deadline)
            .stop_deadline(self.stop_deadline)
            .abort_deadline(self.abort_deadline)
            .tuning(self.tuning());
        if let Some(fence) = self.fence {
            builder = builder.fence(fence);
        }
        if let Some(failed_starts) = self.give_up_after {
            builder = builder.give_up_after(failed_starts);
        }
        builder
    }

    /// Every knob that is out of the bounds which its documentation gives, and its value.
    fn broken(&self) -> Vec<(&'static str, String)> {
        let mut broken = Vec::new();
        let mut durations = vec![
            ("window", self.window),
            ("silence_limit", self.silence_limit),
            ("start_deadline", self.start_deadline),
            ("stop_deadline", self.stop_deadline),
            ("abort_deadline", self.abort_deadline),
            ("backoff", self.backoff),
            ("decay", self.decay),
            ("stable_after", self.stable_after),
        ];
        if let Some(fence) = self.fence {
            durations.push(("fence.ttl", fence.ttl()));
            durations.push(("fence.margin", fence.margin()));
            durations.push(("fence.renewal_interval", fence.renewal_interval()));
        }
        let mut refuse = |refused: bool, knob: &'static str, value: Duration| {
            if refused {
                broken.push((knob, format!("{value:?}")));
            }
        };
        let outside = |value: Duration| value < MIN_DURATION || value > MAX_DURATION;
        for (knob, value) in durations {
            refuse(outside(value), knob, value);
        }
        if let Some(longest) = self.max_hold_off {
            let too_short = longest < self.window || longest < self.backoff;
            refuse(outside(longest) || too_short, "max_hold_off", longest);
        }
        let delay = self.unready_delay;
        refuse(!delay.is_zero() && outside(delay), "unready_delay", delay);
        refuse(self.jitter > MAX_DURATION, "jitter", self.jitter);
        for (knob, value, most) in [
            ("trip_threshold", self.trip_threshold, MAX_COUNT),
            ("give_up_after", self.give_up_after.unwrap_or(1), MAX_COUNT),
            ("growth", self.growth, 10),
            ("max_level", self.max_level, 1_000),
            ("min_evidence", self.min_evidence, MAX_COUNT),
        ] {
            if value == 0 || value > most {
                broken.push((knob, value.to_string()));
            }
        }
        broken
    }

    /// What is wrong with the layout, if anything.
    fn broken_layout(&self) -> Option<&'static str> {
        if self.stages.len() > Layout::MAX_STAGES {
            return Some("stages");
        }
        let mut total = 0_usize;
        for &size in &self.stages {
            total = total.saturating_add(size);
            if size == 0 {
                return Some("stages");
            }
            if total > Layout::MAX_COMPONENTS {
                return Some("components");
            }
        }
        None
    }

    /// What does not fit together, if both halves are fine.
    fn broken_plan(&self) -> Option<&'static str> {
        let components: usize = self.stages.iter().sum();
        match (self.fence, self.lease_owner) {
            (None, None) => None,
            (None, Some(_)) | (Some(_), None) => Some("fence"),
            (Some(_), Some(owner)) if owner as usize >= components => Some("lease_owner"),
            (Some(fence), Some(_)) => {
                let too_short = nanos(fence.lease()) <= self.needed_lease(fence);
                too_short.then_some("fence.ttl")
            }
        }
    }

    /// What a lease must be above, in nanoseconds.
    fn needed_lease(&self, fence: Fence) -> u128 {
        let least = self
            .start_deadline
            .max(fence.renewal_interval())
            .max(self.unready_delay);
        nanos(fence.margin()) + self.stop_budget() + nanos(least)
    }

    /// In nanoseconds, where nothing overflows.
    fn stop_budget(&self) -> u128 {
        (nanos(self.stop_deadline) + nanos(self.abort_deadline)) * self.stages.len() as u128
    }
}

fn nanos(duration: Duration) -> u128 {
    duration.as_nanos()
}

/// The knob, its value and the bound: all that somebody needs who has to correct it.
fn explains_itself(error: &PolicyError) {
    let text = error.to_string();
    let (knob, value, bound) = (error.knob(), error.value(), error.bound());
    for part in [knob, value, bound] {
        assert!(
            !part.is_empty() && text.contains(part),
            "{part:?} in {text:?}"
        );
    }
}

/// The numbers that follow from those that were set.
fn derived(knobs: &Knobs, policy: &Policy, level: u32, number: u64) {
    let longest = policy.longest_hold_off();
    let expected = knobs.max_hold_off.unwrap_or_else(|| {
        Duration::from_secs(300)
            .max(knobs.window)
            .max(knobs.backoff)
    });
    assert_eq!(longest, expected);
    for (blame, base) in [
        (Blame::Component, knobs.backoff),
        (Blame::Dependency, knobs.window),
    ] {
        assert_eq!(policy.hold_off(0, blame), Duration::ZERO);
        assert_eq!(policy.hold_off(1, blame), base);
        let grown = (1..level).try_fold(nanos(base), |grown, _| {
            let grown = grown * u128::from(knobs.growth);
            (grown < nanos(longest) && knobs.growth > 1).then_some(grown)
        });
        let expected = match grown {
            Some(grown) => grown,
            None if knobs.growth == 1 => nanos(base),
            None => nanos(longest),
        };
        assert_eq!(
            nanos(policy.hold_off(level, blame)),
            expected,
            "level {level}"
        );
        let needed = match blame {
            Blame::Component => 1,
            Blame::Dependency => knobs.min_evidence,
        };
        assert_eq!(policy.needed_evidence(level, blame), needed);
        assert_eq!(policy.needed_evidence(0, blame), 1);
    }
    assert_eq!(
        nanos(policy.stop_budget(knobs.stages.len())),
        knobs.stop_budget()
    );
    assert!(policy.stop_budget(usize::MAX) >= policy.stop_budget(knobs.stages.len()));
    let tuning = policy.tuning();
    let jitter = tuning.jitter_of(number);
    assert!(
        jitter < tuning.jitter() || tuning.jitter().is_zero(),
        "{jitter:?}"
    );
    assert_eq!(jitter, knobs.tuning().jitter_of(number));
    // What the machine arms.
    let _ = policy.hold_off(level, Blame::Dependency) + jitter;
}

/// Every component is in just one stage.
fn stages(knobs: &Knobs, layout: &Layout) {
    assert_eq!(layout.stages(), knobs.stages.len());
    let mut next = 0;
    for (stage, &size) in knobs.stages.iter().enumerate() {
        let range = layout.stage(stage);
        assert_eq!((range.start, range.len()), (next, size));
        next = range.end;
        assert_eq!(layout.stage_of(ComponentId(next - 1)), Some(stage));
    }
    assert_eq!(layout.components(), next as usize);
    assert_eq!(layout.stage_of(ComponentId(next)), None);
    assert_eq!(layout.stage(usize::MAX).len(), 0);
}

/// The fence leaves all the time that there is, and no more.
fn fence(knobs: &Knobs, plan: &Plan, remaining: Duration) {
    assert_eq!(nanos(plan.stop_budget()), knobs.stop_budget());
    let left = knobs.fence.and_then(|fence| {
        nanos(remaining).checked_sub(nanos(fence.margin()) + knobs.stop_budget())
    });
    let left = left.filter(|&left| left > 0);
    assert_eq!(
        plan.fence_after(remaining).map(nanos),
        left,
        "of {remaining:?}"
    );
}

/// Boot, a trip, a recovery and a shutdown, under the laws.
fn short_life(plan: Plan) {
    let plan = Arc::new(plan);
    let mut effects = Vec::new();
    let checked = Checked::new(Arc::clone(&plan), None, &mut effects);
    let mut life = Life {
        checked: checked.unwrap_or_else(|violation| panic!("{violation}: {plan:?}")),
        effects,
    };
    for epoch in 1..=2 {
        life.come_up();
        let phase = life.checked.machine().phase();
        assert_eq!(
            (phase, life.checked.machine().epoch()),
            (Phase::Running, epoch),
            "{plan:?}"
        );
        if let Some(fence) = plan.policy().fence() {
            let remaining = fence.lease();
            life.tell(Input::LeaseRenewed { epoch, remaining });
            let running = life.checked.machine().is_ready();
            assert!(running, "a lease that was just renewed trips: {plan:?}");
        }
        if epoch == 1 {
            life.tell(Input::Trip);
        }
    }
    life.tell(Input::Shutdown);
    if life.checked.machine().is_armed(Timer::Stage) {
        // The delay of a wanted stop.
        life.tell(Input::Fired(Timer::Stage));
    }
    let phase = life.checked.machine().phase();
    assert_eq!(phase, Phase::Stopped, "{plan:?}");
}

/// A life in which more is needed takes too long.
const MOST_EVIDENCE: u32 = 100;

struct Life {
    checked: Checked,
    effects: Vec<Effect>,
}

impl Life {
    fn come_up(&mut self) {
        // As many observations as any life here needs.
        for _ in 0..=MOST_EVIDENCE {
            if self.checked.machine().is_ready() {
                return;
            }
            let session = self.checked.machine().session().unwrap_or_default();
            let round = self.checked.machine().round();
            self.tell(Input::Alive { session, round });
            if self.checked.machine().is_armed(Timer::HoldOff) {
                self.tell(Input::Fired(Timer::HoldOff));
            }
        }
    }

    /// Hands over an input; components answer at once.
    fn tell(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let step = self
                .checked
                .handle(Duration::ZERO, input, &mut self.effects);
            if let Err(violation) = step {
                panic!(
                    "{input:?}: {violation}: {:?}",
                    self.checked.machine().plan()
                );
            }
            let layout = self.checked.machine().plan().layout();
            for effect in &self.effects {
                match *effect {
                    Effect::StartStage { stage, epoch } => {
                        let up = |id| Input::Up {
                            component: ComponentId(id),
                            epoch,
                        };
                        inputs.extend(layout.stage(stage.into()).map(up));
                    }
                    Effect::StopStage { stage, epoch } => {
                        let gone = |id| Input::Gone {
                            component: ComponentId(id),
                            epoch,
                            how: Exit::Returned,
                        };
                        inputs.extend(layout.stage(stage.into()).map(gone));
                    }
                    _ => {}
                }
            }
        }
    }
}

const DURATIONS: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(60),
    Duration::from_secs(60 * 60),
    MIN_DURATION,
    MIN_DURATION.saturating_sub(Duration::from_nanos(1)),
    MAX_DURATION,
    MAX_DURATION.saturating_add(Duration::from_nanos(1)),
    Duration::ZERO,
    Duration::MAX,
];

const COUNTS: &[u32] = &[
    1,
    2,
    0,
    10,
    11,
    1_000,
    1_001,
    MAX_COUNT,
    MAX_COUNT + 1,
    u32::MAX,
];
