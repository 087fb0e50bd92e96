//! Reports: from anywhere, however many, none lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::machine::{FailureClass, Input};
use overwatch::test_util::{FakeDependency, TestContext};
use overwatch::{Component, Context, Failure, component_fn};
use tokio::time::Instant;

use super::support::{bounded, policy, start, worker};

#[tokio::test(start_paused = true)]
async fn a_storm_is_one_trip_and_an_exact_count() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    running.until_ready(1).await;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let reporter = running.handle.reporter();
            std::thread::spawn(move || {
                for number in 0..25_000 {
                    reporter.report(Failure::new(format!("number {number}")).dependency());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    running.until_ready(2).await;
    let outages = running.handle.outages();
    assert_eq!(outages.len(), 2, "boot, and one trip");
    assert_eq!(
        outages[1].record.reports + outages[1].record.stale_reports,
        100_000
    );
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn below_the_threshold_suspicion_decays() {
    let running = start(
        &[1],
        policy().trip_threshold(3).build().unwrap(),
        |builder, notes| builder.component("a", worker(notes, "a")),
    );
    running.until_ready(1).await;
    for _ in 0..10 {
        running
            .handle
            .reporter()
            .report(Failure::new("now and then"));
        tokio::time::sleep(Duration::from_secs(61)).await;
    }
    assert!(running.handle.is_ready());
    for _ in 0..3 {
        running
            .handle
            .reporter()
            .report(Failure::new("thick and fast"));
    }
    let status = running.until(|status| !status.ready).await;
    assert!(
        status
            .reason
            .ends_with("the program reported a component failure: thick and fast")
    );
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn critical_trips_at_once_and_fatal_ends_the_run() {
    let running = start(
        &[1],
        policy().trip_threshold(100).build().unwrap(),
        |builder, notes| builder.component("a", worker(notes, "a")),
    );
    running.until_ready(1).await;
    running
        .handle
        .reporter()
        .report(Failure::new("lease lost").critical());
    let status = running.until(|status| !status.ready).await;
    assert!(
        status
            .reason
            .ends_with("the program reported a critical failure: lease lost")
    );
    running.until_ready(2).await;
    running
        .handle
        .reporter()
        .report(Failure::new("wrong database").fatal());
    let (ended, _) = running.end().await;
    assert_eq!(ended.unwrap_err().to_string(), "halted: wrong database");
}

/// A timer is late where components keep the workers busy, so nothing that trips waits for one.
#[tokio::test(start_paused = true)]
async fn the_first_report_is_taken_at_once_whatever_was_done_just_before() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    running.until_ready(1).await;
    assert!(running.handle.is_responsive(Duration::from_secs(1)).await);
    let reported = Instant::now();
    running.handle.reporter().report(Failure::new("lost"));
    running.until(|status| !status.ready).await;
    assert_eq!(reported.elapsed(), Duration::ZERO);
    running.until_ready(2).await;
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn what_brings_a_trip_nearer_does_not_wait_with_what_came_before() {
    for grave in [false, true] {
        let policy = policy().trip_threshold(if grave { 100 } else { 3 });
        let running = start(&[1], policy.build().unwrap(), |builder, notes| {
            builder.component("a", worker(notes, "a"))
        });
        running.until_ready(1).await;
        let reporter = running.handle.reporter();
        for _ in 0..2 {
            reporter.report(Failure::new("mild"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let reported = Instant::now();
        let failure = Failure::new("lease lost");
        reporter.report(if grave { failure.critical() } else { failure });
        running.until(|status| !status.ready).await;
        assert_eq!(reported.elapsed(), Duration::ZERO);
        running.until_ready(2).await;
        let record = running.handle.outages()[1].record;
        assert_eq!(record.stale_reports, 0);
        running.shut_down().await;
    }
}

/// In observe-only what is fatal goes past the shadow, which would go on as if it could trip.
#[tokio::test(start_paused = true)]
async fn a_storm_of_what_is_fatal_is_coalesced_while_all_stop() {
    let steps = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&steps);
    let service = crate::shell::replay::builder(FakeDependency::new().probe())
        .task("slow", |ctx: Context| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(())
        })
        .observe_only()
        .on_step(crate::shell::replay::replayed(move |step| {
            if let Some(Input::Report { .. }) = step.input {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }))
        .build()
        .unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    while !run.is_finished() {
        handle.reporter().report(Failure::new("wrong").fatal());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bounded(run).await.unwrap().unwrap_err();
    let steps = steps.load(Ordering::Relaxed);
    assert!((1..=25).contains(&steps), "{steps}");
}

/// Whoever was left behind by an earlier incarnation and goes on to report is not heard each time.
#[tokio::test(start_paused = true)]
async fn a_storm_that_is_stale_is_coalesced_however_grave() {
    let left = Arc::new(Mutex::new(None));
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        let left = Arc::clone(&left);
        builder.task("a", move |ctx: Context| async move {
            left.lock().unwrap().get_or_insert_with(|| ctx.reporter());
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
    });
    running.until_ready(1).await;
    running.handle.trip().unwrap();
    running.until_ready(2).await;
    let left = left.lock().unwrap().take().unwrap();
    for _ in 0..100 {
        left.report(Failure::new("lease lost").critical());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(running.handle.is_ready());
    let trace = running.shut_down().await;
    let heard = trace.iter().filter(|step| step.contains("Report {"));
    let heard = heard.count();
    assert!((1..=12).contains(&heard), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_component_reports_without_ending() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        let notes = notes.clone();
        builder.task("a", move |ctx: Context| async move {
            ctx.mark_ready();
            if ctx.epoch() == 1 {
                ctx.sleep(Duration::from_secs(1)).await;
                ctx.report(Failure::new("watch lost").dependency());
            }
            ctx.stopping().await;
            notes.add(format!("stopped {}", ctx.epoch()));
            Ok(())
        })
    });
    let status = running
        .until(|status| status.epoch == 1 && status.outage == 1)
        .await;
    assert!(
        status
            .reason
            .ends_with("\"a\" reported a dependency failure: watch lost")
    );
    running.until_ready(2).await;
    assert_eq!(running.notes.all(), ["stopped 1"]);
    running.shut_down().await;
}

#[tokio::test]
async fn a_detached_context_shows_what_a_component_says() {
    let component = component_fn(|ctx: Context| async move {
        for number in 1..=1000 {
            ctx.report(Failure::new(format!("hiccup {number}")));
        }
        ctx.report(Failure::new("lost").critical());
        ctx.mark_ready();
        ctx.spawn::<()>(async { Err(Failure::new("in a sub-task").dependency()) })
            .await;
        ctx.stopping().await;
        Ok(())
    });
    let detached = TestContext::new("worker");
    let ctx = detached.context();
    let run = tokio::spawn(async move { component.run(ctx).await });
    detached.wait_until_ready().await;
    detached.stop();
    run.await.unwrap().unwrap();
    let reports = detached.reports();
    let seen: Vec<_> = reports
        .iter()
        .map(|report| {
            (
                report.class,
                report.count,
                &*report.first,
                report.last.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (FailureClass::Critical, 1, "lost", None),
            (FailureClass::Dependency, 1, "in a sub-task", None),
            (
                FailureClass::Component,
                1000,
                "hiccup 1",
                Some("hiccup 1000")
            ),
        ]
    );
}

#[test]
fn failures_tell_their_whole_story() {
    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the port is no number")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let failure: Failure = Outer("x".parse::<u16>().unwrap_err()).into();
    assert_eq!(
        failure.to_string(),
        "the port is no number: invalid digit found in string"
    );
    assert!(failure.error().is::<Outer>());
    assert_eq!(failure.dependency().class(), FailureClass::Dependency);
}
