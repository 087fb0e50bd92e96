use std::sync::Arc;
use std::time::Duration;

use overwatch::machine::{Cause, FailureClass, Phase};
use overwatch::test_util::FakeDependency;
use overwatch::{Handle, RunError};
use tokio::task::JoinHandle;

use super::driver::{Driver, Event};
use super::service;

fn run(driver: &Arc<Driver>) -> (FakeDependency, Handle, JoinHandle<Result<(), RunError>>) {
    let dependency = FakeDependency::new();
    let service = service(dependency.probe(), Arc::clone(driver)).unwrap();
    let handle = service.handle();
    (dependency, handle, tokio::spawn(service.run()))
}

#[tokio::test(start_paused = true)]
async fn half_a_start_is_cleared_away_and_tried_again() {
    let driver = Arc::new(Driver::default());
    driver.refuse_next_subscription();
    let (_dependency, handle, run) = run(&driver);
    let mut transitions = handle.transitions();

    // Had the first start left the device open, the second one could not open it.
    let status = handle.wait_until_ready().await.unwrap();
    assert_eq!(status.epoch, 2);
    let mut reasons = Vec::new();
    while reasons.len() < 2 {
        let moved = transitions.next().await.unwrap().unwrap();
        if moved.from == Phase::Restarting {
            reasons.push(moved.reason);
        }
    }
    assert_eq!(
        &*reasons[0],
        "\"device\" failed to start: the device refuses subscriptions"
    );

    handle.shutdown();
    run.await.unwrap().unwrap();
    assert!(!driver.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_callback_trips_and_only_the_backoff_is_waited_for() {
    let driver = Arc::new(Driver::default());
    let (_dependency, handle, run) = run(&driver);
    handle.wait_until_ready().await.unwrap();

    let mut transitions = handle.transitions();
    let lost = {
        let driver = Arc::clone(&driver);
        std::thread::spawn(move || {
            driver.emit(Event::Reading(7));
            driver.emit(Event::Lost("unplugged"));
        })
    };
    lost.join().unwrap();
    let tripped = transitions.next().await.unwrap().unwrap();
    assert_eq!(tripped.to, Phase::ShuttingDown);
    assert!(matches!(
        tripped.cause,
        Cause::Report {
            class: FailureClass::Component,
            ..
        }
    ));

    let status = handle.wait_until_ready().await.unwrap();
    assert_eq!(status.epoch, 2);
    let outage = handle.outages().pop().unwrap();
    assert!(
        outage.lasted.unwrap() < Duration::from_secs(5),
        "{outage:?}"
    );

    handle.shutdown();
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_dependency_closes_the_device_until_it_is_back() {
    let driver = Arc::new(Driver::default());
    let (dependency, handle, run) = run(&driver);
    handle.wait_until_ready().await.unwrap();
    assert!(driver.is_open());

    dependency.hang();
    let monitoring = |status: &overwatch::Status| status.phase == Phase::Monitoring;
    handle.wait_for(monitoring).await.unwrap();
    assert!(!driver.is_open());

    dependency.recover();
    handle.wait_until_ready().await.unwrap();
    assert!(driver.is_open());
    let outage = handle.outages().pop().unwrap();
    assert!(outage.lasted.unwrap() >= Duration::from_secs(30));

    handle.shutdown();
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_monitor_is_in_the_stage_above_the_device() {
    let (_dependency, handle, run) = run(&Arc::default());
    handle.wait_until_ready().await.unwrap();
    let components = handle.components();
    let stages = components
        .iter()
        .map(|component| (&*component.name, component.stage));
    assert!(stages.eq([("device", 0), ("monitor", 1)]));
    handle.shutdown();
    run.await.unwrap().unwrap();
}
