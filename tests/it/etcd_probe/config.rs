//! What a configuration refuses, and what it hides.

use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdConfigError, EtcdProbe, Tls};

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
    let ms = Duration::from_millis;
    let plain = || config(["http://localhost:2379"]);
    let secure = || config(["https://localhost:2379"]);
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAA==\n-----END {label}-----\n");
    let tls = || Tls::new(pem("CERTIFICATE"));
    for (config, text) in [
        (
            plain().interval(ms(99)),
            "interval is 99ms, but must be at least 100ms",
        ),
        (
            plain().interval(ms(30_001)),
            "interval is 30.001s, but must be at most 30s",
        ),
        (
            plain().request_timeout(ms(0)),
            "request_timeout is 0ns, but must be at least 100ms",
        ),
        (
            plain().connect_timeout(ms(40_000)),
            "connect_timeout is 40s, but must be at most 30s",
        ),
        (
            plain().grace(ms(2_999)),
            "grace is 2.999s, but must be at least 3s (interval 1s + request_timeout 2s)",
        ),
        (
            plain().connect_timeout(ms(5_000)),
            "grace is 4s, but must be at least 5s (connect_timeout)",
        ),
        (
            plain().grace(ms(601_000)),
            "grace is 601s, but must be at most 600s",
        ),
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

#[test]
fn a_silence_limit_within_the_grace_is_refused() {
    let seconds = std::time::Duration::from_secs;
    let config = EtcdConfig::new(["http://127.0.0.1:2379"]).expect("a valid URL");
    let probe = overwatch::etcd::EtcdProbe::new(config).expect("valid numbers");
    let policy = overwatch::Policy::builder().silence_limit(seconds(4));
    let error = overwatch::Overwatch::watching(probe)
        .policy(policy.build().expect("valid by itself"))
        .task("idle", |_| async { Ok(()) })
        .build()
        .expect_err("an election would trip");
    assert_eq!(
        error.to_string(),
        "`silence_limit` is 4s, but it must be longer than the probe's grace of 4s: an election \
         that the probe tolerates would count as silence"
    );
}
