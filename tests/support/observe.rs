//! Observing with a deadline, and with the seconds printed.

use std::fmt::Debug;
use std::net::TcpListener as StdListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe};
use overwatch::{Observation, Probe};
use tokio::time::{Instant, timeout};
use tracing::field::Field;
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// A configuration for these endpoints, with the default numbers.
pub fn config<I>(endpoints: I) -> EtcdConfig
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    EtcdConfig::new(endpoints).expect("valid endpoints")
}

/// A probe for these endpoints, with the default numbers.
pub fn probe<I>(endpoints: I) -> EtcdProbe
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    EtcdProbe::new(config(endpoints)).expect("a valid configuration")
}

/// The next observation: evidence, or class and reason. It must come within the patience, with some
/// slack.
pub async fn observe(probe: &EtcdProbe) -> Result<String, String> {
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
pub async fn until_alive(what: &str, probe: &EtcdProbe, limit: Duration) -> Instant {
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
pub async fn until_failing(
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

/// Prints how long it took, and asserts that it was within the limit.
pub fn seen(what: &str, took: Duration, limit: Duration) {
    println!("{what}: seen after {:.3} s", took.as_secs_f32());
    assert!(
        took <= limit,
        "{what}: seen after {took:?}, must be within {limit:?}"
    );
}

/// It is alive all the time, and says so at its interval.
pub async fn stays_alive(probe: &EtcdProbe, time: Duration) {
    stays_alive_through(Duration::ZERO, probe, time).await;
}

/// The same while something holds answers up for as long as `pause`.
pub async fn stays_alive_through(pause: Duration, probe: &EtcdProbe, time: Duration) {
    let begun = Instant::now();
    let mut longest_gap = Duration::ZERO;
    while begun.elapsed() < time {
        let asked = Instant::now();
        observe(probe).await.expect("alive all the time");
        longest_gap = longest_gap.max(asked.elapsed());
    }
    println!("alive for {time:?}, longest gap {longest_gap:.3?}");
    let limit = pause + GAP_LIMIT;
    assert!(
        longest_gap <= limit,
        "silent for {longest_gap:?}, must not be for longer than {limit:?}"
    );
}

/// A failure is told again, about an interval later.
pub async fn repeats_at_the_interval(probe: &EtcdProbe) {
    let begun = Instant::now();
    observe(probe).await.expect_err("it still fails");
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(1_100),
        "repeated after {took:?}"
    );
    assert!(took <= Duration::from_secs(4), "repeated after {took:?}");
}

/// What the probes of this thread log, one text for each event: its level and its message.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Logs until the guard is dropped.
    pub fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::registry().with(log.clone());
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// What was logged so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no logging panics").clone()
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() != "overwatch::etcd" {
            return;
        }
        let mut line = metadata.level().to_string();
        let mut fields = String::new();
        event.record(&mut |field: &Field, value: &dyn Debug| match field.name() {
            "message" => line += &format!(" {value:?}"),
            "at_ms" => {}
            name => fields += &format!(" {name}={value:?}"),
        });
        line += &fields;
        self.0.lock().expect("no logging panics").push(line);
    }
}

/// Accepts connections, by the kernel's backlog, and never says a word.
pub struct Silent(StdListener);

impl Silent {
    /// Listens on a free port.
    pub fn start() -> Self {
        Self(StdListener::bind("127.0.0.1:0").expect("a free port"))
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("an address"))
    }
}

/// What is asked of the probe on default settings.
pub const FAULT_LIMIT: Duration = Duration::from_secs(5);

/// An interval, and some slack for connecting on a busy machine.
pub const RECOVERY_LIMIT: Duration = Duration::from_millis(2500);

/// The longest that the probe says nothing on default settings while answers come at once, which is
/// one and a half intervals, and a second of slack on a busy machine.
const GAP_LIMIT: Duration = Duration::from_millis(3_100);

/// For what should take milliseconds.
pub const SOON: Duration = Duration::from_secs(4);

/// For steps whose time is not asked for.
pub const BUSY_LIMIT: Duration = Duration::from_secs(20);
