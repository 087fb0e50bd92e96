//! On which threads, and in which runtime, each kind of user code runs: on threads of the user, never
//! on one of ours. Only the hook for each step and the subscriber are called by a thread of ours, which
//! does nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;

use overwatch::machine::Phase;
use overwatch::{Component, Context, Failure, Observation, Overwatch, Probe, ProbeMode, StartStop};
use tokio::runtime::{Handle as Runtime, RuntimeFlavor};

use super::child::play;
use super::scene::SOON;
use super::support::{
    CONTROL, Gate, Run, USER, WAYS, Workers, in_each, lock, ms, quick, threads_named, within,
};

/// How many workers the user's runtime has, by which it is told from others.
const WORKERS: usize = 3;
/// The thread that writes the log.
const LOG: &str = "overwatch-log";

/// What ran where: for each kind of code the names of the threads, and whether it was in the context of
/// the user's runtime.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<&'static str, Calls>>>);

type Calls = Vec<(String, Inside)>;

/// In the context of which runtime code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    None,
    User,
    Other,
}

impl Inside {
    fn here() -> Self {
        match Runtime::try_current() {
            Err(_) => Self::None,
            Ok(runtime)
                if runtime.runtime_flavor() == RuntimeFlavor::MultiThread
                    && runtime.metrics().num_workers() == WORKERS =>
            {
                Self::User
            }
            Ok(_) => Self::Other,
        }
    }
}

impl Seen {
    fn note(&self, what: &'static str) {
        let thread = thread::current().name().unwrap_or("no name").to_owned();
        let mut seen = lock(&self.0);
        seen.entry(what).or_default().push((thread, Inside::here()));
    }

    fn has(&self, what: &'static str) -> bool {
        lock(&self.0).contains_key(what)
    }

    /// Waits until all these were seen, and fails with what ran on a thread that is not the user's.
    fn assert_on_user_threads(&self, all: &[&'static str]) {
        for what in all {
            within(SOON, what, || self.has(what));
        }
        let seen = lock(&self.0);
        let elsewhere: BTreeMap<_, Vec<_>> = seen
            .iter()
            .map(|(what, seen)| {
                let elsewhere = seen.iter().filter(|(name, _)| {
                    // An error goes to the log, which has the last word on it, and may want its text
                    // before that is made.
                    let of_log = ["drop of an error", "text of an error"];
                    let by_log = of_log.contains(what) && name == LOG;
                    !name.starts_with(USER) && !by_log
                });
                (what, elsewhere.collect())
            })
            .filter(|(_, elsewhere): &(_, Vec<_>)| !elsewhere.is_empty())
            .collect();
        assert!(elsewhere.is_empty(), "{elsewhere:#?}");
    }

    /// Fails with what of these ran outside of the user's runtime.
    fn assert_in_the_runtime(&self, these: &[&'static str]) {
        let seen = lock(&self.0);
        let elsewhere: BTreeMap<_, Vec<_>> = these
            .iter()
            .map(|what| {
                let seen = seen.get(what).expect("seen before");
                let elsewhere = seen.iter().filter(|(_, runtime)| *runtime != Inside::User);
                (what, elsewhere.collect())
            })
            .filter(|(_, elsewhere): &(_, Vec<_>)| !elsewhere.is_empty())
            .collect();
        assert!(elsewhere.is_empty(), "{elsewhere:#?}");
    }
}

/// Notes where it is cloned and dropped.
struct Traced {
    seen: Seen,
    cloned: &'static str,
    dropped: &'static str,
}

impl Traced {
    fn new(seen: &Seen, cloned: &'static str, dropped: &'static str) -> Self {
        Self {
            seen: seen.clone(),
            cloned,
            dropped,
        }
    }

    fn dropped(seen: &Seen, dropped: &'static str) -> Self {
        Self::new(seen, "never cloned", dropped)
    }
}

impl Clone for Traced {
    fn clone(&self) -> Self {
        self.seen.note(self.cloned);
        Self::new(&self.seen, self.cloned, self.dropped)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.seen.note(self.dropped);
    }
}

/// A probe that notes where it is called and dropped.
struct Noted {
    seen: Seen,
    _value: Traced,
}

#[async_trait::async_trait]
impl Probe for Noted {
    async fn observe(&self) -> Observation {
        self.seen.note("observe");
        let _dropped = Traced::dropped(&self.seen, "drop of an observe");
        tokio::time::sleep(ms(20)).await;
        Observation::alive("it answers")
    }

    fn refresh(&self) -> bool {
        self.seen.note("refresh");
        false
    }

    fn set_mode(&self, _: ProbeMode) {
        self.seen.note("set_mode");
    }
}

/// A component that never lets itself be stopped: it is aborted.
struct Deaf {
    seen: Seen,
    _value: Traced,
}

#[async_trait::async_trait]
impl Component for Deaf {
    async fn run(&self, ctx: Context) -> Result<(), Failure> {
        let _dropped = Traced::dropped(&self.seen, "drop of an aborted component");
        self.seen.note("run");
        let (seen, dropped) = (
            self.seen.clone(),
            Traced::dropped(&self.seen, "drop of an aborted sub-task"),
        );
        ctx.spawn(async move {
            let _dropped = dropped;
            seen.note("spawn");
            std::future::pending::<Result<(), Failure>>().await
        });
        let (seen, dropped) = (
            self.seen.clone(),
            Traced::dropped(&self.seen, "drop of blocking work"),
        );
        ctx.spawn_blocking(move || {
            let _dropped = dropped;
            seen.note("spawn_blocking");
            Ok(())
        });
        ctx.mark_ready();
        std::future::pending().await
    }
}

/// A service with a start and a stop.
struct Started {
    seen: Seen,
    _value: Traced,
}

#[async_trait::async_trait]
impl StartStop for Started {
    async fn start(&self, _: &Context) -> Result<(), Failure> {
        self.seen.note("start");
        Ok(())
    }

    async fn stop(&self, _: &Context) -> Result<(), Failure> {
        self.seen.note("stop");
        Ok(())
    }
}

const CALLED: [&str; 10] = [
    "observe",
    "set_mode",
    "refresh",
    "run",
    "spawn",
    "start",
    "stop",
    "call of a closure",
    "a closure's future",
    "clone of a closure",
];

const DROPPED: [&str; 12] = [
    "spawn_blocking",
    "drop of blocking work",
    "drop of an observe",
    "drop of an aborted component",
    "drop of an aborted sub-task",
    "drop of a closure",
    "drop of a closure's future",
    "drop of a component",
    "drop of a start-stop",
    "drop of a probe",
    "drop of an error",
    "drop of a fatal error",
];

/// An error that notes where it is dropped.
struct Noting(Traced);

impl std::fmt::Debug for Noting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Noting")
    }
}

impl std::fmt::Display for Noting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.seen.note("text of an error");
        f.write_str("noting")
    }
}

impl std::error::Error for Noting {}

/// Two epochs: the first ends by a report, the second by a fatal error.
fn everything(seen: &Seen) -> Overwatch {
    let value = |dropped| Traced::dropped(seen, dropped);
    let probe = Noted {
        seen: seen.clone(),
        _value: value("drop of a probe"),
    };
    let deaf = Deaf {
        seen: seen.clone(),
        _value: value("drop of a component"),
    };
    let started = Started {
        seen: seen.clone(),
        _value: value("drop of a start-stop"),
    };
    let closure = Traced::new(seen, "clone of a closure", "drop of a closure");
    let noted = seen.clone();
    crate::shell::replay::builder(probe)
        .policy(quick().silence_limit(SOON).build().unwrap())
        .component("deaf", deaf)
        .start_stop("started", started)
        .task("closure", move |ctx: Context| {
            let closure = closure;
            noted.note("call of a closure");
            async move {
                let seen = closure.seen.clone();
                let _dropped = Traced::dropped(&seen, "drop of a closure's future");
                seen.note("a closure's future");
                ctx.mark_ready();
                ctx.sleep(ms(200)).await;
                let error = |dropped| Noting(Traced::dropped(&seen, dropped));
                if ctx.epoch() == 1 {
                    ctx.report(error("drop of an error"));
                    ctx.stopping().await;
                    return Ok(());
                }
                drop(closure);
                Err(Failure::from(error("drop of a fatal error")).fatal())
            }
        })
        .build()
        .unwrap()
}

#[test]
fn user_code_runs_and_is_dropped_on_threads_of_the_user() {
    in_each(&WAYS, |way| {
        let seen = Seen::default();
        let workers = Workers::new(WORKERS);
        let run = Run::start(&workers, way, everything(&seen));
        within(SOON, "it is halted", || run.phase() == Phase::Halted);
        // What is returned is the user's to drop.
        let error = run.result_within(SOON).unwrap_err();
        on_a_thread_of_the_user(move || drop(error));
        let all: Vec<_> = CALLED.into_iter().chain(DROPPED).collect();
        seen.assert_on_user_threads(&all);
        seen.assert_in_the_runtime(&CALLED);
        seen.assert_in_the_runtime(&["spawn_blocking", "drop of blocking work"]);
    });
}

fn on_a_thread_of_the_user(work: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name(format!("{USER}test"));
    thread.spawn(work).unwrap().join().unwrap();
}

/// Work that waits for a thread when its component is aborted is dropped; that is the user's code.
#[test]
fn blocking_work_that_never_began_is_dropped_on_a_thread_of_the_user() {
    in_each(&WAYS, |way| {
        let (gate, _opens) = Gate::closed();
        let seen = Seen::default();
        let workers = Workers::built(WORKERS, |builder| {
            builder.max_blocking_threads(1);
        });
        let (held, noted) = (gate.clone(), seen.clone());
        workers.handle().spawn_blocking(move || held.pass());
        within(SOON, "the only thread is taken", || gate.waiting() == 1);
        let (feed, probe) = overwatch::feed();
        feed.alive("once is enough");
        let service = crate::shell::replay::builder(probe)
            .policy(quick().silence_limit(SOON * 10).build().unwrap())
            .task("deaf", move |ctx: Context| {
                let work = Traced::dropped(&noted, "drop of queued work");
                ctx.spawn_blocking(move || {
                    let _work = work;
                    Ok(())
                });
                async move {
                    ctx.mark_ready();
                    std::future::pending().await
                }
            });
        let run = Run::start(&workers, way, service.build().unwrap());
        run.until_ready();
        assert_eq!(run.shut_down().unwrap_err().why(), None);
        // At the latest when a thread is free.
        gate.open();
        seen.assert_on_user_threads(&["drop of queued work"]);
    });
}

/// A run that is dropped, as it is.
#[test]
fn what_is_dropped_with_the_run_is_dropped_on_a_thread_of_the_user() {
    let seen = Seen::default();
    let workers = Workers::new(WORKERS);
    let service = everything(&seen);
    let handle = service.handle();
    let run = workers.handle().spawn(service.run());
    within(SOON, "it is ready", || handle.is_ready());
    run.abort();
    within(SOON, "it is dropped", || !handle.is_ready());
    seen.assert_on_user_threads(&[
        "drop of an aborted component",
        "drop of an aborted sub-task",
        "drop of a component",
        "drop of a start-stop",
        "drop of a probe",
        "drop of a closure",
        "drop of a closure's future",
    ]);
}

/// What steps are recorded with is not called by the thread that takes them.
#[test]
fn the_hook_for_each_step_is_called_by_the_thread_of_the_log() {
    in_each(&WAYS, |way| {
        let seen = Seen::default();
        let workers = Workers::new(WORKERS);
        let (feed, probe) = overwatch::feed();
        feed.alive("once is enough");
        let noted = seen.clone();
        let service = crate::shell::replay::builder(probe)
            .policy(quick().silence_limit(SOON * 10).build().unwrap())
            .task("idle", |ctx: Context| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            })
            .on_step(move |_| noted.note("a step"));
        let run = Run::start(&workers, way, service.build().unwrap());
        run.until_ready();
        run.shut_down().unwrap();
        let steps = lock(&seen.0)["a step"].clone();
        // Boot, a sign of life, up, a shutdown, gone.
        assert!(steps.len() >= 5, "{steps:?}");
        assert!(steps.iter().all(|(name, _)| name == LOG), "{steps:?}");
    });
}

/// In a child process, since all threads of a process are counted.
pub(super) fn two_runs_child() {
    for way in WAYS {
        let threads = || threads_named(CONTROL);
        let workers = Workers::new(2);
        let start = || {
            let (feed, probe) = overwatch::feed();
            feed.alive("once is enough");
            let service = crate::shell::replay::builder(probe)
                .policy(quick().silence_limit(SOON * 10).build().unwrap())
                .task("idle", |ctx: Context| async move {
                    ctx.mark_ready();
                    ctx.stopping().await;
                    Ok(())
                });
            let run = Run::start(&workers, way, service.build().unwrap());
            run.until_ready();
            run
        };
        assert_eq!(threads(), 0);
        let (first, second) = (start(), start());
        // A thread that one makes is called like it for an instant.
        within(SOON, "each has one", || threads() == 2);
        first.shut_down().unwrap();
        within(SOON, "its thread has ended", || threads() == 1);
        second.shut_down().unwrap();
        within(SOON, "its thread has ended", || threads() == 0);
    }
}

#[test]
fn each_run_has_one_thread_from_its_begin_to_its_end() {
    let mut child = play("two runs");
    let status = child.end(SOON);
    assert!(status.success(), "{:#?}", child.said());
}

/// What the flavor of the runtime decides can be decided otherwise.
#[test]
fn whether_a_run_has_a_thread_can_be_chosen() {
    let alone = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let many = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    };
    let on_which = |runtime: &tokio::runtime::Runtime, chosen: Option<bool>| {
        let (tell, told) = std::sync::mpsc::channel();
        let dependency = overwatch::test_util::FakeDependency::new();
        let mut service = crate::shell::replay::builder(dependency.probe())
            .task("idle", |ctx: Context| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            })
            .on_step(move |_| {
                let _ = tell.send(thread::current().name().map(str::to_owned));
            });
        if let Some(on) = chosen {
            service = service.control_thread(on);
        }
        let service = service.build().unwrap();
        let handle = service.handle();
        let ended = runtime.block_on(service.run_until(async move {
            handle.wait_until_ready().await.unwrap();
        }));
        ended.unwrap();
        let names: std::collections::BTreeSet<_> = told.iter().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names.into_iter().next().flatten()
    };
    let here = thread::current().name().map(str::to_owned);
    let log = Some(LOG.to_owned());
    assert_eq!(on_which(&many(), None), log);
    assert_eq!(on_which(&alone(), None), here);
    assert_eq!(on_which(&many(), Some(false)), here);
    assert_eq!(on_which(&alone(), Some(true)), log);
}
