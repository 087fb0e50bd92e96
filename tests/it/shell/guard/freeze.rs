//! Threads of the service that block, one of them or all.
//!
//! tokio has one driver for timers and I/O, which one idle worker turns while the others sleep. If the
//! task that this worker was woken for blocks its thread, no other worker takes the driver over, and
//! every timer and socket of the runtime stands still until a call from outside wakes a worker.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use overwatch::machine::{HaltReason, Input, Phase, Timer};
use overwatch::{Builder, Context, Failure, Feed, Overwatch, RunError, feed, polled};
use rustix::process::Signal;

use super::child::play;
use super::support::{
    Case, Gate, Run, Way, Workers, await_here, in_each, ms, quick, trips, within,
};

/// What was due after 1.5 s may take so long on a busy machine.
const DUE: Duration = Duration::from_secs(6);
/// For what is not measured here.
const SOON: Duration = Duration::from_secs(20);

/// A dependency that is asked every 200 ms, and fails when this says so.
fn watching(failing: &Arc<AtomicBool>) -> Builder {
    let failing = Arc::clone(failing);
    crate::shell::replay::builder(polled(ms(200), ms(200), move || {
        let failing = failing.load(Ordering::Relaxed);
        async move {
            match failing {
                true => Err(Failure::new("no route")),
                false => Ok(()),
            }
        }
    }))
}

/// Sleeps, and then blocks its thread. In later epochs it does not.
async fn blocks(ctx: Context, after: Duration, gate: Gate) -> Result<(), Failure> {
    ctx.mark_ready();
    if ctx.epoch() == 1 && ctx.sleep(after).await {
        gate.pass();
    }
    ctx.stopping().await;
    Ok(())
}

/// Sleeps again and again, and counts.
async fn ticks(ctx: Context, count: Arc<AtomicUsize>) -> Result<(), Failure> {
    ctx.mark_ready();
    while ctx.sleep(ms(100)).await {
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[test]
fn one_blocked_thread_does_not_hold_up_a_trip() {
    in_each(&Case::all(), |Case { workers, way }| {
        let (gate, _opens) = Gate::closed();
        let failing = Arc::default();
        let workers = Workers::new(workers);
        let service = watching(&failing)
            .policy(quick().build().unwrap())
            .task("stuck", {
                let gate = gate.clone();
                move |ctx| blocks(ctx, ms(300), gate)
            });
        let run = Run::start(&workers, way, service.build().unwrap());
        within(SOON, "its thread is blocked", || gate.waiting() == 1);
        failing.store(true, Ordering::Relaxed);
        within(DUE, "not ready", || !run.handle.is_ready());
        within(DUE, "wedged", || run.phase() == Phase::Halted);
        // Where it is a task, it must have its turn on a worker that is free.
        assert_wedged(&run.result_within(DUE));
    });
}

fn assert_wedged(result: &Result<(), RunError>) {
    let error = result.as_ref().expect_err("it is halted");
    assert_eq!(error.why(), Some(HaltReason::Wedged), "{error}");
    assert_eq!(error.wedged(), ["stuck".into()], "{error}");
}

/// Nothing at all is wrong but that one thread: the probe answers, and nothing is to be stopped.
#[test]
fn one_blocked_thread_does_not_hold_up_the_timers_of_others() {
    in_each(&Case::all(), |Case { workers, way }| {
        let (gate, _opens) = Gate::closed();
        let count: Arc<AtomicUsize> = Arc::default();
        let workers = Workers::new(workers);
        let policy = quick().silence_limit(Duration::from_secs(3));
        let service = watching(&Arc::default())
            .policy(policy.build().unwrap())
            .task("stuck", {
                let gate = gate.clone();
                move |ctx| blocks(ctx, ms(350), gate)
            })
            .task("ticker", {
                let count = Arc::clone(&count);
                move |ctx| ticks(ctx, count)
            });
        let mut run = Run::start(&workers, way, service.build().unwrap());
        within(SOON, "its thread is blocked", || gate.waiting() == 1);
        let before = count.load(Ordering::Relaxed);
        #[cfg(feature = "http-server")]
        assert_eq!(livez(&run.handle), 200);
        within(Duration::from_secs(12), "40 more ticks of 100 ms", || {
            count.load(Ordering::Relaxed) >= before + 40
        });
        assert!(run.handle.is_ready());
        assert_eq!(trips(&run.seen()), [""; 0]);
        gate.open();
        run.shut_down().unwrap();
    });
}

/// A runtime whose workers are all blocked.
fn all_blocked(
    Case { workers, way }: Case,
    gate: &Gate,
    policy: overwatch::Policy,
) -> (Workers, Run) {
    let runtime = Workers::new(workers);
    let mut service = watching(&Arc::default()).policy(policy);
    for number in 0..workers {
        let gate = gate.clone();
        // All at one moment: the worker that they are woken by wakes the others for them.
        service = service.task(format!("stuck {number}"), move |ctx| {
            blocks(ctx, ms(300), gate)
        });
    }
    let run = Run::start(&runtime, way, service.build().unwrap());
    run.until_ready();
    (runtime, run)
}

#[test]
fn a_runtime_that_stays_frozen_ends_wedged() {
    in_each(&Case::all(), |case| {
        let (gate, _opens) = Gate::closed();
        let (_workers, mut run) = all_blocked(case, &gate, quick().build().unwrap());
        within(DUE, "not ready", || !run.handle.is_ready());
        within(DUE, "wedged", || run.phase() == Phase::Halted);
        let seen = run.seen_up_to(Phase::Halted);
        assert_eq!(trips(&seen), ["frozen"], "{seen:?}");
        let last = seen.last().map(|seen| seen.cause.as_str());
        assert_eq!(last, Some("wedged"), "{seen:?}");
        assert_eq!(gate.waiting(), case.workers, "all were blocked");
        if case.way == Way::Main {
            let error = run.result_within(DUE).expect_err("it is halted");
            assert_eq!(error.wedged().len(), case.workers, "{error}");
        }
    });
}

#[test]
fn a_runtime_that_thaws_in_time_starts_again() {
    in_each(&Case::all(), |case| {
        let (gate, _opens) = Gate::closed();
        let policy = quick()
            .stop_deadline(Duration::from_secs(3))
            .abort_deadline(Duration::from_secs(3));
        let (_workers, mut run) = all_blocked(case, &gate, policy.build().unwrap());
        assert!(!run.handle.is_frozen());
        within(DUE, "not ready", || !run.handle.is_ready());
        within(DUE, "it says so", || run.handle.is_frozen());
        #[cfg(feature = "http-server")]
        assert_eq!(livez(&run.handle), 503);
        gate.open();
        within(SOON, "it goes on", || !run.handle.is_frozen());
        #[cfg(feature = "http-server")]
        within(SOON, "it is alive", || livez(&run.handle) == 200);
        within(SOON, "ready again", || run.handle.is_ready());
        assert_eq!(run.handle.status().epoch, 2);
        let seen = run.seen_up_to(Phase::Running);
        assert_eq!(trips(&seen), ["frozen"], "{seen:?}");
        run.shut_down().unwrap();
    });
}

/// A service that waits for a clean run of its dependency, on a runtime that nobody else uses, and what
/// its machine is told.
fn monitoring() -> (Feed, Run, Workers, Arc<Mutex<Vec<Input>>>) {
    let (feed, probe) = feed();
    let told: Arc<Mutex<Vec<Input>>> = Arc::default();
    let policy = quick()
        .silence_limit(Duration::from_secs(4))
        // It is not over in this test.
        .window(Duration::from_secs(60));
    let note = Arc::clone(&told);
    let service = crate::shell::replay::builder(probe)
        .policy(policy.build().unwrap())
        .task("idle", |ctx: Context| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
        .on_step(crate::shell::replay::replayed(move |step| {
            note.lock().unwrap().extend(step.input)
        }));
    let workers = Workers::new(1);
    let run = Run::start(&workers, Way::Main, service.build().unwrap());
    feed.alive("it answers");
    run.until_ready();
    feed.failing("no route");
    within(SOON, "all has stopped", || run.phase() == Phase::Monitoring);
    told.lock().unwrap().clear();
    feed.alive("it answers again");
    within(SOON, "the clean run has begun", || {
        let told = told.lock().unwrap();
        told.iter()
            .any(|input| matches!(input, Input::Alive { .. }))
    });
    (feed, run, workers, told)
}

/// The probe is not polled for a while and then again, and has not been heard since: a clean run has no
/// gap, whatever it comes from. A machine that was too busy to see the pause shows the silence instead,
/// so it is tried again.
#[test]
fn a_runtime_that_thaws_while_the_dependency_is_watched_voids_the_clean_run() {
    for _ in 0..3 {
        let (_feed, run, workers, told) = monitoring();
        let (gate, _opens) = Gate::closed();
        let blocked = gate.clone();
        workers.handle().spawn(async move { blocked.pass() });
        within(SOON, "its thread is blocked", || gate.waiting() == 1);
        // Shorter than the silence limit, but long enough to explain that nothing is heard.
        thread::sleep(Duration::from_secs(3));
        gate.open();
        let mut end = None;
        within(SOON, "the silence is told of", || {
            let told = told.lock().unwrap();
            let ends =
                |input: &&Input| matches!(input, Input::Frozen | Input::Fired(Timer::Silence));
            end = told.iter().find(ends).copied();
            end.is_some()
        });
        assert_eq!(run.phase(), Phase::Monitoring);
        run.shut_down().unwrap();
        if end == Some(Input::Frozen) {
            return;
        }
    }
    panic!("the silence was told, and not the pause");
}

/// What `/livez` answers, from a thread of its own.
#[cfg(feature = "http-server")]
fn livez(handle: &overwatch::Handle) -> u16 {
    use std::io::{Read, Write};
    let server = overwatch::http::serve(([127, 0, 0, 1], 0), handle.clone()).unwrap();
    let mut stream = std::net::TcpStream::connect(server.local_addr()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("{answer}"))
}

/// Keeps its worker busy for a while, as work does that has no await.
fn spin(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// A service of hundreds of tasks which keep the workers busy for 20 ms each time, until this says that
/// it is enough.
fn busy(silence_limit: Duration, enough: &Arc<AtomicBool>) -> Overwatch {
    let policy = quick()
        .silence_limit(silence_limit)
        .stop_deadline(Duration::from_secs(20));
    let enough = Arc::clone(enough);
    let service = watching(&Arc::default())
        .policy(policy.build().unwrap())
        .task("busy", move |ctx| async move {
            ctx.mark_ready();
            ctx.sleep(ms(100)).await;
            for _ in 0..200 {
                let enough = Arc::clone(&enough);
                ctx.spawn(async move {
                    while !enough.load(Ordering::Relaxed) {
                        spin(ms(20));
                        to_the_end_of_the_queue().await;
                    }
                    Ok(())
                });
            }
            ctx.stopping().await;
            enough.store(true, Ordering::Relaxed);
            Ok(())
        });
    service.build().unwrap()
}

/// As a task does that others woke again at once. One that awaits tokio's `yield_now` waits until its
/// worker has nothing else to do.
async fn to_the_end_of_the_queue() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Two workers that have far too much to do, on a runtime as it comes.
#[test]
fn busy_is_not_frozen() {
    let enough: Arc<AtomicBool> = Arc::default();
    let workers = Workers::new(2);
    let silence_limit = Duration::from_secs(5);
    let mut run = Run::start(&workers, Way::Main, busy(silence_limit, &enough));
    run.until_ready();
    thread::sleep(2 * silence_limit);
    enough.store(true, Ordering::Relaxed);
    let seen = run.seen();
    assert_eq!(trips(&seen), [""; 0], "{seen:?}");
    assert!(run.handle.is_ready());
    run.shut_down().unwrap();
}

/// What comes from outside of the workers waits for longer than the silence limit, as a runtime can be
/// told: but each worker goes on to the next task.
#[test]
fn who_answers_late_but_works_is_not_frozen() {
    let enough: Arc<AtomicBool> = Arc::default();
    let workers = Workers::built(2, |builder| {
        // Timers are looked at after each task, what was spawned from outside after 500.
        builder.event_interval(1).global_queue_interval(500);
    });
    let silence_limit = Duration::from_secs(2);
    let mut run = Run::start(&workers, Way::Main, busy(silence_limit, &enough));
    run.until_ready();
    // Until the tasks have begun.
    thread::sleep(Duration::from_secs(1));
    let asked = Instant::now();
    let answer = workers.handle().spawn(async move { asked.elapsed() });
    thread::sleep(3 * silence_limit);
    enough.store(true, Ordering::Relaxed);
    let late = await_here(answer).unwrap();
    assert!(late > silence_limit, "the test is too easy: {late:?}");
    let seen = run.seen();
    assert_eq!(trips(&seen), [""; 0], "{seen:?}");
    assert!(run.handle.is_ready());
    run.shut_down().unwrap();
}

/// A service in a child process, one of whose threads is blocked.
pub(super) fn blocked_child(how: &str) {
    let (gate, _opens) = Gate::closed();
    let service = watching(&Arc::default())
        .policy(
            quick()
                .silence_limit(Duration::from_secs(60))
                .build()
                .unwrap(),
        )
        .task("stuck", {
            let gate = gate.clone();
            move |ctx| blocks(ctx, ms(300), gate)
        })
        .build()
        .unwrap();
    thread::spawn(move || {
        within(SOON, "its thread is blocked", || gate.waiting() == 1);
        println!("blocked");
    });
    let (workers, how) = how.split_once(' ').expect("how many workers, and how");
    let workers = Workers::new(workers.parse().expect("a number"));
    let runtime = workers.handle();
    match how {
        "until signal" => {
            let error = runtime.block_on(service.run_until_signal()).unwrap_err();
            assert_wedged(&Err(error));
            std::process::exit(3);
        }
        _ => runtime.block_on(service.run_or_exit()),
    }
}

#[test]
fn a_signal_is_seen_beside_a_blocked_thread() {
    let ends = [("until signal", 3), ("or exit", 1)];
    let all = [2, 4, 8].map(|workers| ends.map(|(how, code)| (workers, how, code)));
    in_each(all.as_flattened(), |(workers, how, code)| {
        let mut child = play(&format!("blocked {workers} {how}"));
        child.until(SOON, "blocked");
        // By now the worker that turned the driver is blocked, and the others are asleep.
        thread::sleep(ms(300));
        child.signal(Signal::TERM);
        assert_eq!(child.end(DUE).code(), Some(code));
    });
}

/// A service in a child process that is paused by its parent. It says what it does.
pub(super) fn paused_child() {
    // An answer takes its time, so that most pauses fall between two answers.
    let probe = polled(ms(200), ms(200), || async {
        tokio::time::sleep(ms(100)).await;
        Ok(())
    });
    let service = crate::shell::replay::builder(probe)
        .policy(quick().build().unwrap())
        .task("idle", |ctx: Context| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
        .build()
        .unwrap();
    let mut transitions = service.handle().transitions();
    thread::spawn(move || {
        await_here(async {
            while let Ok(Some(seen)) = transitions.next().await {
                println!("{} {}", seen.to, seen.cause);
            }
        });
    });
    let workers = Workers::new(2);
    workers
        .handle()
        .block_on(service.run_until_signal())
        .unwrap();
}

/// SIGSTOP, as a debugger or the pause of a virtual machine: for the time in which nothing ran, nobody
/// is to blame.
#[test]
fn a_pause_of_the_process_is_neither_a_freeze_nor_silence() {
    let mut child = play("paused");
    child.until(SOON, "Running");
    for more in 0..4 {
        thread::sleep(ms(500 + 70 * more));
        child.signal(Signal::STOP);
        // Three times the silence limit.
        thread::sleep(ms(1800));
        child.signal(Signal::CONT);
        // Longer than the silence limit, and than what a freeze takes to be found.
        thread::sleep(ms(2000));
    }
    child.signal(Signal::TERM);
    assert!(child.end(SOON).success());
    let said = child.said();
    let stops = said.iter().filter(|line| line.starts_with("ShuttingDown"));
    let stops: Vec<_> = stops.collect();
    assert_eq!(stops, ["ShuttingDown shutdown"], "{said:#?}");
}
