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
//!     let service = Overwatch::watching(database)
//!         .task("scheduler", |ctx| async move {
//!             ctx.ready();
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
//! # What it does
//!
//! A service that depends heavily on etcd, or on something else, half-works when that goes away:
//! leases lapse, watches hang, two nodes do the same job, and the health page still says 200. With
//! this crate embedded, the service
//!
//! 1. turns readiness off **first**;
//! 2. stops all its [components](Component), stage by stage and within deadlines, so that the node
//!    leaves its cluster and its work moves to other nodes;
//! 3. watches the dependency through a [`Probe`] until it was provably fine for a whole window (30 s
//!    by default): positive evidence, no error and no silence;
//! 4. starts everything as on a fresh start, in a new *epoch*, so that the node rejoins;
//! 5. logs each transition, and why.
//!
//! # Words
//!
//! | word | meaning |
//! | --- | --- |
//! | component | something the service starts and stops |
//! | epoch, incarnation | one run of all components; the number grows by one at each start |
//! | stage | components are started stage by stage, ascending, and stopped in reverse |
//! | dependency, probe | the outside thing the service cannot live without, and what observes it |
//! | report | a component's failure report; its class says whose trouble it is |
//! | trip | the decision to stop the world |
//! | outage | from a trip to the next Running; boot is outage 0 |
//! | clean run | alive observations with no failing one and no silence between them |
//! | hold-off | how long a clean run must last before anything is started: the *window* if the dependency was to blame, the shorter *backoff* if only components failed |
//! | level | how often it relapsed lately; the hold-off grows with it |
//! | fence | the instant by which work must have stopped because the lease that allowed it runs out |
//! | wedged | what survived its abort: only the end of the process ends it |
//!
//! # The states
//!
//! ```text
//!              one alive observation         every component up
//!  boot ──▶ Monitoring ───────────────▶ Restarting ───────────────▶ Running  (ready)
//!               ▲     at the end of a         │                        │
//!               │     clean run               │ any failure            │ trip: failing, silence,
//!               │                             ▼                        │ report, exit, fence
//!               └──────────────────────  ShuttingDown  ◀───────────────┘
//!                   every component gone      │
//!                                             ├──▶ Drained   an operator asked; waits for resume
//!                                             ├──▶ Stopped   a shutdown was asked for
//!                                             └──▶ Halted    wedged, fatal, or given up
//! ```
//!
//! Every decision is taken by [`machine::Machine`], which is pure: it does no I/O, reads no clock and
//! draws no random number. A thin shell feeds it inputs and carries out its effects. So its
//! decisions can be enumerated, fuzzed, simulated and replayed, and [`law::Monitor`] can judge any
//! run of it: a property test, a simulation, the real shell, a recorded log. The 19 laws are listed
//! in [`law`].
//!
//! # What follows from what
//!
//! - What a component may do, and what becomes of it: [`Component`].
//! - What a probe may do, and what becomes of it: [`Probe`].
//! - Every number, its default and its bounds: [`Policy`] and [`Tuning`].
//! - How to test your own components through an outage, without waiting: `test_util` (feature
//!   `test-util`).
//! - Health endpoints: `http` (feature `http`). A probe for etcd: `etcd` (feature `etcd`).
//!
//! Components run on a tokio runtime. With `current_thread` one blocking component freezes them all
//! and the supervisor too; prefer the multi-thread runtime, and with a lease the
//! [watchdog](Builder::fence_watchdog).
//!
//! # The trace
//!
//! Each transition is one [`tracing`](https://docs.rs/tracing) event at the target
//! `overwatch::transition`: `error` for Halted, `warn` for a stop that nobody asked for, else `info`.
//! Its fields do not change within a major version:
//!
//! | field | type | meaning |
//! | --- | --- | --- |
//! | `from`, `to` | string | the states: `Running`, `ShuttingDown`, `Monitoring`, `Restarting`, `Drained`, `Stopped`, `Halted` |
//! | `cause` | string | `boot`, `report`, `exited`, `start_failed`, `start_overdue`, `failing`, `silence`, `fence`, `trip`, `drain`, `resume`, `shutdown`, `recovered`, `all_up`, `all_gone`, `wedged`, `gave_up` or `fatal` |
//! | `reason` | string | the cause in words, with the error or the observation that led to it |
//! | `component`, `class` | string, optional | whose failure it was, and its class: `component`, `dependency`, `critical` or `fatal` |
//! | `epoch` | integer | the epoch, after the transition |
//! | `outage` | integer | the number of the present outage, or of the last one |
//! | `spent_ms` | integer | how long the state that was left had lasted, in milliseconds |
//! | `observe_only` | bool | whether it only would have happened ([`Builder::observe_only`]) |
//!
//! Further targets:
//!
//! | target | level | what |
//! | --- | --- | --- |
//! | `overwatch::outage` | info | an outage is over: `outage`, `lasted_ms`, `reports`, `stale_reports`, `failed_starts` |
//! | `overwatch::report` | warn | failure reports: `component`, `class`, `count`, `first`, `last` |
//! | `overwatch::component` | warn | a component ended with a failure: `component`, `failure`, `stopping`; also the span of each component: `name`, `epoch` |
//! | `overwatch::probe` | info, warn | the dependency turned alive or failing: `alive` |
//! | `overwatch::end` | error | the process is being left |
//! | `overwatch::effect`, `overwatch::ignored` | debug | each effect; each input that was ignored, and `why` |
//!
//! # The map
//!
//! | module | what it holds | what it never imports |
//! | --- | --- | --- |
//! | [`policy`] | the numbers and the stages, and which of them cannot work | anything async, a clock, chance, I/O |
//! | [`machine`] | the states and what each does with each input | the same; only `core`, `std::collections`, `Arc` and `statig` |
//! | [`law`] | the laws, as a monitor over inputs and effects | the same, and the machine's insides |
//! | `shell` (re-exported here) | components, probes, reports, status, the one loop | adapters |
//! | `http`, `etcd`, `test_util` | adapters | each other |
//!
//! The rule is enforced by a test. With no default features only the first three remain, and
//! `statig` is the only dependency.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Without the shell there is less to link to.
#![cfg_attr(not(feature = "shell"), allow(rustdoc::broken_intra_doc_links))]

pub mod explore;
pub mod law;
pub mod machine;
mod pack;
pub mod policy;

#[cfg(feature = "shell")]
mod shell;

#[cfg(feature = "test-util")]
pub mod test_util;

#[cfg(feature = "http")]
pub mod http;

#[cfg(feature = "etcd")]
pub mod etcd;

pub use policy::{Fence, Policy, PolicyError, Tuning};

#[cfg(feature = "shell")]
pub use shell::*;

// The README's code compiles and runs, too.
#[cfg(all(doctest, feature = "etcd", feature = "test-util"))]
#[doc = include_str!("../README.md")]
struct Readme;
