#![forbid(unsafe_code)]
//! Programs that use overwatch, and here what they share.
//!
//! | `cargo run --example` | shows |
//! | --- | --- |
//! | `outage` | an outage from begin to end, in one command; with `--etcd URL` against your etcd |
//! | `axum_service` | an API and a scheduler: what outlives epochs, what begins afresh |
//! | `agent` | something with a start and a stop of its own, callbacks, blocking work |
//! | `simulator` | the machine without the shell, judged by the laws through years of virtual time |
//! | `prove` | every situation of many plans, visited on the real machine |

pub mod endpoint;
pub mod service;
pub mod timeline;
