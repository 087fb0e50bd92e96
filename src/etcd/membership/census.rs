//! Before a lease is asked for: of which cluster each endpoint is.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use etcd_client::{Error, StatusResponse};
use tokio::time::timeout;

use super::node::Node;
use crate::etcd::client::HasHeader;
use crate::etcd::host::clock;

impl Node {
    /// Asks each endpoint that has not answered lately. A probe that is built from a clone of the same
    /// configuration hears of all of them, or knows that nobody answers there, so that mostly nobody is left; nor is
    /// the one that is to grant the lease, which tells it anyhow.
    pub(crate) async fn ask_around(&self) {
        let config = &self.config;
        let granting = self.lease_failover.index();
        let (lately, now) = (config.lately(), clock::now());
        let asked = config.clusters.unheard(granting, lately, now);
        let asked = asked.into_iter();
        all(asked.map(|index| self.ask_for_cluster(index)).collect()).await;
    }

    async fn ask_for_cluster(&self, index: usize) {
        let url = self.config.endpoints[index].url();
        let asked = timeout(WITHIN.min(self.times.patience()), async {
            let mut client = self.config.dial(url).await?;
            client.status().await
        });
        // Who does not answer cannot grant a lease either.
        let told: Option<Result<StatusResponse, Error>> = asked.await.ok();
        if let Some(Ok(status)) = told
            && let Some(header) = status.headed()
        {
            let cluster = header.cluster_id();
            self.config.clusters.saw(index, cluster, clock::now());
        }
    }
}

/// Awaits all of them together.
async fn all(futures: Vec<impl Future<Output = ()>>) {
    let mut left: Vec<Pin<Box<_>>> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|cx| {
        left.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        match left.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

/// At most. It counts against the start deadline.
const WITHIN: Duration = Duration::from_secs(1);
