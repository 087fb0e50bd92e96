//! Observing with a deadline, and with the seconds printed.

use std::net::TcpListener as StdListener;
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe};
use overwatch::{Observation, Probe};
use tokio::time::{Instant, timeout};

pub(crate) fn config<I>(endpoints: I) -> EtcdConfig
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    EtcdConfig::new(endpoints).expect("valid endpoints")
}

pub(crate) fn probe<I>(endpoints: I) -> EtcdProbe
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    EtcdProbe::new(config(endpoints)).expect("a valid configuration")
}

/// The next observation: evidence, or class and reason. It must come within the patience, with some
/// slack.
pub(crate) async fn observe(probe: &EtcdProbe) -> Result<String, String> {
    let observation = timeout(Duration::from_secs(30), probe.observe()).await;
    match observation.expect("an observation comes in time") {
        Observation::Alive { evidence } => Ok(evidence.into_owned()),
        Observation::Failing {
            reason,
            class: Some(class),
            ..
        } => Err(format!("{class}|{reason}")),
        other => panic!("unknown: {other:?}"),
    }
}

/// Observes until it is alive, and says when that was.
pub(crate) async fn until_alive(what: &str, probe: &EtcdProbe, limit: Duration) -> Instant {
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
pub(crate) async fn until_failing(
    what: &str,
    probe: &EtcdProbe,
    limit: Duration,
    since: Instant,
) -> String {
    loop {
        if let Err(reason) = observe(probe).await {
            seen(what, since.elapsed(), limit);
            println!("  {reason}");
            return reason;
        }
        assert!(since.elapsed() < limit, "{what}: not seen within {limit:?}");
    }
}

pub(crate) fn seen(what: &str, took: Duration, limit: Duration) {
    println!("{what}: seen after {:.3} s", took.as_secs_f32());
    assert!(
        took <= limit,
        "{what}: seen after {took:?}, must be within {limit:?}"
    );
}

pub(crate) async fn stays_alive(probe: &EtcdProbe, time: Duration) {
    let begun = Instant::now();
    let mut longest_gap = Duration::ZERO;
    while begun.elapsed() < time {
        let asked = Instant::now();
        observe(probe).await.expect("alive all the time");
        longest_gap = longest_gap.max(asked.elapsed());
    }
    let gap = longest_gap.as_secs_f32();
    println!("alive for {time:?}, longest gap {gap:.3} s");
}

/// A failure is told again, about an interval later.
pub(crate) async fn repeats_at_the_interval(probe: &EtcdProbe) {
    let begun = Instant::now();
    observe(probe).await.expect_err("it still fails");
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(1_100),
        "repeated after {took:?}"
    );
    assert!(took <= Duration::from_secs(4), "repeated after {took:?}");
}

/// Accepts connections, by the kernel's backlog, and never says a word.
pub(crate) struct Silent(StdListener);

impl Silent {
    pub(crate) fn start() -> Self {
        Self(StdListener::bind("127.0.0.1:0").expect("a free port"))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("an address"))
    }
}

/// What is asked of the probe on default settings.
pub(crate) const FAULT_LIMIT: Duration = Duration::from_secs(5);

/// An interval, and some slack for connecting on a busy machine.
pub(crate) const RECOVERY_LIMIT: Duration = Duration::from_millis(2500);

/// For what should take milliseconds.
pub(crate) const SOON: Duration = Duration::from_secs(4);

/// For steps whose time is not asked for.
pub(crate) const BUSY_LIMIT: Duration = Duration::from_secs(20);
