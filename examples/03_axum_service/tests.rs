use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::test_util::FakeDependency;
use overwatch::{Handle, Policy, Tuning, http};
use overwatch_examples::endpoint::{Endpoint, serve};
use tokio::time::timeout;

use super::pool::Pool;
use super::service;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn policy() -> Policy {
    Policy::builder()
        .window(Duration::from_millis(300))
        .silence_limit(Duration::from_secs(2))
        .tuning(Tuning::default().with_jitter(Duration::ZERO))
        .build()
        .unwrap()
}

async fn free_address() -> SocketAddr {
    let (endpoint, _) = Endpoint::bind().await.unwrap();
    endpoint.0
}

async fn in_phase(handle: &Handle, phase: Phase) {
    let waiting = handle.wait_for(|status| status.phase == phase);
    timeout(PATIENCE, waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_pool_survives_an_outage_and_what_is_per_epoch_does_not() {
    let database = FakeDependency::observed_every(Duration::from_millis(50));
    let pool = Arc::new(Pool::default());
    let api = Endpoint(free_address().await);
    let service = service(database.probe(), policy(), api.0, Arc::clone(&pool)).unwrap();
    let handle = service.handle();
    let (health, listener) = Endpoint::bind().await.unwrap();
    let _health = serve(listener, http::router(handle.clone()));
    let run = tokio::spawn(service.run());
    let get = async |path: &str| timeout(PATIENCE, api.get(path)).await.unwrap();
    let check = async || timeout(PATIENCE, health.check()).await.unwrap().unwrap();

    in_phase(&handle, Phase::Running).await;
    assert_eq!(check().await.code, 200);
    let first = get("/orders/7").await.unwrap();
    assert_eq!(first.body, "order 7 from the database, in epoch 1\n");
    let again = get("/orders/7").await.unwrap();
    assert_eq!(again.body, "order 7 from the cache, in epoch 1\n");
    let queries = pool.queries.load(Ordering::Relaxed);
    assert!(queries > 0);

    database.fail("the database is gone");
    in_phase(&handle, Phase::Monitoring).await;
    let answer = check().await;
    assert_eq!(answer.code, 503);
    assert_eq!(answer.field("phase").as_deref(), Some("Monitoring"));
    assert!(get("/orders/7").await.is_err(), "the API is stopped");

    database.recover();
    in_phase(&handle, Phase::Running).await;
    assert_eq!(check().await.code, 200);
    let afresh = get("/orders/7").await.unwrap();
    assert_eq!(afresh.body, "order 7 from the database, in epoch 2\n");
    assert!(pool.queries.load(Ordering::Relaxed) > queries);

    handle.shutdown();
    timeout(PATIENCE, run).await.unwrap().unwrap().unwrap();
    assert_eq!(check().await.code, 503);
}
