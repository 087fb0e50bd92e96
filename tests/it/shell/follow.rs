//! Following a run: status, transitions, outages, and what a builder refuses.

use std::time::Duration;

use overwatch::machine::{ComponentState, Phase};
use overwatch::policy::Fence;
use overwatch::{BuildError, Failure, Policy};

use super::support::{bounded, policy, start, worker};

#[tokio::test(start_paused = true)]
async fn transitions_tell_the_whole_story_in_order() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    let mut transitions = running.handle.transitions();
    running.until_ready(1).await;
    running.dependency.fail("connection refused");
    running.until_phase(Phase::Monitoring).await;
    running.dependency.recover();
    running.until_ready(2).await;
    running.shut_down().await;
    let mut story = Vec::new();
    while let Some(seen) = bounded(transitions.next()).await.unwrap() {
        assert_eq!(seen.number, story.len() as u64);
        story.push(format!(
            "{} {}->{} {} e{} o{}",
            seen.spent.as_secs(),
            seen.from,
            seen.to,
            seen.cause,
            seen.epoch,
            seen.outage
        ));
    }
    assert_eq!(
        story,
        [
            "0 Monitoring->Restarting recovered e1 o0",
            "0 Restarting->Running all_up e1 o0",
            "0 Running->ShuttingDown failing e1 o1",
            "0 ShuttingDown->Monitoring all_gone e1 o1",
            "30 Monitoring->Restarting recovered e2 o1",
            "0 Restarting->Running all_up e2 o1",
            "0 Running->ShuttingDown shutdown e2 o1",
            "0 ShuttingDown->Stopped all_gone e2 o1",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_transitions_is_told_how_many_it_missed() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    let mut transitions = running.handle.transitions();
    running.until_ready(1).await;
    for epoch in 2..1402 {
        running.handle.drain().unwrap();
        running.until_phase(Phase::Drained).await;
        running.handle.resume().unwrap();
        running.until_ready(epoch).await;
    }
    let lagged = transitions.next().await.unwrap_err();
    assert_eq!(lagged.0, 2 + 1401 * 5 - 4096 - 5, "{lagged}");
    assert_eq!(transitions.next().await.unwrap().unwrap().number, lagged.0);
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn status_says_why_and_what_is_awaited() {
    let running = start(&[1, 4], policy().build().unwrap(), |builder, notes| {
        let slow = |ctx: overwatch::Context| async move {
            ctx.sleep(Duration::from_secs(2)).await;
            ctx.mark_ready();
            ctx.stopping().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            Ok(())
        };
        let builder = builder
            .component("pool", worker(notes, "pool"))
            .next_stage();
        builder
            .task("a", slow)
            .task("b", slow)
            .task("c", slow)
            .task("d", slow)
    });
    let status = running.until_phase(Phase::Restarting).await;
    assert_eq!(
        status.dependency.as_ref().and_then(|sight| sight.alive),
        Some(true)
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let awaited = running.handle.status().awaited.unwrap();
    assert_eq!(awaited, "to be up within 29.0s: a, b, c and 1 more");
    let status = running.until_ready(1).await;
    assert_eq!(
        (&*status.reason, status.awaited),
        ("every component is up", None)
    );
    running.dependency.fail("connection refused");
    running.until_phase(Phase::ShuttingDown).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = running.handle.status();
    assert_eq!(
        &*status.reason,
        "the dependency is failing: connection refused"
    );
    assert_eq!(
        status.awaited.unwrap(),
        "to be gone within 9.0s: a, b, c and 1 more"
    );
    assert_eq!(status.time_in_phase, Duration::from_secs(1));
    let slots: Vec<_> = running
        .handle
        .components()
        .into_iter()
        .map(|one| (one.name.to_string(), one.stage, one.state))
        .collect();
    assert_eq!(
        slots[..2],
        [
            ("pool".into(), 0, ComponentState::Up),
            ("a".into(), 1, ComponentState::Stopping)
        ]
    );
    running.until_phase(Phase::Monitoring).await;
    let awaited = running
        .until(|status| status.dependency.is_some())
        .await
        .awaited
        .unwrap();
    assert_eq!(
        awaited,
        "the dependency to be seen alive, and then to stay alive for about 30.0s; it is failing: connection refused"
    );
    running.dependency.recover();
    let status = running
        .until(|status| {
            status
                .dependency
                .as_ref()
                .is_some_and(|sight| sight.alive == Some(true))
        })
        .await;
    assert_eq!(
        status.awaited.unwrap(),
        "the dependency to stay alive for at least another 30.0s of 30.0s"
    );
    // A moment before the end it is seconds as well.
    tokio::time::sleep(Duration::from_millis(29_960)).await;
    let awaited = running.handle.status().awaited;
    assert_eq!(
        awaited.unwrap(),
        "the dependency to stay alive for at least another 0.0s of 30.0s"
    );
    running.until_ready(2).await;
    let outages = running.handle.outages();
    assert_eq!(
        &*outages[1].reason,
        "the dependency is failing: connection refused"
    );
    assert!(outages[1].lasted.unwrap() > Duration::from_secs(30));
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_dependency_is_not_told_to_be_alive() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    running.until_ready(1).await;
    running.dependency.hang();
    running.until_phase(Phase::Monitoring).await;
    let status = running.handle.status();
    let sight = status.dependency.expect("something was seen");
    assert_eq!(sight.alive, Some(false));
    assert_eq!(&*sight.what, "no sign of life for 5s");
    assert!(status.awaited.unwrap().ends_with("no sign of life for 5s"));
    running.dependency.recover();
    running.until_ready(2).await;
    let seen = running.handle.status().dependency.unwrap();
    assert_eq!(seen.alive, Some(true));
    running.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn the_supervisor_answers_through_an_outage() {
    let running = start(&[1], policy().build().unwrap(), |builder, notes| {
        builder.component("a", worker(notes, "a"))
    });
    let soon = Duration::from_secs(1);
    running.until_ready(1).await;
    assert!(running.handle.is_responsive(soon).await);
    running.dependency.hang();
    running.until_phase(Phase::Monitoring).await;
    assert!(running.handle.is_responsive(soon).await);
    let handle = running.handle.clone();
    running.shut_down().await;
    assert!(!handle.is_responsive(soon).await);
}

#[test]
fn what_cannot_be_built_is_refused_with_what_to_do() {
    let begin = || crate::shell::replay::builder(overwatch::feed().1);
    let idle = |_| async { Ok::<(), Failure>(()) };
    let refused = |builder: overwatch::Builder| builder.build().unwrap_err();
    let cases = [
        (
            refused(begin()),
            "there are no components: add at least one",
        ),
        (
            refused(begin().task("a", idle).next_stage()),
            "stage 1 has no components: leave out a `next_stage`, or add one",
        ),
        (
            refused(begin().next_stage().task("a", idle)),
            "stage 0 has no components: leave out a `next_stage`, or add one",
        ),
        (
            refused(
                begin()
                    .task("a", idle)
                    .next_stage()
                    .next_stage()
                    .task("b", idle),
            ),
            "stage 1 has no components: leave out a `next_stage`, or add one",
        ),
        (
            refused(begin().task("a", idle).task("a", idle)),
            "two components are named \"a\": give each a name of its own",
        ),
        (
            refused(begin().task(" ", idle)),
            "component number 0 has an empty name: give it one",
        ),
        (
            refused(begin().task("a", idle).lease_owner("b")),
            "the lease owner \"b\" is no component: name one that was added",
        ),
        (
            refused(begin().task("a", idle).fence_watchdog(true)),
            "a fence watchdog without a fence: set the policy's fence, or ask for no watchdog",
        ),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
    let second = Duration::from_secs(1);
    let policy = Policy::builder()
        .fence(Fence::new(20 * second, second))
        .build()
        .unwrap();
    let error = begin()
        .task("a", idle)
        .lease_owner("a")
        .policy(policy)
        .build()
        .unwrap_err();
    assert!(matches!(error, BuildError::Policy(_)));
    assert!(
        error.to_string().starts_with("`fence.ttl` is 20s"),
        "{error}"
    );
}
