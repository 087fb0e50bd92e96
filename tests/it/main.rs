//! The one integration crate.

#[cfg(feature = "etcd")]
mod etcd_probe;
#[cfg(feature = "etcd")]
mod support;
