//! Sub-tasks whose failures are caught, and the handles of sub-tasks.

use std::sync::Arc;
use std::time::Duration;

use overwatch::{Context, Failure};
use tokio::sync::Notify;

use super::support::{policy, start};
use super::trace::Captured;

/// One connection breaks; the others and the component go on.
#[tokio::test(start_paused = true)]
async fn a_caught_failure_goes_to_what_awaits_it_and_trips_nothing() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        let notes = notes.clone();
        builder.task("server", move |ctx: Context| async move {
            let broken = ctx.spawn_caught::<()>(async { Err(Failure::new("reset by peer")) });
            let panics = ctx.spawn_caught::<()>(async { panic!("this panic is wanted") });
            let blocking = ctx.spawn_blocking_caught(|| Ok("7".parse::<u32>()?));
            let other = ctx.clone();
            let well = ctx.spawn_caught(async move {
                other.stopping().await;
                Ok(5)
            });
            ctx.mark_ready();
            notes.add(broken.await.unwrap_err().to_string());
            notes.add(panics.await.unwrap_err().to_string());
            notes.add(format!("{:?}", blocking.await.unwrap()));
            ctx.stopping().await;
            notes.add(format!("{:?}", well.await.unwrap()));
            Ok(())
        })
    });
    running.until_ready(1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(running.handle.status().epoch, 1);
    assert!(running.handle.is_ready());
    let notes = running.notes.clone();
    running.shut_down().await;
    assert_eq!(
        notes.all(),
        ["reset by peer", "panicked: this panic is wanted", "7", "5"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_sub_task_can_be_aborted_by_its_handle() {
    let dropped = Arc::new(Notify::new());
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        let (notes, dropped) = (notes.clone(), Arc::clone(&dropped));
        builder.task("parent", move |ctx: Context| async move {
            struct Told(Arc<Notify>);
            impl Drop for Told {
                fn drop(&mut self) {
                    self.0.notify_one();
                }
            }
            let told = Told(Arc::clone(&dropped));
            let endless = ctx.spawn_caught(async move {
                let _told = told;
                std::future::pending::<Result<(), Failure>>().await
            });
            ctx.mark_ready();
            tokio::task::yield_now().await;
            notes.add(format!("finished: {}", endless.is_finished()));
            endless.abort();
            dropped.notified().await;
            tokio::task::yield_now().await;
            notes.add(format!("finished: {}", endless.is_finished()));
            notes.add(endless.await.unwrap_err().to_string());
            let done = ctx.spawn(async { Ok(3) });
            notes.add(format!("{:?}", done.await));
            ctx.stopping().await;
            Ok(())
        })
    });
    running.until_ready(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        running.notes.all(),
        [
            "finished: false",
            "finished: true",
            "the task was aborted, or never began",
            "Some(3)"
        ]
    );
    running.shut_down().await;
}

/// The only thread for blocking work is taken, so it waits; what never begins holds nothing.
#[test]
fn blocking_work_that_was_aborted_before_it_began_never_begins() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        tokio::task::spawn_blocking(move || blocked.recv());
        let running = start(&[1], policy().build().unwrap(), |builder, notes| {
            let noted = notes.clone();
            builder.task("hopeful", move |ctx: Context| async move {
                let (began, noted) = (noted.clone(), noted);
                let task = ctx.spawn_blocking_caught(move || {
                    began.add("it began");
                    Ok(())
                });
                assert!(!task.is_finished());
                task.abort();
                // Though no thread has seen that yet.
                assert!(task.is_finished());
                noted.add(task.await.unwrap_err().to_string());
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            })
        });
        running.until_ready(1).await;
        let notes = running.notes.clone();
        running.handle.shutdown();
        running.end_unjudged().await.0.expect("nothing holds it");
        assert_eq!(notes.all(), ["the task was aborted, or never began"]);
    });
    drop(release);
}

/// A context that outlives its component spawns nothing, and says so.
#[tokio::test(start_paused = true)]
async fn after_the_end_a_caught_task_is_a_failure_at_once() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        let notes = notes.clone();
        builder.task("short", move |ctx: Context| async move {
            ctx.mark_ready();
            ctx.stopping().await;
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let late = ctx.spawn_caught(async { Ok(1) });
                notes.add(format!("finished: {}", late.is_finished()));
                notes.add(late.await.unwrap_err().to_string());
            });
            Ok(())
        })
    });
    running.until_ready(1).await;
    let notes = running.notes.clone();
    running.shut_down().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        notes.all(),
        ["finished: true", "the task was aborted, or never began"]
    );
}

/// Nothing is lost: what nobody awaits is in the log, with the time since the run began.
#[tokio::test(start_paused = true)]
async fn a_caught_failure_that_nothing_awaits_is_logged() {
    let (captured, _guard) = Captured::begin();
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("server", |ctx: Context| async move {
            ctx.mark_ready();
            ctx.sleep(Duration::from_secs(36)).await;
            drop(ctx.spawn_caught::<()>(async { Err(Failure::new("reset by peer")) }));
            ctx.stopping().await;
            Ok(())
        })
    });
    running.until_ready(1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let logged = captured.at("overwatch::component");
    let (level, fields) = logged.first().expect("it is logged");
    assert_eq!(*level, tracing::Level::WARN);
    assert_eq!(fields["failure"], "reset by peer");
    assert_eq!(
        (&*fields["component"], &*fields["stopping"]),
        ("server", "false")
    );
    assert!(
        fields["at_ms"].parse::<u64>().unwrap() >= 36_000,
        "{fields:?}"
    );
    assert_eq!(running.handle.status().epoch, 1);
    running.shut_down().await;
}
