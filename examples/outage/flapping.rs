//! A dependency that fails again as soon as the service runs: each time it must prove itself for longer.

use std::error::Error;
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::test_util::FakeDependency;
use overwatch::{Handle, Policy, RunEnded, Status, Tuning, http};
use overwatch_examples::endpoint::{Endpoint, serve};
use overwatch_examples::service::service;
use overwatch_examples::timeline::{Entry, Timeline};
use tokio::time::{sleep, timeout};

/// How long the dependency must prove itself at first.
pub(crate) const WINDOW: Duration = Duration::from_millis(500);
/// How often the dependency fails.
const FAILURES: u64 = 4;
/// How long the service runs in between: not long enough for the level to sink.
const RUNS: Duration = Duration::from_millis(300);
/// How long the whole show may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How often the probe looks.
const LOOK: Duration = Duration::from_millis(100);

fn policy() -> Result<Policy, overwatch::PolicyError> {
    let tuning = Tuning::default().with_jitter(Duration::ZERO);
    Policy::builder().window(WINDOW).tuning(tuning).build()
}

/// Plays it, and returns the hold-off of each outage: `say` is given the heading, `each` what happens, as it happens.
pub(crate) async fn play(
    mut say: impl FnMut(&str),
    mut each: impl FnMut(Entry),
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let (timeline, mut entries) = Timeline::begin();
    let (endpoint, listener) = Endpoint::bind().await?;
    let dependency = FakeDependency::observed_every(LOOK);
    let service = service(dependency.probe(), policy()?, &timeline, endpoint)?;
    let handle = service.handle();
    let health = serve(listener, http::router(handle.clone()));

    say("A dependency that fails again as soon as the service runs.");
    say(&format!(
        "At first it must prove itself for {WINDOW:?}. Each relapse doubles that; `reset` begins anew.\n"
    ));

    let follower = timeline.follow(&handle, endpoint);
    let flapping = flap(dependency, handle, timeline, endpoint);
    let read = async {
        while let Some(entry) = entries.recv().await {
            each(entry);
        }
    };
    let show = async { tokio::join!(service.run(), follower, flapping, read) };
    let Ok((ended, followed, hold_offs, ())) = timeout(WITHIN, show).await else {
        return Err(format!("the show is not over after {WITHIN:?}").into());
    };
    ended?;
    followed?;
    health.abort();
    Ok(hold_offs?)
}

async fn flap(
    dependency: FakeDependency,
    handle: Handle,
    timeline: Timeline,
    endpoint: Endpoint,
) -> Result<Vec<Duration>, RunEnded> {
    let mut hold_offs = Vec::new();
    for failure in 0..=FAILURES {
        handle.wait_until_ready().await?;
        sleep(RUNS).await;
        if failure == FAILURES {
            // An operator has mended the cause.
            let _ = handle.reset();
            handle.wait_for(|status| status.level == 0).await?;
        }
        timeline.dependency(false, "fails: no leader");
        dependency.fail("no leader");
        handle
            .wait_for(|status| status.phase == Phase::Monitoring)
            .await?;
        timeline.dependency(true, "is back");
        dependency.recover();
        let holds_off = |status: &Status| {
            let seen = status.dependency.as_ref();
            status.phase == Phase::Monitoring && seen.is_some_and(|seen| seen.alive == Some(true))
        };
        let status = handle.wait_for(holds_off).await?;
        hold_offs.extend(status.hold_off);
        // The answer says how long it takes, and why.
        timeline.check(endpoint).await;
    }
    handle.wait_until_ready().await?;
    handle.shutdown();
    Ok(hold_offs)
}
