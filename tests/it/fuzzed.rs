//! What the fuzz targets in `fuzz` check, and a replay of the inputs that are kept there: each file
//! of `fuzz/corpus` and `fuzz/regressions` on every run of the tests, without a fuzzer.

#[cfg(feature = "etcd")]
mod endpoints;
mod machine;
mod plans;
mod policy;
mod snapshot;
mod wild;

use std::collections::BTreeMap;
use std::fmt::Arguments;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use overwatch::machine::{Phase, Timer};

use crate::world::{IGNORED, causes};

#[test]
fn machine_corpus() {
    let seen = replay("machine", machine::check, machine::explore);
    let clocks = ["on a clock", "at any moment"];
    let fired = |timer| clocks.map(|clock| format!("fired: {timer}, {clock}"));
    let finales = [
        "recovered: Running",
        "recovered: Halted",
        "shutdown in silence",
    ];
    let all = (Phase::ALL.iter().map(|phase| format!("phase: {phase}")))
        .chain(Timer::ALL.into_iter().flat_map(fired))
        .chain(IGNORED.map(|why| format!("ignored: {why}")))
        .chain(causes().skip(1).map(|cause| format!("cause: {cause}")))
        .chain(finales.map(str::to_owned));
    demand(&seen, all);
}

#[test]
fn policy_corpus() {
    let seen = replay("policy", policy::check, policy::explore);
    let refused = [
        "window",
        "silence_limit",
        "trip_threshold",
        "start_deadline",
        "stop_deadline",
        "abort_deadline",
        "give_up_after",
        "fence.ttl",
        "fence.margin",
        "fence.renewal_interval",
        "backoff",
        "growth",
        "max_hold_off",
        "max_level",
        "min_evidence",
        "decay",
        "stable_after",
        "unready_delay",
        "jitter",
        "stages",
        "components",
    ];
    let together = ["fence", "lease_owner", "fence.ttl"];
    let all = (refused.map(|knob| format!("refused: {knob}")).into_iter())
        .chain(together.map(|knob| format!("refused with the layout: {knob}")))
        .chain(["lived, with a fence", "lived"].map(str::to_owned));
    demand(&seen, all);
}

#[test]
fn snapshot_corpus() {
    let seen = replay("snapshot", snapshot::check, snapshot::explore);
    let refused = [
        "`slots` must name each component of the layout",
        "a number that only grows has no room to grow",
        "`level` is above the highest",
        "`failed_starts` is at the limit",
        "`slots` do not fit the state",
        "`armed` does not fit the state",
        "a number in `state` is out of its range",
        "`session_open` does not fit the state",
        "an open session has a number above 0",
        "an outage ends when Running is reached",
    ];
    let all = (Phase::ALL.iter().map(|phase| format!("resumed: {phase}")))
        .chain(refused.map(|why| format!("refused: {why}")));
    demand(&seen, all);
}

#[cfg(feature = "etcd")]
#[test]
fn endpoints_corpus() {
    let seen = replay("endpoints", endpoints::check, endpoints::explore);
    let refused = [
        "no endpoints",
        "too many endpoints",
        "bad endpoint",
        "duplicate endpoint",
        "user",
        "sentinel_key",
        "tls",
        "progress_interval",
        "progress_grace_period",
        "read_interval",
        "read_grace_period",
        "write_interval",
        "write_grace_period",
        "recheck_interval",
        "latency_budget",
        "slow_answers",
        "request_timeout",
        "connect_timeout",
        "election_timeout",
        "reconnect_interval",
        "spare_reconnect_interval",
        "refused_interval",
        "keepalive_interval",
        "keepalive_timeout",
    ];
    let taken = [
        "taken",
        "taken, with TLS",
        "taken: default",
        "taken: fast",
        "taken: gentle",
        "silence limit: taken",
        "silence limit: refused",
    ];
    let all = refused.map(|what| format!("refused: {what}")).into_iter();
    demand(&seen, all.chain(taken.map(str::to_owned)));
}

/// The check of a target, which tells what was seen on the way.
type Explore = fn(&[u8], &mut dyn FnMut(Arguments<'_>));

/// Checks every input that is kept for a target, and says what was seen on the way.
fn replay(target: &str, check: fn(&[u8]), explore: Explore) -> BTreeMap<String, u32> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let corpus = files(&fuzz.join("corpus").join(target));
    assert!(!corpus.is_empty(), "there is no corpus for {target}");
    let mut seen = BTreeMap::new();
    let mut note = |what: Arguments<'_>| *seen.entry(what.to_string()).or_default() += 1;
    run_each(&corpus, |data| explore(data, &mut note));
    // What was once found counts for nothing else.
    run_each(&files(&fuzz.join("regressions").join(target)), check);
    seen
}

fn run_each(files: &[PathBuf], mut run: impl FnMut(&[u8])) {
    for file in files {
        let data = fs::read(file).expect("a file that can be read");
        let ran = catch_unwind(AssertUnwindSafe(|| run(&data)));
        assert!(ran.is_ok(), "{} fails, see above", file.display());
    }
}

/// The files of a directory; none if there is no such directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

/// The corpus has a meaning only for as long as its bytes are decoded as they were when it was made.
fn demand(seen: &BTreeMap<String, u32>, all: impl Iterator<Item = String>) {
    let missed: Vec<_> = all.filter(|what| !seen.contains_key(what)).collect();
    assert!(
        missed.is_empty(),
        "the corpus does not reach {missed:#?}, make a new one; it reaches {seen:#?}"
    );
}
