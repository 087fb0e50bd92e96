//! What a configuration refuses, and what it hides.

use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdConfigError, EtcdProbe, Tls};
use overwatch::{Overwatch, Policy};

use crate::support::observe::config;

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
        (vec!["http://joe:secret@localhost:2379"], "EtcdConfig::user"),
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
        (plain().user("", "x"), "user: the name is empty"),
        (plain().sentinel_key(""), "sentinel_key: is empty"),
        (
            plain().tls(tls()),
            "tls: is set, but http://localhost:2379 does not use it",
        ),
        (
            secure(),
            "tls: is missing, but https://localhost:2379 needs it",
        ),
        (
            secure().tls(Tls::new("ca.pem")),
            "tls: the authority holds no PEM certificate",
        ),
        (
            secure().tls(tls().identity(pem("EC PRIVATE KEY"), pem("CERTIFICATE"))),
            "tls: the identity's certificate",
        ),
        (
            secure().tls(tls().identity(pem("CERTIFICATE"), pem("CERTIFICATE"))),
            "tls: the identity's key",
        ),
        (
            secure().tls(tls().domain_name("")),
            "tls: the domain name is empty",
        ),
    ] {
        let error = EtcdProbe::new(config).expect_err(text).to_string();
        assert!(error.starts_with(text), "{error}");
    }
    let identity = tls().identity(pem("CERTIFICATE"), pem("EC PRIVATE KEY"));
    EtcdProbe::new(secure().tls(identity)).expect("a whole configuration");
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
        (plain().progress_every(below), short("progress_every")),
        (plain().progress_every(above), long("progress_every", "600")),
        (plain().read_every(below), short("read_every")),
        (plain().read_every(above), long("read_every", "600")),
        (
            plain().write_every(us(999_999)),
            "write_every is 999.999ms, but must be at least 1s".into(),
        ),
        (plain().write_every(above), long("write_every", "600")),
        (
            plain().progress_patience(above),
            long("progress_patience", "600"),
        ),
        (plain().read_patience(above), long("read_patience", "600")),
        (plain().write_patience(above), long("write_patience", "600")),
        (plain().request_timeout(below), short("request_timeout")),
        (
            plain().request_timeout(timeout),
            long("request_timeout", "30"),
        ),
        (plain().connect_timeout(below), short("connect_timeout")),
        (
            plain().connect_timeout(timeout),
            long("connect_timeout", "30"),
        ),
        (
            plain().election_timeout(us(49_999)),
            "election_timeout is 49.999ms, but must be at least 50ms".into(),
        ),
        (
            plain().election_timeout(us(50_000_001)),
            "election_timeout is 50.000001s, but must be at most 50s".into(),
        ),
        (plain().recheck_every(below), short("recheck_every")),
        (
            plain().latency_budget(us(49_999)),
            "latency_budget is 49.999ms, but must be at least 50ms".into(),
        ),
        (plain().reconnect_every(below), short("reconnect_every")),
        (
            plain().reconnect_every(timeout),
            long("reconnect_every", "30"),
        ),
        (
            plain().spare_reconnect_every(above),
            long("spare_reconnect_every", "600"),
        ),
        (
            plain().refused_every(us(999_999)),
            "refused_every is 999.999ms, but must be at least 1s".into(),
        ),
        (plain().refused_every(above), long("refused_every", "600")),
        (
            plain().keepalive_every(us(4_999_999)),
            "keepalive_every is 4.999999s, but must be at least 5s, or etcd closes the connection"
                .into(),
        ),
        (
            plain().keepalive_every(above),
            long("keepalive_every", "600"),
        ),
        (plain().keepalive_timeout(below), short("keepalive_timeout")),
        (
            plain().keepalive_timeout(timeout),
            long("keepalive_timeout", "30"),
        ),
        (
            plain().slow_answers(0),
            "slow_answers: is 0, but must be from 1 to 100".into(),
        ),
        (
            plain().slow_answers(101),
            "slow_answers: is 101, but must be from 1 to 100".into(),
        ),
        (
            plain().progress_every(Duration::MAX),
            "progress_every is 18446744073709551615.999999999s, but must be at most 600s".into(),
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
            plain().latency_budget(ms(1_501)),
            "latency_budget is 1.501s, but must be at most 1.5s (half the request_timeout), or no \
             answer is slow and each is lost",
        ),
        (
            plain().request_timeout(ms(1_999)),
            "latency_budget is 1s, but must be at most 999.5ms (half the request_timeout), or no \
             answer is slow and each is lost",
        ),
        (
            plain().progress_patience(ms(1_100)).recheck_every(ms(551)),
            "recheck_every is 551ms, but must be at most 550ms (half of progress_patience), or \
             nothing is asked twice before it fails",
        ),
        (
            plain()
                .read_patience(ms(3_000))
                .recheck_every(ms(1_501))
                .read_every(ms(1_501)),
            "recheck_every is 1.501s, but must be at most 1.5s (half of read_patience), or nothing \
             is asked twice before it fails",
        ),
        (
            plain()
                .write_patience(ms(3_000))
                .recheck_every(ms(1_501))
                .read_every(ms(1_501)),
            "recheck_every is 1.501s, but must be at most 1.5s (half of write_patience), or \
             nothing is asked twice before it fails",
        ),
        (
            plain().progress_every(ms(499)),
            "recheck_every is 500ms, but must be at most 499ms (progress_every), or doubt is \
             looked into later than health",
        ),
        (
            plain().recheck_every(ms(1_401)),
            "recheck_every is 1.401s, but must be at most 1.4s (read_every), or doubt is looked \
             into later than health",
        ),
        (
            plain().write_every(ms(1_000)).recheck_every(ms(1_001)),
            "recheck_every is 1.001s, but must be at most 1s (write_every), or doubt is looked \
             into later than health",
        ),
        (
            plain().progress_patience(ms(1_999)),
            "progress_patience is 1.999s, but must be at least 2s (twice the latency_budget), or \
             nobody else is asked before it fails",
        ),
        (
            plain().read_patience(ms(1_999)),
            "read_patience is 1.999s, but must be at least 2s (twice the latency_budget), or \
             nobody else is asked before it fails",
        ),
        (
            plain().write_patience(ms(1_999)),
            "write_patience is 1.999s, but must be at least 2s (twice the latency_budget), or \
             nobody else is asked before it fails",
        ),
        (
            plain().spare_reconnect_every(ms(299)),
            "spare_reconnect_every is 299ms, but must be at least 300ms (reconnect_every), or a \
             spare member is sought harder than one in need",
        ),
        (
            plain().read_patience(ms(2_999)),
            "read_patience is 2.999s, but must be at least 3s (three times the election_timeout), \
             or an election is an outage",
        ),
        (
            plain().write_patience(ms(2_999)),
            "write_patience is 2.999s, but must be at least 3s (three times the election_timeout), \
             or an election is an outage",
        ),
        (
            plain().election_timeout(ms(1_117)),
            "read_patience is 3.35s, but must be at least 3.351s (three times the \
             election_timeout), or an election is an outage",
        ),
        (
            plain().request_timeout(ms(3_351)),
            "read_patience is 3.35s, but must be at least 3.351s (request_timeout), or one lost \
             answer is an outage",
        ),
        (
            plain().request_timeout(ms(3_351)).read_patience(ms(4_000)),
            "write_patience is 3.35s, but must be at least 3.351s (request_timeout), or one lost \
             answer is an outage",
        ),
        (
            plain().connect_timeout(ms(3_351)),
            "read_patience is 3.35s, but must be at least 3.351s (connect_timeout), or one slow \
             connection is an outage",
        ),
        (
            plain().connect_timeout(ms(3_351)).read_patience(ms(4_000)),
            "write_patience is 3.35s, but must be at least 3.351s (connect_timeout), or one slow \
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
        .progress_every(ms(100))
        .progress_patience(ms(200))
        .read_every(ms(100))
        .read_patience(ms(200))
        .write_every(ms(1_000))
        .write_patience(ms(200))
        .recheck_every(ms(100))
        .latency_budget(ms(50))
        .slow_answers(1)
        .request_timeout(ms(100))
        .connect_timeout(ms(100))
        .election_timeout(ms(50))
        .reconnect_every(ms(100))
        .spare_reconnect_every(ms(100))
        .refused_every(ms(1_000))
        .keepalive_every(ms(5_000))
        .keepalive_timeout(ms(100));
    EtcdProbe::new(least).expect("the shortest");
    let most = plain()
        .progress_every(ms(600_000))
        .progress_patience(ms(600_000))
        .read_every(ms(600_000))
        .read_patience(ms(600_000))
        .write_every(ms(600_000))
        .write_patience(ms(600_000))
        .recheck_every(ms(300_000))
        .latency_budget(ms(15_000))
        .slow_answers(100)
        .request_timeout(ms(30_000))
        .connect_timeout(ms(30_000))
        .election_timeout(ms(50_000))
        .reconnect_every(ms(30_000))
        .spare_reconnect_every(ms(600_000))
        .refused_every(ms(600_000))
        .keepalive_every(ms(600_000))
        .keepalive_timeout(ms(30_000));
    EtcdProbe::new(most).expect("the longest");
}

/// Operators read the table, so its numbers must be those that are used.
#[test]
fn the_documented_presets_are_those_that_are_used() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/etcd/config.rs");
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
        "progress_every" => config.progress_every(time),
        "progress_patience" => config.progress_patience(time),
        "read_every" => config.read_every(time),
        "read_patience" => config.read_patience(time),
        "write_every" => config.write_every(time),
        "write_patience" => config.write_patience(time),
        "recheck_every" => config.recheck_every(time),
        "latency_budget" => config.latency_budget(time),
        "slow_answers" => config.slow_answers(number as u32),
        "request_timeout" => config.request_timeout(time),
        "connect_timeout" => config.connect_timeout(time),
        "election_timeout" => config.election_timeout(time),
        "reconnect_every" => config.reconnect_every(time),
        "spare_reconnect_every" => config.spare_reconnect_every(time),
        "refused_every" => config.refused_every(time),
        "keepalive_every" => config.keepalive_every(time),
        "keepalive_timeout" => config.keepalive_timeout(time),
        other => panic!("{other} is no knob with a number"),
    }
}

#[test]
fn debug_shows_no_secret() {
    let tls = Tls::new("CA-PEM").identity("CERT-PEM", "KEY-PEM");
    let config = config(["https://localhost:2379"])
        .user("joe", "secret")
        .tls(tls);
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
fn a_silence_limit_within_the_patience_is_refused() {
    let config = config(["http://localhost:2379"]);
    assert_eq!(
        supervised(config, ms(4_000)),
        Err(
            "`silence_limit` is 4s, but it must be longer than 4.75s, the shortest period and the \
             longest patience of the probe: an election that the probe tolerates would count as \
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
