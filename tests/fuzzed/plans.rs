//! Plans made of bytes: every switch of the policy that changes behaviour, and only plans that work.

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use overwatch::policy::{
    ComponentId, FailureLimit, Fence, Layout, MAX_COUNT, MAX_DURATION, Plan, Policy, Tuning,
};

/// One byte for each knob, so that a mutation turns just one of them.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Knobs {
    stages: [u8; 4],
    window: u8,
    silence_limit: u8,
    trip_threshold: u8,
    start_deadline: u8,
    stop_deadline: u8,
    abort_deadline: u8,
    fence: u8,
    fence_margin: u8,
    fence_renewal: u8,
    fence_extra: u8,
    give_up_after: u8,
    backoff: u8,
    growth: u8,
    max_hold_off: u8,
    max_level: u8,
    min_evidence: u8,
    decay: u8,
    stable_after: u8,
    unready_delay: u8,
    jitter: u8,
    jitter_seed: u64,
    late: u8,
}

const MOST_COMPONENTS: usize = 8;

impl Knobs {
    /// The plan. It works whatever the bytes are, so a refusal is a defect.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        let mut stages = Vec::new();
        for components in self.stages.map(|stage| usize::from(stage % 4)) {
            // A stage of none is a gap, which is left out.
            if components > 0 && stages.iter().sum::<usize>() + components <= MOST_COMPONENTS {
                stages.push(components);
            }
        }
        let components: usize = stages.iter().sum();
        let fenced = components > 0 && self.fence.is_multiple_of(3);
        // A lease must be longer than all deadlines together, and yet no longer than a day.
        let duration = |byte: u8| duration(if fenced { byte % 240 } else { byte });

        let (window, backoff) = (duration(self.window), duration(self.backoff));
        let start_deadline = duration(self.start_deadline);
        let (stop, abort) = (duration(self.stop_deadline), duration(self.abort_deadline));
        // A lease must be longer than the delay too.
        let delay = match fenced {
            true => duration_or_zero(self.unready_delay % 240),
            false => duration_or_zero(self.unready_delay),
        };
        let mut tuning = Tuning::default()
            .with_backoff(backoff)
            .with_growth(1 + u32::from(self.growth % 10))
            .with_max_level([1, 2, 3, 4, 1_000][usize::from(self.max_level % 5)])
            .with_min_evidence([1, 2, 3, 5][usize::from(self.min_evidence % 4)])
            .with_decay(duration(self.decay))
            .with_stable_after(duration(self.stable_after))
            .with_jitter(duration_or_zero(self.jitter))
            .with_jitter_seed(self.jitter_seed)
            .with_unready_delay(delay);
        if self.max_hold_off > 0 {
            let longest = window.max(backoff) + ms(self.max_hold_off.into());
            tuning = tuning.with_max_hold_off(longest.min(MAX_DURATION));
        }
        let mut policy = Policy::builder()
            .window(window)
            .silence_limit(duration(self.silence_limit))
            .trip_threshold([1, 2, 3, 5, MAX_COUNT][usize::from(self.trip_threshold % 5)])
            .start_deadline(start_deadline)
            .stop_deadline(stop)
            .abort_deadline(abort)
            .tuning(tuning);
        if self.give_up_after % 2 == 1 {
            policy = policy.give_up_after(1 + u32::from(self.give_up_after / 2 % 3));
        }
        let mut layout = Layout::new(&stages).expect("no gaps");
        // Some stages have deadlines of their own. They have no byte of their own, so that an old corpus still reaches
        // what it reached.
        let own = |deadline: Duration, odd: u64| {
            let is_set = components > 0 && self.jitter_seed % 4 == odd;
            is_set.then(|| (deadline + ms(self.jitter_seed / 4 % 8)).min(MAX_DURATION))
        };
        let (first_stop, last_start) = (own(stop, 1), own(start_deadline, 3));
        if let Some(first_stop) = first_stop {
            layout = layout.with_stop_deadline(0, first_stop);
        }
        if let Some(last_start) = last_start {
            layout = layout.with_start_deadline(stages.len() - 1, last_start);
        }
        // Two components in three may finish, but for the owner of a lease.
        let owner = fenced.then(|| self.fence as u32 % components as u32);
        if self.jitter_seed / 128 % 4 > 1 {
            let limit = FailureLimit::new(3, ms(100));
            policy = policy.failure_limit(limit.with_drain(self.jitter_seed / 128 % 4 == 3));
        }
        if self.jitter_seed / 32 % 4 == 3 {
            let may_finish =
                |&id: &u32| Some(id) != owner && !(self.jitter_seed >> (8 + id)).is_multiple_of(3);
            for id in (0..components as u32).filter(may_finish) {
                layout = layout.with_one_shot(ComponentId(id));
            }
            policy = policy.end_when_finished(self.jitter_seed.is_multiple_of(2));
        }
        if fenced {
            let renewal = duration(self.fence_renewal);
            // Each deadline on the way may be noticed late: the fence's own, and two of each stage.
            let noticed = self.late() * (2 * stages.len() as u32 + 1);
            let margin = noticed + duration(self.fence_margin);
            let start = start_deadline.max(last_start.unwrap_or_default());
            let ttl = margin
                + (stop.max(first_stop.unwrap_or_default()) + abort) * stages.len() as u32
                + start.max(renewal).max(delay)
                + ms(1 + u64::from(self.fence_extra));
            policy = policy.fence(Fence::new(ttl, renewal).with_margin(margin));
            layout = layout.with_lease_owner(ComponentId(self.fence as u32 % components as u32));
        }
        let policy = policy.build().expect("a policy that works");
        Arc::new(Plan::new(policy, layout).expect("a plan that works"))
    }

    /// How late timers may fire.
    pub(crate) fn late(&self) -> Duration {
        ms((self.late % 3).into())
    }
}

/// Mostly a few milliseconds, so that everything is within reach of a short walk.
fn duration(byte: u8) -> Duration {
    match byte {
        0..=199 => ms(1 + u64::from(byte) % 32),
        200..=239 => ms(25 * u64::from(byte - 199)),
        240..=254 => Duration::from_secs(60 * 60 * u64::from(byte - 239)),
        255 => MAX_DURATION,
    }
}

fn duration_or_zero(byte: u8) -> Duration {
    if byte.is_multiple_of(2) {
        Duration::ZERO
    } else {
        duration(byte)
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
