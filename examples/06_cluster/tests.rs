use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::etcd::Shard;
use overwatch::{Failure, Handle, RunError};
use overwatch_test_support::etcd::Etcd;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{SHARDS, TTL, service};

/// Which node runs a shard.
type Owners = Arc<Mutex<BTreeMap<u32, String>>>;

async fn node(
    name: &str,
    etcd: &Etcd,
    owners: &Owners,
) -> (Handle, JoinHandle<Result<(), RunError>>) {
    let (owners, owner) = (Arc::clone(owners), name.to_owned());
    let work = move |shard: Shard| async move {
        let before = owners.lock().unwrap().insert(shard.index(), owner);
        assert_eq!(before, None, "shard {} runs twice", shard.index());
        shard.stopping().await;
        owners.lock().unwrap().remove(&shard.index());
        Ok::<(), Failure>(())
    };
    let service = service(name, etcd.url(), work).unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    timeout(2 * TTL, handle.wait_until_ready())
        .await
        .unwrap()
        .unwrap();
    (handle, run)
}

/// Waits until these nodes run so many shards each.
async fn until(owners: &Owners, wanted: &[(&str, u32)]) {
    let balanced = async {
        loop {
            let mut shares = BTreeMap::new();
            for owner in owners.lock().unwrap().values() {
                *shares.entry(owner.clone()).or_insert(0) += 1;
            }
            if shares
                .iter()
                .map(|(name, &share)| (name.as_str(), share))
                .eq(wanted.iter().copied())
            {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let balanced = timeout(2 * TTL, balanced).await;
    balanced.unwrap_or_else(|_| panic!("not {wanted:?}, but {owners:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_the_work_and_one_takes_over() {
    let etcd = Etcd::start().await;
    let owners = Owners::default();
    let (one, one_run) = node("node-1", &etcd, &owners).await;
    until(&owners, &[("node-1", SHARDS)]).await;
    let (two, two_run) = node("node-2", &etcd, &owners).await;
    until(&owners, &[("node-1", SHARDS / 2), ("node-2", SHARDS / 2)]).await;
    one.shutdown();
    one_run.await.unwrap().unwrap();
    until(&owners, &[("node-2", SHARDS)]).await;
    two.shutdown();
    two_run.await.unwrap().unwrap();
    assert!(owners.lock().unwrap().is_empty());
}
