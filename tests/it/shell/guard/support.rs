//! Runtimes whose threads have names, something that blocks until it is released, and ways to watch
//! from a plain thread.

use std::fs;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use overwatch::machine::Phase;
use overwatch::policy::PolicyBuilder;
use overwatch::{Handle, Overwatch, Policy, RunError, TransitionEvent, Transitions, Tuning};
use tokio::runtime::{Builder, Handle as Runtime, Runtime as Owned};

/// How the name of each thread begins on which user code may run.
pub(super) const USER: &str = "user-";
/// The name of the thread that supervises.
pub(super) const CONTROL: &str = "overwatch";
/// No thread is blocked for longer, whatever happens to the test.
const LONGEST_BLOCK: Duration = Duration::from_secs(100);

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The policy of these tests: short times, but several scheduling delays of a busy machine long.
pub(super) fn quick() -> PolicyBuilder {
    Policy::builder()
        .silence_limit(ms(600))
        .stop_deadline(ms(300))
        .abort_deadline(ms(300))
        .window(ms(500))
        .start_deadline(Duration::from_secs(10))
        .tuning(
            Tuning::default()
                .with_backoff(ms(300))
                .with_jitter(Duration::ZERO),
        )
}

/// A multi-thread runtime. It is not waited for when it is dropped: threads may be blocked.
pub(super) struct Workers(Option<Owned>);

impl Workers {
    pub(super) fn new(workers: usize) -> Self {
        Self::built(workers, |_| {})
    }

    pub(super) fn built(workers: usize, more: impl FnOnce(&mut Builder)) -> Self {
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads(workers)
            .thread_name(format!("{USER}worker"))
            .enable_all();
        more(&mut builder);
        Self(Some(builder.build().expect("a runtime")))
    }

    pub(super) fn handle(&self) -> Runtime {
        let runtime = self.0.as_ref().expect("it is there until it is dropped");
        runtime.handle().clone()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A runtime for what a test itself awaits, so that it is independent of the service's.
pub(super) fn await_here<T>(work: impl Future<Output = T>) -> T {
    let own = Builder::new_current_thread().enable_all().build();
    own.expect("a runtime").block_on(work)
}

/// Where a service is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is awaited by the `block_on` of a thread, as in `main`.
    Main,
    /// It is spawned as a task.
    Spawned,
}

pub(super) const WAYS: [Way; 2] = [Way::Main, Way::Spawned];

/// One way to run a service, and on how many workers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) workers: usize,
    pub(super) way: Way,
}

impl Case {
    pub(super) fn all() -> Vec<Self> {
        let counts = [2, 4, 8];
        let ways = |workers| WAYS.map(|way| Self { workers, way });
        counts.into_iter().flat_map(ways).collect()
    }
}

/// Runs a test in each case, side by side, and tells all the cases in which it failed.
pub(super) fn in_each<C: Copy + Send + std::fmt::Debug>(cases: &[C], test: impl Fn(C) + Sync) {
    let test = &test;
    let failed: Vec<String> = thread::scope(|scope| {
        let begin = |&case: &C| {
            let thread = thread::Builder::new().name(format!("{case:?}"));
            let thread = thread.spawn_scoped(scope, move || test(case));
            (case, thread.expect("a thread"))
        };
        let begun: Vec<_> = cases.iter().map(begin).collect();
        let end = |(case, thread): (C, thread::ScopedJoinHandle<'_, ()>)| {
            thread.join().is_err().then(|| format!("{case:?}"))
        };
        begun.into_iter().filter_map(end).collect()
    });
    assert!(
        failed.is_empty(),
        "failed in {} of {} cases: {failed:?}",
        failed.len(),
        cases.len()
    );
}

/// A service that runs.
pub(super) struct Run {
    pub(super) handle: Handle,
    pub(super) transitions: Transitions,
    ended: End,
}

/// What the run returned.
#[derive(Clone, Default)]
struct End(Arc<Mutex<Option<Result<(), RunError>>>>);

impl End {
    fn note(&self, result: Result<(), RunError>) {
        *lock(&self.0) = Some(result);
    }
}

fn on_main(work: impl FnOnce() + Send + 'static) {
    let main = thread::Builder::new().name(format!("{USER}main"));
    main.spawn(work).expect("a thread");
}

impl Run {
    pub(super) fn start(workers: &Workers, way: Way, service: Overwatch) -> Self {
        Self::start_with(workers, way, service, |run| run)
    }

    /// The same with something around the future that runs it, such as a subscriber.
    pub(super) fn start_with<F>(
        workers: &Workers,
        way: Way,
        service: Overwatch,
        around: impl FnOnce(BoxedRun) -> F,
    ) -> Self
    where
        F: Future<Output = Result<(), RunError>> + Send + 'static,
    {
        let runtime = workers.handle();
        Self::begin(service, move |run, end| {
            let run = around(run);
            let run = async move { end.note(run.await) };
            match way {
                Way::Spawned => drop(runtime.spawn(run)),
                Way::Main => on_main(move || runtime.block_on(run)),
            }
        })
    }

    /// On a thread that does this with the future that runs it, as `main` would.
    pub(super) fn start_in_main(
        service: Overwatch,
        main: impl FnOnce(BoxedRun) -> Result<(), RunError> + Send + 'static,
    ) -> Self {
        Self::begin(service, |run, end| on_main(move || end.note(main(run))))
    }

    fn begin(service: Overwatch, begin: impl FnOnce(BoxedRun, End)) -> Self {
        let handle = service.handle();
        let transitions = handle.transitions();
        let ended = End::default();
        begin(Box::pin(service.run()), ended.clone());
        Self {
            handle,
            transitions,
            ended,
        }
    }

    pub(super) fn until_ready(&self) {
        within(Duration::from_secs(20), "it is ready", || {
            self.handle.is_ready()
        });
    }

    pub(super) fn phase(&self) -> Phase {
        self.handle.status().phase
    }

    /// The transitions that were not read yet, without waiting.
    pub(super) fn seen(&mut self) -> Vec<TransitionEvent> {
        drain(&mut self.transitions)
    }

    /// The transitions that were not read yet, up to one that leads there. A transition is told after
    /// all that it does, so what it does may be seen first.
    pub(super) fn seen_up_to(&mut self, phase: Phase) -> Vec<TransitionEvent> {
        let mut seen = Vec::new();
        within(Duration::from_secs(20), "the transition is told", || {
            seen.append(&mut drain(&mut self.transitions));
            seen.last().is_some_and(|last| last.to == phase)
        });
        seen
    }

    /// What `run` returned, if it has.
    pub(super) fn take_result(&self) -> Option<Result<(), RunError>> {
        lock(&self.ended.0).take()
    }

    /// Asks for the end and waits for it.
    pub(super) fn shut_down(&self) -> Result<(), RunError> {
        self.handle.shutdown();
        self.result_within(Duration::from_secs(20))
    }

    pub(super) fn result_within(&self, limit: Duration) -> Result<(), RunError> {
        let mut result = None;
        within(limit, "it has returned", || {
            result = self.take_result();
            result.is_some()
        });
        result.expect("just seen")
    }
}

/// What a service's run is before something is put around it.
pub(super) type BoxedRun =
    std::pin::Pin<Box<dyn Future<Output = Result<(), RunError>> + Send + 'static>>;

/// All transitions that are there, without waiting and without waking anything.
pub(super) fn drain(transitions: &mut Transitions) -> Vec<TransitionEvent> {
    let mut seen = Vec::new();
    loop {
        let next = pin!(transitions.next());
        match next.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Some(transitioned))) => seen.push(transitioned),
            Poll::Ready(Ok(None)) | Poll::Pending => return seen,
            Poll::Ready(Err(lagged)) => panic!("{lagged}"),
        }
    }
}

/// The causes of these transitions that stopped the service.
pub(super) fn trips(transitions: &[TransitionEvent]) -> Vec<&'static str> {
    let trips = transitions
        .iter()
        .filter(|seen| seen.to == Phase::ShuttingDown);
    trips.map(|seen| seen.cause.as_str()).collect()
}

/// Where threads block until it is opened.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<Passing>, Condvar)>);

#[derive(Default)]
struct Passing {
    open: bool,
    waiting: usize,
}

impl Gate {
    /// One that is opened at the latest when the second is dropped. Keep that for the whole test.
    pub(super) fn closed() -> (Self, Opens) {
        let gate = Self::default();
        (gate.clone(), Opens(gate))
    }

    /// Blocks the thread until the gate is open.
    pub(super) fn pass(&self) {
        let (passing, opened) = &*self.0;
        let mut passing = lock(passing);
        passing.waiting += 1;
        let passed = opened.wait_timeout_while(passing, LONGEST_BLOCK, |passing| !passing.open);
        passed.unwrap_or_else(PoisonError::into_inner).0.waiting -= 1;
    }

    pub(super) fn open(&self) {
        lock(&self.0.0).open = true;
        self.0.1.notify_all();
    }

    /// How many threads wait at it.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.0.0).waiting
    }
}

/// Opens a gate when it is dropped.
pub(super) struct Opens(Gate);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Waits on a plain thread until it is so, and says after how long that was.
pub(super) fn within(limit: Duration, what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !so() {
        assert!(
            began.elapsed() < limit,
            "not within {limit:?}: {what} (in {:?})",
            thread::current().name()
        );
        thread::sleep(ms(1));
    }
    began.elapsed()
}

/// How many threads of this process have this name. On Linux only the first 15 bytes count.
pub(super) fn threads_named(name: &str) -> usize {
    let threads = fs::read_dir("/proc/self/task").expect("a list of threads");
    let named = threads.filter_map(|thread| {
        // A thread may end at any moment.
        let name = fs::read_to_string(thread.ok()?.path().join("comm")).ok()?;
        Some(name.trim_end().to_owned())
    });
    named.filter(|found| found == name).count()
}

/// The middle one.
pub(super) fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations[durations.len() / 2]
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
