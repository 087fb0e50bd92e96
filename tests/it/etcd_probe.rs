//! EtcdProbe against a real etcd, in real time. Faults must be seen within five seconds.

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdConfigError, EtcdProbe, Tls};
use overwatch::{Observation, Probe};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::support::etcd::{Etcd, free_port};
use crate::support::pki::Pki;
use crate::support::proxy::{Mode, Proxy};

#[tokio::test]
async fn kill_and_restart_are_seen() {
    let mut etcd = Etcd::start().await;
    let probe = probe([etcd.url()]);
    until_alive("start", &probe, SOON).await;
    let killed = Instant::now();
    etcd.kill();
    let reason = until_failing("kill", &probe, FAULT_LIMIT, killed).await;
    assert_eq!(reason, format!("{}: connection refused", etcd.url()));
    etcd.launch();
    let answering_since = async {
        etcd.answering().await.expect("etcd starts again");
        Instant::now()
    };
    let alive = async { until_alive("restart", &probe, BUSY_LIMIT).await };
    let (answering, alive) = tokio::join!(answering_since, alive);
    seen(
        "restart, since it answers",
        alive.saturating_duration_since(answering),
        RECOVERY_LIMIT,
    );
}

#[tokio::test]
async fn a_resting_connection_that_breaks_is_seen_before_the_next_request() {
    let mut etcd = Etcd::start().await;
    let slow = config([etcd.url()])
        .interval(Duration::from_secs(3))
        .grace(Duration::from_secs(60));
    let probe = EtcdProbe::new(slow).expect("a valid configuration");
    until_alive("start", &probe, SOON).await;
    until_alive("an interval later", &probe, SOON).await;
    let killed = Instant::now();
    etcd.kill();
    let limit = Duration::from_millis(1500);
    let reason = until_failing("kill at rest", &probe, limit, killed).await;
    assert!(reason.contains("connection refused"), "{reason}");
}

#[tokio::test]
async fn hang_and_continuation_are_seen() {
    let etcd = Etcd::start().await;
    let probe = probe([etcd.url()]);
    until_alive("start", &probe, SOON).await;
    let hung = Instant::now();
    etcd.hang();
    let reason = until_failing("hang", &probe, FAULT_LIMIT, hung).await;
    assert!(
        reason.starts_with(&format!("{}: no answer for ", etcd.url())),
        "{reason}"
    );
    repeats_at_the_interval(&probe).await;
    let resumed = Instant::now();
    etcd.resume();
    let alive = until_alive("continuation", &probe, BUSY_LIMIT).await;
    seen("continuation", alive - resumed, RECOVERY_LIMIT);
}

#[tokio::test]
async fn black_hole_and_its_end_are_seen_three_times_in_a_row() {
    let etcd = Etcd::start().await;
    let proxy = Proxy::start(etcd.address()).await;
    let probe = probe([proxy.url()]);
    for _ in 0..3 {
        until_alive("start", &probe, SOON).await;
        let began = Instant::now();
        proxy.set(Mode::BlackHole);
        until_failing("black hole", &probe, FAULT_LIMIT, began).await;
        let ended = Instant::now();
        proxy.set(Mode::Pass);
        let alive = until_alive("end of the black hole", &probe, BUSY_LIMIT).await;
        seen("end of the black hole", alive - ended, RECOVERY_LIMIT);
    }
}

#[tokio::test]
async fn kill_and_hang_in_turn_are_seen_three_times_in_a_row() {
    let mut etcd = Etcd::start().await;
    let probe = probe([etcd.url()]);
    for _ in 0..3 {
        until_alive("start", &probe, SOON).await;
        let killed = Instant::now();
        etcd.kill();
        until_failing("kill", &probe, FAULT_LIMIT, killed).await;
        etcd.restart().await;
        until_alive("restart", &probe, SOON).await;
        let hung = Instant::now();
        etcd.hang();
        until_failing("hang", &probe, FAULT_LIMIT, hung).await;
        etcd.resume();
    }
}

#[tokio::test]
async fn connections_that_are_cut_are_seen() {
    let etcd = Etcd::start().await;
    let proxy = Proxy::start(etcd.address()).await;
    let probe = probe([proxy.url()]);
    until_alive("start", &probe, SOON).await;
    let cut = Instant::now();
    proxy.set(Mode::Cut);
    let reason = until_failing("cut", &probe, FAULT_LIMIT, cut).await;
    assert_eq!(
        reason,
        format!("{}: the connection was closed", proxy.url())
    );
    let mended = Instant::now();
    proxy.set(Mode::Pass);
    let alive = until_alive("mended", &probe, BUSY_LIMIT).await;
    seen("mended", alive - mended, RECOVERY_LIMIT);
}

#[tokio::test]
async fn a_broken_connection_that_can_be_made_again_is_no_failure() {
    let etcd = Etcd::start().await;
    let proxy = Proxy::start(etcd.address()).await;
    let probe = probe([proxy.url()]);
    for _ in 0..3 {
        until_alive("start", &probe, SOON).await;
        // The probe is not asked in between: it finds its connections broken, and new ones pass.
        proxy.set(Mode::Cut);
        sleep(Duration::from_millis(20)).await;
        proxy.set(Mode::Pass);
        stays_alive(&probe, Duration::from_secs(2)).await;
    }
}

#[tokio::test]
async fn slow_answers_within_the_timeout_are_tolerated() {
    let etcd = Etcd::start().await;
    let proxy = Proxy::start(etcd.address()).await;
    let probe = probe([proxy.url()]);
    until_alive("start", &probe, SOON).await;
    proxy.set(Mode::Delay(Duration::from_millis(400)));
    stays_alive(&probe, Duration::from_secs(8)).await;
}

#[tokio::test]
async fn a_pause_as_long_as_an_election_is_tolerated() {
    let etcd = Etcd::start().await;
    let probe = probe([etcd.url()]);
    until_alive("start", &probe, SOON).await;
    let pause = async {
        etcd.hang();
        sleep(Duration::from_millis(2500)).await;
        etcd.resume();
    };
    tokio::join!(pause, stays_alive(&probe, Duration::from_secs(6)));
}

#[tokio::test]
async fn a_freeze_of_the_observing_process_is_no_failure() {
    let etcd = Etcd::start().await;
    let probe = probe([etcd.url()]);
    until_alive("start", &probe, SOON).await;
    let freeze = async {
        sleep(Duration::from_millis(500)).await;
        std::thread::sleep(Duration::from_secs(6));
    };
    tokio::join!(freeze, stays_alive(&probe, Duration::from_secs(9)));
}

#[tokio::test]
async fn one_dead_and_one_silent_endpoint_do_no_harm() {
    let etcd = Etcd::start().await;
    let silent = Silent::start();
    let dead = format!("http://127.0.0.1:{}", free_port());
    let probe = probe([dead.as_str(), &silent.url(), etcd.url()]);
    until_alive("start", &probe, SOON).await;
    stays_alive(&probe, Duration::from_secs(10)).await;
}

#[tokio::test]
async fn an_endpoint_that_dies_or_falls_silent_does_no_harm_while_another_lives() {
    let etcd = Etcd::start().await;
    let (first, second) = (
        Proxy::start(etcd.address()).await,
        Proxy::start(etcd.address()).await,
    );
    let probe = probe([first.url(), second.url()]);
    until_alive("start", &probe, SOON).await;
    first.set(Mode::BlackHole);
    stays_alive(&probe, Duration::from_secs(6)).await;
    first.set(Mode::Pass);
    stays_alive(&probe, Duration::from_secs(3)).await;
    second.set(Mode::Cut);
    stays_alive(&probe, Duration::from_secs(3)).await;
    let cut = Instant::now();
    first.set(Mode::BlackHole);
    let reason = until_failing("both", &probe, FAULT_LIMIT, cut).await;
    for url in [first.url(), second.url()] {
        assert!(reason.contains(&url), "{reason} does not name {url}");
    }
}

#[tokio::test]
async fn election_is_tolerated_and_loss_of_the_quorum_is_seen() {
    let mut members = Etcd::start_cluster(3).await;
    let probe = probe(members.iter().map(Etcd::url));
    until_alive("start", &probe, SOON).await;
    let leader = leader(&members).await;
    members[leader].kill();
    stays_alive(&probe, Duration::from_secs(8)).await;
    members[leader].restart().await;
    stays_alive(&probe, Duration::from_secs(3)).await;

    let leader = self::leader(&members).await;
    members[leader].hang();
    stays_alive(&probe, Duration::from_secs(8)).await;
    members[leader].resume();
    stays_alive(&probe, Duration::from_secs(3)).await;

    let lost = Instant::now();
    members[0].kill();
    members[1].kill();
    let reason = until_failing("quorum lost", &probe, FAULT_LIMIT, lost).await;
    assert!(reason.contains("connection refused"), "{reason}");
    assert!(reason.contains("no evidence for"), "{reason}");
    members[0].launch();
    let alive = async { until_alive("quorum again", &probe, BUSY_LIMIT).await };
    let answering = async {
        members[0].answering().await.expect("etcd starts again");
        Instant::now()
    };
    let (answering, alive) = tokio::join!(answering, alive);
    let took = alive.saturating_duration_since(answering);
    seen("quorum again, since it answers", took, RECOVERY_LIMIT);
}

#[tokio::test]
async fn unreachable_at_first_is_failing_until_it_appears() {
    let port = free_port();
    let probe = probe([format!("http://127.0.0.1:{port}")]);
    let begun = Instant::now();
    let reason = until_failing("unreachable", &probe, SOON, begun).await;
    assert_eq!(
        reason,
        format!("http://127.0.0.1:{port}: connection refused")
    );
    repeats_at_the_interval(&probe).await;

    let etcd = Etcd::start().await;
    let relay = Proxy::start_at(port, etcd.address()).await;
    let appeared = Instant::now();
    let alive = until_alive("appeared", &probe, BUSY_LIMIT).await;
    seen("appeared", alive - appeared, RECOVERY_LIMIT);
    drop(relay);
}

#[tokio::test]
async fn a_wiped_store_is_told_once_and_then_judged_anew() {
    let mut etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    for _ in 0..10 {
        client
            .put("overwatch/test/data", "x", None)
            .await
            .expect("a put");
    }
    let probe = probe([etcd.url()]);
    until_alive("start", &probe, SOON).await;
    etcd.wipe_and_restart().await;
    let (mut resets, mut alive) = (Vec::new(), 0);
    let deadline = Instant::now() + BUSY_LIMIT;
    while alive < 4 {
        assert!(Instant::now() < deadline, "not judged anew");
        match observe(&probe).await {
            Ok(_) if resets.is_empty() => {}
            Ok(_) => alive += 1,
            Err(reason) if reason.starts_with("store reset") => resets.push(reason),
            Err(reason) => assert!(resets.is_empty(), "after the reset: {reason}"),
        }
    }
    let text = format!(
        "store reset: {}: revision went back from 11 to 1",
        etcd.url()
    );
    assert_eq!(resets, [text]);
}

#[tokio::test]
async fn a_wipe_while_nobody_observes_is_told() {
    let mut etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    client
        .put("overwatch/test/data", "x", None)
        .await
        .expect("a put");
    let probe = probe([etcd.url()]);
    until_alive("start", &probe, SOON).await;
    // A session that ends, and another that begins after the wipe.
    let _ = timeout(Duration::from_millis(10), probe.observe()).await;
    etcd.wipe_and_restart().await;
    let reason = observe(&probe).await.expect_err("the store is another one");
    assert!(reason.starts_with("store reset"), "{reason}");
    until_alive("judged anew", &probe, SOON).await;
}

#[tokio::test]
async fn credentials_decide() {
    let etcd = Etcd::start().await;
    // Before authentication is on, credentials are not needed and do no harm.
    let config = config([etcd.url()]).user("root", "right");
    let right = EtcdProbe::new(config).expect("a valid configuration");
    until_alive("authentication off", &right, SOON).await;
    enable_auth(&etcd).await;
    until_alive("right credentials", &right, SOON).await;
    stays_alive(&right, Duration::from_secs(4)).await;

    for (config, text) in [
        (user(&etcd, "root", "wrong"), "authentication failed"),
        (user(&etcd, "nobody", "right"), "authentication failed"),
        (self::config([etcd.url()]), "authentication failed"),
        (user(&etcd, "narrow", "right"), "permission denied"),
    ] {
        let probe = EtcdProbe::new(config).expect("a valid configuration");
        let begun = Instant::now();
        let reason = until_failing(text, &probe, SOON, begun).await;
        assert!(
            reason.starts_with(&format!("{}: {text}", etcd.url())),
            "{reason}"
        );
        assert!(!reason.contains("wrong"), "{reason} tells the password");
        repeats_at_the_interval(&probe).await;
    }

    let config = user(&etcd, "narrow", "right").sentinel_key("app/sentinel");
    let narrow = EtcdProbe::new(config).expect("a valid configuration");
    until_alive("a key it may read", &narrow, SOON).await;
}

#[tokio::test]
async fn certificates_decide() {
    let etcd = Etcd::start_with_tls().await;
    let (pki, stranger) = (etcd.pki(), Pki::new());
    let tls = || Tls::new(&*pki.ca_pem).identity(&*pki.client.cert_pem, &*pki.client.key_pem);
    let right = config([etcd.url()]).tls(tls());
    let right = EtcdProbe::new(right).expect("a valid configuration");
    until_alive("right certificates", &right, SOON).await;
    stays_alive(&right, Duration::from_secs(3)).await;

    let plain_url = format!("http://{}", etcd.address());
    let plain_etcd = Etcd::start().await;
    let tls_url = format!("https://{}", plain_etcd.address());
    let strange = &stranger.client;
    for (what, config, text) in [
        (
            "another authority",
            config([etcd.url()]).tls(Tls::new(&*stranger.ca_pem)),
            "TLS: invalid peer certificate",
        ),
        (
            "another name",
            config([etcd.url()]).tls(tls().domain_name("etcd.example")),
            "TLS: invalid peer certificate",
        ),
        (
            "no identity",
            config([etcd.url()]).tls(Tls::new(&*pki.ca_pem)),
            // The alert that says so may or may not arrive before the connection ends.
            "ertificate",
        ),
        (
            "another identity",
            config([etcd.url()])
                .tls(Tls::new(&*pki.ca_pem).identity(&*strange.cert_pem, &*strange.key_pem)),
            // The alert that says so may or may not arrive before the connection ends.
            "ertificate",
        ),
        (
            "http:// where TLS is spoken",
            config([plain_url]),
            "does the server want https?",
        ),
        (
            "https:// where none is",
            config([tls_url]).tls(tls()),
            "TLS",
        ),
        (
            "PEM without a certificate",
            config([etcd.url()]).tls(Tls::new("-----BEGIN CERTIFICATE-----")),
            "TLS: ",
        ),
    ] {
        let probe = EtcdProbe::new(config).expect("a valid configuration");
        let begun = Instant::now();
        let reason = until_failing(what, &probe, FAULT_LIMIT, begun).await;
        assert!(reason.contains(text), "{what}: {reason}");
    }
}

#[tokio::test]
async fn another_server_is_told_from_etcd() {
    let garbage = Garbage::start().await;
    let probe = probe([garbage.url()]);
    let begun = Instant::now();
    let reason = until_failing("HTTP/1.1 server", &probe, SOON, begun).await;
    assert!(reason.contains("not an etcd server"), "{reason}");
    garbage.connections.store(0, Ordering::Relaxed);
    for _ in 0..4 {
        repeats_at_the_interval(&probe).await;
    }
    let connections = garbage.connections.load(Ordering::Relaxed);
    assert!(
        connections <= 12,
        "{connections} connections in 4 s are a hot loop"
    );
}

#[tokio::test]
async fn a_silent_server_is_failing_after_the_grace() {
    let silent = Silent::start();
    let probe = probe([silent.url()]);
    let begun = Instant::now();
    let reason = until_failing("silent server", &probe, FAULT_LIMIT, begun).await;
    let text = format!("{}: no answer for ", silent.url());
    assert!(reason.starts_with(&text), "{reason}");
    repeats_at_the_interval(&probe).await;
}

#[tokio::test]
async fn dropped_calls_leave_nothing_behind() {
    let etcd = Etcd::start().await;
    let silent = Silent::start();
    let tasks_before = alive_tasks();
    let probe = probe([etcd.url(), &silent.url()]);
    until_alive("start", &probe, SOON).await;
    let mut counts = Vec::new();
    for cycle in 0..50 {
        // From before the first byte to well into the second round.
        let patience = Duration::from_millis(cycle % 10 * 3);
        let _ = timeout(patience, probe.observe()).await;
        counts.push(alive_tasks());
    }
    println!("tasks after each dropped call: {counts:?}");
    until_alive("after 50 dropped calls", &probe, SOON).await;
    let early = counts[..10].iter().max().expect("ten counts");
    let late = counts[40..].iter().max().expect("ten counts");
    assert!(late <= &(early + 4), "tasks pile up: {counts:?}");

    // Hung, a client has requests under way that will never be answered.
    etcd.hang();
    let _ = timeout(Duration::from_millis(2500), probe.observe()).await;
    drop(probe);
    let deadline = Instant::now() + BUSY_LIMIT;
    while alive_tasks() > tasks_before {
        assert!(
            Instant::now() < deadline,
            "{} tasks are left",
            alive_tasks()
        );
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_next_call_after_a_dropped_one_begins_anew() {
    let etcd = Etcd::start().await;
    let probe = probe([etcd.url()]);
    until_alive("start", &probe, SOON).await;
    let dropped = timeout(Duration::from_millis(100), probe.observe()).await;
    assert!(
        dropped.is_err(),
        "the second observation comes a second after the first"
    );
    let resumed = Instant::now();
    let alive = until_alive("resumed", &probe, SOON).await;
    seen("resumed", alive - resumed, Duration::from_secs(1));
}

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

fn config<I>(endpoints: I) -> EtcdConfig
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    EtcdConfig::new(endpoints).expect("valid endpoints")
}

fn probe<I>(endpoints: I) -> EtcdProbe
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    EtcdProbe::new(config(endpoints)).expect("a valid configuration")
}

fn user(etcd: &Etcd, name: &str, password: &str) -> EtcdConfig {
    config([etcd.url()]).user(name, password)
}

/// The next observation: evidence or reason. It must come within the grace, with some slack.
async fn observe(probe: &EtcdProbe) -> Result<String, String> {
    let observation = timeout(Duration::from_secs(30), probe.observe()).await;
    match observation.expect("an observation comes in time") {
        Observation::Alive { evidence } => Ok(evidence.into_owned()),
        Observation::Failing { reason } => Err(reason.into_owned()),
        other => panic!("unknown: {other:?}"),
    }
}

/// Observes until it is alive, and says when that was.
async fn until_alive(what: &str, probe: &EtcdProbe, limit: Duration) -> Instant {
    let begun = Instant::now();
    let alive = async {
        while observe(probe).await.is_err() {}
        Instant::now()
    };
    let alive = timeout(limit, alive).await;
    let alive = alive.unwrap_or_else(|_| panic!("{what}: not alive within {limit:?}"));
    println!("{what}: alive after {:.3} s", (alive - begun).as_secs_f32());
    alive
}

/// Observes until it is failing, which must be within `limit` of the fault, and says why.
async fn until_failing(what: &str, probe: &EtcdProbe, limit: Duration, since: Instant) -> String {
    loop {
        if let Err(reason) = observe(probe).await {
            seen(what, since.elapsed(), limit);
            println!("  {reason}");
            return reason;
        }
        assert!(since.elapsed() < limit, "{what}: not seen within {limit:?}");
    }
}

fn seen(what: &str, took: Duration, limit: Duration) {
    println!("{what}: seen after {:.3} s", took.as_secs_f32());
    assert!(
        took <= limit,
        "{what}: seen after {took:?}, must be within {limit:?}"
    );
}

async fn stays_alive(probe: &EtcdProbe, time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        observe(probe).await.expect("alive all the time");
    }
}

/// A failure is told again, about an interval later.
async fn repeats_at_the_interval(probe: &EtcdProbe) {
    let begun = Instant::now();
    observe(probe).await.expect_err("it still fails");
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(800),
        "repeated after {took:?}"
    );
    assert!(took <= Duration::from_secs(3), "repeated after {took:?}");
}

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// The member that leads.
async fn leader(members: &[Etcd]) -> usize {
    for (index, member) in members.iter().enumerate() {
        let status = member.client().await.status().await.expect("a status");
        let id = status.header().expect("a header").member_id();
        if status.leader() == id {
            return index;
        }
    }
    panic!("nobody leads");
}

/// Users `root`, who may do all, and `narrow`, who may read only below `app/`.
async fn enable_auth(etcd: &Etcd) {
    use etcd_client::{Permission, PermissionType};
    let mut client = etcd.client().await;
    for name in ["root", "narrow"] {
        client.role_add(name).await.expect("a role");
        client.user_add(name, "right", None).await.expect("a user");
        client
            .user_grant_role(name, name)
            .await
            .expect("a role for the user");
    }
    let below_app = Permission::new(PermissionType::Read, "app/").with_prefix();
    client
        .role_grant_permission("narrow", below_app)
        .await
        .expect("a permission");
    client
        .auth_enable()
        .await
        .expect("authentication can be switched on");
}

/// Accepts connections, by the kernel's backlog, and never says a word.
struct Silent(StdListener);

impl Silent {
    fn start() -> Self {
        Self(StdListener::bind("127.0.0.1:0").expect("a free port"))
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("an address"))
    }
}

/// Answers whatever it is sent with HTTP/1.1, and counts connections.
struct Garbage {
    url: String,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Garbage {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
                let _ = client.write_all(answer).await;
                open.push(client);
            }
        });
        Self {
            url,
            connections,
            task,
        }
    }

    fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Garbage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is asked of the probe on default settings.
const FAULT_LIMIT: Duration = Duration::from_secs(5);
/// An interval, and some slack for connecting on a busy machine.
const RECOVERY_LIMIT: Duration = Duration::from_millis(2500);
/// For what should take milliseconds.
const SOON: Duration = Duration::from_secs(4);
/// For steps whose time is not asked for.
const BUSY_LIMIT: Duration = Duration::from_secs(20);
