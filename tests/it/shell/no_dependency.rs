//! The probe of a service that depends on nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::policy::PolicyError;
use overwatch::{
    BuildError, NoDependency, Observation, Policy, Probe, ProbeMode, component_fn, no_dependency,
};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::support::{Notes, bounded, policy, worker};

/// Timers of a paused clock count in milliseconds, and a probe is called once in ten.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Counts how often it observes.
struct Counted(NoDependency, Arc<AtomicU32>);

#[async_trait::async_trait]
impl Probe for Counted {
    async fn observe(&self) -> Observation {
        let observation = self.0.observe().await;
        self.1.fetch_add(1, Ordering::Relaxed);
        observation
    }

    fn refresh(&self) -> bool {
        self.0.refresh()
    }

    fn set_mode(&self, mode: ProbeMode) {
        self.0.set_mode(mode);
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        self.0.check(policy)
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_only_the_backoff_is_waited_for() {
    let fails = Arc::new(Notify::new());
    let failing = Arc::clone(&fails);
    let policy = policy().build().unwrap();
    let backoff = policy.hold_off(1, overwatch::policy::Blame::Component);
    let service = super::replay::builder(no_dependency())
        .component(
            "a",
            component_fn(move |ctx: overwatch::Context| async move {
                ctx.mark_ready();
                match ctx.until_stopping(failing.notified()).await {
                    Some(()) => Err("broken".into()),
                    None => Ok(()),
                }
            }),
        )
        .policy(policy)
        .build()
        .unwrap();
    let handle = service.handle();
    let began = Instant::now();
    let run = tokio::spawn(service.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    assert!(began.elapsed() <= AT_ONCE, "{:?}", began.elapsed());

    // At any moment between two observations.
    for (epoch, millis) in [(2, 100_000), (3, 100_500), (4, 101_200)] {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        fails.notify_one();
        bounded(handle.wait_for(|status| status.phase == Phase::Monitoring))
            .await
            .unwrap();
        let stopped = Instant::now();
        let status = bounded(handle.wait_until_ready()).await.unwrap();
        assert_eq!(status.epoch, epoch);
        let took = stopped.elapsed();
        assert!(
            took <= backoff + AT_ONCE,
            "{took:?}, and the backoff is {backoff:?}"
        );
        // Each is a first outage again.
        handle.reset().unwrap();
    }
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_never_silent_whatever_the_silence_limit_is_and_costs_nearly_nothing() {
    for limit in [50, 1000, 5000, 24 * 60 * 60 * 1000].map(Duration::from_millis) {
        let calls = Arc::new(AtomicU32::new(0));
        let service = super::replay::builder(Counted(no_dependency(), Arc::clone(&calls)))
            .component("a", worker(&Notes::default(), "a"))
            .policy(policy().silence_limit(limit).build().unwrap())
            .build()
            .unwrap();
        let handle = service.handle();
        let run = tokio::spawn(service.run());
        bounded(handle.wait_until_ready()).await.unwrap();
        tokio::time::sleep(20 * limit).await;
        let status = handle.status();
        assert_eq!((status.ready, status.epoch), (true, 1), "{limit:?}");
        // Three for each limit, and some at the beginning.
        let calls = calls.load(Ordering::Relaxed);
        assert!((55..=70).contains(&calls), "{limit:?}: {calls}");
        handle.shutdown();
        bounded(run).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn it_answers_at_once_after_a_refresh_a_change_of_mode_and_a_call_that_was_dropped() {
    let probe = no_dependency();
    let at_once = || timeout(Duration::from_millis(1), probe.observe());
    at_once().await.expect("the first call");
    at_once().await.expect_err("it rests");
    at_once().await.expect("the last call was dropped");
    assert!(probe.refresh(), "a pending call observes anew");
    at_once().await.expect("it was asked");
    at_once().await.expect_err("it rests");
    probe.observe().await;
    probe.set_mode(ProbeMode::Proving);
    at_once().await.expect("a start depends on it");
}

#[test]
fn a_silence_limit_that_no_probe_can_keep_is_refused() {
    let millis = Duration::from_millis;
    let build = |limit| {
        overwatch::Overwatch::builder(no_dependency())
            .component("a", worker(&Notes::default(), "a"))
            .policy(policy().silence_limit(limit).build().unwrap())
            .build()
    };
    assert!(build(millis(50)).is_ok());
    let Err(BuildError::Policy(error)) = build(millis(49)) else {
        panic!("it is too short");
    };
    assert_eq!(
        error.to_string(),
        "`silence_limit` is 49ms, but with `no_dependency` it must be at least 50ms: a probe is called once in 10 ms \
         at most, and its answers are not always in time"
    );
}
