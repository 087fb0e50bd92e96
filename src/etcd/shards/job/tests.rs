mod lost;
mod sub_tasks;

use std::task::{Context as Poller, Poll, Waker};

use tokio::time::{Instant, advance, sleep, sleep_until};

use super::*;
use crate::etcd::host::{by_the_system, moment};
use crate::etcd::membership::Lease;
use crate::etcd::records::Prefix;
use crate::machine::FailureClass;
use crate::policy::{ComponentId, Layout, Plan, Policy};
use crate::shell::component::{Incarnation, StageRun};
use crate::shell::log::Log;
use crate::shell::run_state::RunState;

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Lease = Lease { id: 7, cluster: 1 };

fn shard(allowed: Duration) -> (Arc<LeaseSession>, Shard) {
    shard_of(incarnation(), allowed)
}

fn shard_of(component: Incarnation, allowed: Duration) -> (Arc<LeaseSession>, Shard) {
    let suspended = by_the_system();
    let now = moment(&suspended);
    let session = Arc::new(LeaseSession::new(LEASE, now, suspended));
    session.allow(now, allowed);
    let claim = Claimed {
        revision: 1,
        token: 1,
    };
    let keys = Prefix::parse("nodes").expect("valid").work("checks");
    let (name, keys, ctx) = ("0".into(), Arc::new(keys), Context::new(component));
    let (lease, work) = (Arc::clone(&session), watch::Sender::default());
    let shard = Shard::new(0, name, claim, keys, lease, ctx, work);
    (session, shard)
}

/// A component that nobody supervises.
fn incarnation() -> Incarnation {
    let layout = Layout::new(&[1]).expect("one component makes a layout");
    let plan = Plan::new(Policy::default(), layout).expect("the default policy works");
    let shared = Arc::new(RunState::detached(Arc::new(plan), vec!["checks".into()]));
    shared.enter(tokio::runtime::Handle::current(), Log::direct(None));
    StageRun::new(1, 0..1, shared).incarnation(ComponentId(0))
}

/// Counts what it gets done.
fn working(done: &Arc<Mutex<u32>>) -> impl FnOnce(Shard) -> JobFuture + Send + use<> {
    let done = Arc::clone(done);
    move |_| {
        Box::pin(async move {
            loop {
                sleep(SECOND).await;
                *done.lock().expect("no panic") += 1;
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn work_ends_when_the_lease_does_and_goes_on_when_it_is_renewed() {
    let (session, shard) = shard(3 * SECOND + SECOND / 2);
    let done = Arc::new(Mutex::new(0));
    let begun = Instant::now();
    let renewing = async {
        sleep(2 * SECOND).await;
        session.allow(moment(&by_the_system()), 3 * SECOND + SECOND / 2);
    };
    let (outcome, ()) = tokio::join!(shard.clone().run(working(&done)), renewing);
    assert_eq!(outcome.how, ShardExit::Lost);
    assert_eq!(begun.elapsed(), 5 * SECOND + SECOND / 2);
    assert_eq!(*done.lock().expect("no panic"), 5);
    assert_eq!(
        shard.check().expect_err("lost").to_string(),
        "shard 0 is lost: its claim is gone, its function has ended, or the lease was not renewed in time"
    );
}

/// As after SIGSTOP: the time has passed, and nothing was polled meanwhile.
#[tokio::test(start_paused = true)]
async fn who_was_frozen_goes_no_further_than_its_next_await() {
    let (_session, shard) = shard(3 * SECOND);
    let done = Arc::new(Mutex::new(0));
    let mut running = Box::pin(shard.run(working(&done)));
    let mut cx = Poller::from_waker(Waker::noop());
    assert!(running.as_mut().poll(&mut cx).is_pending());
    advance(10 * SECOND).await;
    let Poll::Ready(outcome) = running.as_mut().poll(&mut cx) else {
        panic!("it is still there");
    };
    assert_eq!(outcome.how, ShardExit::Lost);
    assert_eq!(
        *done.lock().expect("no panic"),
        0,
        "its second was over long ago"
    );
}

#[tokio::test(start_paused = true)]
async fn the_clock_decides_and_not_the_timer() {
    async fn polled() -> Result<(), Failure> {
        panic!("polled")
    }
    let (session, _) = shard(Duration::ZERO);
    let lost = CancellationToken::new();
    let mut fenced = Fenced {
        _given_up: None,
        session: &session,
        lost: Box::pin(lost.cancelled()),
        // As if the runtime had not got to it.
        end: Box::pin(sleep_until(Instant::now() + SECOND)),
        work: Box::pin(polled()),
    };
    let mut cx = Poller::from_waker(Waker::noop());
    assert!(Pin::new(&mut fenced).poll(&mut cx).is_ready());
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_it_is_dropped_is_no_other_shards_trouble() {
    let (_session, shard) = shard(3_600 * SECOND);
    let lose = shard.clone();
    let run = shard.run(|shard| {
        Box::pin(async move {
            let _bomb = PanicsWhenDropped;
            shard.stopping().await;
            Ok(())
        })
    });
    let losing = async { lose.lose() };
    let (outcome, ()) = tokio::join!(run, losing);
    assert_eq!(outcome.how, ShardExit::Lost);
}

#[tokio::test(start_paused = true)]
async fn what_nothing_can_mend_is_told_even_when_the_shard_is_lost() {
    let (session, shard) = shard(SECOND);
    let outcome = shard.run(|_| {
        Box::pin(async move {
            session.end();
            Err(Failure::new("broken for good").fatal())
        })
    });
    assert_eq!(outcome.await.how, ShardExit::Failed(FailureClass::Fatal));
}

#[tokio::test(start_paused = true)]
async fn who_has_kept_a_shard_whose_function_has_ended_has_none() {
    for ended in [Ok(()), Err(Failure::new("not today"))] {
        let (_session, shard) = shard(10 * SECOND);
        let kept = shard.clone();
        let during = shard.clone();
        let begin = move |_| -> JobFuture {
            assert!(during.check().is_ok());
            Box::pin(async move { ended })
        };
        assert_ne!(shard.run(begin).await.how, ShardExit::Lost);
        assert!(kept.check().is_err());
    }
    // Dropped, as with the task that ran it.
    struct Dropped(Shard, Arc<Mutex<Option<bool>>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            *self.1.lock().expect("no panic") = Some(self.0.check().is_ok());
        }
    }
    let (_session, shard) = shard(10 * SECOND);
    let kept = shard.clone();
    let seen = Arc::default();
    let dropped = Dropped(shard.clone(), Arc::clone(&seen));
    let begin = move |_| -> JobFuture {
        Box::pin(async move {
            std::future::pending::<()>().await;
            drop(dropped);
            Ok(())
        })
    };
    let mut running = Box::pin(shard.run(begin));
    let mut cx = Poller::from_waker(Waker::noop());
    assert!(running.as_mut().poll(&mut cx).is_pending());
    assert!(kept.check().is_ok());
    drop(running);
    assert!(kept.check().is_err());
    let seen = *seen.lock().expect("no panic");
    assert_eq!(seen, Some(false), "what its drop waits for was told before");
}
