//! What a component says just before it ends, and what is said of one that is long gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::machine::{HaltReason, Phase};
use overwatch::policy::{ComponentId, Fence, Layout, Plan};
use overwatch::test_util::FakeDependency;
use overwatch::{Component, Context, Failure, Overwatch};
use tokio::time::Instant;

use super::support::{Running, bounded, judged_by, policy, start};

fn first_epoch<F, Fut>(bad: F) -> Running
where
    F: FnOnce(Context) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("talker", move |ctx: Context| async move {
            ctx.mark_ready();
            if ctx.epoch() == 1 {
                return bad(ctx).await;
            }
            ctx.stopping().await;
            Ok(())
        })
    })
}

#[tokio::test(start_paused = true)]
async fn a_fatal_report_right_before_the_end_ends_the_run() {
    let running = first_epoch(|ctx: Context| async move {
        ctx.report(Failure::new("licence expired").fatal());
        Ok(())
    });
    let error = running.end().await.0.unwrap_err();
    assert_eq!(
        (error.why(), error.component()),
        (Some(HaltReason::Fatal), Some("talker"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_fatal_sub_task_that_is_awaited_ends_the_run() {
    let running = first_epoch(|ctx: Context| async move {
        let lost = ctx.spawn::<()>(async { Err(Failure::new("licence expired").fatal()) });
        assert!(lost.await.is_none());
        Ok(())
    });
    let error = running.end().await.0.unwrap_err();
    assert_eq!(error.why(), Some(HaltReason::Fatal));
}

#[tokio::test(start_paused = true)]
async fn a_fatal_report_while_stopping_ends_the_run() {
    let running = first_epoch(|ctx: Context| async move {
        ctx.stopping().await;
        ctx.report(Failure::new("the disk is gone").fatal());
        Ok(())
    });
    running.until_ready(1).await;
    running.handle.trip().unwrap();
    let error = running.end().await.0.unwrap_err();
    assert_eq!(
        error.to_string(),
        "halted: \"talker\" failed fatally: the disk is gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_critical_report_right_before_the_end_demands_the_window() {
    let running = first_epoch(|ctx: Context| async move {
        ctx.sleep(Duration::from_secs(2)).await;
        ctx.report(Failure::new("lease lost").critical());
        Ok(())
    });
    running.until(|status| status.outage == 1).await;
    let tripped = Instant::now();
    running.until_ready(2).await;
    assert!(tripped.elapsed() >= Duration::from_secs(30));
    let outages = running.handle.outages();
    assert_eq!(
        (outages[1].record.reports, outages[1].record.stale_reports),
        (1, 0)
    );
    running.shut_down().await;
}

/// Whoever goes on reporting must not hold back that its component has ended.
#[tokio::test(start_paused = true)]
async fn a_flood_of_reports_does_not_hide_the_end() {
    let running = first_epoch(|ctx: Context| async move {
        let reporter = ctx.reporter();
        tokio::spawn(async move {
            for _ in 0..20_000 {
                reporter.report(Failure::new("again"));
                tokio::task::yield_now().await;
            }
        });
        Ok(())
    });
    running.until_ready(2).await;
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_fatal_report_from_outside_counts_in_any_epoch() {
    let service = idle();
    // Sent in epoch 0, and overtaken by the observation that opens the gate.
    service
        .handle()
        .reporter()
        .report(Failure::new("wrong database").fatal());
    let error = bounded(service.run()).await.unwrap_err();
    assert_eq!(error.to_string(), "halted: wrong database");
}

struct Hasty;

impl Component for Hasty {
    fn run<'life, 'run>(
        &'life self,
        ctx: Context,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'run>>
    where
        'life: 'run,
        Self: 'run,
    {
        assert!(ctx.epoch() > 1, "before there is a future");
        Box::pin(async move {
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_there_is_a_future_is_told_like_any_other() {
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.component("hasty", Hasty)
    });
    let mut transitions = running.handle.transitions();
    running.until_ready(2).await;
    running.shut_down().await;
    let mut reasons = Vec::new();
    while let Some(seen) = bounded(transitions.next()).await.unwrap() {
        reasons.push(seen.reason.to_string());
    }
    let told = "\"hasty\" failed to start: panicked: before there is a future";
    assert!(reasons.iter().any(|reason| reason == told), "{reasons:#?}");
}

#[tokio::test(start_paused = true)]
async fn errors_that_panic_when_dropped_are_survived() {
    #[derive(Debug)]
    struct Bomb;
    impl std::fmt::Display for Bomb {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("tick")
        }
    }
    impl std::error::Error for Bomb {}
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom");
        }
    }
    let running = first_epoch(|ctx: Context| async move {
        ctx.report(Bomb);
        ctx.report(Bomb);
        ctx.stopping().await;
        Err(Bomb.into())
    });
    running.until_ready(2).await;
    running.shut_down().await;
}

#[test]
fn endless_texts_and_circles_of_sources_are_cut() {
    /// Its text is another one each time, or the same.
    #[derive(Debug)]
    struct Circle(AtomicUsize, bool);
    impl std::fmt::Display for Circle {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match (self.0.fetch_add(1, Ordering::Relaxed), self.1) {
                (number, true) => write!(f, "round {number}"),
                (_, false) => f.write_str("round"),
            }
        }
    }
    impl std::error::Error for Circle {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(self)
        }
    }
    let circle = |differs| Failure::new(Circle(AtomicUsize::new(0), differs)).to_string();
    assert_eq!(circle(true).matches("round").count(), 33);
    assert_eq!(circle(false), "round");
}

/// A renewal that is told late, by a context of long ago, neither moves the fence nor hides the
/// renewal of today.
#[tokio::test(start_paused = true)]
async fn stale_renewals_of_the_lease_change_nothing() {
    let seconds = Duration::from_secs;
    let policy = policy()
        .start_deadline(seconds(2))
        .stop_deadline(seconds(3))
        .abort_deadline(seconds(1))
        .fence(Fence::new(seconds(30), seconds(5)))
        .build()
        .unwrap();
    let layout = Layout::new(&[1]).unwrap().with_lease_owner(ComponentId(0));
    let plan = Plan::new(policy.clone(), layout).unwrap();
    let dependency = FakeDependency::new();
    let kept: Arc<Mutex<Option<Context>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let builder = crate::shell::replay::builder(dependency.probe())
        .task("membership", move |ctx: Context| {
            keep.lock().unwrap().get_or_insert(ctx.clone());
            async move {
                ctx.mark_ready();
                while ctx.sleep(seconds(5)).await {
                    let sent = Instant::now();
                    ctx.lease_renewed(sent, seconds(30));
                    // An answer that was overtaken, and one from a server with no sense of time.
                    ctx.lease_renewed(sent - seconds(1), seconds(1));
                    if let Some(old) = keep
                        .lock()
                        .unwrap()
                        .as_ref()
                        .filter(|old| old.epoch() < ctx.epoch())
                    {
                        old.lease_renewed(sent, seconds(1));
                        old.lease_renewed(sent, Duration::MAX);
                    }
                }
                Ok(())
            }
        })
        .lease_owner("membership")
        .policy(policy);
    let (builder, judged) = judged_by(builder, plan);
    let service = builder.build().unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    handle.trip().unwrap();
    bounded(handle.wait_for(|status| status.ready && status.epoch == 2))
        .await
        .unwrap();
    tokio::time::sleep(seconds(300)).await;
    assert_eq!((handle.is_ready(), handle.status().epoch), (true, 2));
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
    judged.acquit();
}

/// A process that stood still proves nothing: the window begins anew.
#[tokio::test(start_paused = true)]
async fn a_freeze_is_a_gap_in_a_clean_run() {
    let running = first_epoch(|ctx: Context| async move {
        ctx.stopping().await;
        Ok(())
    });
    running.until_ready(1).await;
    running.handle.trip().unwrap();
    running.until_phase(Phase::Monitoring).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    // As if the whole process had been stopped and continued.
    tokio::time::advance(Duration::from_secs(60)).await;
    let thawed = Instant::now();
    running.until_ready(2).await;
    assert!(
        thawed.elapsed() >= Duration::from_secs(29),
        "{:?}",
        thawed.elapsed()
    );
    running.shut_down().await;
}

/// What was never begun is no work that anybody would have to wait for.
#[test]
fn a_blocking_job_that_waits_for_its_turn_does_not_wedge() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        // The only thread for blocking work is taken by somebody else.
        tokio::task::spawn_blocking(move || blocked.recv());
        let quick = policy()
            .stop_deadline(Duration::from_millis(50))
            .build()
            .unwrap();
        let running = start(&[1], quick, |builder, _| {
            builder.task("hopeful", |ctx| async move {
                ctx.spawn_blocking(|| Ok(()));
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            })
        });
        running.until_ready(1).await;
        running.handle.shutdown();
        running.end_unjudged().await.0.expect_err("it was aborted");
    });
    drop(release);
}

/// A mild report right before a grave end does not hide whose trouble the end was.
#[tokio::test(start_paused = true)]
async fn a_mild_report_does_not_hide_a_graver_end() {
    let running = first_epoch(|ctx: Context| async move {
        ctx.sleep(Duration::from_secs(2)).await;
        ctx.report(Failure::new("a hiccup"));
        Err(Failure::new("no leader").dependency())
    });
    running.until(|status| status.outage == 1).await;
    let tripped = Instant::now();
    running.until_ready(2).await;
    assert!(tripped.elapsed() >= Duration::from_secs(30));
    let outages = running.handle.outages();
    assert_eq!(&*outages[1].reason, "\"talker\" ended unasked: no leader");
    assert_eq!(
        (outages[1].record.reports, outages[1].record.stale_reports),
        (1, 0)
    );
    running.shut_down().await;
}

/// However many report something mild, what is critical does not wait its turn.
#[tokio::test(start_paused = true)]
async fn a_critical_report_overtakes_a_crowd() {
    let crowd = 300;
    let policy = policy().trip_threshold(5_000).build().unwrap();
    let running = start(&[crowd], policy, |mut builder, _| {
        for number in 0..crowd {
            builder = builder.task(format!("{number}"), move |ctx: Context| async move {
                ctx.mark_ready();
                while ctx.epoch() == 1 && ctx.sleep(Duration::from_millis(1)).await {
                    ctx.report(Failure::new("mild"));
                }
                ctx.stopping().await;
                Ok(())
            });
        }
        builder
    });
    running.until_ready(1).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    running
        .handle
        .reporter()
        .report(Failure::new("lease lost").critical());
    let reported = Instant::now();
    running.until(|status| !status.ready).await;
    assert!(
        reported.elapsed() <= Duration::from_millis(20),
        "{:?}",
        reported.elapsed()
    );
    running.until_ready(2).await;
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_of_two_fatal_reports_is_the_one_that_is_told() {
    let service = idle();
    let reporter = service.handle().reporter();
    for reason in ["wrong database", "wrong schema"] {
        reporter.report(Failure::new(reason).fatal());
    }
    let error = bounded(service.run()).await.unwrap_err();
    assert_eq!(
        error.failure().map(ToString::to_string).as_deref(),
        Some("wrong database")
    );
}

/// A service that does nothing wrong, and is not run yet.
fn idle() -> Overwatch {
    crate::shell::replay::builder(FakeDependency::new().probe())
        .task("idle", |ctx| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
        .build()
        .unwrap()
}
