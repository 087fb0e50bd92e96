//! What you would write about a service of yours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::test_util::{FakeDependency, TestContext};
use overwatch::{Component, Policy};
use tokio::time::{Instant, sleep};

use super::{Mailer, service};

/// One component by itself: the test asks it to stop.
#[tokio::test(start_paused = true)]
async fn the_mailer_delivers_until_it_is_stopped() {
    let outbox = Arc::new(AtomicU64::new(1_000));
    let mailer = Mailer {
        outbox: Arc::clone(&outbox),
    };
    let test = TestContext::new("mailer");
    let run = tokio::spawn({
        let ctx = test.context();
        async move { mailer.run(ctx).await }
    });
    test.wait_until_ready().await;
    sleep(Duration::from_millis(505)).await;
    test.stop();
    run.await.unwrap().unwrap();
    assert_eq!(outbox.load(Ordering::Relaxed), 950);
}

/// The whole service through an outage. All times are exact.
#[tokio::test(start_paused = true)]
async fn an_outage_stops_delivery_and_loses_no_mail() {
    let dependency = FakeDependency::new();
    let outbox = Arc::new(AtomicU64::new(1_000_000));
    let service = service(dependency.probe(), &outbox).unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    handle.wait_until_ready().await.unwrap();
    sleep(Duration::from_secs(1)).await;

    // Readiness ends before the components are stopped.
    let mut transitions = handle.transitions();
    dependency.fail("connection refused");
    let tripped = transitions.next().await.unwrap().unwrap();
    assert_eq!(
        (tripped.from, tripped.to),
        (Phase::Running, Phase::ShuttingDown)
    );
    let monitoring = handle.wait_for(|status| status.phase == Phase::Monitoring);
    monitoring.await.unwrap();
    assert!(!handle.is_ready());

    // Nothing is delivered in an outage.
    let left = outbox.load(Ordering::Relaxed);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(outbox.load(Ordering::Relaxed), left);

    // The dependency must prove itself for the whole window.
    dependency.recover();
    let recovered = Instant::now();
    let status = handle.wait_until_ready().await.unwrap();
    assert!(recovered.elapsed() >= Policy::default().window());
    assert_eq!(status.epoch, 2);
    sleep(Duration::from_secs(1)).await;
    assert!(outbox.load(Ordering::Relaxed) < left);

    handle.shutdown();
    run.await.unwrap().unwrap();
}

/// A dependency that hangs gives no error. It is noticed within the silence limit.
#[tokio::test(start_paused = true)]
async fn silence_is_a_failure() {
    let dependency = FakeDependency::new();
    let service = service(dependency.probe(), &Arc::default()).unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    handle.wait_until_ready().await.unwrap();

    dependency.hang();
    let hung = Instant::now();
    handle.wait_for(|status| !status.ready).await.unwrap();
    assert!(hung.elapsed() <= Policy::default().silence_limit());

    handle.shutdown();
    run.await.unwrap().unwrap();
}
