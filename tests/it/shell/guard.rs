//! The supervisor must not share the fate of the service that it supervises. Each test blocks
//! something of the service (a thread, the log, an error's text) and asserts that the supervisor acts
//! in time all the same.
//!
//! All tests run in real time on multi-thread runtimes, and watch from plain threads: a call from
//! outside wakes a runtime that is stuck, and would hide what these tests look for.

mod child;
mod ends;
mod freeze;
mod log;
mod scene;
mod support;
mod threads;
mod user_code;
