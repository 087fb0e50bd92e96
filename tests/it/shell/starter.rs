//! Large stages on several threads: a worker begins them. In real time, as in `spawned`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use overwatch::machine::{Effect, Input, Phase, Slot, Why};
use overwatch::policy::{Layout, Plan};
use overwatch::test_util::Dependency;
use overwatch::{Builder, Handle, Overwatch, Policy, RunError, StepRecord};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::instrument::WithSubscriber;
use tracing::span::{Attributes, Id};
use tracing::subscriber::with_default;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::spawned::{Apart, one_worker, until};
use super::support::judged_in_real_time;

const MANY: usize = 1_200;

/// Adds so many that count themselves when they begin.
fn count_begun(builder: Builder, components: usize, begun: &Arc<AtomicUsize>) -> Builder {
    (0..components).fold(builder, |builder, number| {
        let begun = Arc::clone(begun);
        builder.task(format!("{number}"), |ctx| async move {
            ctx.ready();
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
    let dependency = Dependency::new();
    let (builder, begun) = many(Overwatch::watching(dependency.probe()));
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

/// Holds up the only worker before it can begin any, until what this returns is dropped; and then,
/// in the same step, does this. For a run that is not on that worker.
fn held_up(
    runtime: &Runtime,
    and: impl FnOnce() + Send + 'static,
) -> (
    impl FnMut(StepRecord<'_>) + Send + 'static,
    mpsc::Sender<()>,
) {
    let (free, busy) = mpsc::channel::<()>();
    let workers = runtime.handle().clone();
    let mut once = Some((busy, and));
    let on_step = move |step: StepRecord<'_>| {
        let starts = |effect: &Effect| matches!(effect, Effect::Start { .. });
        if step.effects.iter().any(starts)
            && let Some((busy, and)) = once.take()
        {
            let (tell, is_busy) = mpsc::channel();
            workers.spawn(async move {
                tell.send(()).unwrap();
                let _ = busy.recv();
            });
            is_busy.recv().unwrap();
            and();
        }
    };
    (on_step, free)
}

#[test]
fn who_has_not_begun_when_the_run_is_dropped_never_does() {
    let runtime = one_worker();
    let (tell, drop_it) = oneshot::channel();
    let (builder, begun) = many(Overwatch::watching(Dependency::new().probe()));
    let (on_step, free) = held_up(&runtime, || tell.send(()).unwrap());
    let service = builder.on_step(on_step).build().unwrap();
    let handle = service.handle();
    runtime.block_on(async {
        tokio::select! {
            biased;
            ended = service.run() => panic!("{ended:?}"),
            told = drop_it => told.unwrap(),
        }
    });
    assert_eq!(handle.status().phase, Phase::Halted);
    drop(free);
    until("nothing is left of it", || {
        runtime.metrics().num_alive_tasks() == 0
    });
    assert_eq!(begun.load(Ordering::Relaxed), 0);
}

/// A service of many that is spawned, and held up until what comes last is dropped; with the count of
/// those that have begun.
fn held_up_at_its_start(
    runtime: &Runtime,
) -> (Handle, Spawned, Arc<AtomicUsize>, mpsc::Sender<()>) {
    let (tell, is_held_up) = mpsc::channel();
    let (apart, builder) = Apart::new();
    let (builder, begun) = many(builder);
    let (on_step, free) = held_up(runtime, move || tell.send(()).unwrap());
    let service = builder.on_step(apart.on_step(on_step)).build().unwrap();
    let handle = service.handle();
    let run = runtime.spawn(service.run());
    apart.start(&handle);
    is_held_up.recv().unwrap();
    (handle, run, begun, free)
}

type Spawned = JoinHandle<Result<(), RunError>>;

#[test]
fn who_has_not_begun_when_it_is_told_to_stop_never_does() {
    let runtime = one_worker();
    let (handle, run, begun, free) = held_up_at_its_start(&runtime);
    handle.shutdown();
    until("they are told", || {
        let last = handle.components().pop().unwrap();
        last.slot == Slot::Stopping
    });
    drop(free);
    runtime.block_on(run).unwrap().unwrap();
    assert_eq!(begun.load(Ordering::Relaxed), 0);
}

#[test]
fn who_has_not_begun_when_the_runtime_is_dropped_never_does() {
    let runtime = one_worker();
    let (handle, _run, begun, free) = held_up_at_its_start(&runtime);
    until("they are to begin", || {
        let last = handle.components().pop().unwrap();
        last.slot == Slot::Starting
    });
    runtime.shutdown_background();
    drop(free);
    until("nothing is left of them", || Arc::strong_count(&begun) == 1);
    // A worker that shuts down takes some turns more.
    let begun = begun.load(Ordering::Relaxed);
    assert!(begun < MANY, "{begun}");
    assert_eq!(handle.status().phase, Phase::Halted);
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
    let builder = Overwatch::watching(Dependency::new().probe());
    let builder = (0..MANY).fold(builder, |builder, number| {
        let busy = Arc::clone(&busy);
        builder.task(format!("{number}"), move |ctx| async move {
            ctx.ready();
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
    assert_eq!(error.why(), Why::Wedged);
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

/// Takes its time with each event, once it is told to.
#[derive(Clone, Default)]
struct SlowLog(Arc<AtomicBool>);

impl<S: tracing::Subscriber> Layer<S> for SlowLog {
    fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
        if self.0.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn nobody_begins_once_the_run_was_dropped_amid_the_step_that_starts() {
    let runtime = one_worker();
    let (tell, told) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let begun = Arc::new(AtomicUsize::new(0));
    let (apart, builder) = Apart::new();
    let builder = count_begun(builder, 3, &begun);
    let on_step = apart.on_step(move |step| {
        let starts = |effect: &Effect| matches!(effect, Effect::Start { .. });
        if step.effects.iter().any(starts) {
            let _ = tell.send(());
            let _ = wait.recv();
        }
    });
    let service = builder.on_step(on_step).build().unwrap();
    let handle = service.handle();
    let log = SlowLog::default();
    let subscriber = tracing_subscriber::registry().with(log.clone());
    let run = runtime.spawn(service.run().with_subscriber(subscriber));
    apart.start(&handle);
    told.recv().unwrap();
    run.abort();
    assert!(runtime.block_on(run).unwrap_err().is_cancelled());
    // Between the start and the end of the step there is time enough to begin.
    log.0.store(true, Ordering::Relaxed);
    drop(go_on);
    until("nothing is left of it", || {
        runtime.metrics().num_alive_tasks() == 0 && Arc::strong_count(&begun) == 1
    });
    assert_eq!(begun.load(Ordering::Relaxed), 0);
    assert_eq!(handle.status().phase, Phase::Halted);
}

#[test]
fn no_step_is_taken_once_it_was_dropped_amid_one() {
    let runtime = one_worker();
    let (tell, told) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let steps = Arc::new(AtomicUsize::new(0));
    let (apart, builder) = Apart::new();
    let (builder, up) = many(builder);
    let on_step = apart.on_step({
        let steps = Arc::clone(&steps);
        let mut answers = 0;
        move |step| {
            steps.fetch_add(1, Ordering::Relaxed);
            if let Some(Input::Up { .. }) = step.input {
                answers += 1;
                // All answer, so that those that are taken next are hundreds.
                until("all are up", || up.load(Ordering::Relaxed) == MANY);
                if answers == MANY / 2 + 100 {
                    let _ = tell.send(());
                    let _ = wait.recv();
                }
            }
        }
    });
    let service = builder.on_step(on_step).build().unwrap();
    let handle = service.handle();
    let run = runtime.spawn(service.run());
    apart.start(&handle);
    told.recv().unwrap();
    run.abort();
    assert!(runtime.block_on(run).unwrap_err().is_cancelled());
    let so_far = steps.load(Ordering::Relaxed);
    drop(go_on);
    until("the step is done", || Arc::strong_count(&steps) == 1);
    assert_eq!(steps.load(Ordering::Relaxed), so_far);
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
    let builder = Overwatch::watching(Dependency::new().probe());
    let builder = (0..MANY).fold(builder, |builder, number| {
        let (begun, busy) = (Arc::clone(&begun), Arc::clone(&busy));
        builder.task(format!("{number}"), move |ctx| async move {
            begun.fetch_add(1, Ordering::Relaxed);
            // The last before others have their turn: it has the next one on the same worker.
            if number == 1_023 {
                let _ = busy.lock().unwrap().recv();
            }
            ctx.ready();
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
    let (builder, _) = many(Overwatch::watching(Dependency::new().probe()));
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

#[test]
fn where_the_log_panics_the_rest_never_begins_and_all_is_started_again() {
    assert_eq!(logged(70), (70 + MANY, 2));
}
