//! What the model makes of answers and failures, in all checks. The time is made up.

use super::*;
use crate::etcd::client::ClusterMap;
use crate::etcd::health::probe_loop::{Order, ProbeLoop, SubchannelEvent};

mod proving;
mod runs;

#[test]
fn certain_failures_of_all_endpoints_are_told_at_once() {
    let mut case = Case::new(config(["http://a", "http://b"]));
    case.lost(0, refused(), case.t0);
    assert_eq!(case.next(0), None);
    case.lost(1, EtcdError::closed(), case.t0);
    let (class, text) = case.fails(0);
    assert_eq!(class, "unreachable");
    assert!(
        text.starts_with(
            "etcd is unreachable: http://a:2379: refused; http://b:2379: the connection was closed"
        ),
        "{text}"
    );
}

#[test]
fn other_failures_are_told_after_the_patience_and_then_once_an_interval() {
    let mut case = Case::new(config(["http://a", "http://b"]));
    case.lost(0, refused(), case.t0);
    case.opened(1, Some(1), case.t0);
    case.ask(0);
    case.fail(1, CheckKind::Read, no_leader(), 0, 0);
    assert_eq!(case.next(3_349), None);
    let (class, text) = case.fails(3_350);
    assert_eq!(class, "no_leader");
    assert_eq!(
        text,
        "etcd has no leader or no quorum: no read was confirmed by a quorum for 3.35s (no leader); \
         http://a:2379: refused; http://b:2379: no leader. To do: bring back a majority of etcd's \
         members"
    );
    assert_eq!(case.next(4_749), None);
    case.fails(4_750);
    assert_eq!(case.next(4_760), None);
    // It goes on when everything is answered again, and not before.
    case.read(1, 7, 4_800);
    case.progress(1, 4_800);
    assert_eq!(case.next(4_800), None);
    case.write(1, 4_800);
    case.lives(4_800);
}

#[test]
fn a_second_look_is_taken_at_who_was_lost_before() {
    let mut case = Case::new(config(["http://a", "http://b"]));
    case.opened(1, Some(1), case.t0);
    case.lost(0, refused(), case.t0);
    case.all_from(1, 0);
    case.lives(0);
    // The one that worked is gone; the other was lost long ago, and may be back by now.
    case.lost(1, refused(), case.at(60_000));
    assert_eq!(case.next(60_000), None);
    case.lost(0, refused(), case.at(60_010));
    assert_eq!(case.fails(60_010).0, "unreachable");
}

#[test]
fn evidence_of_several_layers_and_endpoints_is_one_observation_an_interval() {
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
fn time_in_which_the_process_did_not_run_is_no_silence() {
    let mut case = Case::new(config(["http://a"]));
    case.ask(0);
    case.probe_loop.model.excuse(ms(10_000), case.at(10_500));
    assert_eq!(case.next(13_349), None);
    let (class, text) = case.fails(13_350);
    assert_eq!(class, "unreachable");
    assert!(text.contains("http://a:2379: no answer"), "{text}");
}

#[test]
fn a_freeze_buys_no_time_for_what_comes_after_it() {
    let mut case = Case::alive(config(["http://a"]));
    case.ask(59_900);
    case.probe_loop.model.excuse(ms(59_000), case.at(60_000));
    assert_eq!(case.next(63_349), None);
    case.fails(63_350);

    let mut case = Case::alive(config(["http://a"]));
    case.probe_loop.model.excuse(ms(59_000), case.at(59_000));
    case.ask(60_000);
    assert_eq!(case.next(63_349), None);
    case.fails(63_350);
}

/// Another one of the same check was answered before the freeze, so that nothing was owed when it was over.
#[test]
fn what_fails_after_a_freeze_is_owed_for_as_long_as_somebody_could_listen() {
    for (excused, failed_at, told_at) in [
        (0, 1_410, 4_750),
        (3_000, 4_410, 7_750),
        // Never from later on than it failed.
        (9_000, 4_410, 7_760),
    ] {
        let mut case = Case::alive(config(["http://a"]));
        let asked = case.asked(CheckKind::Read, 1_400);
        case.probe_loop.model.asked(CheckKind::Read, case.at(1_400));
        case.read(0, 7, 1_399);
        case.lives(1_401);
        let failed = case.at(failed_at);
        case.probe_loop.model.excuse(ms(excused), failed);
        case.event(
            0,
            SubchannelEvent::Failed(asked, EtcdError::silent()),
            failed,
        );
        assert_eq!(case.next(told_at - 1), None, "{excused}");
        assert_eq!(case.fails(told_at).0, "unreachable", "{excused}");
    }
}

#[test]
fn a_revision_that_goes_back_is_told_once() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    case.read(1, 7, 1_000);
    case.lives(1_000);
    let before = case.asked(CheckKind::Read, 1_900);
    case.answer(0, before, store(1, 3, 2), 2_000);
    let (class, text) = case.fails(2_000);
    assert_eq!(class, "store_reset");
    assert!(
        text.starts_with(
            "etcd's store was reset: http://a:2379: revision went back from 7 to 3. To do: "
        ),
        "{text}"
    );
    // The other endpoint was asked before, and is not held to the store of then.
    case.answer(1, before, store(1, 3, 2), 2_010);
    assert_eq!(case.next(2_010), None, "the other checks say nothing yet");
    case.progress(1, 2_020);
    case.write(1, 2_020);
    assert_eq!(case.next(2_020), None, "nor does what was asked before");
    case.read(1, 3, 2_020);
    case.lives(2_020);
    case.read(0, 4, 3_500);
    case.lives(3_500);
}

#[test]
fn a_term_that_goes_back_is_a_reset_too() {
    let mut case = Case::alive(config(["http://a"]));
    let asked = case.asked(CheckKind::Read, 1_000);
    case.answer(0, asked, store(1, 9, 1), 1_000);
    let (class, text) = case.fails(1_000);
    assert_eq!(class, "store_reset");
    assert!(text.contains("raft term went back from 2 to 1"), "{text}");
}

#[test]
fn answers_that_overtake_each_other_are_no_reset() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    let asked = case.asked(CheckKind::Read, 1_000);
    case.answer(1, asked, store(1, 9, 3), 1_010);
    case.answer(0, asked, store(1, 8, 2), 1_020);
    case.lives(1_020);
    // What is asked from now on is held to the furthest of them.
    let asked = case.asked(CheckKind::Read, 2_500);
    case.answer(0, asked, store(1, 9, 3), 2_500);
    case.lives(2_500);
    let asked = case.asked(CheckKind::Read, 4_000);
    case.answer(0, asked, store(1, 8, 3), 4_000);
    assert_eq!(case.fails(4_000).0, "store_reset");
}

#[test]
fn a_store_is_remembered_across_a_pause() {
    let mut case = Case::alive(config(["http://a"]));
    case.probe_loop.model.restart(case.at(60_000));
    assert_eq!(case.next(60_000), None);
    case.read(0, 6, 60_000);
    assert_eq!(case.fails(60_000).0, "store_reset");
}

#[test]
fn another_cluster_in_the_place_of_the_known_one_is_a_reset() {
    let mut case = Case::new(config(["http://a", "http://b"]));
    case.opened(0, Some(1), case.t0);
    case.all_from(0, 0);
    case.lives(0);
    case.lost(0, refused(), case.at(10));
    // Whichever endpoint shows it first: nobody answers for the known one any more.
    case.opened(1, Some(2), case.at(20));
    let asked = case.asked(CheckKind::Read, 20);
    case.answer(1, asked, store(2, 9, 2), 20);
    let (class, text) = case.fails(20);
    assert_eq!(class, "store_reset");
    assert!(
        text.contains("http://b:2379: the cluster is another one (2, and was 1)"),
        "{text}"
    );
    let asked = case.asked(CheckKind::Read, 40);
    case.answer(1, asked, store(2, 9, 2), 40);
    case.progress(1, 40);
    case.write(1, 40);
    case.lives(40);
}

/// Each class in the situation of the table at [`Fault`], with each verdict: when it is told, counted
/// from when it is seen, and that only [`Verdict::Fatal`] ends the run.
#[test]
fn each_class_is_told_as_its_verdict_says() {
    const AT_ONCE: Option<u64> = Some(0);
    const PATIENCE: Option<u64> = Some(3_350);
    let table = [
        (Fault::Unreachable, PATIENCE, AT_ONCE),
        (Fault::NoLeader, PATIENCE, PATIENCE),
        (Fault::WritePath, PATIENCE, PATIENCE),
        (Fault::NoSpace, PATIENCE, AT_ONCE),
        (Fault::Corrupt, PATIENCE, AT_ONCE),
        (Fault::StoreReset, None, AT_ONCE),
        (Fault::Unauthenticated, PATIENCE, AT_ONCE),
        (Fault::Permission, PATIENCE, AT_ONCE),
        // Three slow answers have taken their time already.
        (Fault::TooSlow, AT_ONCE, AT_ONCE),
        (Fault::Tls, PATIENCE, AT_ONCE),
        (Fault::Misdirected, PATIENCE, AT_ONCE),
    ];
    assert_eq!(table.map(|(fault, ..)| fault), Fault::ALL);
    for (fault, transient, certain) in table {
        for (verdict, told_after) in [
            (Verdict::Transient, transient),
            (Verdict::Certain, certain),
            (Verdict::Fatal, certain),
        ] {
            let what = format!("{fault:?} as {verdict:?}");
            let config = config(["http://a", "http://b"]).with_verdict(fault, verdict);
            let mut case = Case::alive(config);
            let since = case.strike(fault);
            let mut at = since;
            let told = loop {
                match case.next(at) {
                    Some(Conclusion::Failing {
                        fault: told,
                        fatal,
                        reason,
                    }) => {
                        assert_eq!(told, fault, "{what}: {reason}");
                        assert_eq!(fatal, verdict == Verdict::Fatal, "{what}");
                        assert!(reason.starts_with(&fault.to_string()), "{what}: {reason}");
                        assert!(reason.ends_with(fault.advice()), "{what}: {reason}");
                        break Some(at - since);
                    }
                    _ if at > since + 20_000 => break None,
                    _ => at += 10,
                }
                case.ask(at);
                // All but proposals is answered.
                let only_writes = [Fault::WritePath, Fault::NoSpace, Fault::Corrupt];
                if only_writes.contains(&fault) {
                    case.read(0, 7, at);
                    case.progress(0, at);
                }
                if fault == Fault::StoreReset {
                    case.all_of_the_new_store(at);
                }
            };
            assert_eq!(told, told_after, "{what}");
        }
    }
}

#[test]
fn a_store_reset_that_is_tolerated_is_evidence_like_any_other() {
    let config = config(["http://a"]).with_verdict(Fault::StoreReset, Verdict::Transient);
    let mut case = Case::alive(config);
    case.read(0, 3, 1_400);
    case.lives(1_400);
    case.read(0, 3, 2_800);
    case.lives(2_800);
}

#[test]
fn an_alarm_is_told_by_whichever_member_says_it_and_until_it_is_disarmed() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    case.ask(8_000);
    case.read(0, 7, 8_000);
    case.progress(0, 8_000);
    case.fail(
        1,
        CheckKind::Write,
        EtcdError::alarm(Fault::NoSpace, &[26]),
        8_000,
        8_010,
    );
    let (class, text) = case.fails(8_010);
    assert_eq!(class, "no_space");
    assert!(text.contains("alarm raised by member 1a"), "{text}");
    assert!(
        case.probe_loop.model.endpoints()[1].usable(),
        "the member serves reads"
    );
    assert_eq!(case.next(9_409), None);
    case.read(0, 7, 9_409);
    case.progress(0, 9_409);
    case.fails(9_410);
    case.write(0, 9_500);
    case.lives(9_500);
}

#[test]
fn three_slow_answers_in_a_row_are_too_slow() {
    let mut case = Case::alive(config(["http://a"]));
    for (asked_at, at) in [(1_400, 2_401), (2_801, 3_802)] {
        case.slow_read(asked_at, at);
        case.lives(at);
    }
    case.slow_read(4_202, 5_203);
    let (class, text) = case.fails(5_203);
    assert_eq!(class, "too_slow");
    assert_eq!(
        text,
        "etcd is too slow: a linearizable read took 1.0s, and 1s is the budget. To do: look at \
         etcd's network, disk and load"
    );
    // None of them ends it, a good one does.
    case.progress(0, 5_300);
    case.write(0, 5_300);
    case.slow_read(5_300, 6_500);
    assert_eq!(case.next(6_500), None);
    case.fails(6_603);
    case.read(0, 7, 6_700);
    case.lives(6_700);
}

#[test]
fn a_good_answer_in_between_begins_the_count_anew() {
    let mut case = Case::alive(config(["http://a"]));
    let mut at = 0;
    for _ in 0..4 {
        case.slow_read(at + 1_400, at + 2_500);
        case.slow_read(at + 2_500, at + 3_600);
        case.read(0, 7, at + 3_600);
        case.lives(at + 3_600);
        at += 3_600;
    }
}

#[test]
fn answers_that_waited_through_one_pause_together_are_late_once() {
    let mut case = Case::alive(config(["http://a"]));
    for asked_at in [1_400, 2_400, 2_900] {
        let asked = case.asked(CheckKind::Read, asked_at);
        case.probe_loop
            .model
            .asked(CheckKind::Read, case.at(asked_at));
        case.answer(0, asked, store(1, 7, 2), 4_000);
    }
    case.lives(4_000);
    case.slow_read(4_000, 5_100);
    case.lives(5_100);
    case.slow_read(5_100, 6_200);
    assert_eq!(case.fails(6_200).0, "too_slow");
}

#[test]
fn each_layer_counts_its_own_slow_answers() {
    let mut case = Case::alive(config(["http://a"]).with_slow_answers(1));
    let asked = case.asked(CheckKind::Write, 8_000);
    case.probe_loop
        .model
        .asked(CheckKind::Write, case.at(8_000));
    case.read(0, 7, 8_500);
    case.answered(0, asked, Answer::Write, case.at(9_001));
    let (class, text) = case.fails(9_001);
    assert_eq!(class, "too_slow");
    assert!(text.contains("a proposal took 1.0s"), "{text}");
}

#[test]
fn all_layers_must_answer_before_it_is_alive() {
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
fn it_is_not_alive_while_a_layer_owes_an_answer_beyond_the_budget() {
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

/// What the model is made of, as a configuration says it.
#[derive(Clone)]
struct Config {
    urls: Vec<String>,
    timing: Timing,
    verdicts: Verdicts,
    expected: Option<u64>,
}

impl Config {
    fn new<'a>(urls: impl IntoIterator<Item = &'a &'a str>) -> Self {
        let urls = urls.into_iter().map(|url| format!("{url}:2379"));
        Self {
            urls: urls.collect(),
            timing: Timing::DEFAULT,
            verdicts: Verdicts::default(),
            expected: None,
        }
    }

    fn fast(self) -> Self {
        Self {
            timing: Timing::FAST,
            ..self
        }
    }

    fn gentle(self) -> Self {
        Self {
            timing: Timing::GENTLE,
            ..self
        }
    }

    fn with_slow_answers(mut self, count: u32) -> Self {
        self.timing.slow_answers = count;
        self
    }

    fn with_verdict(mut self, fault: Fault, verdict: Verdict) -> Self {
        self.verdicts.set(fault, verdict);
        self
    }

    fn with_expected_cluster(self, id: u64) -> Self {
        Self {
            expected: Some(id),
            ..self
        }
    }
}

/// A model in its probe_loop, the clusters that the endpoints have shown, and a clock in milliseconds.
struct Case {
    probe_loop: ProbeLoop,
    config: Config,
    clusters: ClusterMap,
    t0: Duration,
}

impl Case {
    fn new(config: Config) -> Self {
        config.timing.check().expect("valid numbers");
        let t0 = Duration::from_secs(1_000);
        let endpoints = config.urls.iter().map(|url| (&**url, false));
        let model = HealthModel::new(endpoints, config.timing, config.verdicts.clone(), 1, t0);
        let clusters = ClusterMap::new(config.urls.len());
        Self {
            probe_loop: ProbeLoop::new(model, &config.timing, config.expected),
            config,
            clusters,
            t0,
        }
    }

    /// Something happened on the subchannel at `index`.
    fn event(&mut self, index: usize, event: SubchannelEvent, now: Duration) -> Vec<Order> {
        self.probe_loop
            .happened(index, event, &mut self.clusters, now)
    }

    fn opened(&mut self, index: usize, cluster: Option<u64>, now: Duration) {
        self.event(index, SubchannelEvent::Opened(cluster), now);
    }

    fn lost(&mut self, index: usize, cause: EtcdError, now: Duration) {
        self.event(index, SubchannelEvent::Lost(cause), now);
    }

    fn answered(&mut self, index: usize, asked: CheckRequest, answer: Answer, now: Duration) {
        self.event(index, SubchannelEvent::Answered(asked, answer), now);
    }

    /// All endpoints are open and answer, and that was told.
    fn alive(config: Config) -> Self {
        let mut case = Self::new(config);
        for index in 0..case.config.urls.len() {
            case.opened(index, Some(1), case.t0);
            case.all_from(index, 0);
        }
        case.lives(0);
        case
    }

    fn at(&self, at: u64) -> Duration {
        self.t0 + ms(at)
    }

    fn asked(&self, kind: CheckKind, at: u64) -> CheckRequest {
        self.probe_loop.model.question(0, kind, false, self.at(at))
    }

    fn due(&self, at: u64) -> Vec<CheckKind> {
        self.probe_loop.model.due(self.at(at)).collect()
    }

    /// Asks what is due.
    fn ask(&mut self, at: u64) {
        for kind in self.due(at) {
            self.probe_loop.model.asked(kind, self.at(at));
        }
    }

    fn answer(&mut self, index: usize, asked: CheckRequest, store: Store, at: u64) {
        let at = self.at(at);
        self.answered(index, asked, Answer::Read(store), at);
    }

    /// A read that is answered at once.
    fn read(&mut self, index: usize, revision: i64, at: u64) {
        let asked = self.asked(CheckKind::Read, at);
        self.answer(index, asked, store(1, revision, 2), at);
    }

    /// A read that is answered beyond the budget.
    fn slow_read(&mut self, asked_at: u64, at: u64) {
        let asked = self.asked(CheckKind::Read, asked_at);
        self.probe_loop
            .model
            .asked(CheckKind::Read, self.at(asked_at));
        self.answer(0, asked, store(1, 7, 2), at);
    }

    fn progress(&mut self, index: usize, at: u64) {
        let asked = self.asked(CheckKind::Progress, at);
        let at = self.at(at);
        self.answered(index, asked, Answer::Progress, at);
    }

    fn write(&mut self, index: usize, at: u64) {
        let asked = self.asked(CheckKind::Write, at);
        let at = self.at(at);
        self.answered(index, asked, Answer::Write, at);
    }

    fn good(&mut self, index: usize, kind: CheckKind, at: u64) {
        match kind {
            CheckKind::Progress => self.progress(index, at),
            CheckKind::Read => self.read(index, 7, at),
            CheckKind::Write => self.write(index, at),
        }
    }

    fn all_from(&mut self, index: usize, at: u64) {
        for kind in CheckKind::ALL {
            self.good(index, kind, at);
        }
    }

    fn all_of_the_new_store(&mut self, at: u64) {
        self.read(0, 3, at);
        self.progress(0, at);
        self.write(0, at);
    }

    fn fail(&mut self, index: usize, kind: CheckKind, cause: EtcdError, asked_at: u64, at: u64) {
        let asked = self.asked(kind, asked_at);
        let at = self.at(at);
        self.event(index, SubchannelEvent::Failed(asked, cause), at);
    }

    fn next(&mut self, at: u64) -> Option<Conclusion> {
        self.next_now(self.at(at))
    }

    fn next_now(&mut self, now: Duration) -> Option<Conclusion> {
        self.probe_loop.next(&mut self.clusters, now)
    }

    /// It is alive, and the evidence.
    fn lives(&mut self, at: u64) -> String {
        match self.next(at) {
            Some(Conclusion::Alive { evidence }) => evidence,
            other => panic!("not alive at {at}: {other:?}"),
        }
    }

    /// It is failing: the class, and the reason.
    fn fails(&mut self, at: u64) -> (&'static str, String) {
        match self.next(at) {
            Some(Conclusion::Failing { fault, reason, .. }) => (fault.as_str(), reason),
            other => panic!("not failing at {at}: {other:?}"),
        }
    }

    /// Brings about what the table at [`Fault`] says of a class, and tells when it could be seen
    /// first.
    fn strike(&mut self, fault: Fault) -> u64 {
        let since = 20_000;
        self.all_from(0, since);
        self.all_from(1, since);
        self.lives(since);
        for kind in CheckKind::ALL {
            self.probe_loop.model.asked(kind, self.at(since));
        }
        match fault {
            Fault::Unreachable | Fault::Unauthenticated | Fault::Tls | Fault::Misdirected => {
                for index in [0, 1, 0] {
                    let cause = EtcdError::sure(fault, "beyond doubt");
                    self.lost(index, cause, self.at(since));
                }
            }
            Fault::Permission => {
                // The first is looked at again, since the second worked until then.
                for index in [0, 1, 0] {
                    let cause = EtcdError::sure(fault, "permission denied");
                    self.fail(index, CheckKind::Read, cause, since, since);
                }
            }
            Fault::NoLeader => {
                for index in [0, 1] {
                    self.fail(index, CheckKind::Read, no_leader(), since, since);
                }
            }
            Fault::WritePath => {
                self.read(0, 7, since);
                self.progress(0, since);
            }
            Fault::NoSpace | Fault::Corrupt => {
                self.read(0, 7, since);
                self.progress(0, since);
                self.fail(
                    0,
                    CheckKind::Write,
                    EtcdError::alarm(fault, &[1]),
                    since,
                    since,
                );
            }
            Fault::StoreReset => {
                self.all_of_the_new_store(since);
            }
            Fault::TooSlow => {
                let until = since + 3_300;
                for asked_at in (since..until).step_by(1_100) {
                    self.slow_read(asked_at, asked_at + 1_100);
                }
                self.progress(0, until);
                self.write(0, until);
                return until;
            }
        }
        since
    }

    /// One of the things that can happen.
    fn happens(&mut self, dice: u64, at: u64) {
        let (what, index) = (dice / 7 % 16, (dice / 112 % 2) as usize);
        let kind = CheckKind::ALL[(dice / 224 % 3) as usize];
        let now = self.at(at);
        let asked_at = at.saturating_sub(dice / 672 % 3_000);
        let asked = self.asked(kind, asked_at);
        match what {
            0 => self.opened(index, Some(1), now),
            1 => self.lost(index, refused(), now),
            2 => self.lost(index, EtcdError::silent(), now),
            3 => self.fail(index, kind, no_leader(), asked_at, at),
            4 => self.fail(index, kind, EtcdError::silent(), asked_at, at),
            5 => {
                let denied = EtcdError::sure(Fault::Permission, "denied");
                self.fail(index, CheckKind::Write, denied, asked_at, at);
            }
            6 => {
                let alarm = EtcdError::alarm(Fault::NoSpace, &[1]);
                self.fail(index, CheckKind::Write, alarm, asked_at, at);
            }
            7 => self.probe_loop.model.demand(now),
            8 => self.probe_loop.model.excuse(ms(asked_at % 5_000), now),
            9 => self.probe_loop.model.restart(now),
            10 => self.answer(index, asked, store(1, 1, 2), at),
            11 => {
                let answer = match kind {
                    CheckKind::Progress => Answer::Progress,
                    CheckKind::Read => Answer::Read(store(1, 7, 2)),
                    CheckKind::Write => Answer::Write,
                };
                self.answered(index, asked, answer, now);
            }
            12 => {
                let leader = dice.is_multiple_of(2);
                self.answered(index, asked, Answer::Status { leader }, now);
            }
            13 => self.probe_loop.model.looked(now),
            _ => self.good(index, kind, at),
        }
    }
}

fn config<const N: usize>(endpoints: [&str; N]) -> Config {
    Config::new(&endpoints)
}

fn store(cluster_id: u64, revision: i64, term: u64) -> Store {
    Store {
        cluster_id,
        revision,
        term,
        member_id: 10,
    }
}

fn refused() -> EtcdError {
    EtcdError::sure(Fault::Unreachable, "refused")
}

fn wrong() -> EtcdError {
    EtcdError::sure(Fault::Misdirected, "no etcd")
}

fn no_leader() -> EtcdError {
    EtcdError::passing(Fault::NoLeader, "no leader")
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
