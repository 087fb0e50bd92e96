use super::*;

/// The knob of the policy that is refused, if one is.
fn refused(
    timing: Timing,
    verdict: Verdict,
    limit: Duration,
    threshold: u32,
) -> Option<&'static str> {
    let policy = Policy::builder()
        .silence_limit(limit)
        .trip_threshold(threshold)
        .build()
        .expect("a valid policy");
    let mut verdicts = Verdicts::default();
    verdicts.set(Fault::StoreReset, verdict);
    let fits = timing.fits(&policy, &verdicts);
    fits.err().map(|error| error.knob())
}

#[test]
fn a_silence_limit_must_be_longer_than_the_probe_may_be_silent() {
    for (timing, gap) in [
        (Timing::DEFAULT, 4_750),
        (Timing::FAST, 3_600),
        (Timing::GENTLE, 16_000),
    ] {
        let gap = Duration::from_millis(gap);
        assert_eq!(timing.longest_gap(), gap);
        let refused = |limit| refused(timing, Verdict::Certain, limit, 1);
        assert_eq!(
            refused(gap - Duration::from_millis(1)),
            Some("silence_limit")
        );
        assert_eq!(refused(gap), Some("silence_limit"));
        assert_eq!(refused(gap + Duration::from_millis(1)), None);
    }
}

#[test]
fn an_election_takes_three_election_timeouts_at_most_and_no_probe_reports_it() {
    let second = Duration::from_secs(1);
    for mut timing in [Timing::DEFAULT, Timing::FAST, Timing::GENTLE] {
        assert_eq!(timing.longest_election(), 3 * second);
        let grace_period = timing.read.grace_period.min(timing.write.grace_period);
        assert!(timing.longest_election() <= grace_period);
        timing.election_timeout = 5 * second;
        assert_eq!(timing.longest_election(), 15 * second);
        assert!(timing.check().is_err(), "it would report an election");
    }
}

#[test]
fn a_reset_that_is_told_once_must_be_enough_for_a_trip() {
    let limit = Duration::from_secs(60);
    for (verdict, threshold, knob) in [
        (Verdict::Certain, 1, None),
        (Verdict::Certain, 2, Some("trip_threshold")),
        (Verdict::Certain, 3, Some("trip_threshold")),
        (Verdict::Transient, 2, None),
        (Verdict::Fatal, 2, None),
    ] {
        let told = refused(Timing::DEFAULT, verdict, limit, threshold);
        assert_eq!(told, knob, "{verdict:?} {threshold}");
    }
    // Of two that are wrong, that one is told first.
    let both = refused(Timing::DEFAULT, Verdict::Certain, Duration::from_secs(1), 2);
    assert_eq!(both, Some("trip_threshold"));
}

#[test]
fn what_does_not_fit_is_said_with_what_to_do() {
    let policy = Policy::builder().silence_limit(Duration::from_secs(4));
    let policy = policy.build().expect("a valid policy");
    let error = Timing::DEFAULT.fits(&policy, &Verdicts::default());
    assert_eq!(
        error.expect_err("too short").to_string(),
        "`silence_limit` is 4s, but it must be longer than 4.75s, the shortest period and the \
         longest grace period of the probe: an election that the probe tolerates would count as silence"
    );
}

const NANO: Duration = Duration::from_nanos(1);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Each time at its lower bound.
fn least() -> Timing {
    Timing {
        progress: CheckTiming::new(100, 200),
        read: CheckTiming::new(100, 200),
        write: CheckTiming::new(1_000, 200),
        recheck: ms(100),
        latency_budget: ms(50),
        slow_answers: 1,
        request_timeout: ms(100),
        connect_timeout: ms(100),
        election_timeout: ms(50),
        reconnect: ms(100),
        spare_reconnect: ms(100),
        refused: ms(1_000),
        keepalive: ms(5_000),
        keepalive_timeout: ms(100),
    }
}

/// Each time at its upper bound.
fn most() -> Timing {
    let check = CheckTiming::new(600_000, 600_000);
    Timing {
        progress: check,
        read: check,
        write: check,
        recheck: ms(300_000),
        latency_budget: ms(15_000),
        slow_answers: 100,
        request_timeout: ms(30_000),
        connect_timeout: ms(30_000),
        election_timeout: ms(50_000),
        reconnect: ms(30_000),
        spare_reconnect: ms(600_000),
        refused: ms(600_000),
        keepalive: ms(600_000),
        keepalive_timeout: ms(30_000),
    }
}

/// The setting that is refused after this change, if one is.
fn refused_after(mut timing: Timing, change: impl FnOnce(&mut Timing)) -> Option<&'static str> {
    change(&mut timing);
    match timing.check() {
        Ok(()) => None,
        Err(
            EtcdConfigError::OutOfBounds { knob, .. } | EtcdConfigError::BadSetting { knob, .. },
        ) => Some(knob),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn each_time_is_taken_at_its_bounds_and_refused_beyond_them() {
    type Field = fn(&mut Timing) -> &mut Duration;
    assert_eq!(refused_after(least(), |_| {}), None);
    assert_eq!(refused_after(most(), |_| {}), None);
    // Each with the setting that is named if it is too short.
    let fields: [(&str, Field); 14] = [
        ("progress_interval", |timing| &mut timing.progress.every),
        ("read_interval", |timing| &mut timing.read.every),
        ("write_interval", |timing| &mut timing.write.every),
        ("request_timeout", |timing| &mut timing.request_timeout),
        ("connect_timeout", |timing| &mut timing.connect_timeout),
        ("reconnect_interval", |timing| &mut timing.reconnect),
        ("keepalive_timeout", |timing| &mut timing.keepalive_timeout),
        ("keepalive_interval", |timing| &mut timing.keepalive),
        ("spare_reconnect_interval", |timing| {
            &mut timing.spare_reconnect
        }),
        ("refused_interval", |timing| &mut timing.refused),
        ("election_timeout", |timing| &mut timing.election_timeout),
        ("latency_budget", |timing| &mut timing.latency_budget),
        ("recheck_interval", |timing| &mut timing.recheck),
        // The same time twice: a request is repeated within each grace period.
        ("recheck_interval", |timing| {
            &mut timing.progress.grace_period
        }),
    ];
    for (knob, field) in fields {
        let shorter = refused_after(least(), |timing| *field(timing) -= NANO);
        assert_eq!(shorter, Some(knob), "too short");
    }
    for (knob, field) in &fields[..13] {
        let longer = refused_after(most(), |timing| *field(timing) += NANO);
        assert_eq!(longer, Some(*knob), "too long");
    }
    let grace_periods: [(&str, Field); 3] = [
        ("progress_grace_period", |timing| {
            &mut timing.progress.grace_period
        }),
        ("read_grace_period", |timing| &mut timing.read.grace_period),
        ("write_grace_period", |timing| {
            &mut timing.write.grace_period
        }),
    ];
    for (knob, field) in grace_periods {
        let longer = refused_after(most(), |timing| *field(timing) += NANO);
        assert_eq!(longer, Some(knob), "too long");
    }
    for (timing, count) in [(least(), 0), (most(), 101)] {
        let told = refused_after(timing, |timing| timing.slow_answers = count);
        assert_eq!(told, Some("slow_answers"), "{count}");
    }
}

/// The times that are fine by themselves, and not together.
#[test]
fn a_time_that_depends_on_another_is_taken_up_to_that_one() {
    type Set = fn(&mut Timing, Duration);
    let table: [(&str, Duration, bool, Set); 9] = [
        // (setting that is refused, its last good value, whether more is too much, what sets it)
        ("recheck_interval", ms(1_400), true, |timing, at| {
            timing.recheck = at;
        }),
        ("recheck_interval", ms(500), true, |timing, at| {
            timing.recheck = at;
            timing.latency_budget = ms(50);
            timing.progress.grace_period = ms(1_000);
        }),
        ("latency_budget", ms(1_500), true, |timing, at| {
            timing.latency_budget = at;
        }),
        ("progress_grace_period", ms(2_000), false, |timing, at| {
            timing.progress.grace_period = at;
        }),
        ("read_grace_period", ms(3_000), false, |timing, at| {
            timing.read.grace_period = at;
            timing.request_timeout = ms(2_000);
        }),
        ("write_grace_period", ms(3_000), false, |timing, at| {
            timing.write.grace_period = at;
            timing.request_timeout = ms(2_000);
        }),
        ("read_grace_period", ms(3_350), true, |timing, at| {
            timing.request_timeout = at;
        }),
        ("read_grace_period", ms(3_350), true, |timing, at| {
            timing.connect_timeout = at;
        }),
        ("spare_reconnect_interval", ms(5_000), true, |timing, at| {
            timing.reconnect = at;
        }),
    ];
    for (row, (knob, last, more, set)) in table.into_iter().enumerate() {
        let told = |at| refused_after(Timing::DEFAULT, |timing| set(timing, at));
        let beyond = if more { last + NANO } else { last - NANO };
        assert_eq!((told(last), told(beyond)), (None, Some(knob)), "row {row}");
    }
}
