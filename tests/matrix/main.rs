//! Prints the fault matrix, and ends with an error if a row is not as it must be.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use overwatch_matrix::{CALM, FAULTS, Seen, Table, Try, VERSIONS};

const USAGE: &str = "\
usage: tests/matrix/run [--etcd 3.4|3.5] [--window SECONDS] [--write FILE] [PART OF A NAME]...
Runs all rows whose name holds one of the parts, or all; by default on both versions and with a window
of 5 s. Each fault is tried three times, and the worst is shown. With --write each row that was measured
replaces the one in the tables of that file, which is docs/fault-matrix.md; that is for a window of 5 s.";

/// The window by default, of which the document tells.
const WINDOW: Duration = Duration::from_secs(5);

struct Wanted {
    versions: Vec<String>,
    window: Duration,
    /// The document whose rows are replaced.
    write: Option<PathBuf>,
    parts: Vec<String>,
}

fn wanted() -> Option<Wanted> {
    let mut wanted = Wanted {
        versions: VERSIONS.map(str::to_owned).to_vec(),
        window: WINDOW,
        write: None,
        parts: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--etcd" => {
                let version = arguments.next()?;
                if !VERSIONS.contains(&version.as_str()) {
                    return None;
                }
                wanted.versions = vec![version];
            }
            "--window" => wanted.window = Duration::from_secs(arguments.next()?.parse().ok()?),
            "--write" => wanted.write = Some(arguments.next()?.into()),
            flag if flag.starts_with('-') => return None,
            part => wanted.parts.push(part.to_owned()),
        }
    }
    (wanted.write.is_none() || wanted.window == WINDOW).then_some(wanted)
}

// One thread: a stalled CPU stalls everything.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let Some(Wanted {
        versions,
        window,
        write,
        parts,
    }) = wanted()
    else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let named = |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part));
    let (mut rows, mut wrong) = (0_u64, 0);
    let mut tell = |seen: Seen, table: Table, version: &str| {
        println!("{}", seen.line);
        let mut found = seen.wrong;
        if let Some(document) = &write {
            // At once, so that a run that is interrupted was not for nothing.
            found.extend(table.write(document, version, &[seen.line]).err());
        }
        wrong += u32::from(!found.is_empty());
        for what in found {
            println!("WRONG: {what}");
        }
    };
    for version in &versions {
        println!("{}", Table::Faults.heading());
        for row in FAULTS.iter().filter(|row| named(row.name)) {
            rows += 1;
            // A step that shares no factor with the probe's periods, so that all phases come up.
            let tries = [0, 1, 2].map(|number| Try {
                after: Duration::from_millis(2_000 + (3 * rows + number) * 1_237 % 8_000),
                relapse: number == 2,
            });
            let seen = row.run(version, window, &tries).await;
            tell(seen, Table::Faults, version);
        }
        println!("\n{}", Table::Calm.heading());
        for calm in CALM.iter().filter(|calm| named(calm.name)) {
            rows += 1;
            tell(calm.run(version, None).await, Table::Calm, version);
        }
    }
    println!("{rows} rows, {wrong} not as they must be");
    if wrong == 0 && rows > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
