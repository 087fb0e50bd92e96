//! The probe, with one connection to each member.

#[cfg(feature = "etcd")]
mod connection;
#[cfg(feature = "etcd")]
mod endpoint_status;
#[cfg(feature = "etcd")]
mod etcd_probe;
mod reconnect;
#[cfg(feature = "etcd")]
mod subchannel;

#[cfg(test)]
pub(crate) use reconnect::{Reconnect, Reply};
#[cfg(feature = "etcd")]
pub use {endpoint_status::EndpointStatus, etcd_probe::EtcdProbe};
