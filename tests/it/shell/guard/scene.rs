//! A service to which something happens, and how long it took until it was not ready and was told to
//! stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use overwatch::policy::PolicyBuilder;
use overwatch::{Builder, Context, Failure, Observation, Probe, ProbeMode, Reporter};

use super::support::{Gate, Opens, Run, lock, median, ms, quick, within};

/// For what is not measured.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// What the news is.
#[derive(Clone)]
pub(super) enum News {
    /// The probe sees the dependency fail.
    Failing,
    /// A component does something: it goes on (`None`), or ends like that.
    Told(Arc<Tell>),
}

type Tell = dyn Fn(&Context) -> Option<Result<(), Failure>> + Send + Sync;

impl News {
    pub(super) fn told(
        what: impl Fn(&Context) -> Option<Result<(), Failure>> + Send + Sync + 'static,
    ) -> Self {
        Self::Told(Arc::new(what))
    }
}

/// When things happened.
#[derive(Clone, Default)]
pub(super) struct Times(Arc<Noted>);

#[derive(Default)]
struct Noted {
    /// Whether it is time for the news.
    rung: AtomicBool,
    news: OnceLock<Instant>,
    stopped: OnceLock<Instant>,
    outside: OnceLock<Reporter>,
}

impl Times {
    /// From now on the news may come.
    pub(super) fn ring(&self) {
        self.0.rung.store(true, Ordering::Release);
    }

    /// From now on all is well.
    pub(super) fn calm(&self) {
        self.0.rung.store(false, Ordering::Release);
    }

    pub(super) fn is_rung(&self) -> bool {
        self.0.rung.load(Ordering::Acquire)
    }

    /// The news is told now.
    pub(super) fn note_news(&self) {
        let _ = self.0.news.set(Instant::now());
    }

    /// What reports from outside of any component, for the news.
    pub(super) fn set_outside(&self, reporter: Reporter) {
        let _ = self.0.outside.set(reporter);
    }

    pub(super) fn outside(&self) -> Reporter {
        self.0.outside.get().expect("set before the news").clone()
    }

    fn note_stopped(&self) {
        let _ = self.0.stopped.set(Instant::now());
    }
}

/// A dependency that is observed every 20 ms. What is called when the supervisor calls the probe's
/// other methods can be set.
pub(super) struct Observer {
    times: Times,
    fails: bool,
    pub(super) failing: Box<dyn Fn() -> Observation + Send + Sync>,
    pub(super) hurry: Box<dyn Fn() + Send + Sync>,
    pub(super) set_mode: Box<dyn Fn(ProbeMode) + Send + Sync>,
}

impl Observer {
    pub(super) fn new(times: &Times, news: &News) -> Self {
        Self {
            times: times.clone(),
            fails: matches!(news, News::Failing),
            failing: Box::new(|| Observation::failing("no route")),
            hurry: Box::new(|| ()),
            set_mode: Box::new(|_| ()),
        }
    }
}

#[async_trait::async_trait]
impl Probe for Observer {
    async fn observe(&self) -> Observation {
        tokio::time::sleep(ms(20)).await;
        if self.fails && self.times.is_rung() {
            self.times.note_news();
            return (self.failing)();
        }
        Observation::alive("it answers")
    }

    fn refresh(&self) -> bool {
        (self.hurry)();
        false
    }

    fn set_mode(&self, mode: ProbeMode) {
        (self.set_mode)(mode);
    }
}

/// The service: "teller", to which the news happens, and "bystander", which notes when it is told to
/// stop. In later epochs nothing happens.
pub(super) fn service(probe: Observer, news: News) -> Builder {
    service_with(probe, news, policy())
}

pub(super) fn policy() -> PolicyBuilder {
    quick()
        .silence_limit(Duration::from_secs(10))
        .stop_deadline(Duration::from_secs(2))
        .abort_deadline(Duration::from_secs(2))
}

pub(super) fn service_with(probe: Observer, news: News, policy: PolicyBuilder) -> Builder {
    let times = probe.times.clone();
    let by = times.clone();
    crate::shell::replay::builder(probe)
        .policy(policy.build().unwrap())
        .task("teller", move |ctx: Context| async move {
            ctx.mark_ready();
            if ctx.epoch() > 1 {
                ctx.stopping().await;
                return Ok(());
            }
            while ctx.sleep(ms(5)).await {
                if let (true, News::Told(tell)) = (times.is_rung(), &news) {
                    times.note_news();
                    if let Some(end) = tell(&ctx) {
                        return end;
                    }
                    ctx.stopping().await;
                }
            }
            Ok(())
        })
        .task("bystander", move |ctx: Context| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            by.note_stopped();
            Ok(())
        })
}

/// How long after the news something happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) not_ready: Duration,
    pub(super) told: Duration,
}

/// Waits until the service is not ready and was told to stop, for a while.
///
/// Nothing is asked of the supervisor: only what it has published is read.
pub(super) fn measure(run: &Run, times: &Times) -> Latency {
    let at_most = Duration::from_secs(3);
    let mut not_ready = None;
    within(SOON, "the news", || {
        // It may be off before this thread sees that there was news.
        if !run.handle.is_ready() {
            not_ready.get_or_insert_with(Instant::now);
        }
        times.0.news.get().is_some()
    });
    let news = *times.0.news.get().expect("just seen");
    let stopped = || times.0.stopped.get().copied();
    while news.elapsed() < at_most && (not_ready.is_none() || stopped().is_none()) {
        if !run.handle.is_ready() {
            not_ready.get_or_insert_with(Instant::now);
        }
        thread::sleep(Duration::from_micros(300));
    }
    let since = |when: Option<Instant>| when.map_or(at_most, |when| when.duration_since(news));
    Latency {
        not_ready: since(not_ready),
        told: since(stopped()),
    }
}

/// Fails unless the middle one of these tries was in time.
pub(super) fn assert_prompt(what: &str, takes: Takes, tries: &[Latency]) {
    let limit = takes.limit();
    let middle = |of: fn(&Latency) -> Duration| median(tries.iter().map(of).collect());
    let not_ready = middle(|latency| latency.not_ready);
    let told = middle(|latency| latency.told);
    println!("{what}: not ready after {not_ready:?}, told to stop after {told:?}");
    assert!(
        not_ready <= limit && told <= limit,
        "{what}: not ready after {not_ready:?}, told to stop after {told:?}; all: {tries:?}"
    );
}

/// How long something of the user's takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Half a second, each time.
    Long,
    /// Until the end of the test.
    ForEver,
}

impl Takes {
    pub(super) const BOTH: [Self; 2] = [Self::Long, Self::ForEver];

    /// How often it is tried.
    pub(super) fn tries(self) -> usize {
        match self {
            Self::Long => 3,
            Self::ForEver => 1,
        }
    }

    /// How soon after the news the service must not be ready, and its components told to stop. Only the
    /// scheduler of a busy machine may take that long.
    fn limit(self) -> Duration {
        match self {
            Self::Long => ms(200),
            Self::ForEver => Duration::from_secs(2),
        }
    }
}

/// User code that takes its time once it is armed, and notes on which threads it did.
#[derive(Clone)]
pub(super) struct Slow(Arc<Slowness>);

struct Slowness {
    takes: Takes,
    armed: AtomicBool,
    gate: Gate,
    threads: Mutex<Vec<String>>,
}

impl std::fmt::Debug for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slow").finish_non_exhaustive()
    }
}

impl Slow {
    /// Keep the second for the whole test.
    pub(super) fn new(takes: Takes) -> (Self, Opens) {
        let (gate, opens) = Gate::closed();
        let slow = Self(Arc::new(Slowness {
            takes,
            armed: AtomicBool::new(false),
            gate,
            threads: Mutex::default(),
        }));
        (slow, opens)
    }

    pub(super) fn arm(&self) {
        self.0.armed.store(true, Ordering::Release);
    }

    pub(super) fn disarm(&self) {
        self.0.armed.store(false, Ordering::Release);
    }

    pub(super) fn is_armed(&self) -> bool {
        self.0.armed.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) {
        if !self.is_armed() {
            return;
        }
        let thread = thread::current().name().unwrap_or("no name").to_owned();
        lock(&self.0.threads).push(thread);
        match self.0.takes {
            Takes::Long => thread::sleep(ms(500)),
            Takes::ForEver => self.0.gate.pass(),
        }
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Lets all go on, also those that come.
    pub(super) fn release(&self) {
        self.disarm();
        self.0.gate.open();
    }

    /// On which threads it took its time.
    pub(super) fn threads(&self) -> Vec<String> {
        lock(&self.0.threads).clone()
    }
}

/// Waits until it is ready, and has its thread if it was spawned.
pub(super) fn settled(run: Run) -> Run {
    run.until_ready();
    thread::sleep(ms(100));
    run
}
