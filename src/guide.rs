//! The guide: how to build, operate and trust a service with this crate.
//!
//! | chapter | answers |
//! | --- | --- |
//! | [concepts] | what the crate does, in which order, and when it is the wrong tool |
//! | [components] | how to write one, which errors to return, how stages share a connection pool, where an HTTP API belongs |
//! | [probes] | what counts as evidence, how to write a probe, a complete one for PostgreSQL |
//! | [etcd] | the settings of the etcd probe, user rights, TLS, restores, a configuration that is kept in etcd |
//! | [cluster] | membership, shards, leader election, fencing tokens, upgrades with another number of shards |
//! | [operating] | threads, signals and exit codes, health endpoints, the trace, Kubernetes, systemd |
//! | [testing] | outages on a paused clock, one component by itself, laws in your own tests |
//! | [verification] | what is proved, under which assumptions, and what is not |
//! | [tuning] | every number: where it comes from and what it costs |
//!
//! Read [concepts] and [components] first. The code in all chapters is compiled with the tests of the crate.

// With few features there is less to link to.
#![cfg_attr(
    not(all(feature = "etcd", feature = "http-server", feature = "test-util")),
    allow(rustdoc::broken_intra_doc_links)
)]

#[doc = include_str!("guide/concepts.md")]
pub mod concepts {}

#[doc = include_str!("guide/components.md")]
pub mod components {}

#[doc = include_str!("guide/probes.md")]
pub mod probes {}

#[cfg_attr(feature = "etcd", doc = include_str!("guide/etcd.md"))]
#[cfg_attr(
    not(feature = "etcd"),
    doc = "This chapter is built with the feature `etcd`."
)]
pub mod etcd {}

#[cfg_attr(feature = "etcd", doc = include_str!("guide/cluster.md"))]
#[cfg_attr(
    not(feature = "etcd"),
    doc = "This chapter is built with the feature `etcd`."
)]
pub mod cluster {}

#[doc = include_str!("guide/operating.md")]
pub mod operating {}

#[cfg_attr(feature = "test-util", doc = include_str!("guide/testing.md"))]
#[cfg_attr(
    not(feature = "test-util"),
    doc = "This chapter is built with the feature `test-util`."
)]
pub mod testing {}

#[doc = include_str!("guide/verification.md")]
pub mod verification {}

#[doc = include_str!("guide/tuning.md")]
pub mod tuning {}
