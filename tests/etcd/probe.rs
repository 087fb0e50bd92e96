//! EtcdProbe against a real etcd, in real time. Faults must be seen within five seconds.

mod access;
mod config;
mod endpoints;
mod evidence;

use std::time::Duration;

use etcd_client::GetOptions;
use overwatch::Probe;
use overwatch::etcd::EtcdProbe;
use overwatch_test_support::etcd::{Etcd, Version, free_port};
use overwatch_test_support::observe::*;
use overwatch_test_support::proxy::{Mode, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

#[tokio::test]
async fn kill_and_restart_are_seen() {
    let mut etcd = Etcd::start().await;
    let probe = probe([etcd.url()]);
    until_alive("start", &probe, SOON).await;
    let killed = Instant::now();
    etcd.kill();
    let reason = until_failing("kill", &probe, FAULT_LIMIT, killed).await;
    let text = format!(
        "unreachable|etcd is unreachable: {}: connection refused. To do: ",
        etcd.url()
    );
    assert!(reason.starts_with(&text), "{reason}");
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
    let probe = EtcdProbe::new(config([etcd.url()]).gentle()).expect("a valid configuration");
    until_alive("start", &probe, SOON).await;
    sleep(Duration::from_millis(2_500)).await;
    let killed = Instant::now();
    etcd.kill();
    let limit = Duration::from_millis(1500);
    let reason = until_failing("kill at rest", &probe, limit, killed).await;
    assert!(reason.contains("connection refused"), "{reason}");
}

/// With room for a busy machine, at several moments of its second. (What the preset takes at worst, 1.25 s,
/// is judged on a clock of its own: see the judge's tests.)
#[tokio::test]
async fn fast_sees_a_hang_within_a_second_and_a_half() {
    let etcd = Etcd::start().await;
    let probe = EtcdProbe::new(config([etcd.url()]).fast()).expect("a valid configuration");
    for moment in 0..8 {
        until_alive("start", &probe, SOON).await;
        stays_alive(&probe, Duration::from_millis(125 * moment)).await;
        let hung = Instant::now();
        etcd.hang();
        let limit = Duration::from_millis(1_500);
        let (reason, starved) = starved(until_failing("hang", &probe, BUSY_LIMIT, hung)).await;
        // On a busy machine this thread may have had to wait for a core: nobody sees anything then.
        seen("hang, but for starvation", hung.elapsed() - starved, limit);
        assert!(reason.starts_with("unreachable|"), "{reason}");
        etcd.resume();
    }
}

#[tokio::test]
async fn hang_and_continuation_are_seen() {
    let etcd = Etcd::start().await;
    let probe = probe([etcd.url()]);
    until_alive("start", &probe, SOON).await;
    let hung = Instant::now();
    etcd.hang();
    let reason = until_failing("hang", &probe, FAULT_LIMIT, hung).await;
    let text = "unreachable|etcd is unreachable: no read was confirmed by a quorum for 3.35s";
    assert!(reason.starts_with(text), "{reason}");
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
    let text = format!(
        "unreachable|etcd is unreachable: {}: the connection was closed. ",
        proxy.url()
    );
    assert!(reason.starts_with(&text), "{reason}");
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
    proxy.set(Mode::Delay(Duration::from_millis(250)));
    stays_alive(&probe, Duration::from_secs(8)).await;
}

#[tokio::test]
async fn a_pause_as_long_as_an_election_is_tolerated() {
    const PAUSE: Duration = Duration::from_millis(2500);
    let etcd = Etcd::start().await;
    let probe = probe([etcd.url()]);
    until_alive("start", &probe, SOON).await;
    let pause = async {
        etcd.hang();
        sleep(PAUSE).await;
        etcd.resume();
    };
    let time = Duration::from_secs(6);
    tokio::join!(pause, stays_alive_through(PAUSE, &probe, time));
}

#[tokio::test]
async fn a_freeze_of_the_observing_process_is_no_failure() {
    const FREEZE: Duration = Duration::from_secs(6);
    let etcd = Etcd::start().await;
    let probe = probe([etcd.url()]);
    until_alive("start", &probe, SOON).await;
    let freeze = async {
        sleep(Duration::from_millis(500)).await;
        std::thread::sleep(FREEZE);
    };
    let time = Duration::from_secs(9);
    tokio::join!(freeze, stays_alive_through(FREEZE, &probe, time));
}

#[tokio::test]
async fn unreachable_at_first_is_failing_until_it_appears() {
    let port = free_port();
    let probe = probe([format!("http://127.0.0.1:{port}")]);
    let begun = Instant::now();
    let reason = until_failing("unreachable", &probe, SOON, begun).await;
    let text =
        format!("unreachable|etcd is unreachable: http://127.0.0.1:{port}: connection refused");
    assert!(reason.starts_with(&text), "{reason}");
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
            Err(reason) if reason.starts_with("store_reset|") => resets.push(reason),
            Err(reason) => assert!(resets.is_empty(), "after the reset: {reason}"),
        }
    }
    let text = format!("{}: revision went back from 11 to 1. ", etcd.url());
    assert!(resets.len() == 1 && resets[0].contains(&text), "{resets:?}");
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
    assert!(reason.starts_with("store_reset|"), "{reason}");
    until_alive("judged anew", &probe, SOON).await;
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

/// All checks several times, and the store is as it was.
#[tokio::test]
async fn observing_writes_nothing() {
    for version in [Version::V34, Version::V35] {
        let members = Etcd::start_version(version, 1, &[]).await;
        let etcd = &members[0];
        let before = store(etcd).await;
        let asked_before = questions(etcd).await;
        let probe = EtcdProbe::new(config([etcd.url()]).fast()).expect("a valid configuration");
        until_alive("start", &probe, SOON).await;
        stays_alive(&probe, Duration::from_secs(10)).await;
        let asked = questions(etcd).await;
        let asked: Vec<u64> = asked
            .iter()
            .zip(asked_before)
            .map(|(now, before)| now - before)
            .collect();
        println!("etcd {}: {asked:?} of {QUESTIONS:?}", version.name());
        assert!(asked.iter().all(|&asked| asked >= 2), "{asked:?}");
        assert_eq!(store(etcd).await, before);
        assert_eq!(before, "revision 1, 0 keys, 0 leases");
    }
}

/// What a write of any kind would change.
async fn store(etcd: &Etcd) -> String {
    let mut client = etcd.client().await;
    let all = GetOptions::new().with_all_keys();
    let keys = client.get("", Some(all)).await.expect("a read");
    let revision = keys.header().expect("a header").revision();
    let leases = client.leases().await.expect("the leases");
    let (keys, leases) = (keys.count(), leases.leases().len());
    format!("revision {revision}, {keys} keys, {leases} leases")
}

/// How many messages the server has received so far, of each of the three checks.
async fn questions(etcd: &Etcd) -> [u64; 3] {
    let mut stream = TcpStream::connect(etcd.address())
        .await
        .expect("it listens");
    let request = b"GET /metrics HTTP/1.0\r\n\r\n";
    stream.write_all(request).await.expect("it reads");
    let mut metrics = String::new();
    stream
        .read_to_string(&mut metrics)
        .await
        .expect("it answers");
    QUESTIONS.map(|method| {
        let name = format!("grpc_server_msg_received_total{{grpc_method=\"{method}\"");
        let line = metrics.lines().find(|line| line.starts_with(&name));
        let (_, count) = line.and_then(|line| line.rsplit_once(' ')).expect(&name);
        count.parse().expect("a number")
    })
}

const QUESTIONS: [&str; 3] = ["Watch", "Range", "Alarm"];

/// For how long in all this thread was not run, though it was time, while something went on.
async fn starved<T>(what: impl Future<Output = T>) -> (T, Duration) {
    const TICK: Duration = Duration::from_millis(20);
    let mut starved = Duration::ZERO;
    let ticks = async {
        loop {
            let due = Instant::now() + TICK;
            sleep_until(due).await;
            // Less than that is the timer's.
            starved += due.elapsed().saturating_sub(Duration::from_millis(5));
        }
    };
    tokio::select! {
        biased;
        done = what => (done, starved),
        () = ticks => unreachable!("it ticks for ever"),
    }
}

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
