//! Nodes of one cluster, each a service of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use etcd_client::GetOptions;
use overwatch::etcd::{EtcdConfig, Membership, MembershipBuilder, Shard, Shards};
use overwatch::{Failure, Handle, Overwatch, Policy, Probe, RunError, Tuning, polled};
use overwatch_test_support::etcd::Etcd;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::record::Record;

pub(super) const PREFIX: &str = "nodes/";
pub(super) const WORK: &str = "checks";
/// Of this, the lease in etcd has 5 s; 0.5 s are the margin, and 1.5 s the time to stop.
pub(super) const TTL: Duration = Duration::from_secs(6);
pub(super) const SHARDS: u32 = 12;

/// What all nodes of a test share.
#[derive(Clone)]
pub(super) struct Setup {
    etcd: EtcdConfig,
    prefix: &'static str,
    pub(super) record: Record,
    pub(super) shards: u32,
    /// Whether a node has a thread of its own; as it is by default if none.
    control_thread: Option<bool>,
}

type BoxFuture = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A running node.
pub(super) struct Node {
    pub(super) membership: Membership,
    pub(super) handle: Handle,
    running: JoinHandle<Result<(), RunError>>,
}

impl Setup {
    pub(super) fn new(etcd: &Etcd) -> Self {
        Self {
            etcd: config([etcd.url()]),
            prefix: PREFIX,
            record: Record::default(),
            shards: SHARDS,
            control_thread: None,
        }
    }

    /// The same for nodes that are supervised on a thread of their own, or where they are awaited.
    pub(super) fn control_thread(&self, on: bool) -> Self {
        Self {
            control_thread: Some(on),
            ..self.clone()
        }
    }

    /// The same for a node that reaches etcd in another way.
    pub(super) fn through(&self, url: String) -> Self {
        self.by(config([url]))
    }

    /// The same for a node that is configured in another way.
    pub(super) fn by(&self, etcd: EtcdConfig) -> Self {
        Self {
            etcd,
            ..self.clone()
        }
    }

    /// The same for a node with another number of shards.
    pub(super) fn with_shards(&self, shards: u32) -> Self {
        Self {
            shards,
            ..self.clone()
        }
    }

    /// The same by a user who may do nothing elsewhere than below this prefix.
    pub(super) fn of_user(&self, user: &str, password: &str, prefix: &'static str) -> Self {
        Self {
            etcd: self.etcd.clone().with_user(user, password),
            prefix,
            ..self.clone()
        }
    }

    pub(super) fn membership(&self, id: &str) -> MembershipBuilder {
        Membership::builder(self.etcd.clone(), self.prefix, id)
            .metadata(format!("metadata of {id}"))
            .ttl(TTL)
            .rejoin_jitter(Duration::from_millis(100))
    }

    /// Starts a node, and waits until it is ready.
    pub(super) async fn node(&self, id: &str) -> Node {
        let node = self.start(id);
        within(TTL + TTL, "ready", node.handle.wait_until_ready())
            .await
            .expect("it runs on");
        node
    }

    pub(super) fn start(&self, id: &str) -> Node {
        // Nothing here depends on what the probe says: what is shown, the fence does alone.
        let every = Duration::from_millis(100);
        let probe = polled(every, 10 * every, || async { Ok(()) });
        self.start_all(id, probe, self.recorded(id))
    }

    /// A function that notes when it runs, and asks all the time.
    fn recorded(&self, id: &str) -> impl FnOnce(Shard) -> BoxFuture + Clone + Send + Sync + use<> {
        let (record, name) = (self.record.clone(), id.to_owned());
        move |shard: Shard| {
            Box::pin(async move {
                let _working = record.begin(&name, &shard);
                while shard.sleep(Duration::from_millis(20)).await {
                    shard.check()?;
                }
                Ok(())
            })
        }
    }

    pub(super) fn start_with<F, Fut>(&self, id: &str, job: F) -> Node
    where
        F: FnOnce(Shard) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let every = Duration::from_millis(100);
        // Nothing here depends on what the probe says: what is shown, the fence does alone.
        self.start_all(id, polled(every, 10 * every, || async { Ok(()) }), job)
    }

    /// A node that depends on what this probe says.
    pub(super) fn observed_by(&self, id: &str, probe: impl Probe) -> Node {
        self.start_all(id, probe, self.recorded(id))
    }

    fn start_all<F, Fut>(&self, id: &str, probe: impl Probe, job: F) -> Node
    where
        F: FnOnce(Shard) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let membership = self.membership(id).build().expect("a valid membership");
        let shards = Shards::new(&membership, WORK, self.shards, job).expect("valid shards");
        let mut service = Overwatch::builder(probe);
        if let Some(on) = self.control_thread {
            service = service.control_thread(on);
        }
        let service = service
            .policy(policy())
            .lease_holder("membership", membership.clone())
            .component("checks", shards)
            .build()
            .expect("a valid service");
        let handle = service.handle();
        let running = tokio::spawn(service.run());
        Node {
            membership,
            handle,
            running,
        }
    }

    /// Waits until these nodes, and no others, run all shards, none more than one above another.
    pub(super) async fn balanced(&self, ids: &[&str]) {
        let fair = |running: &BTreeMap<String, usize>| {
            let (least, most) = (running.values().min(), running.values().max());
            let total: usize = running.values().sum();
            running.keys().map(String::as_str).eq(ids.iter().copied())
                && total == self.shards as usize
                && most.is_some_and(|most| most - least.expect("as many") <= 1)
        };
        let balanced = async {
            while !fair(&self.record.running()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(3 * TTL, balanced).await.is_err() {
            panic!("never balanced over {ids:?}: {:?}", self.record.running());
        }
    }
}

impl Node {
    /// A wanted stop, in order.
    pub(super) async fn stop(self) {
        self.handle.shutdown();
        within(TTL, "stopped", self.running)
            .await
            .expect("no panic")
            .expect("an orderly end");
    }

    /// How it ends by itself.
    pub(super) async fn ended(self) -> Result<(), RunError> {
        self.running.await.expect("no panic")
    }

    /// All at once and without a word, as near as one process can come to being killed.
    pub(super) fn kill(self) {
        self.running.abort();
    }

    /// What it says of its last failure.
    pub(super) fn why(&self) -> String {
        let (status, outages) = (self.handle.status(), self.handle.outages());
        format!("{status:?} {outages:?} {:?}", self.handle.components())
    }
}

/// How a node reaches etcd.
pub(super) fn config<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> EtcdConfig {
    let config = EtcdConfig::new(urls).expect("valid endpoints");
    // There is one member, so an election is short. A longer one is not for leases as short as these.
    config.with_election_timeout(Duration::from_millis(500))
}

/// The policy of a node: short enough for the lease.
pub(super) fn policy() -> Policy {
    let builder = Policy::builder()
        .window(Duration::from_millis(500))
        .start_deadline(Duration::from_millis(2_500))
        .stop_deadline(Duration::from_millis(500))
        .abort_deadline(Duration::from_millis(250))
        .tuning(Tuning::default().with_backoff(Duration::from_millis(200)));
    builder.build().expect("a valid policy")
}

/// All keys below this prefix.
pub(super) async fn keys(etcd: &Etcd, prefix: &str) -> Vec<String> {
    let options = GetOptions::new().with_prefix().with_keys_only();
    let read = etcd.client().await.get(prefix, Some(options)).await;
    let read = read.expect("etcd answers");
    let keys = read.kvs().iter();
    keys.map(|kv| String::from_utf8_lossy(kv.key()).into_owned())
        .collect()
}

pub(super) async fn within<T>(time: Duration, what: &str, work: impl Future<Output = T>) -> T {
    let done = timeout(time, work).await;
    done.unwrap_or_else(|_| panic!("not within {time:?}: {what}"))
}
