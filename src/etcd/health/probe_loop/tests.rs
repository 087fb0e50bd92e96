use core::ops::{Deref, DerefMut};

use super::*;
use crate::etcd::basics::{Fault, Verdicts};
use crate::etcd::client::Only;
use crate::etcd::health::answer::Store;

mod worlds;

const T0: Duration = Duration::from_secs(1_000);
const STORE: Store = Store {
    cluster_id: 1,
    revision: 7,
    term: 2,
    member_id: 10,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn refused() -> EtcdError {
    EtcdError::sure(Fault::Unreachable, "refused")
}

/// A probe_loop, and the clusters that the endpoints have shown.
struct Case {
    probe_loop: ProbeLoop,
    clusters: ClusterMap,
}

impl Case {
    fn happens(&mut self, index: usize, event: SubchannelEvent, now: Duration) -> Vec<Order> {
        self.probe_loop
            .happened(index, event, &mut self.clusters, now)
    }

    fn says(&mut self, now: Duration) -> Option<Conclusion> {
        self.probe_loop.next(&mut self.clusters, now)
    }

    /// The class of what fails, if anything does.
    fn fails(&mut self, now: Duration) -> Option<Fault> {
        match self.says(now) {
            Some(Conclusion::Failing { fault, .. }) => Some(fault),
            _ => None,
        }
    }

    fn is_alive(&mut self, now: Duration) -> bool {
        matches!(self.says(now), Some(Conclusion::Alive { .. }))
    }
}

impl Deref for Case {
    type Target = ProbeLoop;

    fn deref(&self) -> &ProbeLoop {
        &self.probe_loop
    }
}

impl DerefMut for Case {
    fn deref_mut(&mut self) -> &mut ProbeLoop {
        &mut self.probe_loop
    }
}

fn probe_loop(endpoints: usize) -> Case {
    let urls = ["http://a", "http://b", "http://c"];
    let urls = urls[..endpoints].iter().map(|&url| (url, false));
    let timing = Timing::DEFAULT;
    let model = HealthModel::new(urls, timing, Verdicts::default(), 1, T0);
    Case {
        probe_loop: ProbeLoop::new(model, &timing, None),
        clusters: ClusterMap::new(endpoints),
    }
}

/// All are open and answer reads, and nothing is owed.
fn working(endpoints: usize) -> Case {
    let mut probe_loop = probe_loop(endpoints);
    for index in 0..endpoints {
        probe_loop.happens(index, SubchannelEvent::Opened(Some(1)), T0);
        for kind in CheckKind::ALL {
            answers(&mut probe_loop, index, kind, T0);
        }
    }
    probe_loop
}

fn answers(probe_loop: &mut Case, index: usize, kind: CheckKind, now: Duration) {
    let asked = probe_loop.model.question(index, kind, false, now);
    let answer = match kind {
        CheckKind::Progress => Answer::Progress,
        CheckKind::Read => Answer::Read(STORE),
        CheckKind::Write => Answer::Write,
    };
    probe_loop.happens(index, SubchannelEvent::Answered(asked, answer), now);
}

fn subchannel(load: Option<[usize; 3]>) -> SubchannelState {
    SubchannelState {
        load,
        look_is_due: false,
        wake_at: None,
    }
}

fn idle(count: usize) -> Vec<SubchannelState> {
    vec![subchannel(Some([0; 3])); count]
}

/// What is to be done, in short.
fn told(orders: &[Order]) -> Vec<String> {
    let told = |order: &Order| match order {
        Order::Hurry(index) => format!("hurry {index}"),
        Order::AskStatus(index, asked) => format!("status {index} {:?}", asked.kind),
        Order::Ask(index, asked) if asked.look => format!("look {index} {:?}", asked.kind),
        Order::Ask(index, asked) => format!("ask {index} {:?}", asked.kind),
    };
    orders.iter().map(told).collect()
}

#[test]
fn a_read_stays_with_who_owes_least_and_a_proposal_goes_round() {
    let mut probe_loop = working(3);
    probe_loop.asked_last = [1, 2, 1];
    let pick = |probe_loop: &Case, kind, loads: [usize; 3]| {
        let loads = loads.map(|load| Some([load; 3]));
        probe_loop.pick(kind, &loads)
    };
    for (kind, loads, picked) in [
        (CheckKind::Progress, [0, 0, 0], Some(1)),
        (CheckKind::Read, [0, 0, 0], Some(2)),
        (CheckKind::Write, [0, 0, 0], Some(2)),
        (CheckKind::Read, [0, 0, 1], Some(0)),
        (CheckKind::Read, [2, 1, 2], Some(1)),
        (CheckKind::Read, [3, 3, 2], Some(2)),
        (CheckKind::Read, [3, 3, 3], None),
        (CheckKind::Write, [2, 3, 3], Some(0)),
        (CheckKind::Write, [3, 3, 3], None),
        // A watch tells its progress to one question at a time.
        (CheckKind::Progress, [0, 1, 1], Some(0)),
        (CheckKind::Progress, [1, 1, 1], None),
    ] {
        assert_eq!(pick(&probe_loop, kind, loads), picked, "{kind:?} {loads:?}");
    }
    // Without a connection nobody is asked.
    assert_eq!(
        probe_loop.pick(CheckKind::Read, &[None, Some([0; 3]), None]),
        Some(1)
    );
    assert_eq!(probe_loop.pick(CheckKind::Read, &[None; 3]), None);
    probe_loop.asked_last[CheckKind::Write as usize] = 2;
    assert_eq!(
        pick(&probe_loop, CheckKind::Write, [0, 0, 0]),
        Some(0),
        "round"
    );
}

#[test]
fn who_works_goes_before_who_does_not_and_who_may_before_who_surely_does_not() {
    let mut probe_loop = working(3);
    let all = [Some([0; 3]); 3];
    let fails = |probe_loop: &mut Case, index, cause| {
        let asked = probe_loop.model.question(index, CheckKind::Read, false, T0);
        probe_loop.happens(index, SubchannelEvent::Failed(asked, cause), T0);
    };
    fails(&mut probe_loop, 0, EtcdError::silent());
    assert_eq!(probe_loop.pick(CheckKind::Read, &all), Some(1));
    fails(&mut probe_loop, 1, EtcdError::silent());
    fails(&mut probe_loop, 2, EtcdError::silent());
    assert_eq!(probe_loop.pick(CheckKind::Read, &all), Some(0));
    let denied = EtcdError::sure(Fault::Permission, "denied");
    fails(&mut probe_loop, 0, denied);
    assert_eq!(probe_loop.pick(CheckKind::Read, &all), Some(1));
    // One that works, but owes an answer, comes after one that owes none.
    answers(&mut probe_loop, 2, CheckKind::Read, T0);
    assert_eq!(probe_loop.pick(CheckKind::Read, &all), Some(2));
    let owes = [Some([0; 3]), Some([0; 3]), Some([1; 3])];
    assert_eq!(probe_loop.pick(CheckKind::Read, &owes), Some(1));
}

#[test]
fn who_refuses_proposals_is_asked_for_one_last() {
    let mut probe_loop = working(2);
    let refuses = |probe_loop: &mut Case, index| {
        let asked = probe_loop
            .model
            .question(index, CheckKind::Write, false, T0);
        let cause = EtcdError::sure(Fault::Permission, "denied");
        probe_loop.happens(index, SubchannelEvent::Failed(asked, cause), T0);
    };
    refuses(&mut probe_loop, 1);
    let busy = [Some([2; 3]), Some([0; 3])];
    assert_eq!(probe_loop.pick(CheckKind::Write, &busy), Some(0));
    assert_eq!(
        probe_loop.pick(CheckKind::Read, &busy),
        Some(1),
        "reads are another matter"
    );
    let full = [Some([3; 3]), Some([0; 3])];
    assert_eq!(probe_loop.pick(CheckKind::Write, &full), Some(1));
}

#[test]
fn what_is_due_is_asked_of_one() {
    let mut probe_loop = working(2);
    probe_loop.asked_last = [0, 1, 1];
    let later = T0 + ms(60_000);
    let orders = probe_loop.asks(&idle(2), later);
    assert_eq!(
        told(&orders),
        ["ask 0 Progress", "ask 1 Read", "ask 0 Write"]
    );
    assert_eq!(probe_loop.asked_last, [0, 1, 0]);
    assert_eq!(told(&probe_loop.asks(&idle(2), later)), [] as [&str; 0]);
}

/// Where nobody is reached what is due is owed all the same.
#[test]
fn what_nobody_can_be_asked_is_owed_from_then_on() {
    let mut probe_loop = probe_loop(1);
    let nobody = [subchannel(None)];
    assert_eq!(told(&probe_loop.asks(&nobody, T0)), [] as [&str; 0]);
    let wake_at = probe_loop.wake_at(&nobody, T0);
    assert!(wake_at <= T0 + ms(500), "{wake_at:?}");
    assert!(matches!(
        probe_loop.says(T0 + ms(3_350)),
        Some(Conclusion::Failing { .. })
    ));
}

#[test]
fn where_an_answer_is_owed_for_long_all_are_asked_what_they_think() {
    let mut probe_loop = working(2);
    let now = T0 + ms(1_400);
    assert_eq!(told(&probe_loop.asks(&idle(2), now)), ["ask 0 Read"]);
    let owes = [subchannel(Some([0, 1, 0])), subchannel(Some([0; 3]))];
    assert_eq!(
        told(&probe_loop.asks(&owes, now + ms(999))),
        [] as [&str; 0]
    );
    let orders = probe_loop.asks(&owes, now + ms(1_000));
    let all = [
        "hurry 0",
        "status 0 Read",
        "hurry 1",
        "status 1 Read",
        "ask 1 Read",
    ];
    assert_eq!(told(&orders), all);
}

#[test]
fn who_does_not_work_is_looked_at_now_and_then() {
    let mut probe_loop = working(2);
    let due = |load| SubchannelState {
        look_is_due: true,
        ..subchannel(load)
    };
    assert_eq!(
        told(&probe_loop.asks(&[due(Some([0; 3])); 2], T0)),
        [] as [&str; 0],
        "both work"
    );
    let asked = probe_loop.model.question(1, CheckKind::Read, true, T0);
    probe_loop.happens(1, SubchannelEvent::Failed(asked, EtcdError::silent()), T0);
    for (state, looked) in [
        (due(Some([0; 3])), true),
        (due(Some([2, 0, 2])), true),
        (due(Some([0, 1, 0])), false),
        (due(None), false),
        (subchannel(Some([0; 3])), false),
    ] {
        let orders = probe_loop.asks(&[due(Some([0; 3])), state], T0);
        let expected: &[&str] = if looked { &["look 1 Read"] } else { &[] };
        assert_eq!(told(&orders), expected, "{state:?}");
    }
    // A read that it is asked anyhow is a look as well.
    let later = T0 + ms(1_400);
    let full = subchannel(Some([1, 3, 3]));
    let orders = probe_loop.asks(&[full, due(Some([1, 0, 3]))], later);
    assert_eq!(told(&orders), ["ask 1 Read"]);
}

#[test]
fn who_comes_is_looked_at_and_where_one_is_lost_the_others_are_hurried() {
    let mut probe_loop = probe_loop(3);
    for index in [1, 2] {
        let orders = probe_loop.happens(index, SubchannelEvent::Opened(Some(1)), T0);
        assert_eq!(told(&orders), [format!("look {index} Read")]);
    }
    // Nobody has worked yet.
    let lost = |probe_loop: &mut Case, index| {
        told(&probe_loop.happens(index, SubchannelEvent::Lost(refused()), T0))
    };
    assert_eq!(lost(&mut probe_loop, 2), [] as [&str; 0]);
    probe_loop.happens(2, SubchannelEvent::Opened(Some(1)), T0);
    answers(&mut probe_loop, 2, CheckKind::Read, T0);
    assert_eq!(lost(&mut probe_loop, 1), [] as [&str; 0]);
    assert_eq!(lost(&mut probe_loop, 2), ["hurry 0", "hurry 1"]);
    assert_eq!(lost(&mut probe_loop, 2), [] as [&str; 0], "once");
    probe_loop.happens(0, SubchannelEvent::Opened(Some(1)), T0);
    answers(&mut probe_loop, 0, CheckKind::Read, T0);
    let asked = probe_loop.model.question(0, CheckKind::Read, false, T0);
    let orders = probe_loop.happens(0, SubchannelEvent::Failed(asked, EtcdError::silent()), T0);
    assert_eq!(told(&orders), ["hurry 1", "hurry 2"]);
}

/// Of two clusters nothing that is answered is evidence, whichever check it is of.
#[test]
fn answers_while_the_endpoints_are_split_prove_nothing() {
    for split in [
        None,
        Some(CheckKind::Progress),
        Some(CheckKind::Read),
        Some(CheckKind::Write),
    ] {
        let mut probe_loop = probe_loop(1);
        probe_loop.happens(0, SubchannelEvent::Opened(Some(1)), T0);
        for kind in CheckKind::ALL {
            // Of a single member two proposals are wanted.
            for _ in 0..2 {
                let asked = probe_loop.model.question(0, kind, false, T0);
                let answer = match kind {
                    CheckKind::Progress => Answer::Progress,
                    CheckKind::Read => Answer::Read(STORE),
                    CheckKind::Write => Answer::Write,
                };
                if split == Some(kind) {
                    // Another client is led elsewhere.
                    probe_loop.clusters.saw(0, 2, T0);
                }
                probe_loop.happens(0, SubchannelEvent::Answered(asked, answer), T0);
                probe_loop.clusters.lost(0, 2);
            }
        }
        assert_eq!(probe_loop.is_alive(T0), split.is_none(), "{split:?}");
    }
}

fn read_of(cluster_id: u64) -> Answer {
    Answer::Read(Store {
        cluster_id,
        ..STORE
    })
}

/// Otherwise it would be taken for the answer of a store that was reset.
#[test]
fn what_an_answer_shows_is_held_against_the_others_before_it_counts() {
    let mut probe_loop = working(2);
    assert!(probe_loop.is_alive(T0));
    let asked = probe_loop.model.question(1, CheckKind::Read, false, T0);
    probe_loop.happens(1, SubchannelEvent::Answered(asked, read_of(2)), T0);
    assert_eq!(probe_loop.fails(T0), Some(Fault::Misdirected));
    // So is what a connection leads to.
    let mut probe_loop = working(2);
    probe_loop.happens(1, SubchannelEvent::Opened(Some(2)), T0);
    assert_eq!(probe_loop.fails(T0), Some(Fault::Misdirected));
}

/// What comes in the place of it stands beside nothing.
#[test]
fn what_a_lost_connection_led_to_is_forgotten_and_what_fails_on_one_that_is_kept_is_not() {
    for (is_lost, told) in [(true, Fault::StoreReset), (false, Fault::Misdirected)] {
        let mut probe_loop = working(1);
        assert!(probe_loop.is_alive(T0));
        let asked = probe_loop.model.question(0, CheckKind::Read, false, T0);
        probe_loop.happens(
            0,
            match is_lost {
                true => SubchannelEvent::Lost(EtcdError::silent()),
                false => SubchannelEvent::Failed(asked, EtcdError::silent()),
            },
            T0,
        );
        probe_loop.happens(0, SubchannelEvent::Opened(Some(2)), T0);
        let asked = probe_loop.model.question(0, CheckKind::Read, false, T0);
        probe_loop.happens(0, SubchannelEvent::Answered(asked, read_of(2)), T0);
        assert_eq!(probe_loop.fails(T0), Some(told));
    }
}

#[test]
fn an_answer_that_names_no_cluster_shows_none() {
    let mut probe_loop = probe_loop(1);
    probe_loop.happens(0, SubchannelEvent::Opened(None), T0);
    for answer in [Answer::Progress, Answer::Write] {
        let asked = probe_loop.model.question(0, CheckKind::Write, false, T0);
        probe_loop.happens(0, SubchannelEvent::Answered(asked, answer), T0);
    }
    assert_eq!(probe_loop.clusters.only(), Only::Nothing);
    probe_loop.happens(0, SubchannelEvent::Opened(Some(1)), T0);
    assert_eq!(probe_loop.clusters.only(), Only::One(1));
}

/// Nobody has answered here for long, but the connection is open.
#[test]
fn what_is_open_goes_on_showing_its_cluster_before_anything_is_told() {
    let mut probe_loop = working(2);
    probe_loop.happens(1, SubchannelEvent::Lost(refused()), T0);
    let later = T0 + ms(60_000);
    answers(&mut probe_loop, 0, CheckKind::Progress, later);
    // Another client reaches the other endpoint.
    probe_loop.clusters.saw(1, 2, later);
    assert_eq!(probe_loop.fails(later), Some(Fault::Misdirected));
}

#[test]
fn what_others_have_seen_counts_for_a_while() {
    let lately = Timing::DEFAULT.lately();
    for (passed, told) in [(lately - ms(1), Some(Fault::Misdirected)), (lately, None)] {
        let mut probe_loop = probe_loop(2);
        probe_loop.clusters.saw(1, 2, T0);
        probe_loop.happens(0, SubchannelEvent::Opened(Some(1)), T0 + passed);
        assert_eq!(probe_loop.fails(T0 + passed), told, "{passed:?}");
    }
}

#[test]
fn a_cluster_that_is_not_the_one_that_is_meant_is_told() {
    for (expected, told) in [
        (None, None),
        (Some(1), None),
        (Some(2), Some(Fault::Misdirected)),
    ] {
        let mut probe_loop = working(1);
        probe_loop.expected = expected;
        assert_eq!(probe_loop.fails(T0), told, "{expected:?}");
    }
}

#[test]
fn a_hurry_asks_everything_and_reaches_for_everybody() {
    let mut probe_loop = working(2);
    assert!(matches!(
        probe_loop.says(T0),
        Some(Conclusion::Alive { .. })
    ));
    answers(&mut probe_loop, 0, CheckKind::Read, T0 + ms(1_000));
    let orders = probe_loop.hurried(T0 + ms(1_000));
    assert_eq!(told(&orders), ["hurry 0", "hurry 1"]);
    assert_eq!(probe_loop.says(T0 + ms(1_000)), None, "not good enough");
    assert_eq!(probe_loop.asks(&idle(2), T0 + ms(1_000)).len(), 3);
}

#[test]
fn it_wakes_when_the_first_of_the_lanes_or_the_judge_has_something_to_do() {
    let probe_loop = working(2);
    let model = probe_loop.model.wake_at(T0);
    assert!(model > T0);
    let at = |wake_at| SubchannelState {
        wake_at,
        ..subchannel(None)
    };
    let wake_at = |subchannels: [Option<Duration>; 2]| probe_loop.wake_at(&subchannels.map(at), T0);
    assert_eq!(wake_at([None, None]), model);
    assert_eq!(wake_at([Some(model + ms(1)), None]), model);
    assert_eq!(wake_at([Some(T0 + ms(2)), Some(T0 + ms(1))]), T0 + ms(1));
    assert_eq!(wake_at([Some(T0 - ms(1)), None]), T0, "never in the past");
}

#[test]
fn waking_far_too_late_is_no_silence_of_etcds() {
    for (late, excused) in [(500, 0), (501, 501), (9_000, 9_000)] {
        let mut probe_loop = working(1);
        assert!(matches!(
            probe_loop.says(T0),
            Some(Conclusion::Alive { .. })
        ));
        probe_loop.model.asked(CheckKind::Read, T0);
        probe_loop.woken(T0 + ms(1_000), T0 + ms(1_000 + late));
        let told_at = T0 + ms(3_350 + excused);
        assert_eq!(probe_loop.says(told_at - ms(1)), None, "{late}");
        let said = probe_loop.says(told_at);
        assert!(
            matches!(said, Some(Conclusion::Failing { .. })),
            "{late}: {said:?}"
        );
    }
}

#[test]
fn it_goes_on_after_a_short_gap_on_the_same_runtime_and_begins_anew_otherwise() {
    let gap = Timing::DEFAULT.longest_gap();
    for (passed, same_runtime, goes_on) in [
        (ms(0), true, true),
        (gap - ms(1), true, true),
        (gap, true, false),
        (ms(0), false, false),
    ] {
        let mut probe_loop = working(1);
        probe_loop.model.asked(CheckKind::Read, T0);
        probe_loop.returns(T0 + ms(1_000));
        let now = T0 + ms(1_000) + passed;
        assert_eq!(probe_loop.resume(same_runtime, now), goes_on, "{passed:?}");
        // Nobody listened in between.
        let told_at = match goes_on {
            true => T0 + ms(3_350) + passed,
            false => now + ms(3_350),
        };
        if !goes_on {
            probe_loop.asks(&[subchannel(None)], now);
        }
        assert_eq!(probe_loop.says(told_at - ms(1)), None);
        let said = probe_loop.says(told_at);
        assert!(matches!(said, Some(Conclusion::Failing { .. })), "{said:?}");
        // A call that is dropped does not return.
        assert!(!probe_loop.resume(true, now));
    }
    assert!(!probe_loop(1).resume(true, T0), "the first call");
}

/// A call may have come to its end on the clients' thread just when one more was asked for.
#[test]
fn an_observation_from_before_one_was_asked_for_is_not_told_unless_it_is_failing() {
    for (is_failing, overtaken, told) in [
        (false, false, true),
        (false, true, false),
        (true, false, true),
        (true, true, true),
    ] {
        assert_eq!(may_be_told(is_failing, overtaken), told);
    }
}
