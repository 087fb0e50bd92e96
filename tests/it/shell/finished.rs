//! Components that finish, and those that fail too often.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use overwatch::machine::{ComponentState, HaltReason, Phase, RunOutcome};
use overwatch::policy::{ComponentId, FailureLimit, Fence, Layout, Plan, PolicyBuilder};
use overwatch::{BuildError, Builder, Context, Failure, Overwatch};

use super::support::{Running, bounded, policy, start, start_by, worker};
use super::trace::Captured;

const HOUR: Duration = Duration::from_secs(3600);

fn plan_with_one_shots(policy: PolicyBuilder, stages: &[usize], one_shots: &[u32]) -> Plan {
    let layout = Layout::new(stages).expect("no gaps");
    let layout = one_shots
        .iter()
        .fold(layout, |layout, &id| layout.with_one_shot(ComponentId(id)));
    Plan::new(policy.build().expect("valid"), layout).expect("valid")
}

/// Migrate, then go on.
#[tokio::test(start_paused = true)]
async fn the_next_stage_starts_when_a_component_has_finished() {
    let plan = plan_with_one_shots(policy(), &[1, 1], &[0]);
    let running = start_by(plan, |builder, notes| {
        let migrated = notes.clone();
        builder
            .task("migration", move |ctx: Context| async move {
                ctx.sleep(Duration::from_secs(3)).await;
                migrated.add(format!("migrated {}", ctx.epoch()));
                Ok(())
            })
            .may_finish()
            .next_stage()
            .component("api", worker(notes, "api"))
    });
    running.until_ready(1).await;
    assert_eq!(running.notes.all(), ["migrated 1", "api up 1"]);
    let states = |running: &Running| {
        let components = running.handle.components();
        components.iter().map(|it| it.state).collect::<Vec<_>>()
    };
    assert_eq!(
        states(&running),
        [ComponentState::Finished, ComponentState::Up]
    );
    running.handle.trip().unwrap();
    running.until_phase(Phase::Monitoring).await;
    assert_eq!(states(&running), [ComponentState::Down; 2]);
    running.until_ready(2).await;
    assert_eq!(running.notes.count("migrated 2"), 1);
    running.shut_down().await;
}

/// Read the configuration, then go on.
#[tokio::test(start_paused = true)]
async fn what_has_finished_has_provided_for_the_rest_of_the_epoch() {
    let alive = Arc::new(());
    let plan = plan_with_one_shots(policy(), &[1, 1], &[0]);
    let provided = Arc::clone(&alive);
    let running = start_by(plan, move |builder, notes| {
        let notes = notes.clone();
        builder
            .task("config", move |ctx: Context| async move {
                ctx.provide((ctx.epoch(), provided));
                Ok(())
            })
            .may_finish()
            .next_stage()
            .task("api", move |ctx: Context| async move {
                let config = ctx.resource::<(u64, Arc<()>)>()?;
                notes.add(format!("configured {}", config.0));
                drop(config);
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            })
    });
    running.until_ready(1).await;
    assert_eq!(running.notes.all(), ["configured 1"]);
    // This one, that of the closure, and that of the run.
    assert_eq!(Arc::strong_count(&alive), 3);
    running.handle.drain().unwrap();
    running.until_phase(Phase::Drained).await;
    assert_eq!(Arc::strong_count(&alive), 2, "it belonged to the epoch");
    running.handle.resume().unwrap();
    running.until_ready(2).await;
    assert_eq!(running.notes.count("configured 2"), 1);
    running.shut_down().await;
}

/// What it started still holds it.
#[tokio::test(start_paused = true)]
async fn a_component_has_finished_when_its_sub_tasks_have() {
    let plan = plan_with_one_shots(policy(), &[1, 1], &[0]);
    let running = start_by(plan, |builder, notes| {
        let noted = notes.clone();
        builder
            .task("migration", move |ctx: Context| async move {
                ctx.spawn(async move {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    noted.add("the last part is done");
                    Ok(())
                });
                Ok(())
            })
            .may_finish()
            .next_stage()
            .component("api", worker(notes, "api"))
    });
    running.until_ready(1).await;
    assert_eq!(running.notes.all(), ["the last part is done", "api up 1"]);
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_when_all_have_finished() {
    let plan = plan_with_one_shots(policy().end_when_finished(true), &[2], &[0, 1]);
    let running = start_by(plan, |builder, _| {
        let takes = |seconds| {
            move |ctx: Context| async move {
                ctx.mark_ready();
                ctx.sleep(Duration::from_secs(seconds)).await;
                Ok(())
            }
        };
        let builder = builder.task("short", takes(1)).may_finish();
        builder.task("long", takes(5)).may_finish()
    });
    let handle = running.handle.clone();
    running.end().await.0.expect("all is done");
    let report = handle.wait_until_ended().await;
    assert_eq!(report.outcome(), Some(RunOutcome::Stopped));
    assert_eq!(report.reason(), "every component has finished");
    assert!(report.is_clean() && report.signal().is_none());
}

/// A component that fails two seconds after each start.
async fn flaky(ctx: Context) -> Result<(), Failure> {
    ctx.mark_ready();
    ctx.sleep(Duration::from_secs(2)).await;
    match ctx.is_stopping() {
        true => Ok(()),
        false => Err(Failure::new("the disk is full")),
    }
}

/// Each start succeeds, so the limit on starts is of no use.
#[tokio::test(start_paused = true)]
async fn a_component_that_fails_too_often_ends_the_run() {
    let policy = policy()
        .give_up_after(1)
        .failure_limit(FailureLimit::new(3, HOUR))
        .build();
    let running = start(&[2], policy.unwrap(), |builder, notes| {
        builder
            .task("flaky", flaky)
            .component("a", worker(notes, "a"))
    });
    let handle = running.handle.clone();
    let error = running.end().await.0.unwrap_err();
    assert_eq!(error.why(), Some(HaltReason::GaveUp));
    assert_eq!(handle.status().epoch, 3);
    let reason = error.report().reason();
    assert!(
        reason.contains("\"flaky\" failed 3 times within 3600s")
            && reason.contains("the disk is full"),
        "{reason}"
    );
}

/// Two failures within an hour, and then one that is more than an hour later.
#[tokio::test(start_paused = true)]
async fn failures_are_forgotten_after_the_time() {
    let starts = Arc::new(AtomicU32::new(0));
    let policy = policy().failure_limit(FailureLimit::new(3, HOUR)).build();
    let running = start(&[1], policy.unwrap(), |builder, _| {
        builder.task("flaky", move |ctx: Context| async move {
            ctx.mark_ready();
            let start = starts.fetch_add(1, Ordering::Relaxed);
            let after = [2, 2, 3_600][start.min(2) as usize];
            ctx.sleep(Duration::from_secs(after)).await;
            match ctx.is_stopping() {
                true => Ok(()),
                false => Err(Failure::new("the disk is full")),
            }
        })
    });
    for epoch in 1..=5 {
        tokio::time::timeout(
            2 * HOUR,
            running
                .handle
                .wait_for(|status| status.ready && status.epoch == epoch),
        )
        .await
        .expect("it is restarted")
        .expect("it goes on");
    }
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_component_that_fails_too_often_drains_if_the_policy_wants_it() {
    let limit = FailureLimit::new(2, HOUR).with_drain(true);
    let policy = policy().failure_limit(limit).build();
    let running = start(&[1], policy.unwrap(), |builder, _| {
        builder.task("flaky", flaky)
    });
    let status = running.until_phase(Phase::Drained).await;
    assert_eq!(status.epoch, 2);
    assert!(
        status
            .reason
            .contains("\"flaky\" failed 2 times within 3600s"),
        "{}",
        status.reason
    );
    // Whoever resumes accepts what was.
    running.handle.resume().unwrap();
    running.until_ready(3).await;
    running.until_ready(4).await;
    bounded(
        running
            .handle
            .wait_for(|status| status.phase == Phase::Drained),
    )
    .await
    .expect("the run goes on");
    running.shut_down().await;
}

/// Both limits are reached at once, and the graver one decides.
#[tokio::test(start_paused = true)]
async fn a_limit_that_decides_nothing_is_not_told() {
    let (captured, _guard) = Captured::begin();
    let limit = FailureLimit::new(1, HOUR).with_drain(true);
    let policy = policy().give_up_after(1).failure_limit(limit);
    let running = start(&[2], policy.build().unwrap(), |builder, _| {
        builder
            .task("up", |ctx: Context| async move {
                ctx.mark_ready();
                Err(Failure::new("full"))
            })
            .task("slow", |ctx: Context| async move {
                ctx.stopping().await;
                Ok(())
            })
    });
    let error = running.end().await.0.unwrap_err();
    assert_eq!(error.why(), Some(HaltReason::GaveUp));
    assert!(
        error.to_string().contains("a start failed: \"up\""),
        "{error}"
    );
    assert_eq!(captured.at("overwatch::limit"), []);
}

/// What cannot work is refused with what to do.
#[test]
fn what_may_never_finish_is_refused() {
    let build = |policy: PolicyBuilder, add: fn(Builder) -> Builder| {
        let builder =
            Overwatch::builder(overwatch::no_dependency()).policy(policy.build().unwrap());
        add(builder).build().map(|_| ())
    };
    let ends = || policy().end_when_finished(true);
    assert_eq!(
        build(policy(), |builder| builder.may_finish().task("a", flaky)),
        Err(BuildError::NothingMayFinish)
    );
    assert_eq!(
        build(ends(), |builder| builder
            .task("a", flaky)
            .may_finish()
            .task("b", flaky)),
        Err(BuildError::NeverFinishes { name: "b".into() })
    );
    let both: fn(Builder) -> Builder = |builder| {
        builder
            .task("a", flaky)
            .may_finish()
            .task("b", flaky)
            .may_finish()
    };
    assert_eq!(build(ends(), both), Ok(()));
    let fenced = policy().fence(Fence::new(HOUR, Duration::from_secs(1)));
    assert_eq!(
        build(fenced, |builder| builder
            .task("lease", flaky)
            .may_finish()
            .lease_owner("lease")),
        Err(BuildError::LeaseOwnerMayFinish {
            name: "lease".into()
        })
    );
}

/// It crashes after it has come up, and before the service is ready.
#[tokio::test(start_paused = true)]
async fn a_component_that_crashes_in_each_start_is_counted_too() {
    let limit = FailureLimit::new(3, HOUR).with_drain(true);
    let policy = policy().failure_limit(limit).build();
    let running = start(&[2, 1], policy.unwrap(), |builder, notes| {
        builder
            .component("a", worker(notes, "a"))
            .task("crashes", |ctx: Context| async move {
                ctx.mark_ready();
                Err(Failure::new("a bad job"))
            })
            .next_stage()
            .component("b", worker(notes, "b"))
    });
    let status = running.until_phase(Phase::Drained).await;
    assert_eq!(status.epoch, 3);
    assert!(
        status.reason.contains("\"crashes\" failed 3 times") && status.reason.contains("a bad job"),
        "{}",
        status.reason
    );
    running.shut_down().await;
}

/// With others to stop, the limit is reached while they stop: the log must say it.
#[tokio::test(start_paused = true)]
async fn the_log_says_that_a_component_has_failed_too_often() {
    let (captured, _guard) = Captured::begin();
    let limit = FailureLimit::new(2, HOUR).with_drain(true);
    let policy = policy().failure_limit(limit).build();
    let running = start(&[2], policy.unwrap(), |builder, notes| {
        builder
            .component("a", worker(notes, "a"))
            .task("flaky", flaky)
    });
    running.until_phase(Phase::Drained).await;
    let told = captured.at("overwatch::limit");
    let [(level, fields)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(*level, tracing::Level::WARN);
    assert!(
        fields["reason"].contains("\"flaky\" failed 2 times"),
        "{fields:?}"
    );
    assert_eq!(fields["drains"], "true");
    running.shut_down().await;
}
