use overwatch::test_util::FakeDependency;

use super::{AWAY, WINDOW, one_outage, service};

#[tokio::test(start_paused = true)]
async fn the_service_comes_back_in_a_new_epoch_when_the_window_has_passed() {
    let dependency = FakeDependency::new();
    let service = service(dependency.probe()).unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    one_outage(&dependency, &handle).await.unwrap();

    assert_eq!(handle.status().epoch, 2);
    let outage = handle.outages().pop().unwrap();
    assert!(outage.reason.contains("connection refused"), "{outage:?}");
    assert!(outage.lasted.unwrap() >= AWAY + WINDOW, "{outage:?}");

    handle.shutdown();
    run.await.unwrap().unwrap();
}
