//! A second etcd, which has nothing to do with the first.

use overwatch_test_support::proxy::{Mode, Proxy};

use super::Cluster;
use crate::etcd::{Keys, Member};
use crate::node::{PREFIX, WORK};

impl Cluster {
    /// Starts it, with one member, and for each node a proxy to it.
    pub(crate) async fn start_second(&mut self) -> Result<(), String> {
        let dir = self.dir.path().join("second");
        self.second = Member::start(1, &self.binary, &dir).await?;
        for node in &mut self.nodes {
            for member in &self.second {
                node.to_second.push(Proxy::start(member.address()).await);
            }
        }
        Ok(())
    }

    /// Ends it.
    pub(crate) fn end_second(&mut self) {
        for node in &mut self.nodes {
            node.to_second.clear();
        }
        self.second.clear();
    }

    /// What is in it.
    pub(crate) async fn keys_of_second(&self) -> Result<Keys, String> {
        Keys::read(&self.second, PREFIX, WORK).await
    }

    /// Closes a node's connections to the first etcd, and each new one.
    pub(crate) fn close_to_first(&self, node: usize) {
        for proxy in &self.nodes[node].proxies {
            proxy.set(Mode::Cut);
        }
    }
}
