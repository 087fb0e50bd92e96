#![forbid(unsafe_code)]
//! Nodes that share their work out by etcd, and every fault that can strike them:
//! `cargo run --release -p overwatch-cluster`.
//!
//! It needs an etcd on the path, and starts everything else itself: that etcd, three nodes, each a
//! process of its own that reaches etcd through proxies of its own, and a web server, which the nodes'
//! 24 jobs check twenty times a second each. It shows live which node runs which jobs. Then it makes one
//! fault after the other:
//!
//! - Nodes leave, are killed, hang, are cut off. A job blocks its thread for good while its node is cut off or
//!   is to leave. Claims are deleted by hand while their node drains.
//! - etcd is killed, hangs, takes a lease away, is restored from a backup. With `--members 3` it loses its
//!   quorum, and its leader is killed, or hangs and goes on.
//! - Operators deploy nodes with another number of jobs, or with endpoints of two etcds that know nothing of
//!   each other.
//!
//! **What is promised**, and judged here:
//!
//! - No job runs on two nodes at once, whatever happens: *overlaps* are never more than none.
//! - When a node dies, hangs or is cut off, others run its jobs a second after its time to live at the
//!   latest; when it leaves in order, or jobs move for the sake of balance, within a second: *gaps*.
//! - After each fault all nodes are ready again, no node has more jobs than its share, and etcd holds
//!   their records and no others. After the end it holds none.
//! - While nodes know different jobs, each job that any of them knows runs somewhere. While endpoints belong
//!   to two etcds, no node is ready, and none takes a lease.
//! - Fencing tokens rise from owner to owner, as long as etcd's store is the same one. (They are its
//!   revisions, which go back when it is restored from a backup: then they begin anew, unless the nodes are
//!   told of it.)
//!
//! **How it is judged**: not by etcd, nor by what the nodes believe. Each job writes down when it
//! starts, begins and ends a unit of work, and stops, in a file of its process, by a clock that all
//! processes share; the judge reads these files and nothing else. (A process that was frozen beyond its
//! time to live may end what it had begun; it must begin nothing more. Its watchdog aborts it when it goes
//! on, and it is started again. A job that blocks counts as active until its process has ended.)
//!
//! A node is in `node.rs`: it is what a service of yours would look like. `--help` says what else can be
//! asked for. It ends with a table of the jobs and one of the faults, and with 1 if a promise was
//! broken.

mod arguments;
mod cluster;
mod etcd;
mod fault;
mod judge;
mod leash;
mod node;
mod process;
mod record;
mod screen;
mod script;
mod table;
#[cfg(test)]
mod tests;
mod verdict;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use arguments::{Arguments, Wanted};
use cluster::Cluster;
use table::{Jobs, Table};

/// How a process ends that did not understand its arguments.
const MISUSED: u8 = 2;
/// How a process ends that was interrupted: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    // The words by which it starts its own processes.
    if arguments.next_if(|word| word == leash::LEASHED).is_some() {
        return failed(&leash::become_leashed(arguments));
    }
    if arguments.next_if(|word| word == node::NODE).is_some() {
        return match node::Told::parse(arguments) {
            Some(told) => node::run(told),
            None => misused(&"a node is started by this program, not by hand"),
        };
    }
    match Arguments::parse(arguments) {
        Ok(Arguments::Help) => {
            say(&arguments::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Arguments::Play(wanted)) => play(wanted),
        Err(problem) => misused(&problem),
    }
}

// One thread: it holds the leashes of the processes, which end when it does.
#[tokio::main(flavor = "current_thread")]
async fn play(wanted: Wanted) -> ExitCode {
    let (interrupt, terminate) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        return failed(&"signals cannot be listened for");
    };
    let played = tokio::select! {
        played = play_and_judge(wanted) => played,
        // Whatever was started ends, as the show is dropped.
        _ = interrupt.recv() => return ExitCode::from(INTERRUPTED),
        _ = terminate.recv() => return ExitCode::from(INTERRUPTED),
    };
    played.unwrap_or_else(|error| failed(&error))
}

/// Whether all promises were kept; an error if it could not begin.
async fn play_and_judge(wanted: Wanted) -> Result<ExitCode, String> {
    let binary = wanted.etcd.clone().unwrap_or_else(etcd::usual_binary);
    let version = etcd::version(&binary)?;
    if let Some(document) = &wanted.write {
        // Before minutes are spent on it.
        table::write(document, &version, wanted.members, &[])?;
    }
    say(&heading(&wanted, &version));
    let mut cluster = Cluster::start(wanted, binary).await?;
    let mut rows = Vec::new();
    let outcome = script::play(&mut cluster, &mut rows).await;
    let found = cluster.found();
    say(&format_args!("\n{}\n{}", Jobs(&found), Table(&rows)));
    if let Some(document) = &cluster.wanted.write {
        table::write(document, &version, cluster.wanted.members, &rows)?;
    }
    if let Err(why) = &outcome {
        say(&format_args!("BROKEN: {why}"));
    }
    // Whatever the rows say: nothing may have slipped between them.
    let overlaps: usize = rows.iter().map(|row| row.overlaps).sum();
    if outcome.is_ok() && overlaps != found.overlaps.len() {
        say(&"BROKEN: there are overlaps in no row");
    }
    let well = outcome.is_ok()
        && found.overlaps.is_empty()
        && rows.iter().all(|row| row.broken.is_empty());
    if well {
        say(&"All promises kept.");
    }
    if !well || cluster.wanted.keep {
        let kept = cluster.keep();
        say(&format_args!("logs and records are in {}", kept.display()));
    }
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn heading(wanted: &Wanted, version: &str) -> String {
    let Wanted {
        members,
        nodes,
        shards,
        ttl,
        faults,
        ..
    } = wanted;
    let names: Vec<&str> = faults.iter().map(|fault| fault.name()).collect();
    let names = names.join(", ");
    let work = if wanted.idle() {
        "do nothing but run"
    } else {
        "check a web server twenty times a second each"
    };
    format!(
        "{nodes} nodes share {shards} jobs, which {work}; etcd {version}, {members} member(s), time \
         to live {ttl:?}.\nFaults: {names}.\n\
         Each line shows what became of a node, and the jobs that it runs.\n"
    )
}

fn misused(problem: &dyn Display) -> ExitCode {
    complain(&format_args!("{problem}\n\n{}", arguments::USAGE));
    ExitCode::from(MISUSED)
}

fn failed(problem: &dyn Display) -> ExitCode {
    complain(problem);
    ExitCode::FAILURE
}

/// A reader that has left, such as `head`, is no reason to panic.
fn say(line: &dyn Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn complain(problem: &dyn Display) {
    let _ = writeln!(io::stderr(), "{problem}");
}
