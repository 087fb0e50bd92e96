//! Replays the inputs that the fuzz target `endpoints` has kept, without a fuzzer.

use overwatch_fuzzed::{demand, endpoints, replay};

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
