//! What a node is told when it is started, where nodes differ.

use std::path::PathBuf;
use std::time::Duration;

use overwatch_test_support::proxy::Proxy;

use super::Cluster;
use crate::arguments::Wanted;
use crate::node::Told;

/// They hold from the next start of the node on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    pub(crate) shards: u32,
    /// How long its jobs go on when they are told to stop.
    pub(crate) drain: Duration,
    /// How often etcd's store was put back to an earlier state, and the nodes started again after it.
    pub(crate) generation: u16,
    pub(crate) endpoints: Endpoints,
}

/// Which etcd a node is to use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Endpoints {
    First,
    FirstAndSecond,
    SecondAndFirst,
}

impl Orders {
    pub(super) fn usual(wanted: &Wanted) -> Self {
        Self {
            shards: wanted.shards,
            drain: Duration::ZERO,
            generation: 0,
            endpoints: Endpoints::First,
        }
    }
}

impl Cluster {
    /// What a node will be told when it is started next.
    pub(crate) fn orders(&mut self, node: usize) -> &mut Orders {
        &mut self.nodes[node].orders
    }

    pub(super) fn told(&self, node: usize, record: PathBuf) -> Told {
        let node = &self.nodes[node];
        let Orders {
            shards,
            drain,
            generation,
            endpoints,
        } = node.orders;
        let urls = |proxies: &[Proxy]| proxies.iter().map(Proxy::url).collect::<Vec<_>>();
        let (first, second) = (urls(&node.proxies), urls(&node.to_second));
        Told {
            id: node.id.clone(),
            etcd: match endpoints {
                Endpoints::First => first,
                Endpoints::FirstAndSecond => [first, second].concat(),
                Endpoints::SecondAndFirst => [second, first].concat(),
            },
            shards,
            ttl: self.wanted.ttl,
            target: (!self.wanted.idle()).then_some(self.target),
            record,
            drain,
            generation,
        }
    }
}
