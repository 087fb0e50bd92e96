//! Stops a service cleanly when the one dependency that it cannot work without goes away.
//! Starts the service again, from scratch, when that dependency has proved itself.
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
//! 4. starts everything again from scratch, in a new *epoch*;
//! 5. logs each transition with its reason.
//!
//! # Where to look
//!
//! | to | see |
//! | --- | --- |
//! | build a service and run it | [`Overwatch`], [`Builder`], [`Policy`] |
//! | write a component | [`Component`], [`StartStop`], [`LeaseHolder`], [`Context`], [`Failure`] |
//! | observe a dependency | [`Probe`], [`polled`], [`feed`], [`all`], [`isolated`], [`no_dependency`], `etcd::EtcdProbe` |
//! | watch and control a run | [`Handle`], [`Status`], [`Transitions`], `http` |
//! | share work among nodes | `etcd::Membership`, `etcd::Shards` |
//! | keep a configuration in etcd current | `etcd::PrefixWatch` |
//! | test a service | `test_util`, [`law`], [`explore`] |
//! | understand the decisions | [`machine`], [`driver`], [`states`] |
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
//! | `shell` (default) | components, probes, status, the loop. Without this feature, only [`machine`], [`policy`], [`law`], [`driver`] and [`explore`] remain |
//! | `http` | `/status/check`, `/readyz` and `/livez` as an axum router, and a layer that refuses requests while the service is not ready |
//! | `http-server` | the same, served from a separate thread |
//! | `etcd` | a probe for etcd, membership, shards, and values that stay current. Needs `protoc` at build time |
//! | `test-util` | a dependency that tests switch on and off, a context without a supervisor, and a judge of runs by the laws |
#![deny(missing_debug_implementations)]
#![forbid(unsafe_code)]
// Public types that may grow are marked as `non_exhaustive`. The others state why they may not grow.
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Some links lead to items of features that may be off.
#![cfg_attr(not(feature = "shell"), allow(rustdoc::broken_intra_doc_links))]

pub mod driver;
pub mod explore;
pub mod law;
pub mod machine;
mod pack;
pub mod policy;
#[cfg(any(feature = "shell", test))]
mod pulse;
#[cfg(any(feature = "shell", test))]
#[cfg_attr(
    not(feature = "shell"),
    allow(
        unused_imports,
        reason = "the tests of etcd's pure part need some of it"
    )
)]
mod text;

/// The states, and all that can happen in them: a diagram and a table.
///
/// This page is generated from the machine. A test [explores](explore) plans that together use every feature of the
/// machine, and fails if this page differs from the result.
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

// Also compiled for tests without the feature: the decisions are tested without the etcd client.
#[cfg(any(feature = "etcd", test))]
pub mod etcd;

// The settings of a service.
pub use policy::{Fence, Policy, PolicyError, Tuning};

// Building a service, running it, and how a run ends.
#[cfg(feature = "shell")]
pub use shell::{BuildError, Builder, Overwatch, RunError, RunReport, StopSignal, UncleanStop};

// Components, what they receive, and what they report.
#[cfg(feature = "shell")]
pub use shell::{
    CaughtTask, Classify, Component, ComponentResult, Context, Failure, Hold, LeaseHolder,
    Reporter, StartStop, SubTask, Wiring, WiringError, component_fn,
};

/// The macro for implementations of the async traits [`Component`], [`StartStop`] and [`Probe`].
#[cfg(feature = "shell")]
pub use async_trait::async_trait;

// Probes.
#[cfg(feature = "shell")]
pub use shell::{
    All, Feed, FeedProbe, IntoObservation, Isolated, NoDependency, Observation, Polled, Probe,
    ProbeMode, all, feed, isolated, no_dependency, polled,
};

// Watching and controlling a run from outside.
#[cfg(feature = "shell")]
pub use shell::{
    CommandAnswer, CommandError, CommandLost, CommandOutcome, ComponentStatus, DependencyStatus,
    Handle, Lagged, Outage, RunEnded, Status, TransitionEvent, Transitions,
};

// For recorders, and for tests that check a run.
#[cfg(feature = "shell")]
pub use shell::{Arrived, StepRecord};

// Doc tests also compile and run the code of the README.
#[cfg(all(
    doctest,
    feature = "etcd",
    feature = "http-server",
    feature = "test-util"
))]
#[doc = include_str!("../README.md")]
struct Readme;
