//! The judge that users join to their runs.

use std::time::Duration;

use overwatch::test_util::{
    DependencyScript, FakeDependency, JudgeError, judged, judged_in_real_time,
};
use overwatch::{Builder, Overwatch};

use super::support::{Notes, bounded, policy, worker};

fn service(dependency: &FakeDependency) -> Builder {
    Overwatch::builder(dependency.probe())
        .policy(policy().build().unwrap())
        .component("a", worker(&Notes::default(), "a"))
}

#[tokio::test(start_paused = true)]
async fn a_run_through_a_script_is_judged_and_traced() {
    let second = Duration::from_secs(1);
    let dependency = FakeDependency::new();
    let (builder, judge) = judged(service(&dependency));
    let built = builder.build().unwrap();
    let handle = built.handle();
    assert_eq!(judge.verdict(), Err(JudgeError::NoSteps));
    let run = tokio::spawn(built.run());
    let script = DependencyScript::new()
        .alive(10 * second)
        .failing(3 * second)
        .alive(50 * second)
        .silent(20 * second);
    let began = tokio::time::Instant::now();
    script.play(&dependency).await;
    assert_eq!(began.elapsed(), script.duration());
    assert_eq!(handle.outages().len(), 3, "boot, a failure, a silence");
    bounded(handle.wait_until_ready()).await.unwrap();
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
    assert_eq!(judge.verdict(), Ok(()));
    let trace = judge.trace();
    assert!(trace.len() > 20, "{trace:#?}");
    assert!(
        trace[0].starts_with("0ns None None [OutageOpened"),
        "{}",
        trace[0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_real_time_with_its_own_thread_is_judged_too() {
    let dependency = FakeDependency::new();
    let (builder, judge) = judged_in_real_time(service(&dependency));
    let built = builder.build().unwrap();
    let handle = built.handle();
    let run = tokio::spawn(built.run());
    bounded(handle.wait_until_ready()).await.unwrap();
    dependency.fail("connection refused");
    bounded(handle.wait_for(|status| !status.ready))
        .await
        .unwrap();
    handle.shutdown();
    bounded(run).await.unwrap().unwrap();
    assert_eq!(judge.verdict(), Ok(()));
    assert!(judge.trace().len() > 5);
}

/// Else a test would judge nothing, and pass.
#[tokio::test(start_paused = true)]
async fn a_judge_whose_hook_was_replaced_says_so() {
    let dependency = FakeDependency::new();
    let (builder, judge) = judged(service(&dependency));
    let built = builder.on_step(|_| {}).build().unwrap();
    built
        .run_until(tokio::time::sleep(Duration::from_secs(1)))
        .await
        .unwrap();
    assert_eq!(judge.verdict(), Err(JudgeError::NoSteps));
}
