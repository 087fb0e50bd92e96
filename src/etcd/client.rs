//! Clients of etcd: endpoints, access, the choice of a member, and the cluster of each answer.

#[cfg(feature = "etcd")]
mod classify;
mod cluster_map;
#[cfg(feature = "etcd")]
mod clusters;
#[cfg(feature = "etcd")]
mod config;
#[cfg(feature = "etcd")]
mod connect;
#[cfg(feature = "etcd")]
mod endpoint;
mod expected_cluster;
mod exposure;
#[cfg(feature = "etcd")]
mod failover;
#[cfg(feature = "etcd")]
mod has_header;
mod timing;
#[cfg(feature = "etcd")]
mod tls;
mod turn;
#[cfg(feature = "etcd")]
mod watch;

#[cfg(feature = "etcd")]
pub(crate) use classify::is_lease_gone;
pub(crate) use cluster_map::ClusterMap;
#[cfg(test)]
pub(crate) use cluster_map::Only;
#[cfg(feature = "etcd")]
pub use config::EtcdConfig;
#[cfg(all(feature = "etcd", feature = "test-util"))]
pub use connect::{Access, Dial};
#[cfg(feature = "etcd")]
pub(crate) use endpoint::Endpoint;
pub(crate) use expected_cluster::ExpectedCluster;
#[cfg(feature = "etcd")]
pub(crate) use failover::Failover;
#[cfg(feature = "etcd")]
pub(crate) use has_header::HasHeader;
pub(crate) use timing::{CheckTiming, Timing};
#[cfg(feature = "etcd")]
pub use tls::Tls;
pub(crate) use turn::Turn;
#[cfg(feature = "etcd")]
pub(crate) use watch::next;
