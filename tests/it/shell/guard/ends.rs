//! How a run ends other than by itself: it is dropped, its runtime is, or something in it panics.

use std::panic;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context as Poller, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use overwatch::machine::{Effect, Input, Phase};
use overwatch::{Context, Failure, Handle, Overwatch, RunEnded, RunError, polled};
use tokio::runtime::Handle as Runtime;
use tokio::sync::oneshot;

use super::child::play;
use super::scene::SOON;
use super::support::{
    CONTROL, Case, Gate, Run, USER, Way, Workers, await_here, in_each, lock, ms, quick,
    threads_named, within,
};

/// Counts what is there of a run: its components, and whatever the run itself owns.
#[derive(Clone, Default)]
struct Alive {
    components: Arc<AtomicUsize>,
    /// Held by the hook for each step.
    run: Arc<()>,
}

struct Counted(Arc<AtomicUsize>);

impl Alive {
    fn component(&self) -> Counted {
        self.components.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.components))
    }

    /// Waits until nothing is left.
    fn until_gone(&self) {
        within(SOON, "its components are gone", || {
            self.components.load(Ordering::Relaxed) == 0
        });
        within(SOON, "the run is gone", || {
            Arc::strong_count(&self.run) == 1
        });
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A quiet service with a component that does not let itself be stopped, and a sub-task of it.
fn service(alive: &Alive) -> overwatch::Builder {
    let owned = Arc::clone(&alive.run);
    quiet(alive).on_step(move |_| {
        let _ = &owned;
    })
}

fn quiet(alive: &Alive) -> overwatch::Builder {
    let alive = Alive {
        components: Arc::clone(&alive.components),
        run: Arc::default(),
    };
    crate::shell::replay::builder(polled(ms(200), ms(200), || async { Ok(()) }))
        .policy(quick().build().unwrap())
        .task("deaf", move |ctx: Context| async move {
            let _counted = alive.component();
            let counted = alive.component();
            ctx.spawn(async move {
                let _counted = counted;
                std::future::pending::<Result<(), Failure>>().await
            });
            ctx.mark_ready();
            std::future::pending().await
        })
}

/// Nobody supervises any more, and everybody can see it.
fn assert_over(handle: &Handle) {
    assert!(!handle.is_ready());
    let status = handle.status();
    assert_eq!((status.phase, status.ready), (Phase::Halted, false));
    assert!(await_here(handle.wait_until_ready()) == Err(RunEnded));
}

#[test]
fn a_task_that_is_aborted_takes_the_run_with_it() {
    for workers in [2, 4, 8] {
        let alive = Alive::default();
        let workers = Workers::new(workers);
        let service = service(&alive).build().unwrap();
        let handle = service.handle();
        let run = workers.handle().spawn(service.run());
        within(SOON, "it is ready", || handle.is_ready());
        run.abort();
        assert!(await_here(run).unwrap_err().is_cancelled());
        assert_over(&handle);
        alive.until_gone();
    }
}

/// It is not ready when the drop has returned, and that does not wait for long.
#[test]
fn a_branch_that_is_dropped_takes_the_run_with_it() {
    in_each(&[2, 4, 8], |workers| {
        let alive = Alive::default();
        let workers = Workers::new(workers);
        let service = service(&alive).build().unwrap();
        let handle = service.handle();
        let (give_up, given_up) = oneshot::channel::<()>();
        let seen = handle.clone();
        let main = on_a_thread({
            let runtime = workers.handle();
            move || {
                runtime.block_on(async {
                    let mut run = Box::pin(service.run());
                    tokio::select! {
                        _ = &mut run => panic!("it has ended"),
                        _ = given_up => {}
                    }
                    let began = Instant::now();
                    drop(run);
                    (began.elapsed(), seen.is_ready())
                })
            }
        });
        within(SOON, "it is ready", || handle.is_ready());
        give_up.send(()).unwrap();
        let (took, ready) = main.join().expect("no panic");
        assert!(!ready);
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_over(&handle);
        alive.until_gone();
    });
}

/// The supervisor may be amid a call of the user's code, or what stands for it.
#[test]
fn a_drop_does_not_wait_for_user_code() {
    in_each(&[Way::Main, Way::Spawned], |way| {
        let (gate, _opens) = Gate::closed();
        let alive = Alive::default();
        let workers = Workers::new(4);
        let held = gate.clone();
        let service = quiet(&alive)
            .on_step(move |step| {
                if let Some(Input::Trip) = step.input {
                    held.pass();
                }
            })
            .build()
            .unwrap();
        let handle = service.handle();
        let (give_up, given_up) = oneshot::channel::<()>();
        let took: Arc<Mutex<Option<Duration>>> = Arc::default();
        let noted = Arc::clone(&took);
        let run = async move {
            let mut run = Box::pin(service.run());
            tokio::select! {
                _ = &mut run => panic!("it has ended"),
                _ = given_up => {}
            }
            let began = Instant::now();
            drop(run);
            *lock(&noted) = Some(began.elapsed());
        };
        let runtime = workers.handle();
        let main = match way {
            Way::Main => on_a_thread(move || runtime.block_on(run)),
            Way::Spawned => on_a_thread(move || await_here(runtime.spawn(run)).unwrap()),
        };
        within(SOON, "it is ready", || handle.is_ready());
        thread::sleep(ms(100));
        handle.trip().unwrap();
        within(SOON, "the hook blocks", || gate.waiting() == 1);
        give_up.send(()).unwrap();
        // A tenth of a second is waited for it, the rest is the machine's.
        within(Duration::from_secs(2), "it is dropped", || {
            lock(&took).is_some()
        });
        assert_over(&handle);
        within(SOON, "its components are gone", || {
            alive.components.load(Ordering::Relaxed) == 0
        });
        gate.open();
        main.join().expect("no panic");
    });
}

#[test]
fn a_runtime_that_is_dropped_takes_the_run_with_it() {
    in_each(&Case::all(), |Case { workers, way }| {
        // Spawned, one of the workers is blocked as well.
        let (gate, _opens) = Gate::closed();
        let alive = Alive::default();
        let runtime = Workers::new(workers);
        let held = gate.clone();
        let blocks = way == Way::Spawned;
        let service = service(&alive)
            .task("stuck", move |ctx: Context| async move {
                ctx.mark_ready();
                if blocks && ctx.sleep(ms(100)).await {
                    held.pass();
                }
                std::future::pending().await
            })
            .build()
            .unwrap();
        let handle = service.handle();
        let run = runtime.handle().spawn(service.run());
        within(SOON, "it is ready", || handle.is_ready());
        if blocks {
            within(SOON, "its thread is blocked", || gate.waiting() == 1);
        }
        drop(runtime);
        within(SOON, "not ready", || !handle.is_ready());
        gate.open();
        let ended = await_here(run).unwrap_err();
        assert!(ended.is_cancelled(), "{ended}");
        assert_over(&handle);
        alive.until_gone();
    });
}

/// Awaits something on an executor that is not tokio's, in the context of a runtime.
fn elsewhere<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut work = pin!(work);
    loop {
        let polled = {
            let _inside = runtime.enter();
            work.as_mut().poll(&mut Poller::from_waker(&waker))
        };
        match polled {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let thread = thread::Builder::new().name(format!("{USER}main"));
    thread.spawn(work).unwrap()
}

fn run_elsewhere(workers: &Workers, service: Overwatch) -> JoinHandle<Result<(), RunError>> {
    let runtime = workers.handle();
    on_a_thread(move || elsewhere(&runtime, service.run()))
}

/// The run is awaited by somebody whom the end of the runtime does not concern.
#[test]
fn a_run_outlives_its_runtime() {
    in_each(&[2, 4, 8], |workers| {
        let alive = Alive::default();
        let runtime = Workers::new(workers);
        let service = service(&alive).build().unwrap();
        let handle = service.handle();
        let run = run_elsewhere(&runtime, service);
        within(SOON, "it is ready", || handle.is_ready());
        drop(runtime);
        within(SOON, "not ready", || !handle.is_ready());
        within(SOON, "its components are gone", || {
            alive.components.load(Ordering::Relaxed) == 0
        });
        // Nothing can be started any more, but what it is told it does.
        assert!(await_here(handle.is_responsive(Duration::from_secs(2))));
        handle.shutdown();
        within(SOON, "it has ended", || run.is_finished());
        run.join().expect("no panic").expect("an ordered stop");
        assert_eq!(handle.status().phase, Phase::Stopped);
    });
}

/// A stage is to be started, and there is no runtime to start it on.
#[test]
fn a_component_that_cannot_be_spawned_is_gone() {
    let alive = Alive::default();
    let runtime = Workers::new(2);
    let (tell, told) = mpsc::channel();
    let service = crate::shell::replay::builder(polled(ms(200), ms(200), || async { Ok(()) }))
        .policy(quick().silence_limit(SOON * 10).build().unwrap())
        .task("below", {
            let tell = Mutex::new(tell);
            let tell = Arc::new(tell);
            move |ctx: Context| async move {
                // Something of it is not the runtime's.
                let hold = ctx.hold();
                lock(&tell).send((ctx, hold)).unwrap();
                std::future::pending().await
            }
        })
        .next_stage()
        .task("above", {
            let alive = alive.clone();
            move |ctx: Context| async move {
                let _counted = alive.component();
                ctx.mark_ready();
                std::future::pending().await
            }
        })
        .build()
        .unwrap();
    let handle = service.handle();
    let mut transitions = handle.transitions();
    let run = run_elsewhere(&runtime, service);
    let (ctx, hold) = told.recv_timeout(SOON).expect("it is started");
    drop(runtime);
    ctx.mark_ready();
    within(SOON, "the start has failed", || {
        handle.status().phase == Phase::ShuttingDown
    });
    drop(hold);
    within(SOON, "all is gone", || {
        handle.status().phase == Phase::Monitoring
    });
    handle.shutdown();
    within(SOON, "it has ended", || run.is_finished());
    run.join().expect("no panic").expect("an ordered stop");
    let causes: Vec<_> = super::support::drain(&mut transitions)
        .iter()
        .map(|seen| seen.cause.as_str())
        .collect();
    assert_eq!(
        causes,
        ["recovered", "start_failed", "all_gone", "shutdown"]
    );
    assert_eq!(alive.components.load(Ordering::Relaxed), 0);
}

/// Awaits a run on a thread of the test's, on which its panic goes on.
fn run_on_a_thread(
    runtime: Runtime,
    way: Way,
    service: Overwatch,
) -> JoinHandle<Result<(), RunError>> {
    on_a_thread(move || match way {
        Way::Main => runtime.block_on(service.run()),
        Way::Spawned => match await_here(runtime.spawn(service.run())) {
            Ok(ended) => ended,
            Err(error) => panic::resume_unwind(error.into_panic()),
        },
    })
}

/// What panics in the hook ends the run where it is awaited.
#[test]
fn a_panic_in_the_hook_goes_on_in_the_awaiter() {
    in_each(&Case::all(), |Case { workers, way }| {
        let alive = Alive::default();
        let workers = Workers::new(workers);
        let owned = Arc::clone(&alive.run);
        let service = quiet(&alive)
            .on_step(move |step| {
                let _ = &owned;
                if let Some(Input::Trip) = step.input {
                    panic::panic_any("in the hook");
                }
            })
            .build()
            .unwrap();
        let handle = service.handle();
        let run = run_on_a_thread(workers.handle(), way, service);
        within(SOON, "it is ready", || handle.is_ready());
        handle.trip().unwrap();
        within(SOON, "it has ended", || run.is_finished());
        let panic = run.join().expect_err("it panicked");
        assert_eq!(panic.downcast_ref(), Some(&"in the hook"));
        assert_over(&handle);
        alive.until_gone();
    });
}

/// In a child process, whose threads and panics can be counted.
pub(super) fn dropped_child() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
    let no_thread = |when: &str| {
        within(SOON, when, || threads_named(CONTROL) == 0);
        within(SOON, when, || threads_named("overwatch-log") == 0);
    };
    let supervised = |when: &str| {
        // A thread that it makes is called like it for an instant.
        within(SOON, when, || threads_named(CONTROL) == 1);
    };

    let alive = Alive::default();
    let workers = Workers::new(2);
    let one = service(&alive).build().unwrap();
    let handle = one.handle();
    let run = workers.handle().spawn(one.run());
    within(SOON, "it is ready", || handle.is_ready());
    supervised("spawned");
    run.abort();
    no_thread("after an abort");

    let one = service(&alive).build().unwrap();
    let handle = one.handle();
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let runtime = workers.handle();
    let main = on_a_thread(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = one.run() => panic!("it has ended"),
                () = async { while !seen.load(Ordering::Relaxed) { tokio::time::sleep(ms(10)).await } } => {}
            }
        });
    });
    within(SOON, "it is ready", || handle.is_ready());
    supervised("in main");
    stop.store(true, Ordering::Relaxed);
    main.join().unwrap();
    no_thread("after a select");

    let one = service(&alive).build().unwrap();
    let run = Run::start(&workers, Way::Spawned, one);
    run.until_ready();
    supervised("before its runtime is dropped");
    drop(workers);
    no_thread("after its runtime was dropped");

    let workers = Workers::new(2);
    let one = service(&alive).build().unwrap();
    let handle = one.handle();
    let run = run_elsewhere(&workers, one);
    within(SOON, "it is ready", || handle.is_ready());
    drop(workers);
    within(SOON, "not ready", || !handle.is_ready());
    handle.shutdown();
    run.join().expect("no panic").expect("an ordered stop");
    no_thread("after its end");

    alive.until_gone();
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "panics");
}

#[test]
fn no_thread_is_left_and_nothing_panics() {
    let mut child = play("dropped");
    let status = child.end(Duration::from_secs(40));
    assert!(status.success(), "{:#?}", child.said());
}

/// The hook reads the last steps when the run has taken them: its panic is not lost for that.
#[test]
fn a_panic_in_the_hook_at_the_last_step_goes_on_in_the_awaiter_too() {
    in_each(&Case::all(), |Case { workers, way }| {
        let workers = Workers::new(workers);
        let service = quiet(&Alive::default())
            .on_step(move |step| {
                let ends = |effect: &Effect| matches!(effect, Effect::Ended(_));
                if step.effects.iter().any(ends) {
                    thread::sleep(ms(50));
                    panic::panic_any("at the end");
                }
            })
            .build()
            .unwrap();
        let handle = service.handle();
        let run = run_on_a_thread(workers.handle(), way, service);
        within(SOON, "it is ready", || handle.is_ready());
        handle.shutdown();
        within(SOON, "it has ended", || run.is_finished());
        let panic = run.join().expect_err("it panicked");
        assert_eq!(panic.downcast_ref(), Some(&"at the end"));
    });
}
