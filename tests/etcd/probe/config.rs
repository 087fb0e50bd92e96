//! What a configuration refuses, and what it hides.

use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdConfigError, EtcdProbe, Tls};
use overwatch::{Overwatch, Policy};
use overwatch_test_support::observe::config;

#[test]
fn bad_endpoints_are_refused_by_name() {
    for (given, text) in [
        (vec![""], "is empty"),
        (vec!["http://a:2379,http://b:2379"], "holds a comma"),
        (vec!["http://exa mple:2379"], "is no URL"),
        (vec!["http://[::1:2379"], "is no URL"),
        (vec!["127.0.0.1:2379"], "has no scheme"),
        (vec!["localhost"], "has no scheme"),
        (vec!["ftp://localhost:2379"], "unsupported scheme \"ftp\""),
        (vec!["unix://localhost:2379"], "unsupported scheme \"unix\""),
        (vec!["http://localhost:0"], "no usable port"),
        (vec!["http://localhost:99999"], "port"),
        (vec!["http://localhost:"], "no usable port"),
        (vec!["http://localhost:2379/v3"], "has a path"),
        (vec!["http://localhost:2379?x=1"], "has a path or a query"),
        (
            vec!["http://joe:secret@localhost:2379"],
            "EtcdConfig::with_user",
        ),
        (vec!["joe:secret://@localhost:2379"], "is no URL"),
    ] {
        let error = EtcdConfig::new(&given).expect_err(given[0]);
        let said = error.to_string();
        assert!(said.contains(text), "{given:?}: {said}");
        assert!(!said.contains("secret"), "{said}");
        assert!(
            matches!(error, EtcdConfigError::BadEndpoint { .. }),
            "{error:?}"
        );
    }
    let none = EtcdConfig::new::<[&str; 0]>([]);
    assert_eq!(none, Err(EtcdConfigError::NoEndpoints));
    let twice = EtcdConfig::new(["http://Localhost", "http://localhost:2379/"]);
    let endpoint = "http://localhost:2379".to_owned();
    assert_eq!(twice, Err(EtcdConfigError::DuplicateEndpoint { endpoint }));
    let many = (1..=33).map(|port| format!("http://localhost:{port}"));
    assert_eq!(
        EtcdConfig::new(many),
        Err(EtcdConfigError::TooManyEndpoints { max: 32 })
    );
}

#[test]
fn good_endpoints_are_taken() {
    for given in [
        "http://127.0.0.1:2379",
        "http://[::1]:2379",
        "HTTP://Etcd-0.etcd/",
        "http://[::1]",
    ] {
        let config = EtcdConfig::new([given]).expect(given);
        EtcdProbe::new(config).expect(given);
    }
}

#[test]
fn settings_that_do_not_fit_are_refused_by_name() {
    let plain = || config(["http://localhost:2379"]);
    let secure = || config(["https://localhost:2379"]);
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAA==\n-----END {label}-----\n");
    let tls = || Tls::new(pem("CERTIFICATE"));
    for (config, text) in [
        (plain().with_user("", "x"), "user: the name is empty"),
        (plain().with_sentinel_key(""), "sentinel_key: is empty"),
        (
            plain().with_tls(tls()),
            "tls: is set, but http://localhost:2379 does not use it",
        ),
        (
            secure(),
            "tls: is missing, but https://localhost:2379 needs it",
        ),
        (
            secure().with_tls(Tls::new("ca.pem")),
            "tls: the authority holds no PEM certificate",
        ),
        (
            secure().with_tls(tls().with_identity(pem("EC PRIVATE KEY"), pem("CERTIFICATE"))),
            "tls: the identity's certificate",
        ),
        (
            secure().with_tls(tls().with_identity(pem("CERTIFICATE"), pem("CERTIFICATE"))),
            "tls: the identity's key",
        ),
        (
            secure().with_tls(tls().with_domain_name("")),
            "tls: the domain name is empty",
        ),
    ] {
        let error = EtcdProbe::new(config).expect_err(text).to_string();
        assert!(error.starts_with(text), "{error}");
    }
    let identity = tls().with_identity(pem("CERTIFICATE"), pem("EC PRIVATE KEY"));
    EtcdProbe::new(secure().with_tls(identity)).expect("a whole configuration");
}

/// One knob beyond one of its bounds, while all others fit.
#[test]
fn numbers_out_of_their_bounds_are_refused_by_name() {
    let plain = || config(["http://localhost:2379"]);
    let short = |knob| format!("{knob} is 99.999999ms, but must be at least 100ms");
    let long =
        |knob, most: &str| format!("{knob} is {most}.000000001s, but must be at most {most}s");
    let us = Duration::from_micros;
    let [below, above, timeout] = [
        ms(100) - Duration::from_nanos(1),
        ms(600_000) + Duration::from_nanos(1),
        ms(30_000) + Duration::from_nanos(1),
    ];
    for (config, text) in [
        (plain().with_progress_interval(below), short("progress_interval")),
        (plain().with_progress_interval(above), long("progress_interval", "600")),
        (plain().with_read_interval(below), short("read_interval")),
        (plain().with_read_interval(above), long("read_interval", "600")),
        (
            plain().with_write_interval(us(999_999)),
            "write_interval is 999.999ms, but must be at least 1s".into(),
        ),
        (plain().with_write_interval(above), long("write_interval", "600")),
        (
            plain().with_progress_grace_period(above),
            long("progress_grace_period", "600"),
        ),
        (plain().with_read_grace_period(above), long("read_grace_period", "600")),
        (plain().with_write_grace_period(above), long("write_grace_period", "600")),
        (plain().with_request_timeout(below), short("request_timeout")),
        (
            plain().with_request_timeout(timeout),
            long("request_timeout", "30"),
        ),
        (plain().with_connect_timeout(below), short("connect_timeout")),
        (
            plain().with_connect_timeout(timeout),
            long("connect_timeout", "30"),
        ),
        (
            plain().with_election_timeout(us(49_999)),
            "election_timeout is 49.999ms, but must be at least 50ms".into(),
        ),
        (
            plain().with_election_timeout(us(50_000_001)),
            "election_timeout is 50.000001s, but must be at most 50s".into(),
        ),
        (plain().with_recheck_interval(below), short("recheck_interval")),
        (
            plain().with_latency_budget(us(49_999)),
            "latency_budget is 49.999ms, but must be at least 50ms".into(),
        ),
        (plain().with_reconnect_interval(below), short("reconnect_interval")),
        (
            plain().with_reconnect_interval(timeout),
            long("reconnect_interval", "30"),
        ),
        (
            plain().with_spare_reconnect_interval(above),
            long("spare_reconnect_interval", "600"),
        ),
        (
            plain().with_refused_interval(us(999_999)),
            "refused_interval is 999.999ms, but must be at least 1s".into(),
        ),
        (plain().with_refused_interval(above), long("refused_interval", "600")),
        (
            plain().with_keepalive_interval(us(4_999_999)),
            "keepalive_interval is 4.999999s, but must be at least 5s, or etcd closes the connection"
                .into(),
        ),
        (
            plain().with_keepalive_interval(above),
            long("keepalive_interval", "600"),
        ),
        (plain().with_keepalive_timeout(below), short("keepalive_timeout")),
        (
            plain().with_keepalive_timeout(timeout),
            long("keepalive_timeout", "30"),
        ),
        (
            plain().with_slow_answers(0),
            "slow_answers: is 0, but must be from 1 to 100".into(),
        ),
        (
            plain().with_slow_answers(101),
            "slow_answers: is 101, but must be from 1 to 100".into(),
        ),
        (
            plain().with_progress_interval(Duration::MAX),
            "progress_interval is 18446744073709551615.999999999s, but must be at most 600s".into(),
        ),
    ] {
        assert_eq!(refusal(config), text);
    }
}

/// Numbers that are fine by themselves, and not together.
#[test]
fn numbers_that_cannot_work_together_are_refused_with_the_reason() {
    let plain = || config(["http://localhost:2379"]);
    for (config, text) in [
        (
            plain().with_latency_budget(ms(1_501)),
            "latency_budget is 1.501s, but must be at most 1.5s (half the request_timeout), or no \
             answer is slow and each is lost",
        ),
        (
            plain().with_request_timeout(ms(1_999)),
            "latency_budget is 1s, but must be at most 999.5ms (half the request_timeout), or no \
             answer is slow and each is lost",
        ),
        (
            plain()
                .with_progress_grace_period(ms(1_100))
                .with_recheck_interval(ms(551)),
            "recheck_interval is 551ms, but must be at most 550ms (half of progress_grace_period), or \
             nothing is asked twice before it fails",
        ),
        (
            plain()
                .with_read_grace_period(ms(3_000))
                .with_recheck_interval(ms(1_501))
                .with_read_interval(ms(1_501)),
            "recheck_interval is 1.501s, but must be at most 1.5s (half of read_grace_period), or nothing \
             is asked twice before it fails",
        ),
        (
            plain()
                .with_write_grace_period(ms(3_000))
                .with_recheck_interval(ms(1_501))
                .with_read_interval(ms(1_501)),
            "recheck_interval is 1.501s, but must be at most 1.5s (half of write_grace_period), or \
             nothing is asked twice before it fails",
        ),
        (
            plain().with_progress_interval(ms(499)),
            "recheck_interval is 500ms, but must be at most 499ms (progress_interval), or doubt is \
             looked into later than health",
        ),
        (
            plain().with_recheck_interval(ms(1_401)),
            "recheck_interval is 1.401s, but must be at most 1.4s (read_interval), or doubt is looked \
             into later than health",
        ),
        (
            plain()
                .with_write_interval(ms(1_000))
                .with_recheck_interval(ms(1_001)),
            "recheck_interval is 1.001s, but must be at most 1s (write_interval), or doubt is looked \
             into later than health",
        ),
        (
            plain().with_progress_grace_period(ms(1_999)),
            "progress_grace_period is 1.999s, but must be at least 2s (twice the latency_budget), or \
             nobody else is asked before it fails",
        ),
        (
            plain().with_read_grace_period(ms(1_999)),
            "read_grace_period is 1.999s, but must be at least 2s (twice the latency_budget), or \
             nobody else is asked before it fails",
        ),
        (
            plain().with_write_grace_period(ms(1_999)),
            "write_grace_period is 1.999s, but must be at least 2s (twice the latency_budget), or \
             nobody else is asked before it fails",
        ),
        (
            plain().with_spare_reconnect_interval(ms(299)),
            "spare_reconnect_interval is 299ms, but must be at least 300ms (reconnect_interval), or a \
             spare member is sought harder than one in need",
        ),
        (
            plain().with_read_grace_period(ms(2_999)),
            "read_grace_period is 2.999s, but must be at least 3s (three times the election_timeout), \
             or an election is an outage",
        ),
        (
            plain().with_write_grace_period(ms(2_999)),
            "write_grace_period is 2.999s, but must be at least 3s (three times the election_timeout), \
             or an election is an outage",
        ),
        (
            plain().with_election_timeout(ms(1_117)),
            "read_grace_period is 3.35s, but must be at least 3.351s (three times the \
             election_timeout), or an election is an outage",
        ),
        (
            plain().with_request_timeout(ms(3_351)),
            "read_grace_period is 3.35s, but must be at least 3.351s (request_timeout), or one lost \
             answer is an outage",
        ),
        (
            plain()
                .with_request_timeout(ms(3_351))
                .with_read_grace_period(ms(4_000)),
            "write_grace_period is 3.35s, but must be at least 3.351s (request_timeout), or one lost \
             answer is an outage",
        ),
        (
            plain().with_connect_timeout(ms(3_351)),
            "read_grace_period is 3.35s, but must be at least 3.351s (connect_timeout), or one slow \
             connection is an outage",
        ),
        (
            plain()
                .with_connect_timeout(ms(3_351))
                .with_read_grace_period(ms(4_000)),
            "write_grace_period is 3.35s, but must be at least 3.351s (connect_timeout), or one slow \
             connection is an outage",
        ),
    ] {
        assert_eq!(refusal(config), text);
    }
}

#[test]
fn the_bounds_themselves_are_taken() {
    let plain = || config(["http://localhost:2379"]);
    let least = plain()
        .with_progress_interval(ms(100))
        .with_progress_grace_period(ms(200))
        .with_read_interval(ms(100))
        .with_read_grace_period(ms(200))
        .with_write_interval(ms(1_000))
        .with_write_grace_period(ms(200))
        .with_recheck_interval(ms(100))
        .with_latency_budget(ms(50))
        .with_slow_answers(1)
        .with_request_timeout(ms(100))
        .with_connect_timeout(ms(100))
        .with_election_timeout(ms(50))
        .with_reconnect_interval(ms(100))
        .with_spare_reconnect_interval(ms(100))
        .with_refused_interval(ms(1_000))
        .with_keepalive_interval(ms(5_000))
        .with_keepalive_timeout(ms(100));
    EtcdProbe::new(least).expect("the shortest");
    let most = plain()
        .with_progress_interval(ms(600_000))
        .with_progress_grace_period(ms(600_000))
        .with_read_interval(ms(600_000))
        .with_read_grace_period(ms(600_000))
        .with_write_interval(ms(600_000))
        .with_write_grace_period(ms(600_000))
        .with_recheck_interval(ms(300_000))
        .with_latency_budget(ms(15_000))
        .with_slow_answers(100)
        .with_request_timeout(ms(30_000))
        .with_connect_timeout(ms(30_000))
        .with_election_timeout(ms(50_000))
        .with_reconnect_interval(ms(30_000))
        .with_spare_reconnect_interval(ms(600_000))
        .with_refused_interval(ms(600_000))
        .with_keepalive_interval(ms(600_000))
        .with_keepalive_timeout(ms(30_000));
    EtcdProbe::new(most).expect("the longest");
}

/// Operators read the table, so its numbers must be those that are used.
#[test]
fn the_documented_presets_are_those_that_are_used() {
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../src/etcd/client/config.rs"
    );
    let source = std::fs::read_to_string(source).expect("the source of EtcdConfig");
    let rows = source
        .lines()
        .filter_map(|line| line.strip_prefix("/// | [`"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split(" | ").collect()).collect();
    assert_eq!(rows.len(), 17, "{rows:?}");
    let plain = || config(["http://localhost:2379"]);
    // Something else in each knob, so that one that is missing in the table would show.
    let other = || {
        rows.iter()
            .fold(plain(), |config, row| set(config, row[0], "77 s"))
    };
    for (column, preset) in [(1, plain()), (2, plain().fast()), (3, plain().gentle())] {
        let documented = rows
            .iter()
            .fold(other(), |config, row| set(config, row[0], row[column]));
        assert_eq!(documented, preset);
    }
    assert_eq!(other().fast(), plain().fast(), "a preset sets every number");
    assert_eq!(other().gentle(), plain().gentle());
}

/// Sets a knob as a row of the table says.
fn set(config: EtcdConfig, row: &str, value: &str) -> EtcdConfig {
    let (number, unit) = value.split_once(' ').unwrap_or((value, ""));
    let number: f64 = number.parse().expect(value);
    let time = match unit {
        "ms" => Duration::from_secs_f64(number / 1_000.0),
        "s" => Duration::from_secs_f64(number),
        _ => Duration::ZERO,
    };
    let knob = row.split_once('`').map_or(row, |(knob, _)| knob);
    match knob {
        "progress_interval" => config.with_progress_interval(time),
        "progress_grace_period" => config.with_progress_grace_period(time),
        "read_interval" => config.with_read_interval(time),
        "read_grace_period" => config.with_read_grace_period(time),
        "write_interval" => config.with_write_interval(time),
        "write_grace_period" => config.with_write_grace_period(time),
        "recheck_interval" => config.with_recheck_interval(time),
        "latency_budget" => config.with_latency_budget(time),
        "slow_answers" => config.with_slow_answers(number as u32),
        "request_timeout" => config.with_request_timeout(time),
        "connect_timeout" => config.with_connect_timeout(time),
        "election_timeout" => config.with_election_timeout(time),
        "reconnect_interval" => config.with_reconnect_interval(time),
        "spare_reconnect_interval" => config.with_spare_reconnect_interval(time),
        "refused_interval" => config.with_refused_interval(time),
        "keepalive_interval" => config.with_keepalive_interval(time),
        "keepalive_timeout" => config.with_keepalive_timeout(time),
        other => panic!("{other} is no knob with a number"),
    }
}

#[test]
fn debug_shows_no_secret() {
    let tls = Tls::new("CA-PEM").with_identity("CERT-PEM", "KEY-PEM");
    let config = config(["https://localhost:2379"])
        .with_user("joe", "secret")
        .with_tls(tls);
    let shown = format!("{config:?}");
    assert!(shown.contains("joe"), "{shown}");
    for secret in ["secret", "KEY-PEM"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let bytes = format!("{:?}", "KEY-PEM".as_bytes());
    assert!(!shown.contains(&bytes), "{shown}");
}

/// The policy's silence limit must be longer than the probe may take to say anything.
#[test]
fn each_preset_is_taken_with_the_silence_limit_that_it_needs() {
    let plain = || config(["http://localhost:2379"]);
    for (name, config, gap) in [
        ("default", plain(), ms(4_750)),
        ("fast", plain().fast(), ms(3_600)),
        ("gentle", plain().gentle(), ms(16_000)),
    ] {
        let refused = supervised(config.clone(), gap).expect_err(name);
        assert!(refused.starts_with("`silence_limit` is "), "{refused}");
        assert_eq!(supervised(config, gap + ms(1)), Ok(()), "{name}");
    }
    // What the documentation says.
    assert_eq!(supervised(plain().gentle(), ms(20_000)), Ok(()));
    for config in [plain(), plain().fast()] {
        assert_eq!(
            supervised(config, Policy::default().silence_limit()),
            Ok(())
        );
    }
}

#[test]
fn a_silence_limit_within_the_grace_period_is_refused() {
    let config = config(["http://localhost:2379"]);
    assert_eq!(
        supervised(config, ms(4_000)),
        Err(
            "`silence_limit` is 4s, but it must be longer than 4.75s, the shortest period and the \
             longest grace period of the probe: an election that the probe tolerates would count as \
             silence"
                .to_owned()
        )
    );
}

/// Whether a supervisor with this silence limit takes the probe.
fn supervised(config: EtcdConfig, silence_limit: Duration) -> Result<(), String> {
    let probe = EtcdProbe::new(config).expect("valid numbers");
    let policy = Policy::builder().silence_limit(silence_limit).build();
    let built = Overwatch::builder(probe)
        .policy(policy.expect("valid by itself"))
        .task("idle", |_| async { Ok(()) })
        .build();
    built.map(drop).map_err(|error| error.to_string())
}

/// Why no probe is made of it.
fn refusal(config: EtcdConfig) -> String {
    let shown = format!("{config:?}");
    EtcdProbe::new(config).expect_err(&shown).to_string()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
