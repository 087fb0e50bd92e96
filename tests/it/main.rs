//! The one integration crate.

mod bite;
mod checked;
mod driver;
#[cfg(feature = "etcd")]
mod etcd_cluster;
#[cfg(feature = "etcd")]
mod etcd_names;
#[cfg(feature = "etcd")]
mod etcd_probe;
mod explored;
mod fuzzed;
mod gallery;
mod laws;
mod picture;
mod policy;
mod purity;
mod reach;
mod reference;
mod reference_agrees;
mod relative;
mod rooms;
#[cfg(all(feature = "shell", feature = "test-util"))]
mod shell;
mod snapshot;
mod stories;
#[cfg(feature = "etcd")]
mod support;
mod surface;
mod table;
mod undecided;
mod world;
