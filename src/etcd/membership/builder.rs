//! The configuration of a membership, and its checks.

use std::sync::Arc;
use std::time::Duration;

use super::component::Membership;
use super::node::Node;
use super::registration::check_metadata;
use super::times::{GRACE, Times};
use crate::etcd::basics::EtcdConfigError;
use crate::etcd::client::EtcdConfig;
use crate::etcd::records::{Generation, Prefix, check_name};

/// Builds a [`Membership`]. From [`Membership::builder`].
///
/// ```
/// use overwatch::etcd::{EtcdConfig, EtcdConfigError, Membership};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), EtcdConfigError> {
/// let etcd = EtcdConfig::new(["http://127.0.0.1:2379"])?;
/// let membership = Membership::builder(etcd, "checker", "node-1")
///     .ttl(Duration::from_secs(10))
///     .metadata("10.0.0.1:8080")
///     .build()?;
/// let fence = membership.fence();
/// assert_eq!(fence.ttl(), Duration::from_secs(10));
/// assert_eq!(fence.lease(), Duration::from_secs(9)); // a second shorter
/// # Ok(())
/// # }
/// ```
///
/// | knob | default | bounds |
/// | --- | --- | --- |
/// | prefix | | 1 to 512 bytes without white space and control characters; a slash is added at the end |
/// | id | | 1 to 128 bytes without white space, control characters and slashes |
/// | [`ttl`](Self::ttl) | 15 s | 4 s to a day, whole seconds; the lease in etcd is a second shorter. The deadlines and an election must fit into it, so with the default election timeout 6 s are the least: see [the guide](crate::guide::cluster#the-arithmetic-of-the-fence) |
/// | [`margin`](Self::margin) | a tenth of the lease | 100 ms to half of the lease |
/// | [`metadata`](Self::metadata) | empty | up to 64 KiB |
/// | [`token_generation`](Self::token_generation) | 0 | up to 32,767 |
/// | [`rejoin_jitter`](Self::rejoin_jitter) | 500 ms | up to the time to live; it counts against the start deadline |
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct MembershipBuilder {
    etcd: EtcdConfig,
    prefix: String,
    id: String,
    metadata: Vec<u8>,
    ttl: Duration,
    margin: Option<Duration>,
    rejoin_jitter: Duration,
    token_generation: u16,
}

impl Membership {
    /// Begins to build a membership in the cluster that keeps its records below this prefix.
    ///
    /// The id names the node. It must be the same each time the node comes back, e.g. a host name.
    pub fn builder(
        etcd: EtcdConfig,
        prefix: impl Into<String>,
        id: impl Into<String>,
    ) -> MembershipBuilder {
        MembershipBuilder::new(etcd, prefix.into(), id.into())
    }
}

impl MembershipBuilder {
    pub(crate) fn new(etcd: EtcdConfig, prefix: String, id: String) -> Self {
        Self {
            etcd,
            prefix,
            id,
            metadata: Vec::new(),
            ttl: Duration::from_secs(15),
            margin: None,
            rejoin_jitter: Duration::from_millis(500),
            token_generation: 0,
        }
    }

    /// Sets how long the node may be silent before other nodes may do its work.
    ///
    /// They take over at most a second after that.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets how long before the end of the lease all work must have stopped.
    ///
    /// The margin covers clocks that do not run equally fast, and a process that was slow.
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = Some(margin);
        self
    }

    /// Sets what other nodes read about this node in [`Membership::members`], e.g. an address.
    pub fn metadata(mut self, metadata: impl Into<Vec<u8>>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Sets the longest delay before the node joins again after an outage.
    ///
    /// The delay of each node depends on its id and epoch. Zero switches it off.
    pub fn rejoin_jitter(mut self, most: Duration) -> Self {
        self.rejoin_jitter = most;
        self
    }

    /// Sets the generation of the fencing [tokens](crate::etcd::Shard::token) of this node's shards.
    ///
    /// Every token of a higher generation is higher than all tokens of a lower one.
    ///
    /// **After etcd was restored from a backup, or built anew, raise it by one on all nodes.** A token is made
    /// from etcd's revision, which is then lower than before. A store that remembers the highest token
    /// would refuse every owner until the revision has grown beyond its former value. So keep the generation
    /// in the configuration of the service, and not in etcd. (It need not be raised if revisions do
    /// not go back: from 3.4.27 and 3.5.10 on, `snapshot restore --bump-revision 1000000000 --mark-compacted`
    /// continues beyond the former revisions; see [etcd#16029](https://github.com/etcd-io/etcd/pull/16029).)
    ///
    /// While some nodes have the new generation and others the old one, no data is harmed. But as soon as a node with
    /// the new generation has written to the store, the store refuses the shards of nodes with the old one. Never lower
    /// the generation: the store would refuse all nodes.
    pub fn token_generation(mut self, generation: u16) -> Self {
        self.token_generation = generation;
        self
    }

    /// Checks everything. etcd gets no request before the membership is run.
    ///
    /// # Errors
    ///
    /// If a value is out of its bounds, or the configuration of etcd cannot work.
    pub fn build(self) -> Result<Membership, EtcdConfigError> {
        self.etcd.check()?;
        let prefix = Prefix::parse(&self.prefix)?;
        check_name("id", &self.id)?;
        let (ttl, margin, jitter) = (self.ttl, self.margin, self.rejoin_jitter);
        let times = Times::checked(ttl, margin, jitter, GRACE)?;
        check_metadata(&self.metadata)?;
        let generation = Generation::checked(self.token_generation)?;
        let node = Node::new(self.etcd, prefix, self.id, self.metadata, times, generation);
        Ok(Membership(Arc::new(node)))
    }
}
