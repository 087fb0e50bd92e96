use proptest::prelude::*;

use super::*;
use crate::etcd::health::{Baseline, Store};

const T0: Duration = Duration::from_secs(1_000);
const STORE: Store = Store {
    cluster_id: 1,
    revision: 1,
    term: 1,
    member_id: 1,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn asked(kind: CheckKind, at: Duration) -> CheckRequest {
    CheckRequest {
        kind,
        at,
        baseline: Baseline::default(),
        excused: Duration::ZERO,
        look: false,
    }
}

fn refused() -> EtcdError {
    EtcdError::sure(Fault::Unreachable, "refused")
}

fn turned_away() -> EtcdError {
    EtcdError::sure(Fault::Unauthenticated, "wrong password")
}

/// One that is opened at this moment.
fn open(now: Duration) -> Reconnect {
    let mut reconnect = Reconnect::new(&Timing::DEFAULT, now);
    reconnect.opening(now);
    reconnect.opened();
    reconnect
}

fn kept(reply: Reply) -> bool {
    match reply {
        Reply::Failed { kept, .. } => kept,
        other => panic!("{other:?}"),
    }
}

/// What a failed question is said to be, and whether the connection is kept.
fn fails(
    reconnect: &mut Reconnect,
    kind: CheckKind,
    at: Duration,
    cause: EtcdError,
    now: Duration,
) -> Reply {
    reconnect.replied(&asked(kind, at), false, Err(cause), now)
}

#[test]
fn an_attempt_is_made_at_once_and_then_after_pauses_that_grow_to_a_bound() {
    let mut reconnect = Reconnect::new(&Timing::DEFAULT, T0);
    let mut now = T0;
    for pause in [100, 200, 300, 300] {
        assert!(reconnect.is_due(now) && !reconnect.is_due(now - ms(1)));
        assert_eq!(reconnect.next_at(), now);
        reconnect.opening(now);
        // Refused a little later: it counts from when it began.
        reconnect.not_opened(&refused(), false, now + ms(7));
        now += ms(pause);
    }
    assert_eq!(reconnect.next_at(), now);
    // One that is silent for longer than the pause is followed at once, and not before.
    reconnect.opening(now);
    reconnect.not_opened(&EtcdError::silent(), false, now + ms(2_000));
    assert_eq!(reconnect.next_at(), now + ms(2_000));
    // After a success the pauses begin anew.
    now += ms(2_000);
    reconnect.opening(now);
    reconnect.opened();
    now += ms(5_000);
    reconnect.closed(EtcdError::closed(), now);
    assert_eq!(reconnect.next_at(), now);
    reconnect.opening(now);
    reconnect.not_opened(&refused(), false, now);
    assert_eq!(reconnect.next_at(), now + ms(100));
}

#[test]
fn a_server_that_turns_us_away_is_left_alone_for_longer() {
    for (cause, longest) in [
        (refused(), 300),
        (EtcdError::silent(), 300),
        (EtcdError::passing(Fault::Unauthenticated, "old"), 300),
        (turned_away(), 500),
        (EtcdError::sure(Fault::Tls, "no"), 500),
    ] {
        let mut reconnect = Reconnect::new(&Timing::DEFAULT, T0);
        for _ in 0..9 {
            reconnect.opening(T0);
            reconnect.not_opened(&cause, false, T0);
        }
        assert_eq!(reconnect.next_at(), T0 + ms(longest), "{cause:?}");
    }
}

#[test]
fn where_others_answer_it_can_wait_until_it_is_needed() {
    let mut reconnect = Reconnect::new(&Timing::DEFAULT, T0);
    for (pause, urgent) in [(100, 100), (200, 200), (400, 300), (800, 300)] {
        reconnect.opening(T0);
        reconnect.not_opened(&refused(), true, T0);
        assert_eq!(reconnect.next_at(), T0 + ms(pause));
        let mut hurried = Reconnect { ..reconnect };
        hurried.hurry();
        assert_eq!(hurried.next_at(), T0 + ms(urgent));
        reconnect = Reconnect { ..hurried };
    }
    for _ in 0..20 {
        reconnect.opening(T0);
        reconnect.not_opened(&turned_away(), true, T0);
    }
    assert_eq!(reconnect.next_at(), T0 + ms(5_000));
    reconnect.hurry();
    reconnect.hurry();
    assert_eq!(
        reconnect.next_at(),
        T0 + ms(500),
        "no sooner than it may be"
    );
    // The longer of the two bounds, where the numbers are odd.
    let timing = Timing {
        spare_reconnect: ms(300),
        ..Timing::DEFAULT
    };
    let mut reconnect = Reconnect::new(&timing, T0);
    for _ in 0..20 {
        reconnect.opening(T0);
        reconnect.not_opened(&turned_away(), true, T0);
    }
    assert_eq!(reconnect.next_at(), T0 + ms(500));
}

#[test]
fn what_breaks_soon_is_made_anew_at_once_the_first_time_only() {
    let mut now = T0;
    let mut reconnect = open(now);
    for pause in [0, 100, 200, 400, 500, 500] {
        now += FRESH - ms(1);
        let cause = reconnect.closed(EtcdError::closed(), now);
        assert!(!cause.sure, "it may be made again");
        assert_eq!(reconnect.next_at(), now + ms(pause));
        reconnect.hurry();
        assert_eq!(reconnect.next_at(), now + ms(pause), "no hurry helps");
        now += ms(pause);
        reconnect.opening(now);
        reconnect.opened();
    }
    // One that lasted ends that.
    now += FRESH;
    reconnect.closed(EtcdError::closed(), now);
    assert_eq!(reconnect.next_at(), now);
    reconnect.hurry();
    assert_eq!(reconnect.next_at(), now);
    reconnect.opening(now);
    reconnect.opened();
    reconnect.closed(EtcdError::closed(), now);
    assert_eq!(reconnect.next_at(), now, "the first again");
    reconnect.opening(now);
    reconnect.opened();
    reconnect.closed(EtcdError::closed(), now);
    assert_eq!(reconnect.next_at(), now + ms(100));
}

/// A member may have restarted, a token may have run out.
#[test]
fn what_a_server_says_is_final_only_on_a_new_connection() {
    for (after, cause, sure) in [
        (FRESH - ms(1), turned_away(), true),
        (FRESH, turned_away(), false),
        (FRESH - ms(1), EtcdError::closed(), false),
        (FRESH, EtcdError::closed(), false),
    ] {
        let told = open(T0).closed(cause.clone(), T0 + after);
        assert_eq!(told.sure, sure, "{cause:?} after {after:?}");
        let mut reconnect = open(T0);
        let reply = fails(
            &mut reconnect,
            CheckKind::Read,
            T0,
            cause.clone(),
            T0 + after,
        );
        let failed = Reply::Failed {
            cause: EtcdError { sure, ..cause },
            kept: false,
        };
        assert_eq!(reply, failed);
        assert_eq!(reconnect.next_at(), T0 + after);
    }
}

#[test]
fn a_connection_is_kept_where_another_one_would_not_help() {
    let silent = EtcdError::silent;
    let passing = |fault| EtcdError::passing(fault, "why");
    for (cause, read, write) in [
        (EtcdError::closed(), false, false),
        (silent(), false, true),
        (passing(Fault::NoLeader), true, true),
        (passing(Fault::TooSlow), true, true),
        (EtcdError::sure(Fault::NoSpace, "full"), true, true),
        (EtcdError::sure(Fault::Permission, "denied"), true, true),
        (turned_away(), false, false),
        (passing(Fault::Unauthenticated), false, false),
        (passing(Fault::Misdirected), false, false),
        (passing(Fault::Tls), false, false),
    ] {
        for (kind, expected) in [
            (CheckKind::Read, read),
            (CheckKind::Progress, read),
            (CheckKind::Write, write),
        ] {
            let mut reconnect = open(T0);
            let at = T0 + ms(10);
            let reply = fails(&mut reconnect, kind, at, cause.clone(), at + ms(3_000));
            assert_eq!(kept(reply), expected, "{kind:?} {cause:?}");
            let closed = if expected { T0 } else { at + ms(3_000) };
            assert_eq!(reconnect.next_at(), closed, "{kind:?} {cause:?}");
        }
    }
}

#[test]
fn one_that_is_silent_is_kept_if_it_was_heard_after_the_question() {
    let at = T0 + ms(1_000);
    for (heard_at, expected) in [(at - ms(1), false), (at, false), (at + ms(1), true)] {
        let mut reconnect = open(T0);
        reconnect.heard(heard_at);
        let reply = fails(
            &mut reconnect,
            CheckKind::Progress,
            at,
            EtcdError::silent(),
            at + ms(3_000),
        );
        assert_eq!(kept(reply), expected, "{heard_at:?}");
        // Any answer is a sign of life.
        let mut reconnect = open(T0);
        let answer = Ok(Answer::Status { leader: true });
        reconnect.replied(&asked(CheckKind::Read, T0), true, answer, heard_at);
        let reply = fails(
            &mut reconnect,
            CheckKind::Read,
            at,
            EtcdError::silent(),
            at + ms(3_000),
        );
        assert_eq!(kept(reply), expected, "{heard_at:?}");
    }
}

#[test]
fn the_first_read_that_is_refused_is_looked_at_again() {
    let denied = || EtcdError::sure(Fault::Permission, "denied");
    let mut reconnect = open(T0);
    let refusal = |reconnect: &mut Reconnect, kind| match fails(reconnect, kind, T0, denied(), T0) {
        Reply::Failed { cause, kept: true } => cause.sure,
        other => panic!("{other:?}"),
    };
    assert!(
        refusal(&mut reconnect, CheckKind::Write),
        "a proposal may be refused"
    );
    assert!(!refusal(&mut reconnect, CheckKind::Read));
    assert!(refusal(&mut reconnect, CheckKind::Read));
    for answer in [Answer::Write, Answer::Status { leader: true }] {
        reconnect.replied(&asked(CheckKind::Write, T0), false, Ok(answer), T0);
        assert!(
            refusal(&mut reconnect, CheckKind::Read),
            "no read was answered"
        );
    }
    let read = Answer::Read(STORE);
    let reply = reconnect.replied(&asked(CheckKind::Read, T0), false, Ok(read), T0);
    assert_eq!(reply, Reply::Answered(read));
    assert!(!refusal(&mut reconnect, CheckKind::Read), "the first again");
}

#[test]
fn what_a_member_thinks_of_itself_breaks_nothing() {
    let leaderless = EtcdError::passing(Fault::NoLeader, "no leader");
    let mut reconnect = open(T0);
    let mut status = |cause| reconnect.replied(&asked(CheckKind::Read, T0), true, Err(cause), T0);
    let none = Reply::Answered(Answer::Status { leader: false });
    assert_eq!(status(leaderless), none);
    for cause in [EtcdError::silent(), EtcdError::closed(), turned_away()] {
        assert_eq!(status(cause), Reply::Nothing);
    }
    assert_eq!(reconnect.next_at(), T0, "it is open still");
}

#[test]
fn an_answer_is_given_up_after_the_timeout_from_the_question() {
    let reconnect = open(T0);
    let at = T0 + ms(500);
    assert_eq!(reconnect.overdue_at(at), at + ms(3_000));
    assert!(!reconnect.is_overdue(at, at + ms(2_999)));
    assert!(reconnect.is_overdue(at, at + ms(3_000)));
}

#[test]
fn a_look_is_taken_now_and_then() {
    let mut reconnect = open(T0);
    let look = |kind, at| CheckRequest {
        look: true,
        ..asked(kind, at)
    };
    assert!(!reconnect.look_is_due(T0 + ms(4_999)));
    assert!(reconnect.look_is_due(T0 + ms(5_000)));
    reconnect.asked(&look(CheckKind::Read, T0 + ms(100)));
    // What is asked anyhow is no look, nor is one at something else.
    reconnect.asked(&asked(CheckKind::Read, T0 + ms(4_000)));
    reconnect.asked(&look(CheckKind::Write, T0 + ms(4_000)));
    assert!(!reconnect.look_is_due(T0 + ms(5_099)));
    assert!(reconnect.look_is_due(T0 + ms(5_100)));
}

#[derive(Clone, Debug)]
enum Happens {
    /// The attempt takes so long, and fails so.
    NotOpened(u64, bool, bool),
    /// It is opened, and lost so long after.
    Lost(u64, bool),
    Hurry,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        (0_u64..3_000, any::<bool>(), any::<bool>()).prop_map(|(took, away, calm)| {
            Happens::NotOpened(took % 300 * (took % 11), away, calm)
        }),
        (0_u64..4_000, any::<bool>()).prop_map(|(lasted, away)| Happens::Lost(lasted, away)),
        Just(Happens::Hurry),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the other side does, and however much it is hurried.
    #[test]
    fn pauses_have_a_bound_and_attempts_never_follow_each_other_without_one(
        happens in prop::collection::vec(happens(), 1..200),
    ) {
        let mut reconnect = Reconnect::new(&Timing::DEFAULT, T0);
        let mut now = T0;
        let mut attempts = Vec::new();
        for event in happens {
            if matches!(event, Happens::Hurry) {
                let before = reconnect.next_at();
                reconnect.hurry();
                prop_assert!(reconnect.next_at() <= before);
                continue;
            }
            let longest = Timing::DEFAULT.spare_reconnect;
            prop_assert!(reconnect.next_at() <= now + longest, "a pause beyond its bound");
            now = now.max(reconnect.next_at());
            attempts.push(now);
            reconnect.opening(now);
            let cause = |away| if away { turned_away() } else { refused() };
            match event {
                Happens::NotOpened(took, away, calm) => {
                    now += ms(took);
                    reconnect.not_opened(&cause(away), calm, now);
                }
                Happens::Lost(lasted, away) => {
                    reconnect.opened();
                    now += ms(lasted);
                    reconnect.closed(cause(away), now);
                }
                Happens::Hurry => {}
            }
            prop_assert!(reconnect.next_at() >= now, "in the past");
        }
        // Of any three that follow each other the last is at least the shortest pause after the first.
        for three in attempts.windows(3) {
            prop_assert!(three[2] >= three[0] + ms(100), "{three:?}");
        }
    }
}
