//! Probes that do what they should not, and the adapters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::{BuildError, Failure, Handle, Observation, Probe, all, feed, polled};
use tokio::time::Instant;

use super::support::{Notes, bounded, policy, tuning, worker};

type Run = tokio::task::JoinHandle<Result<(), overwatch::RunError>>;

fn watch(probe: impl Probe) -> (Handle, Run) {
    let policy = policy().tuning(tuning()).build().unwrap();
    let service = crate::shell::replay::builder(probe)
        .component("a", worker(&Notes::default(), "a"))
        .policy(policy)
        .build()
        .unwrap();
    let handle = service.handle();
    (handle, tokio::spawn(service.run()))
}

async fn end((handle, run): (Handle, Run)) {
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
}

/// A probe from a closure that is told how often it was called before.
struct Scripted<F>(AtomicU32, F);

#[async_trait::async_trait]
impl<F, Fut> Probe for Scripted<F>
where
    F: Fn(u32) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Observation> + Send + 'static,
{
    async fn observe(&self) -> Observation {
        (self.1)(self.0.fetch_add(1, Ordering::Relaxed)).await
    }
}

async fn tick() -> Observation {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Observation::alive("tick")
}

#[tokio::test(start_paused = true)]
async fn probe_that_hangs_is_called_anew_and_never_counts_as_health() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let probe = Scripted(AtomicU32::new(0), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::pending()
    });
    let (handle, run) = watch(probe);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!handle.is_ready() && handle.status().epoch == 0);
    let calls = calls.load(Ordering::Relaxed);
    assert!(
        (10..=13).contains(&calls),
        "one call in each silence limit of 5 s: {calls}"
    );
    end((handle, run)).await;
}

#[tokio::test(start_paused = true)]
async fn probe_that_panics_is_a_failing_observation_and_is_called_again() {
    let probe = Scripted(AtomicU32::new(0), |call| async move {
        assert!(call != 3, "the client is broken");
        tick().await
    });
    let (handle, run) = watch(probe);
    bounded(handle.wait_until_ready()).await.unwrap();
    let status = bounded(handle.wait_for(|status| !status.ready))
        .await
        .unwrap();
    assert_eq!(
        &*status.reason,
        "the dependency is failing: the probe panicked: the client is broken"
    );
    bounded(handle.wait_for(|status| status.ready && status.epoch == 2))
        .await
        .unwrap();
    end((handle, run)).await;
}

#[tokio::test(start_paused = true)]
async fn probe_that_ends_is_a_failing_one() {
    let (feed, probe) = feed();
    feed.alive("first");
    let (handle, run) = watch(probe);
    bounded(handle.wait_until_ready()).await.unwrap();
    drop(feed);
    let status = bounded(handle.wait_for(|status| !status.ready))
        .await
        .unwrap();
    assert!(
        status.reason.contains("its feed was dropped"),
        "{}",
        status.reason
    );
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(handle.status().phase, Phase::Monitoring);
    end((handle, run)).await;
}

#[tokio::test(start_paused = true)]
async fn probe_that_returns_at_once_is_no_hot_loop() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let probe = Scripted(AtomicU32::new(0), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Observation::alive("at once"))
    });
    let (handle, run) = watch(probe);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls <= 1001, "{calls} calls in ten seconds");
    assert!(handle.is_ready());
    end((handle, run)).await;
}

/// Real threads: a probe that blocks must not block one thread after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_that_blocks_its_thread_blocks_only_one() {
    struct Release(Arc<AtomicBool>);
    impl Drop for Release {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    // Also when an assertion fails: else the runtime would wait for the blocked thread.
    let release = Release(Arc::default());
    let (blocked, calls) = (Arc::clone(&release.0), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&calls);
    let probe = Scripted(AtomicU32::new(0), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        while !blocked.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
        tick()
    });
    let policy = policy()
        .silence_limit(Duration::from_millis(50))
        .build()
        .unwrap();
    let service = crate::shell::replay::builder(probe)
        .component("a", worker(&Notes::default(), "a"))
        .policy(policy)
        .build()
        .unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    // Several silence limits, in each of which a session is opened.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(handle.is_responsive(Duration::from_secs(10)).await);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    drop(release);
    end((handle, run)).await;
}

#[tokio::test(start_paused = true)]
async fn fed_failures_are_not_lost_to_later_signs_of_life() {
    let (feed, probe) = feed();
    feed.alive("old");
    feed.failing("lost its leader");
    feed.alive("new");
    assert_eq!(
        probe.observe().await,
        Observation::failing("lost its leader")
    );
    assert_eq!(probe.observe().await, Observation::alive("new"));
}

#[tokio::test(start_paused = true)]
async fn polled_closure_has_its_own_timeout_and_pace() {
    let second = Duration::from_secs(1);
    let probe = polled(second, 2 * second, {
        let calls = Arc::new(AtomicU32::new(0));
        move || {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            async move {
                match call {
                    0 => Ok(()),
                    1 => Err(Failure::new("refused")),
                    _ => std::future::pending().await,
                }
            }
        }
    });
    let began = Instant::now();
    assert!(matches!(probe.observe().await, Observation::Alive { .. }));
    assert_eq!(probe.observe().await, Observation::failing("refused"));
    assert_eq!(began.elapsed(), second);
    assert_eq!(
        probe.observe().await,
        Observation::failing("no answer within 2s")
    );
    assert_eq!(began.elapsed(), 4 * second);
}

#[tokio::test(start_paused = true)]
async fn all_is_alive_when_each_is_and_failing_when_one_is() {
    let (one, first) = feed();
    let (other, second) = feed();
    let both = all([Box::new(first) as Box<dyn Probe>, Box::new(second)]);
    one.alive("a");
    let waits = tokio::time::timeout(Duration::from_secs(60), both.observe()).await;
    assert!(waits.is_err(), "one of two is not all");
    one.alive("a");
    other.alive("b");
    assert_eq!(
        both.observe().await,
        Observation::alive("all 2 dependencies are")
    );
    other.failing("down");
    assert_eq!(both.observe().await, Observation::failing("down"));
}

/// A part that was alive goes on being observed while the others take their time.
#[tokio::test(start_paused = true)]
async fn all_does_not_wait_for_the_slowest_to_tell_of_a_failure() {
    let (quick, first) = feed();
    let (slow, second) = feed();
    let both = all([Box::new(first) as Box<dyn Probe>, Box::new(second)]);
    quick.alive("a");
    let began = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        quick.failing("down");
        tokio::time::sleep(Duration::from_secs(3)).await;
        slow.alive("b");
    };
    let told = async {
        assert_eq!(both.observe().await, Observation::failing("down"));
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    };
    tokio::join!(later, told);
}

/// What was asked before a drain is no evidence after it.
#[tokio::test(start_paused = true)]
async fn all_forgets_what_was_under_way_when_nobody_asks() {
    let answers = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&answers);
    let slow = Scripted(AtomicU32::new(0), move |_| {
        let answers = asked.load(Ordering::Acquire);
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if !answers {
                std::future::pending::<()>().await;
            }
            Observation::alive("answered")
        }
    });
    let (quick, fed) = feed();
    let both = all([Box::new(slow) as Box<dyn Probe>, Box::new(fed)]);
    // Told at once, so that the slow one is still under way.
    quick.failing("down");
    assert_eq!(both.observe().await, Observation::failing("down"));
    answers.store(false, Ordering::Release);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    quick.alive("up");
    let observed = tokio::time::timeout(Duration::from_secs(60), both.observe()).await;
    assert!(
        observed.is_err(),
        "{observed:?} though every call since then hangs"
    );
}

#[test]
fn probes_that_cannot_work_are_refused() {
    let refused = |probe: Box<dyn Probe>| {
        let error = crate::shell::replay::builder(probe)
            .task("a", |_| async { Ok(()) })
            .build()
            .unwrap_err();
        assert!(matches!(error, BuildError::Policy(_)));
        error.to_string()
    };
    let second = Duration::from_secs(1);
    let poll = |every, within| Box::new(polled(every, within, || async { Ok(()) }));
    assert_eq!(
        refused(poll(4 * second, second)),
        "`polled.every` is 4s, but together with `polled.within` = 1s it must be shorter than the silence limit of 5s: \
         a slow answer would count as silence"
    );
    assert_eq!(
        refused(poll(Duration::ZERO, second)),
        "`polled.every` is 0ns, but it must be at least 1ms"
    );
    assert_eq!(
        refused(poll(second, Duration::ZERO)),
        "`polled.within` is 0ns, but it must be at least 1ms"
    );
    assert_eq!(
        refused(Box::new(all([]))),
        "`all` is empty, but it needs at least one probe"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fatal_observation_ends_the_run_after_an_ordered_stop_and_says_why() {
    let notes = Notes::default();
    let probe = Scripted(AtomicU32::new(0), |call| async move {
        match tick().await {
            alive if call < 5 => alive,
            _ => Observation::failing("the disk is gone")
                .with_class("corrupt")
                .fatal(),
        }
    });
    let service = crate::shell::replay::builder(probe)
        .component("a", worker(&notes, "a"))
        .policy(policy().build().unwrap())
        .build()
        .unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    let error = bounded(run).await.unwrap().unwrap_err();
    assert_eq!(error.why(), Some(overwatch::machine::HaltReason::Fatal));
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    assert_eq!(notes.all(), ["a up 1", "a stopped 1"]);
    let sight = handle.status().dependency.expect("something was seen");
    assert_eq!((sight.alive, sight.class), (Some(false), Some("corrupt")));
}

#[tokio::test(start_paused = true)]
async fn in_observe_only_a_fatal_observation_ends_nothing() {
    let probe = Scripted(AtomicU32::new(0), |_| async {
        tick().await;
        Observation::failing("the disk is gone").fatal()
    });
    let service = crate::shell::replay::builder(probe)
        .component("a", worker(&Notes::default(), "a"))
        .policy(policy().build().unwrap())
        .observe_only()
        .build()
        .unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(handle.is_ready());
    end((handle, run)).await;
}
