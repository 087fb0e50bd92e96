//! The status says why it is not ready now, what it waits for, and why that takes so long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::test_util::FakeDependency;
use overwatch::{Context, Failure, Fence, Overwatch, Status, Tuning};

use super::support::{Notes, bounded, policy, start, tuning, worker};
use super::trace::Captured;

const SECOND: Duration = Duration::from_secs(1);

fn awaited(status: &Status) -> &str {
    status.awaited.as_deref().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_hold_off_says_how_long_it_is_and_why_it_has_grown() {
    let policy = policy().window(5 * SECOND).build().unwrap();
    let running = start(&[1], policy, |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    let mut transitions = running.handle.transitions();
    let mut waits = Vec::new();
    for level in 1..=8 {
        running.until_ready(level).await;
        running.dependency.fail("no leader");
        running.until_phase(Phase::Monitoring).await;
        running.dependency.recover();
        let status = running
            .until(|status| awaited(status).contains("at least another"))
            .await;
        assert_eq!(u64::from(status.level), level);
        let reason = "everything is stopped, and the dependency must first stay alive for a while; the outage began with: the dependency is failing: no leader";
        assert_eq!(&*status.reason, reason);
        waits.push((
            status.hold_off.unwrap().as_secs(),
            awaited(&status).to_owned(),
        ));
    }
    let stays = "the dependency to stay alive for at least another";
    let lowers = "60.0s of running or a reset lowers the next one";
    let grown = |seconds: u64, why: &str| {
        (
            seconds,
            format!("{stays} {seconds}.0s of {seconds}.0s (window 5.0s, relapsed {why}; {lowers})"),
        )
    };
    assert_eq!(
        waits,
        [
            (5, format!("{stays} 5.0s of 5.0s")),
            grown(10, "once lately"),
            grown(20, "2 times lately"),
            grown(40, "3 times lately"),
            grown(80, "4 times lately"),
            grown(160, "5 times lately"),
            grown(300, "6 times lately, the longest"),
            grown(300, "7 times lately, the longest"),
        ]
    );
    tokio::time::sleep(44 * SECOND).await;
    let status = running.handle.status();
    assert!(awaited(&status).starts_with(&format!("{stays} 256.0s of 300.0s (")));
    while let Some(moved) = transitions.next().await.unwrap() {
        if moved.to == Phase::ShuttingDown {
            let hold_off = moved.hold_off.unwrap();
            assert_eq!(
                hold_off,
                (5 * SECOND * (1 << (moved.level - 1))).min(300 * SECOND)
            );
            if moved.level == 8 {
                break;
            }
        }
    }
    let status = running.until_ready(9).await;
    assert_eq!((status.level, status.hold_off), (8, None));
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_component_that_relapses_is_held_off_by_the_backoff() {
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("flaky", |ctx| async move {
            ctx.mark_ready();
            ctx.sleep(SECOND).await;
            Ok(())
        })
    });
    running.until_ready(3).await;
    let status = running
        .until(|status| awaited(status).contains("at least another"))
        .await;
    assert_eq!(
        awaited(&status),
        "the dependency to stay alive for at least another 4.0s of 4.0s (backoff 1.0s, relapsed 2 times lately; \
         60.0s of running or a reset lowers the next one)"
    );
    running.shut_down().await;
}

/// An outage that the probe did not see: what it saw before proves nothing.
#[tokio::test(start_paused = true)]
async fn what_was_not_seen_since_the_stop_is_not_told_to_be_alive() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    let status = running.until_ready(1).await;
    assert!(status.dependency.unwrap().seen_ago <= SECOND);
    running.dependency.hang();
    tokio::time::sleep(2 * SECOND).await;
    let seen = running.handle.status().dependency.unwrap();
    assert!(
        seen.alive == Some(true) && seen.seen_ago >= 2 * SECOND,
        "{seen:?}"
    );
    running.handle.trip().unwrap();
    running.until_phase(Phase::Monitoring).await;
    tokio::time::sleep(2 * SECOND).await;
    let status = running.handle.status();
    let seen = status.dependency.as_ref().unwrap();
    assert!(
        seen.alive.is_none() && seen.seen_ago >= 4 * SECOND,
        "{seen:?}"
    );
    assert_eq!(
        &*seen.what,
        "not seen since the stop began; before that: it is up"
    );
    assert_eq!(
        awaited(&status),
        "the dependency to be seen alive, and then to stay alive for about 30.0s"
    );
    assert_eq!(
        &*status.reason,
        "the dependency was not seen alive yet; the outage began with: an operator tripped it"
    );
    running.dependency.recover();
    let status = running
        .until(|status| awaited(status).contains("at least another"))
        .await;
    let seen = status.dependency.unwrap();
    assert_eq!((seen.alive, &*seen.what), (Some(true), "it is up"));
    running.until_ready(2).await;
    running.handle.drain().unwrap();
    running.until_phase(Phase::Drained).await;
    let seen = running.handle.status().dependency.unwrap();
    assert_eq!(seen.alive, None, "nothing looks");
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_trips_says_which_renewal_was_missed() {
    for (renewals, renewal) in [
        (
            0,
            "its owner was started 12.0s ago, the next renewal was due 9.0s ago",
        ),
        (
            4,
            "last renewed 12.0s ago, the next renewal was due 9.0s ago",
        ),
    ] {
        let (captured, _guard) = Captured::begin();
        let policy = policy()
            .start_deadline(3 * SECOND)
            .stop_deadline(4 * SECOND)
            .abort_deadline(2 * SECOND)
            .fence(Fence::new(20 * SECOND, 3 * SECOND))
            .build()
            .unwrap();
        let dependency = FakeDependency::new();
        let service = Overwatch::builder(dependency.probe())
            .policy(policy)
            .task("membership", move |ctx| async move {
                ctx.mark_ready();
                for _ in 0..renewals {
                    ctx.sleep(3 * SECOND).await;
                    ctx.lease_renewed(tokio::time::Instant::now(), 20 * SECOND);
                }
                ctx.stopping().await;
                Ok(())
            })
            .lease_owner("membership")
            .build()
            .unwrap();
        let handle = service.handle();
        let run = tokio::spawn(service.run());
        bounded(handle.wait_until_ready()).await.unwrap();
        bounded(handle.wait_for(|status| !status.ready))
            .await
            .unwrap();
        let reason = format!(
            "the lease would run out before everything could be stopped: {renewal}; \
             the last 8.0s of the lease's 20.0s are kept for the stop and the margin"
        );
        assert_eq!(&*handle.outages()[1].reason, reason);
        let logged = captured.at("overwatch::transition");
        assert_eq!(logged[2].1["reason"], reason);
        handle.shutdown();
        bounded(run).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn during_the_unready_delay_the_status_says_that_components_still_serve() {
    let policy = policy().tuning(tuning().with_unready_delay(3 * SECOND));
    let running = start(&[2, 2], policy.build().unwrap(), |builder, notes| {
        builder
            .component("a", worker(notes, "a"))
            .component("b", worker(notes, "b"))
            .next_stage()
            .component("c", worker(notes, "c"))
            .component("d", worker(notes, "d"))
    });
    running.until_ready(1).await;
    running.handle.shutdown();
    let status = running.until_phase(Phase::ShuttingDown).await;
    assert_eq!(
        (&*status.reason, awaited(&status)),
        (
            "a shutdown was asked for",
            "the unready delay to end within 3.0s; components that still work (4): a, b, c and 1 more"
        )
    );
    tokio::time::sleep(2 * SECOND).await;
    let status = running.handle.status();
    assert!(awaited(&status).starts_with("the unready delay to end within 1.0s"));
    let (ended, _) = running.end().await;
    ended.unwrap();
}

/// What is logged as what would be is in the status as well.
#[tokio::test(start_paused = true)]
async fn in_observe_only_the_status_is_as_fresh_as_the_log() {
    let (captured, _guard) = Captured::begin();
    let dependency = FakeDependency::new();
    let service = Overwatch::builder(dependency.probe())
        .policy(
            policy()
                .tuning(Tuning::default().with_jitter(Duration::ZERO))
                .build()
                .unwrap(),
        )
        .component("a", worker(&Notes::default(), "a"))
        .observe_only()
        .build()
        .unwrap();
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    for (change, would_be, alive) in [
        ("", Phase::Running, true),
        ("no leader", Phase::Monitoring, false),
        ("", Phase::Running, true),
    ] {
        match change {
            "" => dependency.recover(),
            reason => dependency.fail(reason),
        }
        let seen = bounded(handle.wait_for(|status| status.would_be == Some(would_be)));
        let status = seen.await.unwrap();
        assert_eq!((status.ready, status.phase), (true, Phase::Running));
        assert_eq!(status.dependency.unwrap().alive, Some(alive));
        let logged = captured.at("overwatch::transition");
        let mut shown = logged
            .iter()
            .filter(|(_, fields)| fields["observe_only"] == "true");
        let last = shown.next_back().map(|(_, fields)| fields["to"].clone());
        assert_eq!(last.as_deref(), Some(would_be.as_str()));
    }
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
}

/// Somebody has to free the port, however well the dependency is.
#[tokio::test(start_paused = true)]
async fn a_failed_start_is_the_reason_until_a_start_succeeds() {
    let free = Arc::new(AtomicBool::new(false));
    let port = Arc::clone(&free);
    let running = start(&[1], policy().build().unwrap(), move |builder, _| {
        builder.task("api", move |ctx: Context| async move {
            if !port.load(Ordering::Relaxed) {
                return Err(Failure::new("port 80 is taken"));
            }
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
    });
    let waits = "everything is stopped, and the dependency must first stay alive for a while";
    let failed = "the last start failed: \"api\" failed to start: port 80 is taken";
    let status = running
        .until(|status| awaited(status).contains("at least another"))
        .await;
    assert_eq!(&*status.reason, format!("{waits}; {failed}"));
    free.store(true, Ordering::Relaxed);
    let status = running.until_ready(2).await;
    assert_eq!(&*status.reason, "every component is up");

    free.store(false, Ordering::Relaxed);
    running.dependency.fail("no leader");
    running.until_phase(Phase::Monitoring).await;
    running.dependency.recover();
    let status = running
        .until(|status| status.epoch == 3 && awaited(status).contains("at least another"))
        .await;
    let began = "the outage began with: the dependency is failing: no leader";
    assert_eq!(&*status.reason, format!("{waits}; {failed}; {began}"));
    running.shut_down().await;
}

/// A reset is for the next hold-off.
#[tokio::test(start_paused = true)]
async fn a_hold_off_that_runs_stays_as_long_as_it_is_told_to_be() {
    let policy = policy().window(5 * SECOND).build().unwrap();
    let running = start(&[1], policy, |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    for epoch in 1..=2 {
        running.until_ready(epoch).await;
        running.dependency.fail("no leader");
        running.until_phase(Phase::Monitoring).await;
        running.dependency.recover();
    }
    let runs = |status: &overwatch::Status| awaited(status).contains("at least another");
    let before = running.until(runs).await;
    running.handle.reset().unwrap();
    let after = running
        .until(|status| status.level == 1 && runs(status))
        .await;
    assert_eq!(before.hold_off, Some(10 * SECOND));
    assert_eq!(after.hold_off, before.hold_off);
    assert!(
        awaited(&after).contains("of 10.0s (window 5.0s, relapsed once lately;"),
        "{after:?}"
    );
    running.shut_down().await;
}
