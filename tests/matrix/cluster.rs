//! A cluster behind proxies, and what an operator does to it.

use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmType, Client, CompactionOptions, ConnectOptions, Error, Permission,
    PermissionType,
};
use overwatch::etcd::EtcdConfig;
use overwatch_test_support::etcd::{Etcd, Version, leader};
use overwatch_test_support::proxy::{Mode, Proxy};
use tokio::time::{Instant, sleep, timeout};

/// The members, each behind a proxy of its own.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Etcd>,
    proxies: Vec<Proxy>,
    /// Whether authentication is on.
    locked: bool,
}

impl Cluster {
    pub(crate) async fn start(version: Version, size: usize, more: &[&str]) -> Self {
        let members = Etcd::start_version(version, size, more).await;
        let mut proxies = Vec::new();
        for member in &members {
            proxies.push(Proxy::start(member.address()).await);
        }
        Self {
            members,
            proxies,
            locked: false,
        }
    }

    /// A probe's configuration for some of the members, through the proxies.
    pub(crate) fn config(&self, members: &[usize]) -> EtcdConfig {
        let urls = members.iter().map(|&index| self.proxies[index].url());
        EtcdConfig::new(urls).expect("valid endpoints")
    }

    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.members.len()).collect()
    }

    pub(crate) async fn leader(&self) -> usize {
        leader(&self.members).await
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.proxies.iter().for_each(|proxy| proxy.set(mode));
    }

    pub(crate) fn set_one(&self, index: usize, mode: Mode) {
        self.proxies[index].set(mode);
    }

    /// What a member has logged.
    pub(crate) fn log(&self, index: usize) -> String {
        self.members[index].log()
    }

    /// When reads and writes through this member do what they should again.
    pub(crate) async fn healed(&mut self, index: usize) -> Instant {
        self.members[index].answering().await.expect("it answers");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut client = self.client(index).await;
            let written = timeout(Duration::from_secs(1), client.put("written", "x", None)).await;
            if matches!(written, Ok(Ok(_))) {
                return Instant::now();
            }
            assert!(
                Instant::now() < deadline,
                "no write after healing: {written:?}"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A client past the proxies, with all rights.
    pub(crate) async fn client(&self, index: usize) -> Client {
        if !self.locked {
            return self.members[index].client().await;
        }
        let options = ConnectOptions::new().with_user("root", "right");
        let client = Client::connect([self.members[index].url()], Some(options)).await;
        client.expect("root is let in")
    }

    /// Writes until the quota is used up and the alarm is raised.
    pub(crate) async fn fill(&self) {
        let mut client = self.client(0).await;
        for number in 0..1000 {
            let key = format!("fill/{number}");
            match client.put(key, vec![b'x'; 256 * 1024], None).await {
                Ok(_) => {}
                Err(Error::GRpcStatus(status)) if status.message().contains("space exceeded") => {
                    return;
                }
                Err(error) => panic!("a put: {error}"),
            }
        }
        panic!("the quota is never used up");
    }

    /// What an operator does about a lack of space.
    pub(crate) async fn make_room(&self) {
        let mut client = self.client(0).await;
        let deleted = client
            .delete(
                "fill/",
                Some(etcd_client::DeleteOptions::new().with_prefix()),
            )
            .await;
        let header = deleted.expect("a delete").take_header().expect("a header");
        self.compact(header.revision()).await;
        self.defragment().await;
        // Any member may have raised it.
        for index in self.all() {
            self.alarm(index, AlarmAction::Deactivate, AlarmType::Nospace)
                .await;
        }
    }

    pub(crate) async fn compact(&self, revision: i64) {
        let options = CompactionOptions::new().with_physical();
        let compacted = self.client(0).await.compact(revision, Some(options)).await;
        compacted.expect("a compaction");
    }

    pub(crate) async fn defragment(&self) {
        for index in self.all() {
            let done = self.client(index).await.defragment().await;
            done.expect("a defragmentation");
        }
    }

    pub(crate) async fn alarm(&self, index: usize, action: AlarmAction, kind: AlarmType) {
        let mut client = self.client(index).await;
        let status = client.status().await.expect("a status");
        let mut options = etcd_client::AlarmOptions::new();
        options.with_member(status.header().expect("a header").member_id());
        let raised = client.alarm(action, kind, Some(options)).await;
        raised.expect("the alarm is taken");
    }

    /// Users `root`, who may do all, and `narrow`, who may read only below `app/`.
    pub(crate) async fn lock(&mut self) {
        let mut client = self.client(0).await;
        client.role_add("root").await.expect("a role");
        client
            .user_add("root", "right", None)
            .await
            .expect("a user");
        client
            .user_grant_role("root", "root")
            .await
            .expect("a grant");
        client.role_add("narrow").await.expect("a role");
        let below_app = Permission::new(PermissionType::Read, "app/").with_prefix();
        let granted = client.role_grant_permission("narrow", below_app).await;
        granted.expect("a permission");
        self.admit_narrow().await;
        client.auth_enable().await.expect("authentication is on");
        self.locked = true;
    }

    /// Adds the user `narrow`, with its role.
    pub(crate) async fn admit_narrow(&self) {
        let mut client = self.client(0).await;
        client
            .user_add("narrow", "right", None)
            .await
            .expect("a user");
        self.grant_narrow().await;
    }

    pub(crate) async fn grant_narrow(&self) {
        let mut client = self.client(0).await;
        client
            .user_grant_role("narrow", "narrow")
            .await
            .expect("a grant");
    }
}
