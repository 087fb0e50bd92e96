#![cfg(feature = "test-util")]

use super::*;
use crate::etcd::membership::Lease;
use crate::etcd::shards::list::{Identity, List, Others};
use crate::etcd::suspension::{Moment, by_the_system};
use crate::etcd::{EtcdConfig, Shards};
use crate::test_util::Detached;

const LEASE: i64 = 7;

/// A worker that decides, and is never heard of in etcd.
fn worker(ctx: Context) -> Worker {
    worker_of(1, ctx)
}

/// So many shards.
fn worker_of(shards: u32, ctx: Context) -> Worker {
    let etcd = EtcdConfig::new(["http://127.0.0.1:1"]).expect("valid");
    let membership = Membership::builder(etcd, "p", "a").build().expect("valid");
    let idle = |shard: Shard| async move {
        shard.stopping().await;
        Ok(())
    };
    let shards = Shards::new(&membership, "w", shards, idle).expect("valid");
    let lease = Lease {
        id: LEASE,
        cluster: 1,
    };
    let suspended = by_the_system();
    let now = Moment::now(&suspended);
    let session = Session::new(lease, now, suspended);
    session.allow(now, Duration::from_secs(3_600));
    session.register(1);
    let node = Arc::clone(membership.node());
    Worker::new(node, shards.work, Arc::new(session), ctx)
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

/// That of the shard that runs.
fn claim(worker: &Worker) -> i64 {
    worker.jobs.shard(0).expect("it runs").claim()
}

/// The job has ended, and its worker has heard of it.
async fn end(worker: &mut Worker) {
    let (place, outcome) = worker.ended.recv().await.expect("a job runs");
    worker.job_ended(place, outcome);
}

/// The plan takes the shard away, and gives it back before the release is seen. By then it may be
/// another's.
#[tokio::test(start_paused = true)]
async fn a_claim_that_was_given_up_is_never_worked_under_again() {
    let detached = Detached::new("checks");
    let mut worker = worker(detached.context());
    let alone = view(8, &["a"], vec![held("a", LEASE, 8)]);
    worker.decide(&alone, Instant::now());
    assert!(worker.jobs.runs(0));
    // Nobody takes part any more, this node least of all: the shortest way to a plan without it.
    let taken = view(9, &[], vec![held("a", LEASE, 8)]);
    worker.decide(&taken, Instant::now());
    end(&mut worker).await;
    let todo = worker.decide(&taken, Instant::now());
    assert_eq!(todo.release, [(0, Some(8))]);
    assert!(
        worker.release(&todo.release).await.is_err(),
        "etcd is not there"
    );

    let back = view(10, &["a"], vec![held("a", LEASE, 8)]);
    let todo = worker.decide(&back, Instant::now());
    assert!(worker.jobs.is_empty() && todo.release.is_empty());
    // The release may have been lost.
    let later = Instant::now() + REPEAT;
    assert_eq!(worker.decide(&back, later).release, [(0, Some(8))]);
    assert!(worker.jobs.is_empty());

    // A new claim is another matter.
    let again = view(12, &["a"], vec![held("a", LEASE, 12)]);
    assert!(worker.decide(&again, later).release.is_empty());
    assert_eq!(claim(&worker), 12);
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_a_claim_does_not_begin_before_it_has_ended() {
    let detached = Detached::new("checks");
    let mut worker = worker(detached.context());
    worker.decide(&view(8, &["a"], vec![held("a", LEASE, 8)]), Instant::now());
    let first = worker.jobs.shard(0).expect("it runs");
    assert!(first.check().is_ok());
    // Removed and claimed anew, all at once.
    let anew = view(10, &["a"], vec![held("a", LEASE, 10)]);
    worker.decide(&anew, Instant::now());
    assert!(first.check().is_err());
    assert_eq!(claim(&worker), 8, "it may still be at work");
    end(&mut worker).await;
    worker.decide(&anew, Instant::now());
    assert_eq!(claim(&worker), 10);
    // The same id, but another lease: an earlier life of this node.
    worker.decide(&view(11, &["a"], vec![held("a", 6, 11)]), Instant::now());
    end(&mut worker).await;
    let todo = worker.decide(&view(11, &["a"], vec![held("a", 6, 11)]), Instant::now());
    assert!(todo.claim.is_empty() && worker.jobs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_before_its_time_or_by_who_is_no_member() {
    let detached = Detached::new("checks");
    let mut worker = worker(detached.context());
    let now = Instant::now();
    let from = now + Duration::from_secs(1);
    let free = view(8, &["a"], vec![Claim::None { from, last: None }]);
    let todo = worker.decide(&free, now);
    assert!(todo.claim.is_empty());
    assert_eq!(todo.again, Some(from));
    assert_eq!(worker.decide(&free, from).claim, [(0, None)]);
    let released = view(9, &["a"], vec![Claim::Released { revision: 9 }]);
    assert_eq!(worker.decide(&released, now).claim, [(0, Some(9))]);
    let others = view(9, &["b"], vec![Claim::Released { revision: 9 }]);
    assert!(worker.decide(&others, now).claim.is_empty());

    worker.session.register(0);
    assert!(worker.decide(&released, now).claim.is_empty());
}

/// Whatever the worker waits for: it is not asked.
#[tokio::test(start_paused = true)]
async fn a_claim_that_is_gone_ends_the_work_also_while_it_drains() {
    let detached = Detached::new("checks");
    for gone in [
        Claim::Released { revision: 9 },
        held("b", 8, 9),
        held("a", LEASE, 9),
    ] {
        let mut worker = worker(detached.context());
        let own = view(8, &["a"], vec![held("a", LEASE, 8)]);
        worker.decide(&own, Instant::now());
        let shard = worker.jobs.shard(0).expect("it runs");
        shard.stop();
        worker.jobs.check(&own);
        assert!(shard.check().is_ok(), "it drains");
        worker.jobs.check(&view(9, &["a"], vec![gone]));
        assert!(shard.check().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_shards_are_given_up_at_once_than_is_allowed() {
    for (most, told) in [(1, 1), (2, 2), (3, 2)] {
        let run = Detached::new("w");
        let mut worker = worker_of(4, run.context()).moving_at_most(most);
        let held_by_a = |revision| held("a", LEASE, revision);
        let claims: Vec<Claim> = (5..9).map(held_by_a).collect();
        worker.decide(&view(9, &["a"], claims.clone()), Instant::now());
        let stopping = |worker: &Worker| {
            let jobs = worker.jobs.all();
            jobs.values().filter(|shard| shard.is_stopping()).count()
        };
        assert_eq!(stopping(&worker), 0);
        // Half of them are to go to the one who came.
        let two = view(10, &["a", "b"], claims);
        worker.decide(&two, Instant::now());
        assert_eq!(stopping(&worker), told, "{most} at once");
        worker.decide(&two, Instant::now());
        assert_eq!(stopping(&worker), told, "{most} at once, seen again");
    }
}

/// What was released counts as long as nobody has claimed it: or a node that takes part and claims nothing would
/// leave all of it without an owner.
#[tokio::test(start_paused = true)]
async fn what_was_released_and_nobody_has_claimed_is_still_on_its_way() {
    let run = Detached::new("w");
    let mut worker = worker_of(4, run.context()).moving_at_most(1);
    let claims: Vec<Claim> = (5..9).map(|revision| held("a", LEASE, revision)).collect();
    let two = |claims: &[Claim]| view(9, &["a", "b"], claims.to_vec());
    worker.decide(&view(9, &["a"], claims.clone()), Instant::now());
    worker.decide(&two(&claims), Instant::now());
    end(&mut worker).await;
    let released = worker.decide(&two(&claims), Instant::now()).release;
    let [(place, Some(revision))] = released[..] else {
        panic!("one of them has ended: {released:?}")
    };
    worker.released.insert(
        place,
        Released {
            revision,
            told: Instant::now(),
        },
    );
    let mut free = claims.clone();
    free[place] = Claim::Released { revision: 10 };
    let stopping = |worker: &Worker| {
        worker
            .jobs
            .all()
            .values()
            .filter(|it| it.is_stopping())
            .count()
    };
    worker.decide(&two(&free), Instant::now());
    assert_eq!(stopping(&worker), 0, "nobody has claimed it");
    free[place] = held("b", LEASE + 1, 11);
    worker.decide(&two(&free), Instant::now());
    assert_eq!(stopping(&worker), 1);
}

/// Whoever wrote it down has gone. However long it takes until it is seen again, nothing is done without a pause.
#[tokio::test(start_paused = true)]
async fn a_list_that_is_missing_is_written_once_after_a_time_of_the_nodes_own() {
    let run = Detached::new("w");
    let mut worker = worker_of(1, run.context());
    let now = Instant::now();
    let mut missing = view(8, &["a"], vec![held("a", LEASE, 8)]);
    missing.list_is_there = false;
    let first = worker.decide(&missing, now);
    assert!(
        first.write_list || first.again > Some(now),
        "{:?}",
        first.again
    );
    let late = now + LIST_WITHIN;
    let second = worker.decide(&missing, late);
    assert!(
        second.write_list && second.again.is_none(),
        "{:?}",
        second.again
    );
    // It was written, which no view shows yet.
    (worker.taking_part, worker.list_due) = (9, None);
    let third = worker.decide(&missing, late);
    assert!(!third.write_list && third.again.is_none());
    // Others have written it meanwhile.
    worker.taking_part = 0;
    let there = view(10, &["a"], vec![held("a", LEASE, 8)]);
    assert!(!worker.decide(&there, late).write_list && worker.list_due.is_none());
}
