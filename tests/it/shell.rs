//! The shell on tokio's paused clock, with the monitor reading every step that it takes.

mod commands;
mod defects;
mod endings;
mod errors;
mod failures;
mod finished;
mod follow;
mod guard;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_body;
#[cfg(feature = "http-server")]
mod http_server;
#[cfg(feature = "http")]
mod json_log;
mod judged;
mod last_words;
mod many;
mod misbehaving;
mod nested;
mod no_dependency;
mod outages;
mod overruns;
mod polled;
mod probes;
mod process;
mod proving;
mod renewals;
mod replay;
mod reports;
#[cfg(feature = "http")]
mod require_ready;
mod resources;
mod secrets;
mod spawned;
mod starter;
mod sub_tasks;
mod support;
mod trace;
mod why;
mod wiring;
