//! What overwatch costs, beside the least that could do the same and beside its peers.
//!
//! `cargo run --profile bench -p overwatch-benches` measures all and prints one line for each figure:
//! what, the figure, its spread, its limit, and whether that is kept. Names as arguments choose
//! among [`BENCHES`]. It exits with 1 if a limit is not kept. With `--write BENCHMARKING.md` the lines are put
//! into that document as well, each in the place of the one about the same.

mod allocations;
mod counting;
mod explore;
mod flood;
mod guard;
mod idle;
mod lease;
mod lines;
mod machine;
mod report;
mod shell;
mod status;
mod trip;

use std::path::Path;
use std::process::{Command, ExitCode};

use lines::Lines;

type Measure = fn(&mut Lines);

/// What is measured, in this order.
const BENCHES: [(&str, Measure); 11] = [
    ("machine", machine::measure),
    ("explore", explore::measure),
    ("shell", shell::measure),
    ("allocations", allocations::measure),
    ("guard", guard::measure),
    ("trip", trip::measure),
    ("flood", flood::measure),
    ("report", report::measure),
    ("status", status::measure),
    ("lease", lease::measure),
    ("idle", idle::measure),
];

/// Before a name: measure this one here, and not in a process of its own.
const HERE: &str = "--here";

/// Before a document: put the lines into its table.
const WRITE: &str = "--write";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let kept = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [HERE, name] => here(name, None),
        [HERE, name, WRITE, document] => here(name, Some(document)),
        [HERE, machine::UNDER_CALLGRIND, what, who] => {
            machine::under_callgrind(what, who);
            true
        }
        [WRITE, document, ..] => all(&arguments[2..], Some(document)),
        _ => all(&arguments, None),
    };
    ExitCode::from(u8::from(!kept))
}

/// Each in a process of its own, so that none finds the heap as another left it.
fn all(chosen: &[String], document: Option<&str>) -> bool {
    if let Some(unknown) = chosen.iter().find(|name| bench(name).is_none()) {
        let names = BENCHES.map(|(name, _)| name).join(", ");
        eprintln!("there is no bench {unknown}: there are {names}");
        return false;
    }
    // Before minutes are spent on it.
    if !written(&Lines::default(), document) {
        return false;
    }
    println!("{}", Lines::HEAD);
    let mut all_kept = true;
    for (name, _) in BENCHES {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            let this = std::env::current_exe().expect("a program knows where it is");
            let mut bench = Command::new(this);
            bench.args([HERE, name]);
            bench.args(document.into_iter().flat_map(|document| [WRITE, document]));
            // A bench that panicked has kept nothing.
            all_kept &= bench.status().expect("it can be started").success();
        }
    }
    all_kept
}

fn here(name: &str, document: Option<&str>) -> bool {
    let measure = bench(name).expect("the name was checked");
    let mut lines = Lines::default();
    measure(&mut lines);
    written(&lines, document) && lines.all_kept()
}

/// Puts the lines into the document, if there is one.
fn written(lines: &Lines, document: Option<&str>) -> bool {
    let written = document.map_or(Ok(()), |document| lines.write(Path::new(document)));
    if let Err(why) = &written {
        eprintln!("{why}");
    }
    written.is_ok()
}

fn bench(wanted: &str) -> Option<Measure> {
    let found = BENCHES.into_iter().find(|(name, _)| *name == wanted);
    found.map(|(_, measure)| measure)
}
