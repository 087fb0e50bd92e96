//! What it takes to be alive, who is asked for it, and when.

use super::*;

#[test]
fn evidence_of_several_checks_and_endpoints_is_one_observation_an_interval() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    for at in [10, 100, 690] {
        case.read(1, 7, at);
        case.progress(0, at);
        assert_eq!(case.next(at), None, "at {at}");
    }
    case.read(0, 7, 1_400);
    case.lives(1_400);
    case.write(1, 1_410);
    assert_eq!(case.next(1_410), None);
    // Nothing new, nothing to tell.
    assert_eq!(Case::alive(config(["http://a"])).next(2_000), None);
}

#[test]
fn all_checks_must_answer_before_it_is_alive() {
    let answers: [fn(&mut Case, u64); 3] = [
        |case, at| case.progress(0, at),
        |case, at| case.read(0, 7, at),
        |case, at| {
            // Of a single member two are wanted before a start.
            case.write(0, at);
            case.write(0, at);
        },
    ];
    for last in 0..3 {
        let others = || (0..3).filter(move |&check| check != last);
        // The first time.
        let mut case = Case::new(config(["http://a"]));
        case.opened(0, Some(1), case.t0);
        case.ask(0);
        others().for_each(|check| answers[check](&mut case, 10));
        assert_eq!(case.next(10), None);
        answers[last](&mut case, 20);
        case.lives(20);
        // After a failure.
        case.lost(0, refused(), case.at(1_000));
        case.fails(1_000);
        case.opened(0, Some(1), case.at(1_100));
        others().for_each(|check| answers[check](&mut case, 1_200));
        assert_eq!(case.next(1_200), None);
        answers[last](&mut case, 1_300);
        case.lives(1_300);
        // And when it is asked for.
        case.probe_loop.model.demand(case.at(2_000));
        assert_eq!(
            case.probe_loop
                .model
                .due(case.at(2_000))
                .collect::<Vec<_>>(),
            CheckKind::ALL,
            "each is asked now"
        );
        others().for_each(|check| answers[check](&mut case, 2_010));
        assert_eq!(case.next(2_010), None);
        answers[last](&mut case, 2_020);
        case.lives(2_020);
    }
}

#[test]
fn a_user_that_may_only_read_leaves_the_write_path_unchecked() {
    let mut case = Case::new(config(["http://a"]));
    case.opened(0, Some(1), case.t0);
    case.ask(0);
    case.read(0, 7, 0);
    case.progress(0, 0);
    let denied = || EtcdError::sure(Fault::Permission, "denied");
    case.fail(0, CheckKind::Write, denied(), 0, 10);
    let evidence = case.lives(10);
    assert!(evidence.ends_with("write path not checked"), "{evidence}");
    assert!(case.probe_loop.model.endpoints()[0].usable());
    // It is asked again, but seldom.
    assert!(!case.due(59_999).contains(&CheckKind::Write));
    assert!(case.due(60_000).contains(&CheckKind::Write));
    case.read(0, 7, 59_000);
    case.progress(0, 59_000);
    case.lives(59_000);
    // Rights can be given.
    case.write(0, 60_000);
    let evidence = case.lives(60_000);
    assert!(evidence.contains("proposal in 0.0ns"), "{evidence}");
}

#[test]
fn where_one_member_refuses_proposals_another_is_asked() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    case.read(1, 7, 1_400);
    case.read(0, 7, 1_400);
    case.lives(1_400);
    let denied = EtcdError::sure(Fault::Permission, "denied");
    case.probe_loop
        .model
        .asked(CheckKind::Write, case.at(8_000));
    case.fail(0, CheckKind::Write, denied, 8_000, 8_000);
    assert!(case.probe_loop.model.endpoints()[0].refuses());
    assert!(
        case.due(8_000).contains(&CheckKind::Write),
        "of the other one"
    );
    case.write(1, 8_010);
    case.read(0, 7, 8_010);
    let evidence = case.lives(8_010);
    assert!(evidence.contains("proposal in"), "{evidence}");
}

#[test]
fn a_user_that_may_not_even_read_is_refused_and_not_left_unchecked() {
    let mut case = Case::new(config(["http://a"]));
    case.opened(0, Some(1), case.t0);
    case.ask(0);
    case.progress(0, 0);
    let denied = || EtcdError::sure(Fault::Permission, "denied");
    case.fail(0, CheckKind::Write, denied(), 0, 0);
    assert_eq!(case.next(0), None);
    case.fail(0, CheckKind::Read, denied(), 0, 0);
    assert_eq!(case.fails(0).0, "permission");
}

#[test]
fn it_is_not_alive_while_a_check_owes_an_answer_beyond_the_budget() {
    for kind in CheckKind::ALL {
        let mut case = Case::alive(config(["http://a"]));
        case.probe_loop.model.asked(kind, case.at(20_000));
        let answer_others = |case: &mut Case, at| {
            for other in CheckKind::ALL.into_iter().filter(|&other| other != kind) {
                case.good(0, other, at);
            }
        };
        answer_others(&mut case, 20_999);
        case.lives(20_999);
        answer_others(&mut case, 22_000);
        assert_eq!(case.next(22_000), None, "{kind:?}");
        case.good(0, kind, 22_100);
        case.lives(22_100);
    }
}

/// Whatever happens, in any order.
#[test]
fn it_is_woken_in_the_future_and_within_the_shortest_period() {
    let presets = [
        config(["http://a", "http://b"]),
        config(["http://a", "http://b"]).fast(),
        config(["http://a", "http://b"]).gentle(),
    ];
    for (seed, config) in presets.into_iter().enumerate() {
        let every = config.timing.shortest_every();
        let mut case = Case::new(config);
        let mut random = Tuning::default().with_jitter(ms(1_000_000));
        random = random.with_jitter_seed(seed as u64);
        let mut at = 0;
        for step in 0..20_000 {
            let dice = random.jitter_of(step).as_micros() as u64;
            case.happens(dice, at);
            let now = case.at(at);
            let _ = case.next(at);
            case.ask(at);
            let wake_at = case.probe_loop.model.wake_at(now);
            assert!(wake_at > now, "step {step}: in the past");
            assert!(wake_at <= now + every, "step {step}: too far ahead");
            at += match dice % 7 {
                0 => (wake_at - now).as_millis() as u64,
                1 => 2_000,
                short => short * 20,
            };
        }
    }
}
