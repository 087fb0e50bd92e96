//! Large stages on several threads: a worker begins them. In real time, as in `spawned`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use overwatch::machine::{ComponentState, HaltReason, Phase};
use overwatch::policy::{Layout, Plan};
use overwatch::test_util::FakeDependency;
use overwatch::{Builder, Handle, Observation, Policy, Probe, RunError};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::span::{Attributes, Id};
use tracing::subscriber::with_default;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::spawned::{Apart, Held, one_worker, until};
use super::support::judged_in_real_time;

const MANY: usize = 1_200;

/// Adds so many that count themselves when they begin.
fn count_begun(builder: Builder, components: usize, begun: &Arc<AtomicUsize>) -> Builder {
    (0..components).fold(builder, |builder, number| {
        let begun = Arc::clone(begun);
        builder.task(format!("{number}"), |ctx| async move {
            ctx.mark_ready();
            begun.fetch_add(1, Ordering::Relaxed);
            ctx.stopping().await;
            Ok(())
        })
    })
}

/// Adds many, and the count of those that have begun.
fn many(builder: Builder) -> (Builder, Arc<AtomicUsize>) {
    let begun = Arc::new(AtomicUsize::new(0));
    (count_begun(builder, MANY, &begun), begun)
}

#[test]
fn they_start_and_stop_and_start_again_under_the_laws() {
    let runtime = one_worker();
    let dependency = FakeDependency::new();
    let (builder, begun) = many(crate::shell::replay::builder(dependency.probe()));
    let policy = Policy::builder().window(Duration::from_millis(100));
    let policy = policy.build().unwrap();
    let plan = Plan::new(policy.clone(), Layout::new(&[MANY]).unwrap()).unwrap();
    let (builder, judged) = judged_in_real_time(builder.policy(policy), plan);
    let service = builder.build().unwrap();
    let handle = service.handle();
    let run = runtime.spawn(service.run());
    until("it is up", || handle.is_ready());
    assert_eq!(begun.load(Ordering::Relaxed), MANY);
    handle.trip().unwrap();
    until("it is up again", || {
        handle.is_ready() && handle.status().epoch == 2
    });
    assert_eq!(begun.load(Ordering::Relaxed), 2 * MANY);
    handle.shutdown();
    runtime.block_on(run).unwrap().unwrap();
    judged.acquit();
}

/// A probe that blocks the worker which it runs on, once it has made its first observation.
struct Blocks<P> {
    probe: P,
    once: Mutex<Option<Blocker>>,
}

struct Blocker {
    tell: mpsc::Sender<()>,
    busy: mpsc::Receiver<()>,
}

#[async_trait::async_trait]
impl<P: Probe> Probe for Blocks<P> {
    async fn observe(&self) -> Observation {
        let seen = self.probe.observe().await;
        let once = self.once.lock().unwrap().take();
        if let Some(Blocker { tell, busy }) = once {
            // The worker takes it next, before anything that others spawn.
            tokio::spawn(async move {
                tell.send(()).unwrap();
                let _ = busy.recv();
            });
        }
        seen
    }
}

/// The only worker is held up before it can begin any, until this is dropped.
struct HeldUp {
    is_busy: mpsc::Receiver<()>,
    /// Frees it by its drop.
    _free: mpsc::Sender<()>,
}

fn held_up<P: Probe>(probe: P) -> (Blocks<P>, HeldUp) {
    let (free, busy) = mpsc::channel();
    let (tell, is_busy) = mpsc::channel();
    let once = Mutex::new(Some(Blocker { tell, busy }));
    let held_up = HeldUp {
        is_busy,
        _free: free,
    };
    (Blocks { probe, once }, held_up)
}

impl HeldUp {
    /// Waits until all are to begin, and none can.
    fn until_they_are_to_begin(&self, handle: &Handle) {
        self.is_busy.recv().unwrap();
        until("they are to begin", || {
            let last = handle.components().pop().unwrap();
            last.state == ComponentState::Starting
        });
    }
}

#[test]
fn who_has_not_begun_when_the_run_is_dropped_never_does() {
    for components in [3, MANY] {
        let runtime = one_worker();
        let (tell, drop_it) = oneshot::channel();
        let (probe, held_up) = held_up(FakeDependency::new().probe());
        let begun = Arc::default();
        let builder = count_begun(crate::shell::replay::builder(probe), components, &begun);
        let service = builder.build().unwrap();
        let handle = service.handle();
        let seen = handle.clone();
        let drops = thread::spawn(move || {
            held_up.until_they_are_to_begin(&seen);
            tell.send(()).unwrap();
            held_up
        });
        runtime.block_on(async {
            tokio::select! {
                biased;
                ended = service.run() => panic!("{ended:?}"),
                told = drop_it => told.unwrap(),
            }
        });
        assert_eq!(handle.status().phase, Phase::Halted);
        drop(drops.join().unwrap());
        until("nothing is left of it", || {
            runtime.metrics().num_alive_tasks() == 0
        });
        assert_eq!(begun.load(Ordering::Relaxed), 0, "of {components}");
    }
}

/// A service of many that is spawned, and held up until what comes last is dropped; with the count of
/// those that have begun.
fn held_up_at_its_start(runtime: &Runtime) -> (Handle, Spawned, Arc<AtomicUsize>, HeldUp) {
    let (apart, probe) = Apart::observed();
    let (probe, held_up) = held_up(probe);
    let (builder, begun) = many(crate::shell::replay::builder(probe));
    let service = builder.on_step(apart.on_step(|_| ())).build().unwrap();
    let handle = service.handle();
    let run = runtime.spawn(service.run());
    apart.start(&handle);
    held_up.until_they_are_to_begin(&handle);
    (handle, run, begun, held_up)
}

type Spawned = JoinHandle<Result<(), RunError>>;

#[test]
fn who_has_not_begun_when_it_is_told_to_stop_never_does() {
    let runtime = one_worker();
    let (handle, run, begun, held_up) = held_up_at_its_start(&runtime);
    handle.shutdown();
    until("they are told", || {
        let last = handle.components().pop().unwrap();
        last.state == ComponentState::Stopping
    });
    drop(held_up);
    runtime.block_on(run).unwrap().unwrap();
    assert_eq!(begun.load(Ordering::Relaxed), 0);
}

#[test]
fn who_has_not_begun_when_the_runtime_is_dropped_never_does() {
    let runtime = one_worker();
    let (handle, _run, begun, held_up) = held_up_at_its_start(&runtime);
    runtime.shutdown_background();
    drop(held_up);
    until("nothing is left of them", || Arc::strong_count(&begun) == 1);
    // A worker that shuts down takes some turns more.
    let begun = begun.load(Ordering::Relaxed);
    assert!(begun < MANY, "{begun}");
    assert_eq!(handle.status().phase, Phase::Halted);
}

/// The supervisor is amid the step that starts them, and all that could answer does.
#[test]
fn no_step_is_taken_and_nobody_is_up_once_it_was_dropped_amid_one() {
    for components in [3, MANY] {
        let runtime = one_worker();
        let (apart, probe) = Apart::observed();
        let begun = Arc::default();
        let builder = count_begun(crate::shell::replay::builder(probe), components, &begun);
        let service = builder.on_step(apart.on_step(|_| ())).build().unwrap();
        let handle = service.handle();
        let mut transitions = handle.transitions();
        let run = runtime.spawn(service.run());
        apart.until_taken(&handle);
        let held = Held::at_the_next_news(&handle);
        apart.recover();
        held.until_held();
        assert_eq!(handle.status().phase, Phase::Restarting);
        run.abort();
        assert!(runtime.block_on(run).unwrap_err().is_cancelled());
        while runtime.block_on(transitions.next()).unwrap().is_some() {}
        drop(held);
        until("nothing is left of it", || {
            runtime.metrics().num_alive_tasks() == 0 && Arc::strong_count(&begun) == 1
        });
        let is_up = |slot| matches!(slot, ComponentState::Up | ComponentState::Stopping);
        let up = handle
            .components()
            .into_iter()
            .filter(|one| is_up(one.state));
        assert_eq!(up.count(), 0, "a step was taken");
        assert_eq!(handle.status().phase, Phase::Halted);
        let more = runtime.block_on(transitions.next());
        assert_eq!(more, Ok(None), "a transition after the last one");
    }
}

#[test]
fn of_many_one_is_deaf_and_aborted_and_one_blocks_a_worker_and_is_wedged() {
    const DEAF: usize = 7;
    const BLOCKS: usize = 1_100;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (free, busy) = mpsc::channel::<()>();
    let busy = Arc::new(Mutex::new(busy));
    let builder = crate::shell::replay::builder(FakeDependency::new().probe());
    let builder = (0..MANY).fold(builder, |builder, number| {
        let busy = Arc::clone(&busy);
        builder.task(format!("{number}"), move |ctx| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            match number {
                DEAF => std::future::pending().await,
                BLOCKS => drop(busy.lock().unwrap().recv()),
                _ => {}
            }
            Ok(())
        })
    });
    let policy = Policy::builder()
        .stop_deadline(Duration::from_secs(1))
        .abort_deadline(Duration::from_secs(1));
    let policy = policy.build().unwrap();
    let plan = Plan::new(policy.clone(), Layout::new(&[MANY]).unwrap()).unwrap();
    let (builder, judged) = judged_in_real_time(builder.policy(policy), plan);
    let service = builder.build().unwrap();
    let handle = service.handle();
    let run = runtime.spawn(service.run());
    until("it is up", || handle.is_ready());
    handle.shutdown();
    until("it is over", || handle.status().phase == Phase::Halted);
    drop(free);
    let error = runtime.block_on(run).unwrap().unwrap_err();
    assert_eq!(error.why(), Some(HaltReason::Wedged));
    // Others may have stood right behind it, on the worker that it blocks.
    let is_wedged = |number: usize| {
        let name = number.to_string();
        error.wedged().iter().any(|wedged| **wedged == *name)
    };
    assert!(is_wedged(BLOCKS) && !is_wedged(DEAF), "{error}");
    let deaf = format!("Gone {{ component: ComponentId({DEAF}), epoch: 1, how: Aborted }}");
    assert!(judged.trace().iter().any(|step| step.contains(&deaf)));
    judged.acquit();
}

/// Of a component that blocks its thread the others must not have to wait for their begin.
#[test]
fn one_that_blocks_a_worker_does_not_hold_up_the_others() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let begun = Arc::new(AtomicUsize::new(0));
    let (free, busy) = mpsc::channel::<()>();
    let busy = Arc::new(Mutex::new(busy));
    let builder = crate::shell::replay::builder(FakeDependency::new().probe());
    let builder = (0..MANY).fold(builder, |builder, number| {
        let (begun, busy) = (Arc::clone(&begun), Arc::clone(&busy));
        builder.task(format!("{number}"), move |ctx| async move {
            begun.fetch_add(1, Ordering::Relaxed);
            // The last before others have their turn: it has the next one on the same worker.
            if number == 1_023 {
                let _ = busy.lock().unwrap().recv();
            }
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
    });
    let service = builder.build().unwrap();
    let handle = service.handle();
    let run = runtime.spawn(service.run());
    until("all have begun", || begun.load(Ordering::Relaxed) == MANY);
    drop(free);
    until("it is up", || handle.is_ready());
    handle.shutdown();
    runtime.block_on(run).unwrap().unwrap();
}

/// Counts the spans of components, and panics at one of them.
struct Spans {
    seen: Arc<AtomicUsize>,
    panics_at: usize,
}

impl<S: tracing::Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        if span.metadata().target() == "overwatch::component" {
            let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(seen != self.panics_at, "the log is broken");
        }
    }
}

/// Runs it until it is up, where the log goes somewhere else than elsewhere: how many spans of
/// components there were, and in which epoch it is up.
fn logged(panics_at: usize) -> (usize, u64) {
    let runtime = one_worker();
    let seen = Arc::new(AtomicUsize::new(0));
    let spans = Spans {
        seen: Arc::clone(&seen),
        panics_at,
    };
    let (builder, _) = many(crate::shell::replay::builder(FakeDependency::new().probe()));
    let policy = Policy::builder()
        .window(Duration::from_millis(100))
        // Not what makes it start again.
        .start_deadline(Duration::from_secs(3600));
    let service = builder.policy(policy.build().unwrap()).build().unwrap();
    let handle = service.handle();
    let subscriber = tracing_subscriber::registry().with(spans);
    let mut epoch = 0;
    let run = service.run_until(async {
        let ready = handle.wait_until_ready();
        let ready = tokio::time::timeout(Duration::from_secs(60), ready).await;
        ready.expect("it is up in time").unwrap();
        epoch = handle.status().epoch;
    });
    with_default(subscriber, || runtime.block_on(run).unwrap());
    (seen.load(Ordering::Relaxed), epoch)
}

#[test]
fn their_spans_go_where_the_supervisor_logs_to() {
    assert_eq!(logged(usize::MAX), (MANY, 1));
}

/// A component whose span makes the subscriber panic fails; the others begin until they are told to stop.
#[test]
fn where_the_log_panics_a_component_fails_and_all_is_started_again() {
    let (spans, epoch) = logged(70);
    assert!((70 + MANY..=2 * MANY).contains(&spans), "{spans}");
    assert_eq!(epoch, 2);
}
