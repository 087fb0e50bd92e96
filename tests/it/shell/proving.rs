//! What a probe is told of the part that its observations play, and which of them open the gate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::machine::Cause;
use overwatch::{Observation, Overwatch, Probe, all};

use super::support::{Notes, bounded, policy, tuning, worker};

/// Notes what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<bool>>);

#[async_trait::async_trait]
impl Probe for Told {
    async fn observe(&self) -> Observation {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Observation::alive("tick")
    }

    fn proving(&self, on: bool) {
        self.0.lock().unwrap().push(on);
        assert!(on, "what panics here ends nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_told_when_a_start_depends_on_it_and_when_no_longer() {
    for observe_only in [false, true] {
        let told = Arc::new(Told::default());
        let part: Box<dyn Probe> = Box::new(Arc::clone(&told));
        let builder = Overwatch::watching(all([part]))
            .component("a", worker(&Notes::default(), "a"))
            .policy(policy().tuning(tuning()).build().unwrap());
        let builder = if observe_only {
            builder.observe_only()
        } else {
            builder
        };
        let service = builder.build().unwrap();
        let handle = service.handle();
        let run = tokio::spawn(service.run());
        bounded(handle.wait_until_ready()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        handle.trip().unwrap();
        bounded(handle.wait_for(|status| status.ready && status.epoch == 2))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(120)).await;
        handle.shutdown();
        bounded(run).await.unwrap().unwrap();
        let told = told.0.lock().unwrap();
        assert!(told.starts_with(&[true, false, true, false]), "{told:?}");
    }
}

/// How often [`Counted`] observes.
const EVERY: Duration = Duration::from_millis(30);

/// Counts its observations, and how many there were when it was hurried.
#[derive(Default)]
struct Counted {
    observations: AtomicU64,
    when_hurried: AtomicU64,
}

#[async_trait::async_trait]
impl Probe for Counted {
    async fn observe(&self) -> Observation {
        tokio::time::sleep(EVERY).await;
        let number = self.observations.fetch_add(1, Ordering::AcqRel);
        Observation::alive(number.to_string())
    }

    fn hurry(&self) -> bool {
        let observations = self.observations.load(Ordering::Acquire);
        self.when_hurried.store(observations, Ordering::Release);
        false
    }
}

/// An observation is made at the very moment at which the hold-off is over: both are there together.
#[tokio::test(start_paused = true)]
async fn what_was_observed_before_the_hold_off_was_over_does_not_open_the_gate() {
    let probe = Arc::new(Counted::default());
    let hold_off = 7 * EVERY;
    let policy = policy()
        .window(hold_off)
        .tuning(tuning().backoff(hold_off))
        .build()
        .unwrap();
    let service = Overwatch::watching(Arc::clone(&probe))
        .component("a", worker(&Notes::default(), "a"))
        .policy(policy)
        .build()
        .unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    let mut transitions = handle.transitions();
    handle.trip().unwrap();
    let opened_by = loop {
        let transition = bounded(transitions.next()).await.unwrap().unwrap();
        if transition.cause == Cause::Recovered {
            break transition.reason.to_string();
        }
    };
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
    let number: u64 = opened_by.rsplit(' ').next().unwrap().parse().unwrap();
    let hurried = probe.when_hurried.load(Ordering::Acquire);
    assert!(
        hurried > 0 && number >= hurried,
        "opened by {opened_by:?}, and {hurried} were made before"
    );
}
