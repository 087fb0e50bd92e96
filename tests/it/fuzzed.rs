//! Replays the inputs that the fuzz targets have kept, without a fuzzer: each file of `fuzz/corpus` and
//! `fuzz/regressions`. (The target `endpoints` is replayed in the package `overwatch-fuzzed`.)

use overwatch::machine::{Phase, Timer};
use overwatch_fuzzed::{demand, machine, policy, replay, snapshot};

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
        "`component_states` must name each component of the layout",
        "a number that only grows has no room to grow",
        "`level` is above the highest",
        "`failed_starts` is at the limit",
        "`component_states` do not fit the state",
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
