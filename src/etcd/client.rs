//! Clients of etcd: where the members are, how to get in, whom to ask, and of which cluster an answer is.

mod belief;
#[cfg(feature = "etcd")]
mod classify;
mod cluster_map;
#[cfg(feature = "etcd")]
mod clusters;
#[cfg(feature = "etcd")]
mod config;
#[cfg(feature = "etcd")]
mod dial;
#[cfg(feature = "etcd")]
mod endpoint;
#[cfg(feature = "etcd")]
mod headed;
#[cfg(feature = "etcd")]
mod line;
mod pace;
#[cfg(feature = "etcd")]
mod tls;
mod turn;
#[cfg(feature = "etcd")]
mod watch;

pub(crate) use belief::Of;
#[cfg(feature = "etcd")]
pub(crate) use classify::is_lease_gone;
pub(crate) use cluster_map::ClusterMap;
#[cfg(test)]
pub(crate) use cluster_map::Only;
#[cfg(feature = "etcd")]
pub use config::EtcdConfig;
#[cfg(all(feature = "etcd", feature = "test-util"))]
pub use dial::{Access, Dial};
#[cfg(feature = "etcd")]
pub(crate) use endpoint::Endpoint;
#[cfg(feature = "etcd")]
pub(crate) use headed::Headed;
#[cfg(feature = "etcd")]
pub(crate) use line::Line;
pub(crate) use pace::{Layer, Pace};
#[cfg(feature = "etcd")]
pub use tls::Tls;
pub(crate) use turn::Turn;
#[cfg(feature = "etcd")]
pub(crate) use watch::next;
