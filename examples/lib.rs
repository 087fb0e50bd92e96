#![forbid(unsafe_code)]
//! What the examples share: the service of `outage`, the timeline that it prints, and a client that
//! asks a health endpoint.

pub mod endpoint;
pub mod service;
pub mod timeline;
