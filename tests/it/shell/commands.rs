//! Operators' commands.

use std::sync::Arc;
use std::time::Duration;

use overwatch::machine::{Command, Phase};
use overwatch::{CommandAnswer, CommandError, Context, Handle};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::support::{bounded, policy, start, tuning, worker};

#[tokio::test(start_paused = true)]
async fn drain_waits_for_resume_however_long() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    running.until_ready(1).await;
    running.handle.drain().unwrap();
    let status = running.until_phase(Phase::Drained).await;
    assert_eq!(status.awaited.as_deref(), Some("an operator's resume"));
    tokio::time::sleep(Duration::from_secs(3600 * 24)).await;
    assert_eq!(running.handle.status().phase, Phase::Drained);
    running.handle.resume().unwrap();
    running.until_ready(2).await;
    running.shut_down().await;
}

/// What ends unasked while the stage above is drained raises the level, and status tells so at once,
/// also when it answers together with one that was asked.
#[tokio::test(start_paused = true)]
async fn a_level_raised_in_a_drain_is_told() {
    let ends = Arc::new(Notify::new());
    let running = start(&[1, 2], policy().build().unwrap(), |builder, _| {
        let end = Arc::clone(&ends);
        builder
            .task("below", move |ctx: Context| async move {
                ctx.mark_ready();
                end.notified().await;
                Ok(())
            })
            .next_stage()
            .task("asked", move |ctx: Context| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                // That one is to be polled before the supervisor hears of this one.
                ends.notify_one();
                Ok(())
            })
            .task("slow", |ctx: Context| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                tokio::time::sleep(Duration::from_secs(5)).await;
                Ok(())
            })
    });
    running.until_ready(1).await;
    assert_eq!(running.handle.status().level, 0);
    running.handle.drain().unwrap();
    running.until_phase(Phase::ShuttingDown).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let status = running.handle.status();
    assert_eq!((status.phase, status.level), (Phase::ShuttingDown, 1));
    running.until_phase(Phase::Drained).await;
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn trip_demands_the_whole_window_and_reset_forgives() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    running.until_ready(1).await;
    running.handle.trip().unwrap();
    running.until_phase(Phase::Monitoring).await;
    let tripped = Instant::now();
    running.until_ready(2).await;
    assert!(tripped.elapsed() >= Duration::from_secs(30));
    assert_eq!(running.handle.status().level, 1);
    running.handle.reset().unwrap();
    assert!(running.handle.is_responsive(Duration::from_secs(1)).await);
    running.until(|status| status.level == 0).await;
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_wanted_stop_is_delayed_so_that_load_balancers_see_it() {
    let delay = Duration::from_secs(5);
    let policy = policy()
        .tuning(tuning().with_unready_delay(delay))
        .build()
        .unwrap();
    let running = start(&[1], policy, |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    running.until_ready(1).await;
    running.handle.shutdown();
    running.until(|status| !status.ready).await;
    let unready = Instant::now();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(running.notes.all(), ["a up 1"], "still up, and not ready");
    let (ended, _) = running.end().await;
    ended.unwrap();
    assert!(unready.elapsed() >= delay);
}

#[tokio::test(start_paused = true)]
async fn run_until_ends_with_its_future() {
    let dependency = overwatch::test_util::FakeDependency::new();
    let notes = super::support::Notes::default();
    let service = crate::shell::replay::builder(dependency.probe())
        .component("a", worker(&notes, "a"))
        .build()
        .unwrap();
    let handle = service.handle();
    bounded(service.run_until(async move {
        handle.wait_until_ready().await.unwrap();
    }))
    .await
    .unwrap();
    assert_eq!(notes.all(), ["a up 1", "a stopped 1"]);
}

/// Each command has a method.
fn command(handle: &Handle, command: Command) -> Result<CommandAnswer, CommandError> {
    match command {
        Command::Drain => handle.drain(),
        Command::Resume => handle.resume(),
        Command::Trip => handle.trip(),
        Command::Reset => handle.reset(),
    }
}

#[tokio::test(start_paused = true)]
async fn each_command_that_stops_something_is_named_as_the_cause() {
    for &asked in Command::ALL {
        if asked.goal().is_none() {
            continue;
        }
        let running = start(&[1], policy().build().unwrap(), |builder, notes| {
            builder.component("a", worker(notes, "a"))
        });
        running.until_ready(1).await;
        let mut transitions = running.handle.transitions();
        command(&running.handle, asked).unwrap();
        let left = bounded(transitions.next()).await.unwrap().unwrap();
        assert_eq!(Some(left.cause), asked.cause());
        running.shut_down().await;
    }
}

#[tokio::test(start_paused = true)]
async fn commands_are_bounded_and_refused_after_the_end() {
    let dependency = overwatch::test_util::FakeDependency::new();
    let notes = super::support::Notes::default();
    let service = crate::shell::replay::builder(dependency.probe())
        .component("a", worker(&notes, "a"))
        .build()
        .unwrap();
    let handle = service.handle();
    let mut refused = 0;
    for _ in 0..100 {
        for command in [handle.drain(), handle.resume()] {
            match command {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error, CommandError::TooMany);
                    refused += 1;
                }
            }
        }
    }
    // A command that repeats the last one that waits, here a resume, is one with it.
    assert_eq!(refused, 100 - 64 / 2);
    // A shutdown is never refused.
    handle.shutdown();
    bounded(service.run()).await.unwrap();
    assert_eq!(handle.trip().unwrap_err(), CommandError::Ended);
}
