//! What a probe is told of the part that its observations play, and which of them open the gate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::machine::{Cause, Effect};
use overwatch::{Observation, Probe, ProbeMode, all, feed, polled};
use tokio::time::Instant;

use super::support::{Notes, bounded, policy, tuning, worker};

/// Notes what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<ProbeMode>>);

#[async_trait::async_trait]
impl Probe for Told {
    async fn observe(&self) -> Observation {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Observation::alive("tick")
    }

    fn set_mode(&self, mode: ProbeMode) {
        self.0.lock().unwrap().push(mode);
        assert_eq!(mode, ProbeMode::Proving, "what panics here ends nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_told_when_a_start_depends_on_it_and_when_no_longer() {
    for observe_only in [false, true] {
        let told = Arc::new(Told::default());
        let part: Box<dyn Probe> = Box::new(Arc::clone(&told));
        let builder = crate::shell::replay::builder(all([part]))
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
        let turns = [ProbeMode::Proving, ProbeMode::Watching].repeat(2);
        assert!(told.starts_with(&turns), "{told:?}");
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

    fn refresh(&self) -> bool {
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
        .tuning(tuning().with_backoff(hold_off))
        .build()
        .unwrap();
    let service = crate::shell::replay::builder(Arc::clone(&probe))
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

/// When each check of a probe began.
type Checks = Arc<Mutex<Vec<Instant>>>;

/// A check that takes 20 ms, each 30 ms.
fn checked(checks: &Checks) -> impl Probe + use<> {
    let checks = Arc::clone(checks);
    polled(EVERY, Duration::from_millis(200), move || {
        checks.lock().unwrap().push(Instant::now());
        async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(())
        }
    })
}

/// When one more observation was asked for, and when the gate was opened, after a trip and a hold-off of
/// so many milliseconds.
async fn asked_and_opened(probe: impl Probe, hold_off: u64) -> (Instant, Instant) {
    let hold_off = Duration::from_millis(hold_off);
    let policy = policy()
        .window(hold_off)
        .tuning(tuning().with_backoff(hold_off).with_min_evidence(1))
        .build()
        .unwrap();
    let noted = Arc::new(Mutex::new((None, None)));
    let note = Arc::clone(&noted);
    let service = crate::shell::replay::builder(probe)
        .component("a", worker(&Notes::default(), "a"))
        .policy(policy)
        .on_step(crate::shell::replay::replayed(move |step| {
            let mut noted = note.lock().unwrap();
            if step.effects.contains(&Effect::Ask { round: 1 }) {
                noted.0 = Some(Instant::now());
            }
            let starts = |effect: &Effect| matches!(effect, Effect::StartStage { epoch: 2, .. });
            if step.effects.iter().any(starts) {
                noted.1 = Some(Instant::now());
            }
        }))
        .build()
        .unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    handle.trip().unwrap();
    bounded(handle.wait_for(|status| status.ready && status.epoch == 2))
        .await
        .unwrap();
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
    let noted = noted.lock().unwrap();
    (
        noted.0.expect("it was asked"),
        noted.1.expect("it was opened"),
    )
}

/// A check that is under way when the hold-off ends proves too little; the one after it is made at once.
#[tokio::test(start_paused = true)]
async fn a_check_that_began_before_it_was_asked_for_does_not_open_the_gate() {
    for hold_off in (200..260).step_by(3) {
        let (one, two, three) = (Checks::default(), Checks::default(), Checks::default());
        let parts: [Box<dyn Probe>; 2] = [Box::new(checked(&two)), Box::new(checked(&three))];
        for (probe, checks) in [
            (Box::new(checked(&one)) as Box<dyn Probe>, vec![&one]),
            (Box::new(all(parts)), vec![&two, &three]),
        ] {
            let (asked, opened) = asked_and_opened(probe, hold_off).await;
            for checks in checks {
                let checks = checks.lock().unwrap();
                let done = |begun: &&Instant| **begun + Duration::from_millis(20) <= opened;
                let last = *checks.iter().rfind(done).expect("checked");
                assert!(last >= asked, "{hold_off}: began {:?} before", asked - last);
            }
            // The check that was under way, the pace of calls, and one more: no pause between them.
            let took = opened - asked;
            assert!(took <= Duration::from_millis(60), "{hold_off}: {took:?}");
        }
    }
}

/// What a heartbeat said before it was asked for does not count.
#[tokio::test(start_paused = true)]
async fn a_feed_opens_the_gate_by_what_it_says_afterwards() {
    // Often, so that one is said between two calls; and seldom.
    for (offset, every) in [(0, 50), (3, 50), (7, 50), (9, 50), (1, 3), (2, 4), (0, 7)] {
        let (feed, probe) = feed();
        let said = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&said);
        let heart = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(offset)).await;
            loop {
                note.lock().unwrap().push(Instant::now());
                feed.alive("a beat");
                tokio::time::sleep(Duration::from_millis(every)).await;
            }
        });
        let (asked, opened) = asked_and_opened(probe, 200).await;
        heart.abort();
        let said = said.lock().unwrap();
        let counted = said.iter().any(|said| (asked..=opened).contains(said));
        assert!(counted, "{offset}, {every}");
        assert!(opened - asked <= Duration::from_millis(100));
    }
}

/// A probe that hurries in vain: what it returns was seen before, but it says otherwise only at the
/// next call.
struct Stale {
    hurried: AtomicU64,
    calls: AtomicU64,
}

#[async_trait::async_trait]
impl Probe for Stale {
    async fn observe(&self) -> Observation {
        self.calls.fetch_add(1, Ordering::AcqRel);
        tokio::time::sleep(EVERY).await;
        Observation::alive("seen")
    }

    fn refresh(&self) -> bool {
        self.hurried.fetch_add(1, Ordering::AcqRel);
        false
    }
}

/// It is told twice: while a call is pending, and before the call that counts.
#[tokio::test(start_paused = true)]
async fn a_probe_that_cannot_observe_anew_is_called_once_more() {
    let probe = Arc::new(Stale {
        hurried: AtomicU64::new(0),
        calls: AtomicU64::new(0),
    });
    let (asked, opened) = asked_and_opened(Arc::clone(&probe), 200).await;
    assert_eq!(probe.hurried.load(Ordering::Acquire), 2);
    let took = opened - asked;
    assert!(
        took > EVERY && took <= 2 * EVERY + Duration::from_millis(20),
        "{took:?}"
    );
}
