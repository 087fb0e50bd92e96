//! A run that was spawned on workers, and on which thread it goes on. In real time: a paused clock
//! has one thread only.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use overwatch::machine::{Effect, Phase};
use overwatch::test_util::FakeDependency;
use overwatch::{Handle, Overwatch, Probe, StepRecord};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tracing::Instrument;
use tracing::instrument::WithSubscriber;
use tracing_subscriber::layer::{self, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::support::{Notes, worker};

/// A service that calls this with each step, and keeps it as long as it is supervised.
fn service(mut on_step: impl FnMut() + Send + 'static) -> (Handle, Overwatch) {
    let service = crate::shell::replay::builder(FakeDependency::new().probe())
        .component("a", worker(&Notes::default(), "a"))
        .on_step(move |_| on_step())
        .build()
        .unwrap();
    (service.handle(), service)
}

/// For tests that prepare something between the begin of a run and its first start: the dependency gives
/// no answer before that.
pub(crate) struct Apart {
    dependency: FakeDependency,
    taken: Arc<AtomicBool>,
}

impl Apart {
    /// With the probe that observes the dependency.
    pub(crate) fn observed() -> (Self, impl Probe) {
        let dependency = FakeDependency::new();
        dependency.hang();
        let probe = dependency.probe();
        let taken = Arc::default();
        (Self { dependency, taken }, probe)
    }

    /// A service that calls this with each step.
    fn service(each: impl FnMut(StepRecord<'_>) + Send + 'static) -> (Self, Handle, Overwatch) {
        let (apart, probe) = Self::observed();
        let service = crate::shell::replay::builder(probe)
            .component("a", worker(&Notes::default(), "a"))
            .on_step(apart.on_step(each))
            .build()
            .unwrap();
        (apart, service.handle(), service)
    }

    /// What to call with each step, and that calls this.
    pub(crate) fn on_step(
        &self,
        mut each: impl FnMut(StepRecord<'_>) + Send + 'static,
    ) -> impl FnMut(StepRecord<'_>) + Send + 'static {
        let taken = Arc::clone(&self.taken);
        move |step| {
            taken.store(true, Ordering::Relaxed);
            each(step);
        }
    }

    /// Waits until the run has begun, and lets it start.
    pub(crate) fn start(&self, handle: &Handle) {
        self.until_taken(handle);
        self.recover();
    }

    pub(crate) fn until_taken(&self, handle: &Handle) {
        until("the run has begun", || {
            // Whatever makes it take a step.
            handle.reset().unwrap();
            self.taken.load(Ordering::Relaxed)
        });
    }

    pub(crate) fn recover(&self) {
        self.dependency.recover();
    }
}

/// Holds the supervisor amid a step, until this is dropped: somebody is told of what it publishes, and
/// the waker of that one blocks.
pub(crate) struct Held {
    is_held: mpsc::Receiver<()>,
    /// Lets it go on by its drop.
    _go_on: mpsc::Sender<()>,
}

impl Held {
    /// At the next thing that is published.
    pub(crate) fn at_the_next_news(handle: &Handle) -> Self {
        let (tell, is_held) = mpsc::channel();
        let (go_on, wait) = mpsc::channel();
        let waker = Arc::new(Holds(Mutex::new(Some((tell, wait))))).into();
        let handle = handle.clone();
        let (begin, begun) = mpsc::channel();
        // Kept by a thread as long as it may be woken.
        thread::spawn(move || {
            let mut news = pin!(handle.wait_for(|_| false));
            let mut cx = Context::from_waker(&waker);
            assert!(news.as_mut().poll(&mut cx).is_pending());
            begin.send(()).unwrap();
            until("it is over", || handle.status().phase == Phase::Halted);
        });
        begun.recv().unwrap();
        Self {
            is_held,
            _go_on: go_on,
        }
    }

    pub(crate) fn until_held(&self) {
        self.is_held
            .recv_timeout(Duration::from_secs(60))
            .expect("something is published");
    }
}

type Hold = (mpsc::Sender<()>, mpsc::Receiver<()>);

struct Holds(Mutex<Option<Hold>>);

impl Wake for Holds {
    fn wake(self: Arc<Self>) {
        let once = self.0.lock().unwrap().take();
        if let Some((tell, wait)) = once {
            let _ = tell.send(());
            let _ = wait.recv();
        }
    }
}

pub(crate) fn one_worker() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// Waits by looking, since no timer fires while the only worker is blocked.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_trip_does_not_wait_until_a_worker_is_free() {
    let runtime = one_worker();
    let (handle, service) = service(|| ());
    let run = runtime.spawn(service.run());
    until("it is up", || handle.is_ready());
    let (free, busy) = mpsc::channel::<()>();
    let (tell, is_busy) = mpsc::channel();
    runtime.spawn(async move {
        tell.send(()).unwrap();
        busy.recv()
    });
    is_busy.recv().unwrap();
    handle.trip().unwrap();
    until("it trips", || !handle.is_ready());
    until("it tells of it", || {
        handle.status().phase == Phase::ShuttingDown
    });
    free.send(()).unwrap();
    handle.shutdown();
    runtime.block_on(run).unwrap().unwrap();
}

/// On which threads steps were taken, one after the other.
#[derive(Clone, Default)]
struct Threads(Arc<Mutex<Vec<Thread>>>);

impl Threads {
    fn note(&self) {
        let this = thread::current();
        let mut seen = self.0.lock().unwrap();
        if seen.last().map(Thread::id) != Some(this.id()) {
            seen.push(this);
        }
    }

    fn seen(&self) -> Vec<Thread> {
        self.0.lock().unwrap().clone()
    }
}

/// A runtime of one thread: all that a run does it does there.
#[test]
fn a_runtime_of_one_thread_needs_no_other() {
    let alone = || Builder::new_current_thread().enable_all().build().unwrap();
    // That of a service that is shut down when it is up.
    let thread_of = |run: &dyn Fn(Overwatch)| {
        let threads = Threads::default();
        let note = threads.clone();
        let (handle, service) = service(move || note.note());
        let shuts_down = thread::spawn(move || {
            until("it is up", || handle.is_ready());
            handle.shutdown();
        });
        run(service);
        shuts_down.join().unwrap();
        let seen = threads.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].id()
    };
    let here = thread::current().id();
    let awaited = thread_of(&|service| alone().block_on(service.run()).unwrap());
    assert_eq!(awaited, here);
    let spawned = thread_of(&|service| {
        let alone = alone();
        let run = alone.spawn(service.run());
        alone.block_on(run).unwrap().unwrap();
    });
    assert_eq!(spawned, here);
}

#[test]
fn it_is_dropped_with_the_task_that_was_spawned() {
    let runtime = one_worker();
    let held = Arc::new(());
    let (handle, service) = service({
        let held = Arc::clone(&held);
        move || drop(Arc::clone(&held))
    });
    let run = runtime.spawn(service.run());
    until("it is up", || handle.is_ready());
    run.abort();
    assert!(runtime.block_on(run).unwrap_err().is_cancelled());
    assert!(!handle.is_ready());
    until("nothing is left of it", || {
        Arc::strong_count(&held) == 1 && runtime.metrics().num_alive_tasks() == 0
    });
}

#[test]
fn nothing_is_published_once_it_was_dropped_amid_a_step() {
    let runtime = one_worker();
    let (apart, probe) = Apart::observed();
    let (may, is_ready) = oneshot::channel();
    let is_ready = Arc::new(Mutex::new(Some(is_ready)));
    let held = Arc::new(());
    let service = crate::shell::replay::builder(probe)
        .task("a", move |ctx| async move {
            let is_ready = is_ready.lock().unwrap().take();
            let _ = is_ready.expect("once").await;
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
        .on_step(apart.on_step({
            let held = Arc::clone(&held);
            move |_| {
                let _ = &held;
            }
        }))
        .build()
        .unwrap();
    let handle = service.handle();
    let mut transitions = handle.transitions();
    let run = runtime.spawn(service.run());
    apart.start(&handle);
    until("it starts", || handle.status().phase == Phase::Restarting);
    // All that is published of its start has been by then, and the next observation is a second away.
    thread::sleep(Duration::from_millis(200));
    let amid = Held::at_the_next_news(&handle);
    may.send(()).unwrap();
    amid.until_held();
    assert_eq!(handle.status().phase, Phase::Running);
    run.abort();
    assert!(runtime.block_on(run).unwrap_err().is_cancelled());
    let over = |when: &str| {
        let status = handle.status();
        assert!(!handle.is_ready() && !status.ready, "{when}: {status:?}");
        assert_eq!(status.phase, Phase::Halted, "{when}: {status:?}");
    };
    over("amid the step");
    while runtime.block_on(transitions.next()).unwrap().is_some() {}
    drop(amid);
    let released = Instant::now();
    while Arc::strong_count(&held) > 1 {
        // A false 200 is not there for long, so there is no pause.
        assert!(!handle.is_ready(), "it says that it is ready");
        assert!(released.elapsed() < Duration::from_secs(60));
    }
    over("after the step");
    let more = runtime.block_on(transitions.next());
    assert_eq!(more, Ok(None), "a transition after the last one");
}

#[test]
fn it_is_dropped_with_the_runtime() {
    let runtime = one_worker();
    let held = Arc::new(());
    let (handle, service) = service({
        let held = Arc::clone(&held);
        move || drop(Arc::clone(&held))
    });
    runtime.spawn(service.run());
    until("it is up", || handle.is_ready());
    drop(runtime);
    assert!(!handle.is_ready());
    until("nothing is left of it", || Arc::strong_count(&held) == 1);
}

#[test]
fn it_panics_where_it_was_spawned() {
    let runtime = one_worker();
    let (handle, service) = service(|| std::panic::panic_any("in the hook"));
    let ended = runtime.block_on(runtime.spawn(service.run()));
    let panic = ended.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"in the hook"));
    assert!(!handle.is_ready());
}

#[test]
fn it_panics_there_also_when_it_has_its_thread() {
    let runtime = one_worker();
    let (apart, handle, service) = Apart::service(|step| {
        if step.effects.contains(&Effect::Ready(true)) {
            std::panic::panic_any("on its thread");
        }
    });
    let run = runtime.spawn(service.run());
    apart.start(&handle);
    let panic = runtime.block_on(run).unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"on its thread"));
    assert!(!handle.is_ready());
}

/// What was logged about the run itself: each target, and the outermost span around it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Logged>>>);

type Logged = (String, Option<String>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, ctx: layer::Context<'_, S>) {
        let outermost = ctx
            .event_scope(event)
            .and_then(|scope| scope.from_root().next());
        let target = event.metadata().target().to_owned();
        let span = outermost.map(|span| span.name().to_owned());
        self.0.lock().unwrap().push((target, span));
    }
}

#[test]
fn it_logs_where_it_was_spawned() {
    let runtime = one_worker();
    let log = Log::default();
    let (handle, service) = service(|| ());
    let subscriber = tracing_subscriber::registry().with(log.clone());
    let run = async move {
        let span = tracing::info_span!("of the user");
        service.run().instrument(span).await
    };
    let run = runtime.spawn(run.with_subscriber(subscriber));
    until("it is up", || handle.is_ready());
    handle.shutdown();
    runtime.block_on(run).unwrap().unwrap();
    let log = log.0.lock().unwrap();
    let transitions = log.iter().filter(|(of, _)| of == "overwatch::transition");
    let spans: Vec<_> = transitions.map(|(_, span)| span.as_deref()).collect();
    assert!(spans.len() > 2, "{log:?}");
    assert!(
        spans.iter().all(|span| *span == Some("of the user")),
        "{log:?}"
    );
}
