//! The probe: it asks the members, on a connection to each.

#[cfg(feature = "etcd")]
mod connection;
#[cfg(feature = "etcd")]
mod etcd_probe;
#[cfg(feature = "etcd")]
mod lane;
mod reconnect;
#[cfg(feature = "etcd")]
mod sight;

#[cfg(test)]
pub(crate) use reconnect::{Reconnect, Reply};
#[cfg(feature = "etcd")]
pub use {etcd_probe::EtcdProbe, sight::EndpointStatus};
