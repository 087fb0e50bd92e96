//! What the model makes of a clean run, of several faults at once, and of clusters that are not meant.

use super::*;

#[test]
fn while_a_start_depends_on_it_no_check_may_fail_even_once() {
    for kind in CheckKind::ALL {
        let election = |case: &mut Case| {
            case.probe_loop.model.asked(kind, case.at(20_000));
            case.fail(0, kind, no_leader(), 20_000, 20_010);
        };
        let mut running = Case::alive(config(["http://a"]));
        election(&mut running);
        assert_eq!(running.next(20_010), None, "{kind:?}: it may pass");

        let mut case = Case::alive(config(["http://a"]));
        case.probe_loop.model.prove(true);
        election(&mut case);
        let (class, text) = case.fails(20_010);
        assert_eq!(class, "no_leader", "{kind:?}");
        assert!(text.contains(" for 10.00ms (no leader)"), "{text}");
        assert_eq!(case.next(20_020), None, "told once");
        case.all_from(0, 20_100);
        case.lives(20_100);
    }
}

/// Or one member that is slow, or dies, would keep the service down.
#[test]
fn of_several_members_a_second_one_has_its_turn_before_a_clean_run_is_void() {
    for kind in CheckKind::ALL {
        let mut case = Case::alive(config(["http://a", "http://b"]));
        case.probe_loop.model.prove(true);
        case.probe_loop.model.asked(kind, case.at(20_000));
        case.fail(0, kind, no_leader(), 20_000, 20_010);
        assert_eq!(case.next(20_010), None, "{kind:?}");
        assert!(case.due(20_010).contains(&kind));
        case.fail(1, kind, no_leader(), 20_010, 20_020);
        assert_eq!(case.fails(20_020).0, "no_leader", "{kind:?}");

        let mut case = Case::alive(config(["http://a", "http://b"]));
        case.probe_loop.model.prove(true);
        case.read(0, 7, 19_990);
        case.lives(19_990);
        case.probe_loop.model.asked(kind, case.at(20_000));
        assert_eq!(case.next(21_999), None, "{kind:?}");
        assert!(case.probe_loop.model.wake_at(case.at(21_999)) <= case.at(22_000));
        case.fails(22_000);
    }
}

#[test]
fn what_was_forgiven_before_a_start_depended_on_it_stays_forgiven() {
    let mut case = Case::alive(config(["http://a"]));
    case.slow_read(20_000, 21_001);
    case.lives(21_001);
    case.probe_loop.model.prove(true);
    assert_eq!(case.next(21_002), None);
}

#[test]
fn only_the_begin_of_proving_forgives() {
    for proving in [true, false] {
        let mut case = Case::alive(config(["http://a", "http://b"]));
        // Of a start two slow answers of three are enough.
        let slow = if proving { 2 } else { 3 };
        case.probe_loop.model.prove(proving);
        for number in 1..=slow {
            assert_eq!(case.next(20_000 * number), None, "proving: {proving}");
            case.slow_read(20_000 * number, 20_000 * number + 1_001);
            // It is said once more, which changes nothing.
            case.probe_loop.model.prove(proving);
            if number < slow {
                case.lives(20_000 * number + 1_001);
            }
        }
        assert_eq!(case.fails(20_000 * slow + 1_001).0, "too_slow");
    }
}

#[test]
fn what_was_asked_before_it_is_demanded_proves_nothing() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    let before = CheckKind::ALL.map(|kind| case.asked(kind, 19_990));
    case.probe_loop.model.demand(case.at(20_000));
    let now = case.at(20_010);
    for (asked, answer) in before.into_iter().zip([
        Answer::Progress,
        Answer::Read(store(1, 7, 2)),
        Answer::Write,
    ]) {
        case.answered(0, asked, answer, now);
    }
    assert_eq!(case.next(20_010), None);
    case.all_from(1, 20_020);
    case.lives(20_020);
}

#[test]
fn a_late_look_at_a_spare_member_makes_nothing_slow() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    for at in [20_000, 21_500, 23_000] {
        let look = case
            .probe_loop
            .model
            .question(1, CheckKind::Read, true, case.at(at));
        case.answer(1, look, store(1, 7, 2), at + 1_400);
    }
    case.read(0, 7, 24_500);
    case.lives(24_500);
}

#[test]
fn what_this_process_slept_through_is_no_latency() {
    let mut case = Case::alive(config(["http://a"]));
    case.probe_loop.model.prove(true);
    let asked = case.asked(CheckKind::Read, 20_000);
    case.probe_loop.model.asked(CheckKind::Read, asked.at);
    case.probe_loop.model.excuse(ms(1_500), case.at(21_600));
    case.answer(0, asked, store(1, 7, 2), 21_600);
    case.lives(21_600);
}

#[test]
fn while_a_start_depends_on_it_no_check_may_be_slow_or_silent() {
    let mut case = Case::alive(config(["http://a"]));
    case.probe_loop.model.prove(true);
    case.slow_read(20_000, 21_001);
    assert_eq!(case.fails(21_001).0, "too_slow");

    let mut case = Case::alive(config(["http://a"]));
    case.probe_loop.model.prove(true);
    case.probe_loop
        .model
        .asked(CheckKind::Write, case.at(20_000));
    case.read(0, 7, 20_900);
    assert!(case.probe_loop.model.wake_at(case.at(20_900)) <= case.at(21_000));
    case.lives(20_999);
    let (class, text) = case.fails(21_000);
    assert_eq!(class, "write_path");
    assert!(text.contains("nothing was committed for 1.00s"), "{text}");
}

#[test]
fn before_it_was_alive_there_is_a_grace_period_also_where_a_start_depends_on_it() {
    let mut case = Case::new(config(["http://a"]));
    case.probe_loop.model.prove(true);
    case.opened(0, Some(1), case.t0);
    case.ask(0);
    case.fail(0, CheckKind::Read, no_leader(), 0, 10);
    assert_eq!(case.next(3_349), None);
    assert_eq!(case.fails(3_350).0, "no_leader");
}

#[test]
fn one_proposal_of_a_single_member_proves_no_disk() {
    let mut case = Case::alive(config(["http://a"]));
    case.probe_loop.model.demand(case.at(20_000));
    case.read(0, 7, 20_000);
    case.progress(0, 20_000);
    case.write(0, 20_000);
    assert!(
        case.due(20_000).contains(&CheckKind::Write),
        "once more, now"
    );
    assert_eq!(case.next(20_000), None);
    case.write(0, 20_010);
    assert!(!case.due(20_010).contains(&CheckKind::Write));
    // And while it runs, a read after each proposal tells whether that one hangs.
    assert!(case.due(20_010).contains(&CheckKind::Read));
    case.read(0, 7, 20_020);
    case.lives(20_020);

    let mut case = Case::alive(config(["http://a", "http://b"]));
    case.probe_loop.model.demand(case.at(20_000));
    case.all_from(0, 20_000);
    case.lives(20_000);
}

#[test]
fn debts_that_overlap_leave_no_longer_silence_than_is_promised() {
    let mut case = Case::alive(config(["http://a"]));
    case.probe_loop.model.asked(CheckKind::Read, case.at(1_400));
    case.probe_loop
        .model
        .asked(CheckKind::Write, case.at(2_000));
    case.read(0, 7, 4_000);
    assert!(
        case.due(4_000).contains(&CheckKind::Write),
        "what held it up is over"
    );
    assert_eq!(case.next(4_749), None);
    assert!(case.probe_loop.model.wake_at(case.at(4_000)) <= case.at(4_750));
    let (class, text) = case.fails(4_750);
    assert_eq!(class, "write_path");
    assert!(text.contains("nothing was committed for 2.75s"), "{text}");
}

#[test]
fn what_hangs_after_a_slow_answer_is_not_called_slow() {
    let mut case = Case::alive(config(["http://a"]));
    let asked = case.asked(CheckKind::Write, 20_000);
    case.probe_loop.model.asked(CheckKind::Write, asked.at);
    let answered_at = case.at(21_500);
    case.answered(0, asked, Answer::Write, answered_at);
    case.read(0, 7, 21_500);
    case.lives(21_500);
    case.probe_loop
        .model
        .asked(CheckKind::Write, case.at(28_000));
    case.read(0, 7, 31_000);
    assert_eq!(case.fails(31_350).0, "write_path");
}

#[test]
fn of_two_clusters_nothing_is_evidence_and_nothing_else_is_told() {
    let mut case = Case::new(config(["http://a", "http://b"]));
    case.opened(0, Some(1), case.t0);
    case.all_from(0, 0);
    case.lives(0);
    case.opened(1, Some(2), case.at(1_400));
    let (class, text) = case.fails(1_400);
    assert_eq!(class, "misdirected");
    assert!(
        text.contains("http://a:2379 is of cluster 1, http://b:2379 is of cluster 2. To do: "),
        "{text}"
    );
    case.probe_loop
        .model
        .asked(CheckKind::Write, case.at(2_000));
    let alarm = EtcdError::alarm(Fault::NoSpace, &[1]);
    case.fail(1, CheckKind::Write, alarm, 2_000, 2_000);
    for at in [2_900, 4_400, 60_000] {
        case.all_from(0, at);
        assert_eq!(case.fails(at).0, "misdirected", "at {at}");
    }
    // Nobody answers for the second one any more. What was answered meanwhile is no evidence.
    case.lost(1, refused(), case.at(60_010));
    assert_eq!(case.next(60_010), None);
    case.all_from(0, 60_020);
    case.lives(60_020);
}

/// At boot there is no window but this one.
#[test]
fn at_boot_one_of_two_clusters_is_accepted_when_it_was_alone_for_a_whole_window() {
    let mut case = Case::new(config(["http://a", "http://b"]));
    case.probe_loop.model.set_window(ms(5_000));
    case.opened(0, Some(2), case.t0);
    case.opened(1, Some(1), case.t0);
    assert_eq!(case.fails(0).0, "misdirected");
    case.lost(0, refused(), case.at(1_000));
    for at in (2_000..5_000).step_by(1_500) {
        case.all_from(1, at);
        let (class, text) = case.fails(at);
        assert_eq!(class, "misdirected", "at {at}");
        assert!(text.contains("have not agreed for 5s yet"), "{text}");
    }
    // The other one was seen again meanwhile.
    case.opened(0, Some(2), case.at(4_900));
    assert_eq!(case.fails(6_400).0, "misdirected");
    case.lost(0, refused(), case.at(6_500));
    case.all_from(1, 11_300);
    assert_eq!(case.fails(11_300).0, "misdirected");
    case.all_from(1, 11_400);
    case.lives(11_400);
}

#[test]
fn an_endpoint_that_another_client_saw_leading_to_another_cluster_is_told() {
    let mut case = Case::new(config(["http://a"]));
    case.opened(0, Some(1), case.t0);
    case.all_from(0, 0);
    case.lives(0);
    case.clusters.saw(0, 2, case.at(10));
    let (class, text) = case.fails(10);
    assert_eq!(class, "misdirected");
    assert!(
        text.contains("http://a:2379 is of cluster 2 and of cluster 1"),
        "{text}"
    );
}

#[test]
fn a_cluster_that_is_not_the_expected_one_is_told() {
    let mut case = Case::new(config(["http://a"]).with_expected_cluster(0x2f));
    case.opened(0, Some(1), case.t0);
    let (class, text) = case.fails(0);
    assert_eq!(class, "misdirected");
    assert!(
        text.contains("http://a:2379 is of cluster 1; expected is cluster 2f. To do: "),
        "{text}"
    );
    let mut case = Case::new(config(["http://a"]).with_expected_cluster(1));
    case.opened(0, Some(1), case.t0);
    case.all_from(0, 0);
    case.lives(0);
}

#[test]
fn what_most_members_say_is_the_class_and_a_server_goes_before_silence() {
    let class = |causes: &[EtcdError]| {
        let urls = ["http://a", "http://b", "http://c"];
        let config = Config::new(&urls[..causes.len()]);
        let mut case = Case::new(config);
        for (index, cause) in causes.iter().enumerate() {
            case.lost(index, cause.clone(), case.t0);
        }
        case.fails(0).0
    };
    assert_eq!(class(&[refused(), wrong(), refused()]), "unreachable");
    assert_eq!(class(&[wrong(), refused()]), "misdirected");
    assert_eq!(class(&[refused(), wrong()]), "misdirected");
    let denied = || EtcdError::sure(Fault::Unauthenticated, "wrong password");
    assert_eq!(class(&[denied(), refused(), denied()]), "unauthenticated");
}

#[test]
fn a_broken_connection_is_made_anew_before_anything_is_told() {
    let mut case = Case::alive(config(["http://a"]));
    case.probe_loop.model.asked(CheckKind::Read, case.at(1_400));
    case.fail(0, CheckKind::Read, EtcdError::closed(), 1_400, 1_500);
    assert_eq!(case.next(1_500), None, "it is open still");
    case.lost(0, refused(), case.at(1_510));
    assert_eq!(case.fails(1_510).0, "unreachable");
}

#[test]
fn each_check_is_credited_to_who_answered_it() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    case.read(0, 7, 9_000);
    case.progress(0, 9_000);
    case.write(1, 9_000);
    let evidence = case.lives(9_000);
    let (first, second) = evidence.split_once("; ").expect("two members");
    assert!(first.starts_with("http://a:2379 (member a): read at revision 7 in "));
    assert!(first.contains(", watch progress in "), "{evidence}");
    assert!(
        second.starts_with("http://b:2379 (member a): proposal in "),
        "{evidence}"
    );
}

/// Others forget it otherwise.
#[test]
fn what_is_open_is_shown_again_now_and_then() {
    let mut case = Case::new(config(["http://a", "http://b"]));
    case.opened(0, Some(1), case.t0);
    let often = case.config.timing.lately() / 4;
    let mut shows = |passed| case.probe_loop.model.shows(case.t0 + passed);
    assert_eq!(shows(often - ms(1)), []);
    assert_eq!(shows(often), [(0, 1)]);
    assert_eq!(shows(often + ms(1)), [], "just now");
    assert_eq!(shows(2 * often), [(0, 1)]);
    case.lost(0, refused(), case.at(20_000));
    assert_eq!(case.probe_loop.model.shows(case.at(60_000)), []);
}

/// What is to be told goes before.
#[test]
fn nothing_is_shown_while_a_reset_is_to_be_told() {
    let mut case = Case::alive(config(["http://a"]));
    case.read(0, 3, 60_000);
    assert_eq!(case.probe_loop.model.shows(case.at(60_000)), []);
    assert_eq!(case.fails(60_000).0, "store_reset");
    assert_eq!(case.probe_loop.model.shows(case.at(60_000)), [(0, 1)]);
}

#[test]
fn that_another_cluster_is_accepted_is_logged_once() {
    let mut case = Case::alive(config(["http://a"]));
    let starts = |case: &mut Case| {
        case.probe_loop.model.prove(true);
        case.probe_loop.model.prove(false);
        case.probe_loop.model.take_warnings()
    };
    assert_eq!(starts(&mut case), []);
    assert_eq!(starts(&mut case), []);
    case.lost(0, refused(), case.at(1_000));
    case.opened(0, Some(2), case.at(1_000));
    let asked = case.asked(CheckKind::Read, 1_000);
    case.answer(0, asked, store(2, 9, 2), 1_000);
    let (cluster, before) = (2, 1);
    assert_eq!(
        starts(&mut case),
        [HealthWarning::Accepted { cluster, before }]
    );
    assert_eq!(starts(&mut case), []);
}

/// Or a cluster that nobody meant would be the one that counts.
#[test]
fn another_cluster_is_accepted_only_at_the_end_of_proving() {
    let mut case = Case::alive(config(["http://a"]));
    case.lost(0, refused(), case.at(1_000));
    case.opened(0, Some(2), case.at(1_000));
    let asked = case.asked(CheckKind::Read, 1_000);
    case.answer(0, asked, store(2, 9, 2), 1_000);
    let model = &mut case.probe_loop.model;
    for proving in [false, true, true] {
        model.prove(proving);
        assert_eq!(model.take_warnings(), []);
    }
    model.prove(false);
    let (cluster, before) = (2, 1);
    let accepted = HealthWarning::Accepted { cluster, before };
    assert_eq!(model.take_warnings(), [accepted]);
}

/// Other clients and the endpoints may show it for a moment, e.g. while names change.
#[test]
fn two_clusters_that_are_tolerated_are_told_after_the_grace_period() {
    let config = config(["http://a", "http://b"]);
    let transient = config.with_verdict(Fault::Misdirected, Verdict::Transient);
    let mut case = Case::alive(transient);
    case.opened(1, Some(2), case.at(20_000));
    assert_eq!(case.next(20_000), None);
    assert_eq!(case.next(23_349), None);
    assert_eq!(case.fails(23_350).0, "misdirected");
}
