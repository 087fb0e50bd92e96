//! Prints the fault matrix, and ends with an error if a row is not as it must be.

use std::process::ExitCode;
use std::time::Duration;

use overwatch_matrix::{CALM, FAULTS, HEADING, Seen, Try, VERSIONS};

const USAGE: &str = "\
usage: tests/matrix/run [--etcd 3.4|3.5] [--window SECONDS] [PART OF A NAME]...
Runs all rows whose name holds one of the parts, or all; by default on both versions and with a window
of 5 s. Each fault is tried three times, and the worst is shown.";

struct Wanted {
    versions: Vec<String>,
    window: Duration,
    parts: Vec<String>,
}

fn wanted() -> Option<Wanted> {
    let mut wanted = Wanted {
        versions: VERSIONS.map(str::to_owned).to_vec(),
        window: Duration::from_secs(5),
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
            flag if flag.starts_with('-') => return None,
            part => wanted.parts.push(part.to_owned()),
        }
    }
    Some(wanted)
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
        parts,
    }) = wanted()
    else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let named = |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part));
    let (mut rows, mut wrong) = (0_u64, 0);
    let mut tell = |seen: Seen| {
        println!("{}", seen.line);
        wrong += u32::from(!seen.wrong.is_empty());
        for what in seen.wrong {
            println!("WRONG: {what}");
        }
    };
    println!("{HEADING}");
    for version in &versions {
        for row in FAULTS.iter().filter(|row| named(row.name)) {
            rows += 1;
            // A step that shares no factor with the probe's periods, so that all phases come up.
            let tries = [0, 1, 2].map(|number| Try {
                after: Duration::from_millis(2_000 + (3 * rows + number) * 1_237 % 8_000),
                relapse: number == 2,
            });
            tell(row.run(version, window, &tries).await);
        }
        for calm in CALM.iter().filter(|calm| named(calm.name)) {
            rows += 1;
            tell(calm.run(version, None).await);
        }
    }
    println!("{rows} rows, {wrong} not as they must be");
    if wrong == 0 && rows > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
