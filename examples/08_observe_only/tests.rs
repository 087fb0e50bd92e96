use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::Policy;
use overwatch::test_util::FakeDependency;
use tokio::time::sleep;

use super::service;

#[tokio::test(start_paused = true)]
async fn an_outage_is_shown_and_nothing_is_done() {
    let dependency = FakeDependency::new();
    let would = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&would);
    let note = move |what| note.lock().unwrap().push(what);
    let service = service(dependency.probe(), Policy::default(), note).unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    handle.wait_until_ready().await.unwrap();
    sleep(Duration::from_secs(5)).await;
    would.lock().unwrap().clear();

    dependency.fail("connection refused");
    sleep(Duration::from_secs(60)).await;
    assert!(handle.is_ready());
    let seen = handle.status().dependency.unwrap();
    assert_eq!(seen.alive, Some(false), "{seen:?}");
    dependency.recover();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(handle.status().epoch, 1);

    let would = would.lock().unwrap().clone();
    let steps: Vec<_> = would
        .iter()
        .map(|what| what.split_once(": ").unwrap().0)
        .collect();
    let wanted = [
        "Running -> ShuttingDown",
        "ShuttingDown -> Monitoring",
        "Monitoring -> Restarting",
        "Restarting -> Running",
    ];
    assert_eq!(steps, wanted, "{would:?}");

    handle.shutdown();
    run.await.unwrap().unwrap();
}
