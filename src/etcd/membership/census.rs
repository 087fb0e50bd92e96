//! Finds out, before a lease is taken, to which cluster each endpoint belongs.

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
    /// Asks each endpoint that has not answered lately.
    ///
    /// If there is a probe with a clone of the same configuration, it gets answers from all endpoints, or knows that
    /// they do not answer, so mostly no endpoint is left to ask. The endpoint that will grant the lease is not asked,
    /// because the grant shows its cluster.
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
        let asked = timeout(WITHIN.min(self.times.request_timeout()), async {
            let mut client = self.config.dial(url).await?;
            client.status().await
        });
        // An endpoint that does not answer cannot grant a lease either.
        let told: Option<Result<StatusResponse, Error>> = asked.await.ok();
        if let Some(Ok(status)) = told
            && let Some(header) = status.headed()
        {
            let cluster = header.cluster_id();
            self.config.clusters.saw(index, cluster, clock::now());
        }
    }
}

/// Awaits all futures concurrently.
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

/// The longest time for this. It counts against the start deadline.
const WITHIN: Duration = Duration::from_secs(1);
