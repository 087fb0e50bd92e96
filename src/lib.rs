//! Stops a service cleanly when the dependency it cannot live without goes away, and starts it
//! afresh once that dependency has proved itself.
//!
#![cfg_attr(feature = "shell", doc = "```no_run")]
#![cfg_attr(not(feature = "shell"), doc = "```text")]
//! use overwatch::{Overwatch, polled};
//! use std::time::Duration;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let second = Duration::from_secs(1);
//!     let database = polled(second, 2 * second, || async {
//!         tokio::net::TcpStream::connect("127.0.0.1:5432").await?;
//!         Ok(())
//!     });
//!     let service = Overwatch::builder(database)
//!         .task("scheduler", |ctx| async move {
//!             ctx.mark_ready();
//!             while ctx.sleep(Duration::from_secs(10)).await {
//!                 println!("one more job");
//!             }
//!             Ok(())
//!         })
//!         .build()?;
//!     service.run_until_signal().await?;
//!     Ok(())
//! }
//! ```
//!
//! When the dependency fails, a service with this crate
//!
//! 1. turns readiness off **first**;
//! 2. stops all its [components](Component), stage by stage and within deadlines;
//! 3. watches the dependency through a [`Probe`] until it was provably fine for a whole window, 30 s
//!    by default: positive evidence, no error and no silence;
//! 4. starts everything as on a fresh start, in a new *epoch*;
//! 5. logs each transition with its reason.
//!
//! # Where to look
//!
//! | to | see |
//! | --- | --- |
//! | put a service together, and run it | [`Overwatch`], [`Builder`], [`Policy`] |
//! | write a component | [`Component`], [`StartStop`], [`Context`], [`Failure`] |
//! | observe a dependency | [`Probe`], [`polled`], [`feed`], [`all`], [`isolated`], `etcd::EtcdProbe` |
//! | follow and steer a run | [`Handle`], [`Status`], [`Transitions`], `http` |
//! | share work among nodes | `etcd::Membership`, `etcd::Shards` |
//! | test it | `test_util`, [`law`], [`explore`] |
//! | read the machine that decides | [`machine`], [`driver`], [`states`] |
//!
//! # The guide
//!
//! - [Concepts](guide::concepts): the steps, the terms, the states, and when not to use it
//! - [Components](guide::components): which errors to return, resources of an epoch, where an HTTP API belongs
//! - [Probes](guide::probes): what counts as evidence, and a probe for PostgreSQL
//! - [etcd](guide::etcd), [cluster](guide::cluster): the probe, membership, shards, leader election
//! - [Operating](guide::operating): Kubernetes, systemd, health, the trace, threads, exit codes
//! - [Testing](guide::testing), [verification](guide::verification), [tuning](guide::tuning)
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `shell` (default) | components, probes, status, the loop. Without it only [`machine`], [`policy`], [`law`], [`driver`] and [`explore`] remain |
//! | `http` | `/status/check`, `/readyz` and `/livez` as an axum router |
//! | `http-server` | the same, served from a separate thread |
//! | `etcd` | a probe for etcd, membership and shards. Needs `protoc` at build time |
//! | `test-util` | a dependency that tests switch, and a context without a supervisor |
#![forbid(unsafe_code)]
// What may grow without breaking anybody is marked as such, and what may not says why.
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// With few features there is less to link to.
#![cfg_attr(not(feature = "shell"), allow(rustdoc::broken_intra_doc_links))]

pub mod driver;
pub mod explore;
pub mod law;
pub mod machine;
mod pack;
pub mod policy;
#[cfg(any(feature = "shell", test))]
mod pulse;

/// The states, and all that can happen in them: a diagram and a table.
///
/// They are written from the machine: a test [explores](explore) plans that between them switch on
/// everything, and fails if this page shows anything else.
#[cfg(doc)]
#[doc = include_str!("states.md")]
pub mod states {}

#[cfg(all(any(doc, doctest), feature = "shell"))]
pub mod guide;

#[cfg(feature = "shell")]
mod shell;

#[cfg(feature = "test-util")]
pub mod test_util;

#[cfg(feature = "http")]
pub mod http;

// What it decides is tested without its client.
#[cfg(any(feature = "etcd", test))]
pub mod etcd;

// The numbers that a service runs by.
pub use policy::{Fence, Policy, PolicyError, Tuning};

// A service: how it is put together, how it runs and how that ends.
#[cfg(feature = "shell")]
pub use shell::{BuildError, Builder, Overwatch, RunError};

// Components, and what they get and report.
#[cfg(feature = "shell")]
pub use shell::{
    Classify, Component, Context, Failure, Hold, Reporter, StartStop, SubTask, component_fn,
};

/// For implementations of [`Component`], [`StartStop`] and [`Probe`]: the macro that these traits are made with.
#[cfg(feature = "shell")]
pub use async_trait::async_trait;

// Probes.
#[cfg(feature = "shell")]
pub use shell::{
    All, Feed, FeedProbe, Isolated, Observation, Polled, Probe, ProbeMode, all, feed, isolated,
    polled,
};

// A run, seen and steered from outside.
#[cfg(feature = "shell")]
pub use shell::{
    CommandError, ComponentStatus, DependencyStatus, Handle, Lagged, Outage, RunEnded, Status,
    TransitionEvent, Transitions,
};

// For recorders, and tests that judge a run.
#[cfg(feature = "shell")]
pub use shell::{Arrived, StepRecord};

// The README's code compiles and runs, too.
#[cfg(all(
    doctest,
    feature = "etcd",
    feature = "http-server",
    feature = "test-util"
))]
#[doc = include_str!("../README.md")]
struct Readme;
