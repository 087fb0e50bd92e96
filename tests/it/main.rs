//! The one integration crate.

#[cfg(feature = "etcd")]
mod etcd_probe;
mod laws;
mod policy;
mod purity;
#[cfg(all(feature = "shell", feature = "test-util"))]
mod shell;
#[cfg(feature = "etcd")]
mod support;
mod table;
mod world;
