//! How a run ends, and what it says of its end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::driver::UncleanEnd;
use overwatch::machine::{FailureClass, HaltReason, RunOutcome};
use overwatch::{CommandOutcome, Context, Failure};

use super::support::{Running, policy, start, worker};

/// A service of a component that stops well, and one that does this when it is asked to stop.
fn ends_with<Fut>(end: impl FnOnce() -> Fut + Clone + Send + Sync + 'static) -> Running
where
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    start(&[2], policy().build().unwrap(), move |builder, notes| {
        builder.component("well", worker(notes, "well")).task(
            "unwell",
            move |ctx: Context| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                end().await
            },
        )
    })
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_last_stop_is_in_the_result() {
    let running = ends_with(async || Err(Failure::new("the file was not flushed")));
    running.until_ready(1).await;
    let handle = running.handle.clone();
    handle.shutdown();
    let error = running.end().await.0.unwrap_err();
    assert_eq!(error.why(), None);
    assert_eq!(
        error.to_string(),
        "stopped, but not well: \"unwell\" failed while it stopped: the file was not flushed"
    );
    let report = handle.wait_until_ended().await;
    assert_eq!(report.outcome(), Some(RunOutcome::Stopped));
    assert!(!report.is_clean());
    assert_eq!(report.unclean_stops(), error.unclean_stops());
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_an_abort_in_the_last_stop_are_in_the_result() {
    let running = ends_with(async || panic!("this panic is wanted"));
    running.until_ready(1).await;
    running.handle.shutdown();
    let error = running.end().await.0.unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with("failed while it stopped: panicked: this panic is wanted"),
        "{text}"
    );

    let running = ends_with(std::future::pending);
    running.until_ready(1).await;
    running.handle.shutdown();
    let error = running.end().await.0.unwrap_err();
    assert_eq!(
        error.to_string(),
        "stopped, but not well: \"unwell\" was aborted at its stop deadline"
    );
}

/// It writes what is left, for instance.
#[tokio::test(start_paused = true)]
async fn a_sub_task_that_fails_in_the_last_stop_is_in_the_result() {
    let fails = async |ctx: &Context| {
        ctx.stopping().await;
        Err::<(), _>(Failure::new("the file was not flushed"))
    };
    for main_fails in [false, true] {
        let running = start(&[1], policy().build().unwrap(), move |builder, _| {
            builder.task("unwell", move |ctx: Context| async move {
                let task = ctx.clone();
                ctx.spawn(async move { fails(&task).await });
                ctx.mark_ready();
                ctx.stopping().await;
                ctx.sleep(Duration::ZERO).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                match main_fails {
                    true => Err(Failure::new("neither was the log")),
                    false => Ok(()),
                }
            })
        });
        running.until_ready(1).await;
        running.handle.shutdown();
        let error = running.end().await.0.unwrap_err();
        // The first one counts. The other one is a report.
        assert_eq!(
            error.to_string(),
            "stopped, but not well: \"unwell\" failed while it stopped: the file was not flushed"
        );
        let [unclean] = error.unclean_stops() else {
            panic!("{error}");
        };
        assert_eq!(unclean.how, UncleanEnd::Failed(FailureClass::Component));
    }
}

/// No restart could mend it.
#[tokio::test(start_paused = true)]
async fn a_sub_task_that_fails_fatally_in_a_stop_ends_the_run() {
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("hangs", |ctx: Context| async move {
            let task = ctx.clone();
            ctx.spawn(async move {
                task.stopping().await;
                Err::<(), _>(Failure::new("the disk is gone").fatal())
            });
            ctx.mark_ready();
            // It is aborted.
            std::future::pending().await
        })
    });
    running.until_ready(1).await;
    running.handle.trip().unwrap();
    let error = running.end().await.0.unwrap_err();
    assert_eq!(error.why(), Some(HaltReason::Fatal));
    assert_eq!(error.component(), Some("hangs"));
}

/// While it works, that is a failure like any other, and the stop after it may be a clean one.
#[tokio::test(start_paused = true)]
async fn a_sub_task_that_fails_before_the_stop_does_not_make_it_unclean() {
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("works", |ctx: Context| async move {
            ctx.mark_ready();
            if ctx.epoch() == 1 {
                ctx.spawn(async { Err::<(), _>(Failure::new("reset by peer")) });
            }
            ctx.stopping().await;
            Ok(())
        })
    });
    running.until_ready(2).await;
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn an_unclean_stop_is_no_error_if_it_is_tolerated() {
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder
            .task("unwell", |ctx: Context| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                Err(Failure::new("the file was not flushed"))
            })
            .unclean_stop_is_error(false)
    });
    running.until_ready(1).await;
    let handle = running.handle.clone();
    running.shut_down().await;
    let report = handle.report().expect("it is over");
    assert_eq!(report.unclean_stops().len(), 1);
    assert!(!report.is_clean());
}

/// A trip before is another matter: only the last stop counts.
#[tokio::test(start_paused = true)]
async fn an_unclean_stop_before_the_last_one_is_no_error() {
    let first = Arc::new(Mutex::new(true));
    let running = ends_with(async move || {
        let was_first = std::mem::take(&mut *first.lock().unwrap());
        match was_first {
            true => Err(Failure::new("the file was not flushed")),
            false => Ok(()),
        }
    });
    running.until_ready(1).await;
    running.handle.trip().unwrap();
    running.until_ready(2).await;
    let handle = running.handle.clone();
    assert!(handle.report().is_none());
    running.shut_down().await;
    assert!(handle.wait_until_ended().await.is_clean());
}

/// Each start fails for the reason that somebody has to know.
#[tokio::test(start_paused = true)]
async fn a_run_that_gives_up_says_what_failed() {
    let running = start(
        &[2],
        policy().give_up_after(2).build().unwrap(),
        |builder, notes| {
            builder
                .component("a", worker(notes, "a"))
                .task("api", |_| async {
                    Err::<(), _>(Failure::new("port 80 is taken"))
                })
        },
    );
    let handle = running.handle.clone();
    let error = running.end().await.0.unwrap_err();
    assert_eq!(error.why(), Some(HaltReason::GaveUp));
    let text = error.to_string();
    assert!(
        text.contains("2 starts failed in a row")
            && text.contains("\"api\" failed to start: port 80 is taken"),
        "{text}"
    );
    assert_eq!(&*handle.status().reason, error.report().reason());
    let boot = handle.outages().pop().expect("the boot");
    assert_eq!(
        boot.last_failures,
        ["\"api\" failed to start: port 80 is taken".into()]
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_gives_up_says_that_a_start_was_overdue() {
    let policy = policy().give_up_after(1).build().unwrap();
    let running = start(&[1], policy, |builder, _| {
        builder.task("slow", |ctx: Context| async move {
            ctx.stopping().await;
            Ok(())
        })
    });
    let text = running.end().await.0.unwrap_err().to_string();
    assert!(
        text.contains("`mark_ready` was not called by: slow"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_component_can_end_the_run() {
    let running = start(&[1], policy().build().unwrap(), |builder, _| {
        builder.task("batch", |ctx: Context| async move {
            ctx.mark_ready();
            ctx.shutdown();
            ctx.stopping().await;
            Ok(())
        })
    });
    running.end().await.0.expect("it was asked for");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_is_over_for_all_who_wait() {
    let running = ends_with(async || Ok(()));
    running.until_ready(1).await;
    let handle = running.handle.clone();
    let waits = tokio::spawn(async move { handle.wait_until_ended().await });
    running.abandon().await;
    let report = waits.await.expect("no panic");
    assert_eq!(report.outcome(), None);
    assert_eq!(report.reason(), "the run was dropped");
}

#[tokio::test(start_paused = true)]
async fn commands_say_whether_they_have_any_effect() {
    let running = ends_with(async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    running.until_ready(1).await;
    let handle = running.handle.clone();
    let said = async |answer: Result<overwatch::CommandAnswer, _>| {
        answer.expect("the run goes on").await.expect("it goes on")
    };
    assert_eq!(said(handle.resume()).await, CommandOutcome::NoEffect);
    assert_eq!(said(handle.reset()).await, CommandOutcome::NoEffect);
    assert_eq!(said(handle.drain()).await, CommandOutcome::Accepted);
    assert_eq!(said(handle.drain()).await, CommandOutcome::NoEffect);
    assert_eq!(said(handle.resume()).await, CommandOutcome::Accepted);
    running.until_ready(2).await;
    assert_eq!(said(handle.trip()).await, CommandOutcome::Accepted);
    // Many at once share an answer.
    let (one, other) = (handle.drain(), handle.drain());
    assert_eq!(said(one).await, CommandOutcome::Accepted);
    assert_eq!(said(other).await, CommandOutcome::Accepted);
    assert_eq!(said(handle.resume()).await, CommandOutcome::Accepted);
    running.until_ready(3).await;
    handle.shutdown();
    assert_eq!(said(handle.drain()).await, CommandOutcome::NoEffect);
    // What is not handled any more gets an answer as well.
    running.end().await.0.expect("an ordered stop");
    assert!(handle.drain().is_err());
}
