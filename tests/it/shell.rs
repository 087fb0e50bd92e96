//! The shell on tokio's paused clock, with the monitor reading every step that it takes.

mod commands;
mod defects;
mod follow;
mod guard;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_body;
#[cfg(feature = "http-server")]
mod http_server;
mod last_words;
mod many;
mod misbehaving;
mod outages;
mod overruns;
mod probes;
mod process;
mod proving;
mod replay;
mod reports;
mod secrets;
mod spawned;
mod starter;
mod support;
mod trace;
mod why;
