//! Outages from begin to end, again and again.

use std::time::Duration;

use overwatch::Failure;
use overwatch::machine::{Effect, Phase};
use overwatch::policy::{ComponentId, Fence, Layout, Plan};
use overwatch::test_util::FakeDependency;
use tokio::time::Instant;

use super::support::{
    Notes, Running, alive_tasks, bounded, judged_by, policy, start, tuning, worker,
};

fn three_on_two_stages() -> Running {
    start(&[2, 1], policy().build().unwrap(), |builder, notes| {
        builder
            .component("membership", worker(notes, "membership"))
            .component("pool", worker(notes, "pool"))
            .next_stage()
            .component("scheduler", worker(notes, "scheduler"))
    })
}

async fn outage(running: &Running, epoch: u64) {
    running.dependency.fail("connection refused");
    running.until_phase(Phase::Monitoring).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    running.dependency.recover();
    running.until_ready(epoch).await;
}

#[tokio::test(start_paused = true)]
async fn stages_start_ascending_and_stop_descending() {
    let running = three_on_two_stages();
    running.until_ready(1).await;
    let notes = running.notes.clone();
    running.shut_down().await;
    let notes = notes.all();
    assert_eq!(notes[2..4], ["scheduler up 1", "scheduler stopped 1"]);
    let mut first = notes[..2].to_vec();
    first.sort();
    assert_eq!(first, ["membership up 1", "pool up 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_failed_must_prove_itself_for_the_whole_window() {
    let running = three_on_two_stages();
    running.until_ready(1).await;
    running.dependency.fail("connection refused");
    running.until_phase(Phase::Monitoring).await;
    // However long it stays down, nothing is started.
    tokio::time::sleep(Duration::from_secs(3600 * 24)).await;
    assert_eq!(running.notes.count("pool up 2"), 0);
    // A relapse begins the window anew.
    running.dependency.recover();
    tokio::time::sleep(Duration::from_secs(29)).await;
    running.dependency.fail("again");
    tokio::time::sleep(Duration::from_secs(29)).await;
    let back = Instant::now();
    running.dependency.recover();
    running.until_ready(2).await;
    let window = Duration::from_secs(30);
    assert!(
        (window..window + Duration::from_secs(2)).contains(&back.elapsed()),
        "{:?}",
        back.elapsed()
    );
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_noticed_within_the_silence_limit() {
    let running = three_on_two_stages();
    running.until_ready(1).await;
    let hung = Instant::now();
    running.dependency.hang();
    running.until(|status| !status.ready).await;
    assert!(
        hung.elapsed() <= Duration::from_secs(5),
        "{:?}",
        hung.elapsed()
    );
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        running.handle.status().phase,
        Phase::Monitoring,
        "silence is not health"
    );
    running.dependency.recover();
    running.until_ready(2).await;
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_component_brought_on_waits_for_the_backoff_only() {
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("flaky", |ctx| async move {
            ctx.mark_ready();
            if ctx.epoch() == 1 {
                ctx.sleep(Duration::from_secs(120)).await;
                return Err(Failure::new("a bug"));
            }
            ctx.stopping().await;
            Ok(())
        })
    });
    running.until_ready(1).await;
    running.until(|status| !status.ready).await;
    let tripped = Instant::now();
    running.until_ready(2).await;
    assert!(
        tripped.elapsed() < Duration::from_secs(3),
        "{:?}",
        tripped.elapsed()
    );
    running.shut_down().await;
}

/// The same scenario gives the same trace, byte for byte.
#[tokio::test(start_paused = true)]
async fn same_scenario_same_trace() {
    let mut traces = Vec::new();
    for _ in 0..2 {
        let running = three_on_two_stages();
        running.until_ready(1).await;
        outage(&running, 2).await;
        running.handle.reporter().report(Failure::new("noise"));
        running.until_ready(3).await;
        running.dependency.hang();
        running.until_phase(Phase::Monitoring).await;
        running.dependency.recover();
        running.until_ready(4).await;
        traces.push(running.shut_down().await);
    }
    assert!(traces[0].len() > 50);
    assert_eq!(traces[0], traces[1]);
}

#[tokio::test(start_paused = true)]
async fn nothing_leaks_over_a_hundred_outages() {
    let before = alive_tasks().await;
    let tuning = tuning().with_max_hold_off(Duration::from_secs(30));
    let running = start(
        &[2],
        policy().tuning(tuning).build().unwrap(),
        |builder, notes| {
            builder
                .component("a", worker(notes, "a"))
                .task("b", |ctx| async move {
                    let sub = ctx.clone();
                    ctx.spawn(async move {
                        sub.stopping().await;
                        Ok(())
                    });
                    ctx.mark_ready();
                    ctx.stopping().await;
                    Ok(())
                })
        },
    );
    running.until_ready(1).await;
    let running_tasks = alive_tasks().await;
    for epoch in 2..=101 {
        outage(&running, epoch).await;
        assert_eq!(alive_tasks().await, running_tasks, "in epoch {epoch}");
    }
    assert_eq!(running.handle.outages().len(), 101, "boot and a hundred");
    let notes = running.notes.clone();
    running.shut_down().await;
    assert_eq!(notes.all().len(), 202);
    assert_eq!(alive_tasks().await, before);
}

/// The level grows with each relapse, and the hold-off with it.
#[tokio::test(start_paused = true)]
async fn relapses_lengthen_the_hold_off_and_stability_shortens_it() {
    let running = three_on_two_stages();
    running.until_ready(1).await;
    let mut held = Vec::new();
    for epoch in 2..=4 {
        running.dependency.fail("down");
        running.until_phase(Phase::Monitoring).await;
        let back = Instant::now();
        running.dependency.recover();
        running.until_ready(epoch).await;
        held.push(back.elapsed().as_secs());
    }
    assert_eq!(held, [30, 60, 120]);
    running.until(|status| status.level == 3).await;
    tokio::time::sleep(Duration::from_secs(3 * 60 + 1)).await;
    assert_eq!(running.handle.status().level, 0);
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn dependency_down_at_boot_is_waited_for() {
    let dependency = FakeDependency::new();
    dependency.fail("not yet");
    let notes = Notes::default();
    let service = crate::shell::replay::builder(dependency.probe())
        .component("a", worker(&notes, "a"))
        .build()
        .unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(notes.all(), Vec::<String>::new());
    let awaited = handle.status().awaited.unwrap();
    assert_eq!(
        awaited,
        "the dependency to be seen alive; it is failing: not yet"
    );
    dependency.recover();
    bounded(handle.wait_until_ready()).await.unwrap();
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
}

/// A lease owner that can no longer renew: all is stopped before the lease can run out.
#[tokio::test(start_paused = true)]
async fn work_is_stopped_before_the_lease_runs_out() {
    let ttl = Duration::from_secs(30);
    let policy = policy()
        .start_deadline(Duration::from_secs(2))
        .stop_deadline(Duration::from_secs(3))
        .abort_deadline(Duration::from_secs(1))
        .fence(Fence::new(ttl, Duration::from_secs(5)))
        .build()
        .unwrap();
    let layout = Layout::new(&[1, 1])
        .unwrap()
        .with_lease_owner(ComponentId(0));
    let plan = Plan::new(policy.clone(), layout).unwrap();
    let dependency = FakeDependency::new();
    let notes = Notes::default();
    let renewed = Notes::default();
    let renewals = renewed.clone();
    let builder = crate::shell::replay::builder(dependency.probe())
        .task("membership", move |ctx: overwatch::Context| async move {
            ctx.mark_ready();
            let first = Instant::now();
            // The renewals are lost after a minute.
            while ctx.sleep(Duration::from_secs(5)).await {
                if ctx.epoch() > 1 || first.elapsed() < Duration::from_secs(60) {
                    renewals.add(format!("{:?}", Instant::now()));
                    ctx.lease_renewed(Instant::now(), Duration::from_secs(30));
                }
            }
            Ok(())
        })
        .next_stage()
        .task("deaf", {
            let notes = notes.clone();
            move |ctx: overwatch::Context| async move {
                ctx.mark_ready();
                notes.add("at work");
                std::future::pending().await
            }
        })
        .lease_owner("membership")
        .policy(policy);
    let (builder, judged) = judged_by(builder, plan);
    let service = builder.build().unwrap();
    let handle = service.handle();
    let began = Instant::now();
    let run = tokio::spawn(service.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    let status = bounded(handle.wait_for(|status| !status.ready))
        .await
        .unwrap();
    assert!(
        status
            .reason
            .contains("the lease would run out before everything could be stopped: "),
        "{}",
        status.reason
    );
    bounded(handle.wait_for(|status| status.phase == Phase::Monitoring))
        .await
        .unwrap();
    // The last renewal was sent at 55 s; it is good until 85 s, less the margin of 3 s.
    let gone = began.elapsed();
    assert!(gone <= Duration::from_secs(82), "all gone after {gone:?}");
    assert!(
        gone > Duration::from_secs(70),
        "stopped no earlier than needed: {gone:?}"
    );
    bounded(handle.wait_for(|status| status.ready && status.epoch == 2))
        .await
        .unwrap();
    handle.shutdown();
    let ended = bounded(run).await.unwrap();
    assert_eq!(ended.unwrap_err().why(), None, "it was aborted again");
    judged.acquit();
}

/// An answer that is already there does not lose against its own deadline. Real time: while the
/// component blocks the only thread, its deadline passes, and then both are there at once.
#[tokio::test]
async fn an_answer_that_is_there_counts_though_its_deadline_has_passed() {
    let stop = Duration::from_millis(50);
    let running = start(
        &[1],
        policy().stop_deadline(stop).build().unwrap(),
        |builder, _| {
            builder.task("late", move |ctx: overwatch::Context| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                std::thread::sleep(3 * stop);
                Ok(())
            })
        },
    );
    running.until_ready(1).await;
    running.handle.shutdown();
    let (ended, trace) = running.end_unjudged().await;
    ended.unwrap();
    let abort = format!(
        "{:?}",
        Effect::Abort {
            component: ComponentId(0),
            epoch: 1
        }
    );
    assert!(
        !trace.iter().any(|line| line.contains(&abort)),
        "{}",
        trace.join("\n")
    );
}

#[tokio::test(start_paused = true)]
async fn observe_only_takes_no_action_and_says_what_it_would_have_done() {
    let dependency = FakeDependency::new();
    let notes = Notes::default();
    let service = crate::shell::replay::builder(dependency.probe())
        .component("a", worker(&notes, "a"))
        .observe_only()
        .policy(policy().build().unwrap())
        .build()
        .unwrap();
    let handle = service.handle();
    dependency.fail("down at boot");
    let run = tokio::spawn(service.run());
    // It starts as it would without overwatch.
    bounded(handle.wait_until_ready()).await.unwrap();
    handle.reporter().report(Failure::new("trouble"));
    for _ in 0..3 {
        dependency.recover();
        tokio::time::sleep(Duration::from_secs(100)).await;
        dependency.hang();
        tokio::time::sleep(Duration::from_secs(100)).await;
        dependency.fail("down");
        tokio::time::sleep(Duration::from_secs(100)).await;
    }
    assert!(handle.is_ready());
    dependency.hang();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let seen = handle
        .status()
        .dependency
        .map(|sight| (sight.alive, sight.what.to_string()));
    assert_eq!(seen, Some((Some(false), "no sign of life for 5s".into())));
    assert_eq!(notes.all(), ["a up 1"]);
    handle.drain().unwrap();
    bounded(handle.wait_for(|status| status.phase == Phase::Drained))
        .await
        .unwrap();
    handle.resume().unwrap();
    bounded(handle.wait_for(|status| status.ready && status.epoch == 2))
        .await
        .unwrap();
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn observe_only_still_restarts_what_fails_by_itself() {
    let dependency = FakeDependency::new();
    let service = crate::shell::replay::builder(dependency.probe())
        .task("flaky", |ctx| async move {
            ctx.mark_ready();
            if ctx.epoch() < 3 {
                ctx.sleep(Duration::from_secs(1)).await;
                return Err(Failure::new("a bug"));
            }
            ctx.stopping().await;
            Ok(())
        })
        .observe_only()
        .build()
        .unwrap();
    let handle = service.handle();
    dependency.fail("down for good");
    let run = tokio::spawn(service.run());
    bounded(handle.wait_for(|status| status.ready && status.epoch == 3))
        .await
        .unwrap();
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
}
