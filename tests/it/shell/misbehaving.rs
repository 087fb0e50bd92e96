//! Components that do what they should not, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use overwatch::machine::{Cause, HaltReason, Phase};
use overwatch::{Classify, Context, Failure, StartStop};
use tokio::time::Instant;

use super::support::{Notes, Running, alive_tasks, bounded, policy, start, tuning, worker};
use super::trace::{Captured, Fields};

/// Does something bad in its first epoch, and works in all later ones.
fn once<F, Fut>(
    bad: F,
) -> impl FnOnce(Context) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> + Clone
where
    F: FnOnce(Context) -> Fut + Clone,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    move |ctx: Context| {
        if ctx.epoch() == 1 {
            return Box::pin(bad(ctx));
        }
        Box::pin(async move {
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
    }
}

fn one<F, Fut>(bad: F) -> Running
where
    F: FnOnce(Context) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("bad", once(bad))
    })
}

async fn recovers_from(running: Running, cause: &str, reason: &str) {
    let mut transitions = running.handle.transitions();
    running.until_ready(2).await;
    let mut seen = Vec::new();
    while let Some(transition) = bounded(transitions.next()).await.unwrap() {
        seen.push(format!("{} {}", transition.cause, transition.reason));
        if transition.epoch == 2 && transition.to == Phase::Running {
            break;
        }
    }
    let told = seen
        .iter()
        .any(|line| line.starts_with(cause) && line.contains(reason));
    assert!(told, "no {cause:?} because {reason:?} in {seen:#?}");
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn panic_in_start_is_a_failed_start() {
    recovers_from(
        one(|_| async { panic!("cannot start") }),
        "start_failed",
        "panicked: cannot start",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn error_in_start_is_a_failed_start() {
    let bad = |_| async { Err(Failure::new("no route")) };
    recovers_from(one(bad), "start_failed", "no route").await;
}

#[tokio::test(start_paused = true)]
async fn return_before_ready_is_a_failed_start() {
    recovers_from(one(|_| async { Ok(()) }), "start_failed", "it returned").await;
}

#[tokio::test(start_paused = true)]
async fn panic_before_its_first_await_is_caught_too() {
    // The closure itself panics, before there is a future.
    fn bad(_: Context) -> std::future::Ready<Result<(), Failure>> {
        panic!("at once")
    }
    recovers_from(one(bad), "start_failed", "panicked: at once").await;
}

#[tokio::test(start_paused = true)]
async fn ready_never_called_is_told_so() {
    let bad = |ctx: Context| async move {
        ctx.stopping().await;
        Ok(())
    };
    recovers_from(
        one(bad),
        "start_overdue",
        "`mark_ready` was not called by: bad",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn panic_in_work_trips() {
    let bad = |ctx: Context| async move {
        ctx.mark_ready();
        ctx.sleep(Duration::from_secs(5)).await;
        panic!("at work")
    };
    recovers_from(one(bad), "exited", "panicked: at work").await;
}

#[tokio::test(start_paused = true)]
async fn error_in_work_trips() {
    let bad = |ctx: Context| async move {
        ctx.mark_ready();
        ctx.sleep(Duration::from_secs(5)).await;
        let _: u16 = "many".parse()?;
        Ok(())
    };
    recovers_from(one(bad), "exited", "invalid digit").await;
}

#[tokio::test(start_paused = true)]
async fn end_by_itself_trips() {
    let bad = |ctx: Context| async move {
        ctx.mark_ready();
        ctx.sleep(Duration::from_secs(5)).await;
        Ok(())
    };
    recovers_from(one(bad), "exited", "it returned").await;
}

/// What goes wrong after the stop was asked for changes nothing but the log.
#[tokio::test(start_paused = true)]
async fn error_and_panic_after_a_stop_count_as_stopped() {
    let running = start(&[2], policy().build().unwrap(), |builder, _| {
        builder
            .task("error", |ctx| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                Err(Failure::new("half a message was lost"))
            })
            .task("panic", |ctx| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                panic!("in stop")
            })
    });
    running.until_ready(1).await;
    let began = Instant::now();
    running.shut_down_uncleanly().await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "nothing had to be aborted"
    );
}

#[tokio::test(start_paused = true)]
async fn fatal_after_a_stop_ends_the_run_with_it() {
    let running = one(|ctx: Context| async move {
        ctx.mark_ready();
        ctx.stopping().await;
        Err(Failure::new("the disk is gone").fatal())
    });
    running.until_ready(1).await;
    running.handle.trip().unwrap();
    let (ended, _) = running.end().await;
    let error = ended.unwrap_err();
    assert_eq!(
        (error.why(), error.component()),
        (Some(HaltReason::Fatal), Some("bad"))
    );
}

#[tokio::test(start_paused = true)]
async fn fatal_stops_the_others_in_order_and_names_the_component() {
    let running = start(&[1, 1], policy().build().unwrap(), |builder, notes| {
        builder
            .component("pool", worker(notes, "pool"))
            .next_stage()
            .task("config", |ctx| async move {
                ctx.mark_ready();
                ctx.sleep(Duration::from_secs(1)).await;
                Err(std::io::Error::other("licence expired")).fatal()
            })
    });
    let notes = running.notes.clone();
    let (ended, _) = running.end().await;
    let error = ended.unwrap_err();
    assert_eq!(error.component(), Some("config"));
    assert!(error.to_string().contains("licence expired"), "{error}");
    assert_eq!(notes.all(), ["pool up 1", "pool stopped 1"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_ignores_the_stop_is_aborted() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = OnDrop(Arc::clone(&dropped));
    let running = start(&[1, 1], policy().build().unwrap(), |builder, notes| {
        builder
            .component("below", worker(notes, "below"))
            .next_stage()
            .task("deaf", move |ctx: Context| {
                let flag = flag.clone();
                async move {
                    ctx.mark_ready();
                    std::future::pending::<()>().await;
                    drop(flag);
                    Ok(())
                }
            })
    });
    running.until_ready(1).await;
    let began = Instant::now();
    running.handle.drain().unwrap();
    running.until_phase(Phase::Drained).await;
    // Aborted at its deadline, and only then was the stage below stopped.
    let stop_deadline = Duration::from_secs(10);
    assert!((stop_deadline..stop_deadline + Duration::from_secs(1)).contains(&began.elapsed()));
    assert_eq!(running.notes.all(), ["below up 1", "below stopped 1"]);
    running.shut_down().await;
    assert!(
        dropped.load(Ordering::Relaxed),
        "what the future held was dropped"
    );
}

#[derive(Clone)]
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Real time and real threads: only these can be blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_blocks_its_thread_is_wedged_and_the_others_are_stopped() {
    let release = Arc::new(AtomicBool::new(false));
    let blocked = Arc::clone(&release);
    let quick = policy()
        .stop_deadline(Duration::from_millis(200))
        .abort_deadline(Duration::from_millis(200));
    let running = start(&[1, 1], quick.build().unwrap(), |builder, notes| {
        builder
            .component("below", worker(notes, "below"))
            .next_stage()
            .task("blocked", move |ctx: Context| {
                let blocked = Arc::clone(&blocked);
                async move {
                    ctx.mark_ready();
                    ctx.stopping().await;
                    while !blocked.load(Ordering::Acquire) {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    Ok(())
                }
            })
    });
    running.until_ready(1).await;
    running.dependency.fail("gone");
    let (handle, notes) = (running.handle.clone(), running.notes.clone());
    let (ended, _) = running.end().await;
    let error = ended.unwrap_err();
    assert_eq!(error.why(), Some(HaltReason::Wedged));
    assert_eq!(
        error
            .wedged()
            .iter()
            .map(|name| &**name)
            .collect::<Vec<_>>(),
        ["blocked"]
    );
    assert_eq!(notes.all(), ["below up 1", "below stopped 1"]);
    assert_eq!(handle.status().phase, Phase::Halted);
    release.store(true, Ordering::Release);
}

/// The component is gone at once for the machine to act on, and gone for good only with its task.
#[tokio::test(start_paused = true)]
async fn sub_task_that_outlives_its_component_is_waited_for() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        let notes = notes.clone();
        builder.task(
            "parent",
            once(move |ctx: Context| async move {
                let sub = ctx.clone();
                let noted = notes.clone();
                ctx.spawn(async move {
                    sub.stopping().await;
                    tokio::time::sleep(Duration::from_secs(3)).await;
                    noted.add("sub-task ended");
                    Ok(())
                });
                ctx.mark_ready();
                ctx.sleep(Duration::from_secs(1)).await;
                notes.add("parent ended");
                Ok(())
            }),
        )
    });
    running.until_ready(1).await;
    running.until_phase(Phase::ShuttingDown).await;
    assert_eq!(
        running.notes.all(),
        ["parent ended"],
        "the trip does not wait for the sub-task"
    );
    running.until_phase(Phase::Monitoring).await;
    assert_eq!(
        running.notes.all(),
        ["parent ended", "sub-task ended"],
        "the restart does"
    );
    running.until_ready(2).await;
    let trace = running.shut_down().await;
    assert!(
        trace.iter().any(|line| line.contains("Exited")),
        "it was told apart from gone"
    );
}

#[tokio::test(start_paused = true)]
async fn sub_task_that_ignores_the_stop_is_aborted() {
    let before = alive_tasks().await;
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("parent", |ctx| async move {
            ctx.spawn(std::future::pending::<Result<(), Failure>>());
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
    });
    running.until_ready(1).await;
    running.shut_down_uncleanly().await;
    assert_eq!(alive_tasks().await, before);
}

#[tokio::test(start_paused = true)]
async fn sub_task_that_fails_is_reported() {
    let bad = |ctx: Context| async move {
        ctx.spawn::<()>(async { Err(Failure::new("sub-task failed")) });
        ctx.mark_ready();
        ctx.stopping().await;
        Ok(())
    };
    recovers_from(one(bad), "report", "sub-task failed").await;
    let bad = |ctx: Context| async move {
        ctx.mark_ready();
        let lost = ctx.spawn::<()>(async { panic!("sub-task panicked") }).await;
        assert!(lost.is_none());
        ctx.stopping().await;
        Ok(())
    };
    recovers_from(one(bad), "report", "sub-task panicked").await;
}

#[tokio::test]
async fn blocking_sub_task_gives_its_value_and_is_waited_for() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        let notes = notes.clone();
        builder.task("parent", move |ctx: Context| {
            let notes = notes.clone();
            async move {
                let value = ctx.spawn_blocking(|| Ok(6 * 7)).await;
                notes.add(format!("{value:?}"));
                ctx.mark_ready();
                ctx.stopping().await;
                ctx.spawn_blocking(move || {
                    std::thread::sleep(Duration::from_millis(50));
                    notes.add("released");
                    Ok(())
                });
                Ok(())
            }
        })
    });
    running.until_ready(1).await;
    let notes = running.notes.clone();
    running.shut_down().await;
    assert_eq!(notes.all(), ["Some(42)", "released"]);
}

#[tokio::test(start_paused = true)]
async fn a_hold_keeps_the_incarnation_from_being_gone() {
    let held = Arc::new(std::sync::Mutex::new(None));
    let keep = Arc::clone(&held);
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("holder", move |ctx: Context| {
            let keep = Arc::clone(&keep);
            async move {
                *keep.lock().unwrap() = ctx.hold();
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            }
        })
    });
    running.until_ready(1).await;
    running.handle.drain().unwrap();
    running.until_phase(Phase::ShuttingDown).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(running.handle.status().phase, Phase::ShuttingDown);
    drop(held.lock().unwrap().take());
    running.until_phase(Phase::Drained).await;
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_kept_context_keeps_nothing_alive() {
    let kept: Arc<std::sync::Mutex<Option<Context>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("keeper", move |ctx: Context| {
            let keep = Arc::clone(&keep);
            async move {
                keep.lock().unwrap().get_or_insert(ctx.clone());
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            }
        })
    });
    running.until_ready(1).await;
    running.dependency.fail("gone");
    running.until_phase(Phase::Monitoring).await;
    running.dependency.recover();
    running.until_ready(2).await;
    let old = kept.lock().unwrap().clone().unwrap();
    assert!(old.is_stopping() && old.hold().is_none());
    assert_eq!(old.spawn(async { Ok(1) }).await, None);
    old.report(Failure::new("too late").critical());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = running.handle.status();
    assert!(
        status.ready && status.epoch == 2,
        "a stale report changes nothing"
    );
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn run_dropped_half_way_leaves_nothing_behind() {
    let before = alive_tasks().await;
    let running = start(&[1, 1], policy().build().unwrap(), |builder, notes| {
        builder
            .component("a", worker(notes, "a"))
            .next_stage()
            .task("b", |ctx| async move {
                ctx.spawn(std::future::pending::<Result<(), Failure>>());
                ctx.mark_ready();
                std::future::pending().await
            })
    });
    running.until_ready(1).await;
    let (handle, _) = running.abandon().await;
    assert!(!handle.is_ready());
    assert_eq!(handle.status().phase, Phase::Halted);
    assert!(handle.wait_until_ready().await.is_err());
    assert!(handle.drain().is_err());
    assert!(!handle.is_responsive(Duration::from_secs(1)).await);
    assert_eq!(alive_tasks().await, before);
}

#[tokio::test(start_paused = true)]
async fn service_dropped_before_its_run_says_so() {
    let (_, probe) = overwatch::feed();
    let service = crate::shell::replay::builder(probe)
        .task("a", |_| async { Ok(()) })
        .build()
        .unwrap();
    let handle = service.handle();
    assert_eq!(&*handle.status().reason, "the run has not begun");
    drop(service);
    assert_eq!(&*handle.status().reason, "the run was dropped");
    assert!(handle.wait_until_ready().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn gives_up_after_as_many_failed_starts_as_the_policy_says() {
    let starts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&starts);
    let running = start(
        &[1],
        policy().give_up_after(3).build().unwrap(),
        |builder, _| {
            builder.task("hopeless", move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                async { Err(Failure::new("no such table")) }
            })
        },
    );
    let (ended, _) = running.end().await;
    assert_eq!(ended.unwrap_err().why(), Some(HaltReason::GaveUp));
    assert_eq!(starts.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_it_tries_for_ever_with_growing_pauses() {
    let starts = Notes::default();
    let noted = starts.clone();
    let running = start(
        &[1],
        policy()
            .tuning(tuning().with_max_hold_off(Duration::from_secs(60)))
            .build()
            .unwrap(),
        |builder, _| {
            builder.task("hopeless", move |_| {
                noted.add("start");
                async { Err(Failure::new("no such table")) }
            })
        },
    );
    tokio::time::sleep(Duration::from_secs(600)).await;
    let count = starts.count("start");
    assert!((10..30).contains(&count), "{count} starts in ten minutes");
    running.shut_down().await;
}

struct Agent {
    notes: Notes,
    start: Duration,
    fails: bool,
}

#[async_trait::async_trait]
impl StartStop for Agent {
    async fn start(&self, ctx: &Context) -> Result<(), Failure> {
        self.notes.add(format!("start {}", ctx.epoch()));
        tokio::time::sleep(self.start).await;
        if self.fails && ctx.epoch() == 2 {
            panic!("half started");
        }
        if self.fails {
            Err(Failure::new("half started"))
        } else {
            Ok(())
        }
    }

    async fn stop(&self, ctx: &Context) -> Result<(), Failure> {
        self.notes.add(format!("stop {}", ctx.epoch()));
        if self.fails && ctx.epoch() == 1 {
            return Err(Failure::new("not released"));
        }
        Ok(())
    }
}

fn agent(start_takes: Duration, fails: bool) -> Running {
    start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.start_stop(
            "agent",
            Agent {
                notes: notes.clone(),
                start: start_takes,
                fails,
            },
        )
    })
}

#[tokio::test(start_paused = true)]
async fn start_stop_is_stopped_once_for_each_start() {
    let running = agent(Duration::from_secs(1), false);
    running.until_ready(1).await;
    running.dependency.fail("gone");
    running.until_phase(Phase::Monitoring).await;
    running.dependency.recover();
    running.until_ready(2).await;
    let notes = running.notes.clone();
    running.shut_down().await;
    assert_eq!(notes.all(), ["start 1", "stop 1", "start 2", "stop 2"]);
}

#[tokio::test(start_paused = true)]
async fn start_stop_that_fails_half_way_is_stopped_too() {
    let (captured, _guard) = Captured::begin();
    let running = agent(Duration::from_secs(1), true);
    running.until(|status| status.epoch == 2).await;
    // The first failure counts, and the other one is not lost.
    let boot = running.handle.outages().remove(0);
    assert_eq!(
        boot.last_failures,
        ["\"agent\" failed to start: half started".into()]
    );
    let logged = captured.at("overwatch::component");
    let said = |(_, fields): &(_, Fields)| (fields["component"].clone(), fields["failure"].clone());
    let said: Vec<_> = logged.iter().map(said).collect();
    assert!(
        said.contains(&("agent".into(), "not released".into())),
        "{said:?}"
    );
    running.until(|status| status.epoch == 3).await;
    let story = ["start 1", "stop 1", "start 2", "stop 2"];
    assert_eq!(
        running.notes.all()[..4],
        story,
        "after an error, and after a panic"
    );
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn start_stop_that_is_cut_short_is_stopped_too() {
    let running = agent(Duration::from_secs(20), false);
    running.until_phase(Phase::Restarting).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let notes = running.notes.clone();
    running.shut_down().await;
    assert_eq!(notes.all(), ["start 1", "stop 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_component_knows_why_and_until_when_it_must_stop() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        let notes = notes.clone();
        builder.task("curious", move |ctx: Context| async move {
            assert!(ctx.stop_cause().is_none() && ctx.stop_deadline().is_none());
            ctx.mark_ready();
            let slept = ctx.sleep(Duration::from_secs(3600)).await;
            let cause: Cause = ctx.stop_cause().unwrap();
            let left = ctx.stop_deadline().unwrap() - Instant::now();
            notes.add(format!("{slept} {cause} {left:?}"));
            Ok(())
        })
    });
    running.until_ready(1).await;
    running.dependency.fail("gone");
    running.until_phase(Phase::Monitoring).await;
    assert_eq!(running.notes.all(), ["false failing 10s"]);
    running.shut_down().await;
}

/// An error whose text is a trap brings down nobody but its own component.
#[tokio::test(start_paused = true)]
async fn an_error_that_panics_when_it_is_shown_is_survived() {
    #[derive(Debug)]
    struct Trap;
    impl std::fmt::Display for Trap {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("gotcha")
        }
    }
    impl std::error::Error for Trap {}
    let bad = |ctx: Context| async move {
        ctx.mark_ready();
        ctx.report(Trap);
        ctx.stopping().await;
        Err(Trap.into())
    };
    recovers_from(one(bad), "report", "(its text panicked: gotcha)").await;
}
