#![forbid(unsafe_code)]
//! An outage from begin to end: `cargo run --example outage`.
//!
//! A service of three components on two stages, an embedded dependency that fails, hangs and flaps,
//! and `/status/check`, asked over TCP all along. It prints what happens as it happens, ends by
//! itself within half a minute, and exits with 1 if anything that it promises did not happen.
//!
//! `cargo run --example outage -- --flapping` shows how the hold-off grows with each relapse, and how the service says
//! so.
//!
//! `cargo run --example outage --features etcd -- --etcd http://127.0.0.1:2379` runs the same service
//! against your etcd, until ctrl-c.

mod arguments;
mod flapping;
#[cfg(feature = "etcd")]
mod live;
mod script;
mod summary;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use overwatch_examples::timeline::Entry;

use arguments::Arguments;

/// How a process ends that did not understand its arguments.
const MISUSED: u8 = 2;

// One thread, so that lines come in the order in which things happen.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ended = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Arguments::Help) => {
            say(arguments::USAGE);
            return ExitCode::SUCCESS;
        }
        Ok(Arguments::Script) => play().await,
        Ok(Arguments::Flapping) => flap().await,
        Ok(Arguments::Etcd { urls, window }) => live(&urls, window).await,
        Err(problem) => return misused(&problem),
    };
    ended.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

fn misused(problem: &dyn Display) -> ExitCode {
    complain(&format_args!("{problem}\n\n{}", arguments::USAGE));
    ExitCode::from(MISUSED)
}

/// Plays the script, and judges what happened.
async fn play() -> Result<ExitCode, Box<dyn Error>> {
    let summary = script::play(say, screen()).await?;
    say(&format!("\n{summary}"));
    Ok(if summary.broken_promises().is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Plays the relapses, and says how the hold-off grew.
async fn flap() -> Result<ExitCode, Box<dyn Error>> {
    let hold_offs = flapping::play(say, screen()).await?;
    say(&format!(
        "\nThe hold-offs, the last one after a reset: {hold_offs:?}"
    ));
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "etcd")]
async fn live(urls: &[String], window: Option<Duration>) -> Result<ExitCode, Box<dyn Error>> {
    match live::prepare(urls, window) {
        Ok((probe, policy)) => live::run(probe, policy, say, screen()).await?,
        Err(problem) => return Ok(misused(&problem)),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(feature = "etcd"))]
async fn live(_: &[String], _: Option<Duration>) -> Result<ExitCode, Box<dyn Error>> {
    Ok(misused(
        &"this was built without etcd; build it with it (it needs `protoc`):\n\n    \
          cargo run --example outage --features etcd -- --etcd URL",
    ))
}

/// Prints each entry, in colour where the terminal has it and nobody objects (<https://no-color.org>).
fn screen() -> impl FnMut(Entry) {
    let objected = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stdout().is_terminal() && !objected;
    move |entry| say(&entry.line(colour))
}

/// A reader that has left, such as `head`, is no reason to panic.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn complain(problem: &dyn Display) {
    let _ = writeln!(io::stderr(), "{problem}");
}
