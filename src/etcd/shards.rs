//! Work that is spread over the members, each shard at one member at a time.

mod announcer;
#[cfg(feature = "etcd")]
mod claim_store;
mod claims;
#[cfg(feature = "etcd")]
mod component;
#[cfg(feature = "etcd")]
mod fenced;
mod follower;
mod handover;
#[cfg(feature = "etcd")]
mod holds;
#[cfg(feature = "etcd")]
mod job;
#[cfg(feature = "etcd")]
mod jobs;
mod list;
#[cfg(feature = "etcd")]
mod owners;
mod plan;
mod reconcile;
mod wiring;
#[cfg(feature = "etcd")]
mod work;
#[cfg(feature = "etcd")]
mod worker;

#[cfg(feature = "etcd")]
pub use {
    component::Shards,
    job::{Shard, ShardHold, ShardLost},
    owners::{Owner, Owners},
};
