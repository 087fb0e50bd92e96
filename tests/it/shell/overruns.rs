//! Components that do not stop in time are in the log by name, however many they are.

use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::{Context, Failure};
use tracing::Level;

use super::support::{policy, start, worker};
use super::trace::Captured;

/// Never returns by itself.
async fn deaf(ctx: Context) -> Result<(), Failure> {
    ctx.mark_ready();
    std::future::pending().await
}

/// What was logged of them.
fn told(captured: &Captured) -> Vec<String> {
    let told = captured.at("overwatch::stop").into_iter();
    told.map(|(level, fields)| {
        let names = [
            "names", "count", "left", "stage", "took_ms", "epoch", "message",
        ];
        format!(
            "{level} {}",
            names
                .map(|name| fields.get(name).cloned().unwrap_or_default())
                .join("|")
        )
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn those_that_are_aborted_are_one_line_with_names_stage_and_time() {
    let (captured, _guard) = Captured::begin();
    let second = Duration::from_secs(1);
    let policy = policy().stop_deadline(2 * second).abort_deadline(second);
    let running = start(&[1, 3_000], policy.build().unwrap(), |builder, notes| {
        let builder = builder
            .component("pool", worker(notes, "pool"))
            .next_stage();
        (0..3_000).fold(builder, |builder, number| {
            builder.task(format!("job-{number}"), deaf)
        })
    });
    running.until_ready(1).await;
    running.handle.trip().unwrap();
    running.until_phase(Phase::Monitoring).await;
    assert_eq!(
        told(&captured),
        [
            "WARN job-0, job-1, job-2 and 2997 more|3000|\
             job-0: its main task; job-1: its main task; job-2: its main task|1|2000|1|\
             not stopped within the stop deadline, so they are aborted",
            "INFO job-0, job-1, job-2 and 2997 more|3000||1|2000|1|gone after the abort",
        ]
    );
    // Nothing is alive by then.
    running.shut_down().await;
    assert_eq!(told(&captured).len(), 2, "what stops in time is no news");
}

#[tokio::test(start_paused = true)]
async fn those_that_survive_their_abort_are_told_apart_from_those_that_are_gone() {
    let (captured, _guard) = Captured::begin();
    let second = Duration::from_secs(1);
    let policy = policy().stop_deadline(2 * second).abort_deadline(second);
    let running = start(&[2, 1], policy.build().unwrap(), |builder, notes| {
        builder
            .task("stuck", |ctx: Context| async move {
                std::mem::forget(ctx.hold());
                deaf(ctx).await
            })
            .task("slow", deaf)
            .next_stage()
            .component("quick", worker(notes, "quick"))
    });
    running.until_ready(1).await;
    running.handle.shutdown();
    let (ended, _) = running.end().await;
    assert_eq!(ended.unwrap_err().wedged(), ["stuck".into()]);
    assert_eq!(
        told(&captured),
        [
            "WARN stuck, slow|2|stuck: its main task and 1 sub-task or hold; slow: its main task|0|2000|1|\
             not stopped within the stop deadline, so they are aborted",
            "INFO slow|1||0|3000|1|gone after the abort",
            "WARN stuck|1|stuck: 1 sub-task or hold|0|3000|1|wedged: not gone within the abort deadline, so only the end of the process ends them",
        ]
    );
    // Before the end of the run is told.
    let all = captured.all();
    let last = all.last().unwrap();
    assert_eq!((last.0, &*last.2["to"]), (Level::ERROR, "Halted"));
}

/// Only then one finds what does not stop: the main task may have ended long ago.
#[tokio::test(start_paused = true)]
async fn what_keeps_a_component_is_told_when_it_is_aborted_and_when_it_is_wedged() {
    let (captured, _guard) = Captured::begin();
    let second = Duration::from_secs(1);
    let policy = policy().stop_deadline(2 * second).abort_deadline(second);
    let running = start(&[1], policy.build().unwrap(), |builder, _| {
        builder.task("pool", |ctx: Context| async move {
            for _ in 0..3 {
                ctx.spawn(std::future::pending::<Result<(), Failure>>());
            }
            std::mem::forget(ctx.hold());
            std::mem::forget(ctx.hold());
            ctx.mark_ready();
            ctx.stopping().await;
            Ok(())
        })
    });
    running.until_ready(1).await;
    running.handle.shutdown();
    let (ended, _) = running.end().await;
    assert!(ended.is_err());
    assert_eq!(
        told(&captured),
        [
            "WARN pool|1|pool: 5 sub-tasks or holds|0|2000|1|\
             not stopped within the stop deadline, so they are aborted",
            "WARN pool|1|pool: 2 sub-tasks or holds|0|3000|1|\
             wedged: not gone within the abort deadline, so only the end of the process ends them",
        ]
    );
}

/// Those of the stages above were told before.
#[tokio::test(start_paused = true)]
async fn what_is_wedged_in_two_stages_is_told_once_for_each() {
    let (captured, _guard) = Captured::begin();
    let second = Duration::from_secs(1);
    let policy = policy().stop_deadline(2 * second).abort_deadline(second);
    let stuck = |ctx: Context| async move {
        std::mem::forget(ctx.hold());
        deaf(ctx).await
    };
    let running = start(&[1, 1], policy.build().unwrap(), |builder, _| {
        builder
            .task("below", stuck)
            .next_stage()
            .task("above", stuck)
    });
    running.until_ready(1).await;
    running.handle.shutdown();
    let (ended, _) = running.end().await;
    assert!(ended.is_err());
    let told = told(&captured);
    let wedged: Vec<_> = told.iter().filter(|line| line.contains("wedged")).collect();
    assert!(
        wedged[0].starts_with("WARN above|1|above: 1 sub-task or hold|1|"),
        "{told:?}"
    );
    assert!(
        wedged[1].starts_with("WARN below|1|below: 1 sub-task or hold|0|"),
        "{told:?}"
    );
    assert_eq!(wedged.len(), 2);
}
