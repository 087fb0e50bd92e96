//! Every number that cannot work is refused, and the error says which, why, and what would.

use std::time::Duration;

use expect_test::{Expect, expect};
use overwatch::policy::{
    Blame, ComponentId, Fence, Layout, MAX_COUNT, MAX_DURATION, Need, Plan, Policy, PolicyBuilder,
    PolicyError, Tuning,
};

use crate::world::ms;

const TOO_SHORT: Duration = Duration::from_nanos(999_999);
const TOO_LONG: Duration = MAX_DURATION.saturating_add(Duration::from_nanos(1));

fn check(knob: &str, refused: Result<impl Sized, PolicyError>, text: Expect) {
    let error = refused.err().expect("refused");
    assert_eq!(error.knob(), knob);
    let shown = error.to_string();
    assert!(
        shown.contains(error.value()) && shown.contains(error.bound()),
        "{shown}"
    );
    text.assert_eq(&shown);
}

fn with_tuning(tuning: Tuning) -> Result<Policy, PolicyError> {
    Policy::builder().tuning(tuning).build()
}

fn with_fence(fence: Fence) -> Result<Policy, PolicyError> {
    Policy::builder().fence(fence).build()
}

type SetDuration = fn(Duration) -> Result<Policy, PolicyError>;

/// Every knob that takes a duration, but for those that zero switches off.
const DURATIONS: &[(&str, SetDuration)] = &[
    ("window", |value| Policy::builder().window(value).build()),
    ("silence_limit", |value| {
        Policy::builder().silence_limit(value).build()
    }),
    ("start_deadline", |value| {
        Policy::builder().start_deadline(value).build()
    }),
    ("stop_deadline", |value| {
        Policy::builder().stop_deadline(value).build()
    }),
    ("abort_deadline", |value| {
        Policy::builder().abort_deadline(value).build()
    }),
    ("backoff", |value| {
        with_tuning(Tuning::default().with_backoff(value))
    }),
    ("max_hold_off", |value| {
        with_tuning(Tuning::default().with_max_hold_off(value))
    }),
    ("decay", |value| {
        with_tuning(Tuning::default().with_decay(value))
    }),
    ("stable_after", |value| {
        with_tuning(Tuning::default().with_stable_after(value))
    }),
    ("fence.ttl", |value| {
        with_fence(Fence::new(value, ms(1)).with_margin(ms(1)))
    }),
    ("fence.margin", |value| {
        with_fence(Fence::new(ms(9), ms(1)).with_margin(value))
    }),
    ("fence.renewal_interval", |value| {
        with_fence(Fence::new(ms(10), value))
    }),
];

#[test]
fn a_duration_is_neither_zero_nor_absurd() {
    for &(knob, set) in DURATIONS {
        for value in [Duration::ZERO, TOO_SHORT, TOO_LONG, Duration::MAX] {
            let error = set(value).expect_err(knob);
            assert_eq!(error.knob(), knob, "{value:?}");
            assert_eq!(error.value(), format!("{value:?}"));
            assert_eq!(
                error.bound(),
                "it must lie between 1ms and 86400s",
                "{knob}"
            );
        }
    }
    check(
        "window",
        Policy::builder().window(Duration::ZERO).build(),
        expect!["`window` is 0ns, but it must lie between 1ms and 86400s"],
    );
    check(
        "fence.ttl",
        with_fence(Fence::new(Duration::MAX, ms(1))),
        expect![
            "`fence.ttl` is 18446744073709551615.999999999s, but it must lie between 1ms and 86400s"
        ],
    );
}

#[test]
fn zero_switches_off_delay_and_jitter_and_nothing_absurd_is_taken() {
    let off = Tuning::default()
        .with_unready_delay(Duration::ZERO)
        .with_jitter(Duration::ZERO);
    assert!(with_tuning(off).is_ok());
    check(
        "unready_delay",
        with_tuning(Tuning::default().with_unready_delay(TOO_SHORT)),
        expect!["`unready_delay` is 999.999µs, but it must lie between 1ms and 86400s"],
    );
    check(
        "unready_delay",
        with_tuning(Tuning::default().with_unready_delay(TOO_LONG)),
        expect!["`unready_delay` is 86400.000000001s, but it must lie between 1ms and 86400s"],
    );
    check(
        "jitter",
        with_tuning(Tuning::default().with_jitter(TOO_LONG)),
        expect!["`jitter` is 86400.000000001s, but it must be at most 86400s"],
    );
}

#[test]
fn a_count_is_in_its_range() {
    type SetCount = fn(u32) -> Result<Policy, PolicyError>;
    let counts: [(&str, u32, SetCount); 5] = [
        ("trip_threshold", MAX_COUNT, |count| {
            Policy::builder().trip_threshold(count).build()
        }),
        ("give_up_after", MAX_COUNT, |count| {
            Policy::builder().give_up_after(count).build()
        }),
        ("growth", 10, |count| {
            with_tuning(Tuning::default().with_growth(count))
        }),
        ("max_level", 1_000, |count| {
            with_tuning(Tuning::default().with_max_level(count))
        }),
        ("min_evidence", MAX_COUNT, |count| {
            with_tuning(Tuning::default().with_min_evidence(count))
        }),
    ];
    for (knob, max, set) in counts {
        assert!(set(1).is_ok() && set(max).is_ok(), "{knob}");
        for count in [0, max + 1, u32::MAX] {
            let error = set(count).expect_err(knob);
            assert_eq!(error.knob(), knob, "{count}");
            assert_eq!(error.value(), count.to_string());
            assert_eq!(
                error.bound(),
                format!("it must lie between 1 and {max}"),
                "{knob}"
            );
        }
    }
    check(
        "growth",
        with_tuning(Tuning::default().with_growth(11)),
        expect!["`growth` is 11, but it must lie between 1 and 10"],
    );
}

#[test]
fn the_longest_hold_off_is_not_below_what_it_caps() {
    let tuning = Tuning::default().with_max_hold_off(ms(29_999));
    check(
        "max_hold_off",
        with_tuning(tuning),
        expect!["`max_hold_off` is 29.999s, but it must be at least `window`, which is 30s"],
    );
    let tuning = Tuning::default()
        .with_backoff(ms(31_000))
        .with_max_hold_off(ms(30_000));
    check(
        "max_hold_off",
        with_tuning(tuning),
        expect!["`max_hold_off` is 30s, but it must be at least `backoff`, which is 31s"],
    );
}

#[test]
fn the_longest_hold_off_follows_what_it_caps_unless_it_is_set() {
    let longest = |window, tuning| {
        let policy = Policy::builder().window(ms(window)).tuning(tuning).build();
        policy.map(|policy| policy.longest_hold_off())
    };
    let tuning = Tuning::default;
    assert_eq!(longest(30_000, tuning()), Ok(ms(300_000)));
    assert_eq!(longest(300_001, tuning()), Ok(ms(300_001)));
    assert_eq!(
        longest(30_000, tuning().with_backoff(ms(300_001))),
        Ok(ms(300_001))
    );
    // It may be as short as what it caps.
    let set = tuning().with_backoff(ms(9)).with_max_hold_off(ms(9));
    assert_eq!(longest(9, set), Ok(ms(9)));
}

/// Two stages that take 2 x (10 s + 2 s) to stop, under a lease of this many seconds with a margin
/// of one: what is left for work is that less 25 s.
fn leased(ttl: u64, start_deadline: u64, renewal_interval: u64) -> Result<Plan, PolicyError> {
    let seconds = Duration::from_secs;
    let fence = Fence::new(seconds(ttl), seconds(renewal_interval)).with_margin(seconds(1));
    let policy = Policy::builder()
        .start_deadline(seconds(start_deadline))
        .fence(fence)
        .build()?;
    Plan::new(
        policy,
        Layout::new(&[1, 1])?.with_lease_owner(ComponentId(0)),
    )
}

#[test]
fn a_fence_leaves_time_to_start_and_to_renew() {
    assert!(leased(31, 5, 5).is_ok());
    check(
        "fence.ttl",
        leased(30, 5, 4),
        expect![
            "`fence.ttl` is 30s, but less the margin of 1s and the stop budget of 2 stages × (10s stop + 2s abort) = 24s it leaves 5s for work, which must be more than `start_deadline` = 5s: lengthen the lease or shorten the deadlines"
        ],
    );
    check(
        "fence.ttl",
        leased(30, 4, 5),
        expect![
            "`fence.ttl` is 30s, but less the margin of 1s and the stop budget of 2 stages × (10s stop + 2s abort) = 24s it leaves 5s for work, which must be more than `fence.renewal_interval` = 5s: lengthen the lease or shorten the deadlines"
        ],
    );
    // Too short even to stop in: nothing is left, and nothing wraps around.
    check(
        "fence.ttl",
        leased(10, 4, 3),
        expect![
            "`fence.ttl` is 10s, but less the margin of 1s and the stop budget of 2 stages × (10s stop + 2s abort) = 24s it leaves 0ns for work, which must be more than `start_deadline` = 4s: lengthen the lease or shorten the deadlines"
        ],
    );
}

/// 60 s less 25 s: 35 s.
#[test]
fn a_delay_fits_into_the_lease() {
    let delayed = |delay: u64| {
        let tuning = Tuning::default().with_unready_delay(Duration::from_secs(delay));
        let fence = Fence::new(Duration::from_secs(60), ms(9_000)).with_margin(ms(1_000));
        let policy = Policy::builder().fence(fence).tuning(tuning).build()?;
        let layout = Layout::new(&[1, 1])?.with_lease_owner(ComponentId(0));
        Plan::new(policy, layout)
    };
    assert!(delayed(34).is_ok());
    check(
        "fence.ttl",
        delayed(35),
        expect![
            "`fence.ttl` is 60s, but less the margin of 1s and the stop budget of 2 stages × (10s stop + 2s abort) = 24s it leaves 35s for work, which must be more than `unready_delay` = 35s: lengthen the lease or shorten the deadlines"
        ],
    );
}

#[test]
fn stages_can_have_deadlines_of_their_own() {
    let seconds = Duration::from_secs;
    let layout = || Layout::new(&[1, 2, 1]);
    let own = layout().map(|layout| {
        layout
            .with_start_deadline(2, seconds(600))
            .with_stop_deadline(1, seconds(3))
    });
    let plan = own
        .clone()
        .and_then(|own| Plan::new(Policy::default(), own))
        .expect("valid");
    let starts = [0, 1, 2, 3].map(|stage| plan.start_deadline(stage));
    assert_eq!(starts, [30, 30, 600, 30].map(seconds));
    let stops = [0, 1, 2, 3].map(|stage| plan.stop_deadline(stage));
    assert_eq!(stops, [10, 3, 10, 10].map(seconds));
    assert_eq!(plan.stop_budget(), seconds(10 + 3 + 10 + 3 * 2));
    check(
        "start_deadline",
        layout()
            .and_then(|own| Plan::new(Policy::default(), own.with_start_deadline(3, seconds(1)))),
        expect!["`start_deadline` is 1s for stage 3, but there are only 3 stages, from 0"],
    );
    check(
        "stop_deadline",
        layout().and_then(|own| Plan::new(Policy::default(), own.with_stop_deadline(0, ms(0)))),
        expect!["`stop_deadline` is 0ns for stage 0, but it must lie between 1ms and 86400s"],
    );
    // The slow start of a stage above costs the lease nothing; that of the owner's stage does, and so does each stop.
    let leased = |owner| {
        let policy = Policy::builder()
            .fence(Fence::new(seconds(60), seconds(9)).with_margin(seconds(1)))
            .build()?;
        Plan::new(policy, own.clone()?.with_lease_owner(ComponentId(owner)))
    };
    check(
        "fence.ttl",
        leased(0),
        expect![
            "`fence.ttl` is 60s, but less the margin of 1s and the stop budget of 2 stages × (10s stop + 2s abort) + stage 1 (3s stop + 2s abort) = 29s it leaves 30s for work, which must be more than `start_deadline` = 30s: lengthen the lease or shorten the deadlines"
        ],
    );
    check(
        "fence.ttl",
        leased(3),
        expect![
            "`fence.ttl` is 60s, but less the margin of 1s and the stop budget of 2 stages × (10s stop + 2s abort) + stage 1 (3s stop + 2s abort) = 29s it leaves 30s for work, which must be more than `start_deadline` = 600s: lengthen the lease or shorten the deadlines"
        ],
    );
    let longer = Policy::builder()
        .fence(Fence::new(seconds(61), seconds(9)).with_margin(seconds(1)))
        .build();
    let layout = own.expect("valid").with_lease_owner(ComponentId(0));
    assert!(Plan::new(longer.expect("valid"), layout).is_ok());
}

/// Of 35 s the plan leaves 10 s, and 5 s when a renewal is due.
#[test]
fn a_fence_leaves_time_for_what_delays_a_renewal() {
    let plan = leased(35, 5, 5).unwrap();
    let need = |millis| Need::new("an election", ms(millis));
    for fits in [&[][..], &[need(4_999)], &[need(2_000), need(2_999)]] {
        assert_eq!(plan.leaves_room_for(fits), Ok(()), "{fits:?}");
    }
    for exceeds in [
        &[need(5_000)][..],
        &[need(2_000), need(3_000)],
        &[Need::new("for ever", Duration::MAX), need(1)],
    ] {
        assert!(plan.leaves_room_for(exceeds).is_err(), "{exceeds:?}");
    }
    check(
        "fence.ttl",
        plan.leaves_room_for(&[need(3_000), Need::new("a connection", ms(2_000))]),
        expect![
            "`fence.ttl` is 35s, but less the margin of 1s and the stop budget of 2 stages × (10s stop + 2s abort) = 24s it leaves 10s for work, which must be more than `fence.renewal_interval` = 5s + an election = 3s + a connection = 2s, together 10s: lengthen the lease or shorten the deadlines"
        ],
    );
    // Without a lease nothing has to fit.
    let plan = Plan::new(Policy::default(), Layout::new(&[1]).unwrap()).unwrap();
    assert_eq!(plan.leaves_room_for(&[need(u64::MAX)]), Ok(()));
}

/// Other nodes wait for the grace, so the lease is that much shorter than its time to live.
#[test]
fn a_grace_shortens_the_lease_and_the_time_to_live_is_told_as_it_was_set() {
    let fence = Fence::new(ms(15_000), ms(2_800)).with_grace(ms(1_000));
    let fence = fence.with_margin(ms(1_400));
    assert_eq!((fence.ttl(), fence.grace()), (ms(15_000), ms(1_000)));
    assert_eq!(fence.lease(), ms(14_000));
    assert_eq!(
        fence.to_string(),
        "ttl 15s, grace 1s, margin 1.4s, renewal interval 2.8s"
    );
    let plan = |start_deadline| {
        let policy = Policy::builder().fence(fence);
        let policy = policy.start_deadline(ms(start_deadline));
        let policy = policy.stop_deadline(ms(2_000)).abort_deadline(ms(500));
        let layout = Layout::new(&[1, 1])?.with_lease_owner(ComponentId(0));
        Plan::new(policy.build()?, layout)
    };
    // 14 s less the margin and two stages of 2.5 s.
    assert_eq!(
        plan(7_599).unwrap().fence_after(fence.lease()),
        Some(ms(7_600))
    );
    check(
        "fence.ttl",
        plan(7_600),
        expect![
            "`fence.ttl` is 15s, but less the grace of 1s, the margin of 1.4s and the stop budget of 2 stages × (2s stop + 500ms abort) = 5s it leaves 7.6s for work, which must be more than `start_deadline` = 7.6s: lengthen the lease or shorten the deadlines"
        ],
    );
    // A grace longer than the time to live leaves nothing, and nothing wraps around.
    let none = fence.with_grace(ms(15_001));
    assert_eq!(none.lease(), Duration::ZERO);
    check(
        "fence.grace",
        with_fence(fence.with_grace(Duration::MAX)),
        expect![
            "`fence.grace` is 18446744073709551615.999999999s, but it must lie between 1ms and 86400s"
        ],
    );
}

#[test]
fn a_fence_keeps_a_tenth_of_the_lease_as_its_margin_unless_told_otherwise() {
    let fence = Fence::new(ms(50_000), ms(7_000));
    assert_eq!(fence.margin(), ms(5_000));
    assert_eq!(fence.with_margin(ms(1)).margin(), ms(1));
    assert_eq!(
        (fence.ttl(), fence.renewal_interval()),
        (ms(50_000), ms(7_000))
    );
}

#[test]
fn a_fence_and_its_owner_need_each_other() {
    let fenced = || leased(60, 5, 5).map(|plan| plan.policy().clone());
    check(
        "fence",
        fenced().and_then(|policy| Plan::new(policy, Layout::new(&[1])?)),
        expect!["`fence` is set, but no component owns its lease: name the owner, or set no fence"],
    );
    check(
        "fence",
        Layout::new(&[1, 2]).and_then(|layout| {
            Plan::new(Policy::default(), layout.with_lease_owner(ComponentId(2)))
        }),
        expect![
            "`fence` is not set, but component #2 owns a lease: set the fence, or name no owner"
        ],
    );
    check(
        "lease_owner",
        fenced().and_then(|policy| {
            Plan::new(
                policy,
                Layout::new(&[1, 2])?.with_lease_owner(ComponentId(3)),
            )
        }),
        expect!["`lease_owner` is #3, but there are only 3 components"],
    );
}

#[test]
fn a_layout_has_no_gaps_and_its_limits() {
    check(
        "stages",
        Layout::new(&[1, 0, 2]),
        expect![
            "`stages` is empty at stage 1, but every stage needs at least one component: leave the gap out"
        ],
    );
    check(
        "stages",
        Layout::new(&[1; Layout::MAX_STAGES + 1]),
        expect!["`stages` is 1001, but there may be at most 1000"],
    );
    assert!(Layout::new(&[1; Layout::MAX_STAGES]).is_ok());
    check(
        "components",
        Layout::new(&[1, Layout::MAX_COMPONENTS]),
        expect!["`components` is 16000001 or more, but there may be at most 16000000"],
    );
    check(
        "components",
        Layout::new(&[1, usize::MAX]),
        expect!["`components` is 18446744073709551615 or more, but there may be at most 16000000"],
    );
    let most = Layout::new(&[1, Layout::MAX_COMPONENTS - 1]).expect("as many as there may be");
    assert_eq!(most.components(), Layout::MAX_COMPONENTS);
    let nothing = Layout::new(&[]).expect("nothing to start is a layout too");
    assert_eq!((nothing.components(), nothing.stages()), (0, 0));
}

#[test]
fn stages_are_ranges_of_components() {
    let layout = Layout::new(&[2, 1, 3]).expect("no gaps");
    assert_eq!(
        [0, 1, 2, 3].map(|stage| layout.stage(stage)),
        [0..2, 2..3, 3..6, 0..0]
    );
    let stages = [0, 1, 2, 5, 6].map(|id| layout.stage_of(ComponentId(id)));
    assert_eq!(stages, [Some(0), Some(0), Some(1), Some(2), None]);
}

fn small(builder: PolicyBuilder) -> Policy {
    let tuning = Tuning::default()
        .with_backoff(ms(10))
        .with_max_hold_off(ms(1_000))
        .with_growth(3);
    builder
        .window(ms(100))
        .tuning(tuning)
        .build()
        .expect("a policy that works")
}

#[test]
fn the_hold_off_grows_with_the_level_up_to_its_cap() {
    let policy = small(Policy::builder());
    let hold_offs = |blame| [0, 1, 2, 3, 4, 5, u32::MAX].map(|level| policy.hold_off(level, blame));
    let in_ms = |hold_offs: [u64; 7]| hold_offs.map(ms);
    assert_eq!(
        hold_offs(Blame::Dependency),
        in_ms([0, 100, 300, 900, 1_000, 1_000, 1_000])
    );
    assert_eq!(
        hold_offs(Blame::Component),
        in_ms([0, 10, 30, 90, 270, 810, 1_000])
    );
}

#[test]
fn only_a_dependency_that_failed_needs_more_evidence() {
    let policy = small(Policy::builder());
    assert_eq!(policy.needed_evidence(0, Blame::Dependency), 1);
    assert_eq!(policy.needed_evidence(1, Blame::Dependency), 3);
    assert_eq!(policy.needed_evidence(9, Blame::Component), 1);
}

#[test]
fn the_stop_budget_sums_the_deadlines_of_all_stages() {
    assert_eq!(Policy::default().stop_budget(0), Duration::ZERO);
    assert_eq!(Policy::default().stop_budget(3), Duration::from_secs(36));
    let longest = Policy::builder()
        .stop_deadline(MAX_DURATION)
        .abort_deadline(MAX_DURATION);
    let longest = longest.build().expect("within bounds");
    assert_eq!(
        longest.stop_budget(Layout::MAX_STAGES),
        MAX_DURATION * 2_000
    );
}

#[test]
fn jitter_is_a_pure_function_within_its_bound() {
    let here = Tuning::default()
        .with_jitter(ms(500))
        .with_jitter_seed_from("node-7");
    let there = Tuning::default()
        .with_jitter(ms(500))
        .with_jitter_seed_from("node-8");
    let draws = |tuning: &Tuning| (0..10_000).map(|n| tuning.jitter_of(n)).collect::<Vec<_>>();
    assert_eq!(draws(&here), draws(&here.clone()));
    assert!(draws(&here).iter().all(|draw| *draw < ms(500)));
    let same = draws(&here)
        .iter()
        .zip(draws(&there))
        .filter(|&(a, b)| *a == b)
        .count();
    assert_eq!(same, 0, "two nodes must not come back in one instant");
    // Evenly spread: each tenth of the range gets its share of the 10 000 draws.
    for tenth in 0..10 {
        let range = ms(50 * tenth)..ms(50 * (tenth + 1));
        let share = draws(&here)
            .iter()
            .filter(|&&draw| range.start <= draw && draw < range.end)
            .count();
        assert!((850..1_150).contains(&share), "{share} draws in {range:?}");
    }
    let none = Tuning::default().with_jitter(Duration::ZERO);
    assert_eq!(none.jitter_of(7), Duration::ZERO);
    let longest = Tuning::default().with_jitter(MAX_DURATION);
    assert!(with_tuning(longest.clone()).is_ok());
    assert!((0..100).all(|n| longest.jitter_of(n) < MAX_DURATION));
    // One that would be refused, but nobody has checked it yet.
    let absurd = Tuning::default().with_jitter(Duration::MAX);
    assert!((0..100).all(|n| absurd.jitter_of(n) < MAX_DURATION));
}

/// Jitter is a pure function of seed and number on every platform and in every version. These are the
/// published outputs of FNV-1a and of SplitMix64 with the seed 0.
#[test]
fn jitter_is_the_same_everywhere_and_for_ever() {
    let named = |name| Tuning::default().with_jitter_seed_from(name);
    let seeded = |seed| Tuning::default().with_jitter_seed(seed);
    assert_eq!(named(""), seeded(0xcbf2_9ce4_8422_2325));
    assert_eq!(named("a"), seeded(0xaf63_dc4c_8601_ec8c));
    assert_eq!(named("foobar"), seeded(0x8594_4171_f739_67e8));
    let jitter = MAX_DURATION;
    let outputs = [
        0xe220_a839_7b1d_cdaf,
        0x6e78_9e6a_a1b9_65f4,
        0x06c4_5d18_8009_454f,
    ];
    for (number, output) in (1..).zip(outputs) {
        let nanos = (jitter.as_nanos() * output) >> 64;
        let expected = Duration::from_nanos(nanos as u64);
        assert_eq!(seeded(0).with_jitter(jitter).jitter_of(number), expected);
    }
    // A seed shifts the sequence: this one by one place.
    let shifted = seeded(0x9e37_79b9_7f4a_7c15).with_jitter(jitter);
    assert_eq!(
        shifted.jitter_of(0),
        seeded(0).with_jitter(jitter).jitter_of(1)
    );
}
