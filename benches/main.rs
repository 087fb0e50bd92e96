//! What overwatch costs, beside the least that could do the same and beside its peers.
//!
//! `cargo run --profile bench -p overwatch-benches` measures all and prints one line for each figure:
//! what, the figure, its spread, its limit, and whether that is kept. Names as arguments choose
//! among [`BENCHES`]. It exits with 1 if a limit is not kept.

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

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let kept = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [HERE, name] => here(name),
        [HERE, machine::UNDER_CALLGRIND, what, who] => {
            machine::under_callgrind(what, who);
            true
        }
        _ => all(&arguments),
    };
    ExitCode::from(u8::from(!kept))
}

/// Each in a process of its own, so that none finds the heap as another left it.
fn all(chosen: &[String]) -> bool {
    if let Some(unknown) = chosen.iter().find(|name| bench(name).is_none()) {
        let names = BENCHES.map(|(name, _)| name).join(", ");
        eprintln!("there is no bench {unknown}: there are {names}");
        return false;
    }
    println!("{}", Lines::HEAD);
    let mut all_kept = true;
    for (name, _) in BENCHES {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            let this = std::env::current_exe().expect("a program knows where it is");
            let ended = Command::new(this).args([HERE, name]).status();
            // A bench that panicked has kept nothing.
            all_kept &= ended.expect("it can be started").success();
        }
    }
    all_kept
}

fn here(name: &str) -> bool {
    let measure = bench(name).expect("the name was checked");
    let mut lines = Lines::default();
    measure(&mut lines);
    lines.all_kept()
}

fn bench(wanted: &str) -> Option<Measure> {
    let found = BENCHES.into_iter().find(|(name, _)| *name == wanted);
    found.map(|(_, measure)| measure)
}
