#![forbid(unsafe_code)]
//! Lessons in overwatch, in reading order, and programs that use it. This library is what they share.
//!
//! | `cargo run --example` | the lesson |
//! | --- | --- |
//! | `01_first_outage` | one service, one dependency, one outage |
//! | `02_own_probe` | a probe for your own dependency: evidence, classes, what is fatal |
//! | `03_axum_service` | an API and a scheduler: what outlives epochs, what begins anew, health endpoints |
//! | `04_stages_and_resources` | stages, and a resource that is started, stopped and held by calls |
//! | `05_testing_on_a_paused_clock` | tests of your own service: an hour of outage in no time |
//! | `06_cluster` | nodes that share work by etcd (`--features etcd`, and an etcd) |
//! | `07_own_policy_proved` | a policy of your own, and every situation that it can get into |
//! | `08_observe_only` | how to try it in production: it shows what it would do, and does nothing |
//!
//! | `cargo run --example` | the program |
//! | --- | --- |
//! | `outage` | an outage from begin to end; with `--etcd URL` against your etcd |
//! | `simulator` | the machine without the shell, judged by the laws through years of virtual time |
//! | `prove` | every situation of many plans, explored on the real machine |

pub mod endpoint;
pub mod service;
pub mod timeline;
