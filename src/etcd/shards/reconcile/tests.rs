//! What is done for one work, step by step and in made-up worlds.

use super::*;
use crate::etcd::basics::{Fault, RETRY_AFTER};
use crate::etcd::shards::list::{Identity, Others};

mod ends;
mod worlds;

const LEASE: i64 = 7;
const T0: Duration = Duration::from_secs(1_000);
const MS: Duration = Duration::from_millis(1);

/// A node with the id "a", what runs there, and what it is to do.
struct Case {
    reconciler: Reconciler,
    running: BTreeMap<usize, RunningShard>,
    registered: bool,
}

/// What is to be done, sorted out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Todo {
    stop: Vec<usize>,
    begin: Vec<(usize, i64)>,
    take_part: bool,
    list: bool,
    release: Vec<Release>,
    claim: Vec<(usize, Option<i64>)>,
    again: Option<Duration>,
}

impl Case {
    /// Of so many shards.
    fn new(shards: u32) -> Self {
        Self::moving(shards, usize::MAX)
    }

    fn moving(shards: u32, most_moving: usize) -> Self {
        let list = Arc::new(List::numbered(shards));
        Self {
            reconciler: Reconciler::new(list, "w", "a", LEASE, most_moving),
            running: BTreeMap::new(),
            registered: true,
        }
    }

    /// Looks, and does what is to be done here.
    fn look(&mut self, view: &View, now: Duration) -> Todo {
        let actions = self
            .reconciler
            .reconcile(view, &self.running, self.registered, now);
        let mut todo = Todo {
            again: self.reconciler.again,
            ..Todo::default()
        };
        for step in actions.steps {
            match step {
                Action::Stop { place } => {
                    todo.stop.push(place);
                    self.running.get_mut(&place).expect("it runs").stopping = true;
                }
                Action::Begin { place, claim } => {
                    todo.begin.push((place, claim));
                    let job = RunningShard {
                        claim,
                        begun: now,
                        stopping: false,
                    };
                    assert_eq!(self.running.insert(place, job), None, "it runs already");
                }
            }
        }
        for write in actions.writes {
            match write {
                Write::TakePart => todo.take_part = true,
                Write::List => todo.list = true,
                Write::Release(shards) => todo.release = shards,
                Write::Claim(shards) => todo.claim = shards,
            }
        }
        todo
    }

    fn ends(&mut self, place: usize, how: ShardExit, now: Duration) -> Consequence {
        let job = self.running.remove(&place).expect("it runs");
        self.reconciler.ended(place, job, how, now)
    }

    fn sends(&mut self, write: Write, now: Duration) {
        self.reconciler.sending(&write, now);
    }
}

fn view(revision: i64, on: &[&str], claims: Vec<Claim>) -> View {
    let list = Identity::Numbered(claims.len() as u32);
    View {
        revision,
        on: on.iter().map(|&id| (id.to_owned(), list)).collect(),
        groups: List::numbered(claims.len() as u32)
            .groups(&Others::new())
            .into(),
        list_is_there: true,
        unowned: Arc::new(vec![None; claims.len()]),
        as_of: None,
        taking_part: true,
        claims,
    }
}

fn held(by: &str, lease: i64, revision: i64) -> Claim {
    Claim::Held {
        by: by.to_owned(),
        lease,
        revision,
    }
}

fn own(revision: i64) -> Claim {
    held("a", LEASE, revision)
}

/// The plan takes the shard away, and gives it back before the release is seen. By then it may be
/// another's.
#[test]
fn a_claim_that_was_given_up_is_never_worked_under_again() {
    let mut case = Case::new(1);
    assert_eq!(
        case.look(&view(8, &["a"], vec![own(8)]), T0).begin,
        [(0, 8)]
    );
    // Nobody takes part any more, this node least of all: the shortest way to a plan without it.
    let taken = view(9, &[], vec![own(8)]);
    assert_eq!(case.look(&taken, T0).stop, [0]);
    case.ends(0, ShardExit::Returned, T0);
    let todo = case.look(&taken, T0);
    assert_eq!((&todo.release[..], todo.again), (&[(0, Some(8))][..], None));
    // It is sent, and nobody answers.
    case.sends(Write::Release(todo.release), T0 + MS);
    case.reconciler
        .not_written(&EtcdError::silent(), T0 + 3 * MS);

    let back = view(10, &["a"], vec![own(8)]);
    for at in [T0 + 3 * MS, T0 + REPEAT] {
        let todo = case.look(&back, at);
        assert_eq!((todo.begin, todo.release), (vec![], vec![]), "{at:?}");
        assert_eq!(
            todo.again,
            Some(T0 + MS + REPEAT),
            "counted from when it was sent"
        );
    }
    // The release may have been lost.
    let todo = case.look(&back, T0 + MS + REPEAT);
    assert_eq!((todo.begin, todo.release), (vec![], vec![(0, Some(8))]));

    // A new claim is another matter.
    let again = view(12, &["a"], vec![own(12)]);
    let todo = case.look(&again, T0 + MS + REPEAT);
    assert_eq!((todo.begin, todo.release), (vec![(0, 12)], vec![]));
}

#[test]
fn who_has_lost_a_claim_does_not_begin_before_it_has_ended() {
    let mut case = Case::new(1);
    case.look(&view(8, &["a"], vec![own(8)]), T0);
    // Removed and claimed anew, all at once.
    let anew = view(10, &["a"], vec![own(10)]);
    assert_eq!(anew.lost(LEASE, [(0, 8)]), [0]);
    assert_eq!(
        case.look(&anew, T0),
        Todo::default(),
        "it may still be at work"
    );
    // Nor is it told to stop under a claim that it does not work under.
    let elsewhere = view(10, &[], vec![own(10)]);
    assert_eq!(case.look(&elsewhere, T0), Todo::default());
    case.ends(0, ShardExit::Lost, T0);
    assert_eq!(case.look(&anew, T0).begin, [(0, 10)]);
    // The same id, but another lease: an earlier life of this node.
    let earlier = view(11, &["a"], vec![held("a", 6, 11)]);
    assert_eq!(earlier.lost(LEASE, [(0, 10)]), [0]);
    case.ends(0, ShardExit::Lost, T0);
    assert_eq!(case.look(&earlier, T0), Todo::default());
}

#[test]
fn nothing_is_claimed_before_its_time_or_by_who_is_no_member() {
    let mut case = Case::new(1);
    let from = T0 + Duration::from_secs(1);
    let free = view(8, &["a"], vec![Claim::None { from, last: None }]);
    for at in [T0, from - MS] {
        let todo = case.look(&free, at);
        assert_eq!((todo.claim, todo.again), (vec![], Some(from)));
    }
    assert_eq!(case.look(&free, from).claim, [(0, None)]);
    let released = view(9, &["a"], vec![Claim::Released { revision: 9 }]);
    assert_eq!(case.look(&released, T0).claim, [(0, Some(9))]);
    let others = view(9, &["b"], vec![Claim::Released { revision: 9 }]);
    assert_eq!(case.look(&others, T0), Todo::default());

    case.registered = false;
    assert_eq!(case.look(&released, T0), Todo::default());
    assert_eq!(case.look(&free, from), Todo::default());
}

/// Its last owner may not come for it.
#[test]
fn what_is_kept_for_its_last_owner_is_looked_at_when_it_is_free_for_all() {
    let mut case = Case::new(1);
    let last = Some("b".to_owned());
    let free = view(8, &["a", "b"], vec![Claim::None { from: T0, last }]);
    let until = T0 + REMEMBERED;
    for at in [T0, until - MS] {
        let todo = case.look(&free, at);
        assert_eq!((todo.claim, todo.again), (vec![], Some(until)), "{at:?}");
    }
    assert_eq!(case.look(&free, until).again, None);
}

#[test]
fn a_claim_that_is_gone_is_lost_and_no_other() {
    let claims = vec![
        Claim::Released { revision: 9 },
        held("b", 8, 9),
        own(9),
        own(8),
        held("a", 6, 8),
        Claim::None {
            from: T0,
            last: None,
        },
    ];
    let view = view(9, &["a"], claims);
    let running = (0..7).map(|place| (place, 8));
    assert_eq!(view.lost(LEASE, running), [0, 1, 2, 4, 5, 6]);
}

#[test]
fn no_more_shards_are_given_up_at_once_than_is_allowed() {
    for (most, told) in [(1, 1), (2, 2), (3, 2)] {
        let mut case = Case::moving(4, most);
        let claims: Vec<Claim> = (5..9).map(own).collect();
        let alone = view(9, &["a"], claims.clone());
        assert_eq!(case.look(&alone, T0).begin.len(), 4);
        assert_eq!(case.look(&alone, T0), Todo::default());
        // Half of them are to go to the one who came.
        let two = view(10, &["a", "b"], claims);
        assert_eq!(case.look(&two, T0).stop.len(), told, "{most} at once");
        assert!(
            case.look(&two, T0).stop.is_empty(),
            "{most} at once, seen again"
        );
    }
}

/// One that is on its way takes the place of one that may move, and not of two.
#[test]
fn as_soon_as_one_has_moved_the_next_is_told() {
    let mut case = Case::moving(6, 2);
    let mut claims: Vec<Claim> = (5..11).map(own).collect();
    case.look(&view(11, &["a"], claims.clone()), T0);
    let two = |claims: &[Claim]| view(12, &["a", "b"], claims.to_vec());
    let [first, _] = case.look(&two(&claims), T0).stop[..] else {
        panic!("two are told")
    };
    case.ends(first, ShardExit::Returned, T0);
    claims[first] = held("b", LEASE + 1, 12);
    assert_eq!(case.look(&two(&claims), T0).stop.len(), 1);
}

/// What was released counts as long as nobody has claimed it: or a node that takes part and claims nothing would
/// leave all of it without an owner.
#[test]
fn what_was_released_and_nobody_has_claimed_is_still_on_its_way() {
    let mut case = Case::moving(4, 1);
    let mut claims: Vec<Claim> = (5..9).map(own).collect();
    let two = |claims: &[Claim]| view(9, &["a", "b"], claims.to_vec());
    case.look(&view(9, &["a"], claims.clone()), T0);
    let [place] = case.look(&two(&claims), T0).stop[..] else {
        panic!("one is told")
    };
    case.ends(place, ShardExit::Returned, T0);
    let todo = case.look(&two(&claims), T0);
    assert_eq!(todo.release, [(place, Some(5 + place as i64))]);
    assert!(todo.stop.is_empty(), "it is not released yet");
    case.sends(Write::Release(todo.release), T0);
    claims[place] = Claim::Released { revision: 10 };
    assert!(
        case.look(&two(&claims), T0).stop.is_empty(),
        "nobody has claimed it"
    );
    claims[place] = held("b", LEASE + 1, 11);
    assert_eq!(case.look(&two(&claims), T0).stop.len(), 1);
}

/// Whoever wrote it down has gone. However long it takes until it is seen again, nothing is done without a pause.
#[test]
fn a_list_that_is_missing_is_written_once_after_a_time_of_the_nodes_own() {
    let mut case = Case::new(1);
    let mut missing = view(8, &["a"], vec![own(8)]);
    missing.list_is_there = false;
    let todo = case.look(&missing, T0);
    let due = todo.again.expect("it waits");
    assert!(!todo.list && due > T0 && due < T0 + LIST_WITHIN, "{due:?}");
    // The time is not put off by looking again.
    assert_eq!(case.look(&missing, due - MS).again, Some(due));
    let todo = case.look(&missing, due);
    assert!(todo.list && todo.again.is_none(), "{:?}", todo.again);
    case.sends(Write::List, due);
    case.reconciler.written(&Write::List, 9);
    // No view shows it yet.
    let todo = case.look(&missing, due + LIST_WITHIN);
    assert!(!todo.list && todo.again.is_none());
    // It is missing again: the time counts anew.
    missing.revision = 9;
    let later = due + 10 * LIST_WITHIN;
    let todo = case.look(&missing, later);
    assert!(!todo.list && todo.again == Some(later + (due - T0)));
    // Others have written it meanwhile.
    let there = view(10, &["a"], vec![own(8)]);
    assert_eq!(case.look(&there, later + LIST_WITHIN), Todo::default());
    missing.revision = 11;
    let much_later = later + 10 * LIST_WITHIN;
    let todo = case.look(&missing, much_later);
    assert!(!todo.list && todo.again == Some(much_later + (due - T0)));
}

/// As if all of its keys had been removed.
#[test]
fn a_node_that_nobody_counts_on_says_that_it_takes_part_and_not_twice() {
    let mut case = Case::new(1);
    case.reconciler.written(&Write::TakePart, 8);
    let mut gone = view(7, &[], vec![held("b", 8, 5)]);
    (gone.taking_part, gone.list_is_there) = (false, false);
    assert_eq!(
        case.look(&gone, T0),
        Todo::default(),
        "older than what was written"
    );
    gone.revision = 8;
    let late = T0 + LIST_WITHIN;
    case.look(&gone, T0);
    let todo = case.look(&gone, late);
    assert!(todo.take_part && !todo.list, "that writes the list, too");
    case.sends(Write::TakePart, late);
    case.reconciler.written(&Write::TakePart, 9);
    assert!(!case.look(&gone, late).take_part);
}

/// What is claimed is claimed once, until it is seen or can have been seen.
#[test]
fn a_claim_is_not_repeated_before_it_can_have_been_seen() {
    let mut case = Case::new(2);
    let free = |revision| {
        let released = |revision| Claim::Released { revision };
        view(revision, &["a"], vec![released(4), released(5)])
    };
    let both = [(0, Some(4)), (1, Some(5))];
    assert_eq!(case.look(&free(6), T0).claim, both);
    case.sends(Write::Claim(both.to_vec()), T0 + MS);
    let until = T0 + MS + REPEAT;
    assert_eq!(case.reconciler.again, Some(until), "or nobody looks again");
    assert_eq!(case.reconciler.unseen(), [0, 1]);
    let todo = case.look(&free(6), T0 + 2 * MS);
    assert_eq!((todo.claim, todo.again), (vec![], Some(until)), "under way");
    case.reconciler.written(&Write::Claim(both.to_vec()), 9);
    for revision in [7, 8] {
        let todo = case.look(&free(revision), until - MS);
        assert_eq!((todo.claim, todo.again), (vec![], Some(until)));
    }
    // Others were faster, and have released it again.
    let seen = case.look(&free(9), T0 + 3 * MS);
    assert_eq!((&seen.claim[..], seen.again), (&both[..], None));
    assert_eq!(case.reconciler.unseen(), [] as [usize; 0]);
    // And where it never is seen.
    case.sends(Write::Claim(both.to_vec()), T0);
    let todo = case.look(&free(9), T0 + REPEAT);
    assert_eq!(todo.claim, both);
}

/// What is given up here goes before what is wanted, and that others count on this node before both.
#[test]
fn what_is_written_has_an_order() {
    let mut case = Case::new(2);
    let mut both = view(9, &[], vec![own(8), Claim::Released { revision: 5 }]);
    both.taking_part = false;
    let on = view(9, &["a"], Vec::new()).on;
    // Given up before, so that it is released though the plan has it here.
    case.sends(Write::Release(vec![(0, Some(8))]), T0);
    both.on = on
        .into_keys()
        .map(|id| (id, Identity::Numbered(2)))
        .collect();
    let now = T0 + REPEAT;
    let actions = case
        .reconciler
        .reconcile(&both, &BTreeMap::new(), true, now);
    let release = Write::Release(vec![(0, Some(8))]);
    let claim = Write::Claim(vec![(1, Some(5))]);
    assert_eq!(actions.writes, [Write::TakePart, release, claim]);
}

#[test]
fn a_write_that_fails_is_tried_again_after_a_pause_and_logged_once() {
    let mut case = Case::new(1);
    for (round, log) in [
        (1, Loudness::Warn),
        (2, Loudness::Silent),
        (3, Loudness::Silent),
    ] {
        let now = T0 + round * REPEAT;
        case.look(&view(8, &["a"], vec![own(8)]), now);
        let unwritten = case.reconciler.not_written(&EtcdError::silent(), now);
        assert_eq!(unwritten, Unwritten::Again(log), "{round}");
        assert_eq!(case.reconciler.again, Some(now + RETRY_AFTER));
    }
    // One of several writes is no sign that all is well.
    case.reconciler.written(&Write::List, 9);
    let unwritten = case.reconciler.not_written(&EtcdError::silent(), T0);
    assert_eq!(unwritten, Unwritten::Again(Loudness::Silent));
    // Neither is that there is nothing to write.
    case.reconciler.all_written(&[]);
    let unwritten = case.reconciler.not_written(&EtcdError::silent(), T0);
    assert_eq!(unwritten, Unwritten::Again(Loudness::Silent));
    case.reconciler.all_written(&[Write::List]);
    let unwritten = case.reconciler.not_written(&EtcdError::silent(), T0);
    assert_eq!(unwritten, Unwritten::Again(Loudness::Warn));
    let refused = EtcdError::sure(Fault::Permission, "denied");
    let unwritten = case.reconciler.not_written(&refused, T0);
    assert_eq!(unwritten, Unwritten::Refused);
}

#[test]
fn it_wakes_when_the_first_of_all_that_waits_is_due() {
    let mut case = Case::new(3);
    assert_eq!(case.reconciler.wake_at(T0), T0, "the lease");
    let from = |seconds| Claim::None {
        from: T0 + Duration::from_secs(seconds),
        last: None,
    };
    let view = view(8, &["a"], vec![from(3), from(2), from(4)]);
    case.look(&view, T0);
    let first = T0 + Duration::from_secs(2);
    assert_eq!(case.reconciler.wake_at(T0 + 9 * REPEAT), first);
    assert_eq!(case.reconciler.wake_at(first - MS), first - MS);
    case.reconciler.look_again(T0 + MS);
    case.reconciler.look_again(T0 + 2 * MS);
    assert_eq!(case.reconciler.wake_at(first), T0 + MS);
}
