//! The script: what becomes of the dependency, and when.

use std::error::Error;
use std::time::Duration;

use overwatch::machine::Phase;
use overwatch::test_util::FakeDependency;
use overwatch::{Handle, Policy, Tuning, http};
use overwatch_examples::endpoint::{Endpoint, serve};
use overwatch_examples::service::service;
use overwatch_examples::timeline::{Entry, Timeline};
use tokio::time::{Instant, sleep, timeout};

use crate::summary::Summary;

/// How long the dependency must prove itself in this show.
pub(crate) const WINDOW: Duration = Duration::from_secs(3);
/// How long the whole show may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);
/// How long the service is watched while it runs.
const RUNS: Duration = Duration::from_millis(1500);
/// How long the dependency is gone, or stays as it is while it flaps.
const GONE: Duration = Duration::from_secs(1);
const FLAP: Duration = Duration::from_millis(500);
/// How often the probe looks.
const LOOK: Duration = Duration::from_millis(200);

fn policy() -> Result<Policy, overwatch::PolicyError> {
    Policy::builder()
        .window(WINDOW)
        .silence_limit(Duration::from_millis(1500))
        .stop_deadline(Duration::from_secs(2))
        .tuning(
            Tuning::default()
                // Each relapse would double the window; here it is forgiven at once.
                .with_stable_after(RUNS / 2)
                .with_jitter(Duration::ZERO),
        )
        .build()
}

/// Plays the script: `say` is given the heading, `each` what happens, as it happens.
pub(crate) async fn play(
    mut say: impl FnMut(&str),
    mut each: impl FnMut(Entry),
) -> Result<Summary, Box<dyn Error>> {
    let began = Instant::now();
    let (timeline, mut entries) = Timeline::begin();
    let (endpoint, listener) = Endpoint::bind().await?;
    let dependency = FakeDependency::observed_every(LOOK);
    let service = service(dependency.probe(), policy()?, &timeline, endpoint)?;
    let handle = service.handle();
    let health = serve(listener, http::router(handle.clone()));

    say("A service of three components that cannot live without its dependency.");
    say("stage 0: membership, pool; stage 1: scheduler, whose jobs run on this node.");
    say(&format!(
        "After an outage the dependency must prove itself for {WINDOW:?} (default {:?}).",
        Policy::default().window()
    ));
    say(&format!(
        "Ask yourself: curl -i http://{endpoint}/status/check\n"
    ));

    let follower = timeline.follow(&handle, endpoint);
    let stage = Stage {
        dependency,
        handle: handle.clone(),
        timeline,
        endpoint,
    };
    let mut told = Vec::new();
    let read = async {
        while let Some(entry) = entries.recv().await {
            each(entry.clone());
            told.push(entry);
        }
    };
    // The timeline ends when all who write to it are gone: the service, the follower and the script.
    let show = async { tokio::join!(service.run(), follower, stage.script(), read) };
    let Ok((ended, followed, played, ())) = timeout(WITHIN, show).await else {
        return Err(format!("the show is not over after {WITHIN:?}").into());
    };
    played?;
    ended?;
    followed?;
    health.abort();
    Ok(Summary::of(told, handle.outages(), began.elapsed()))
}

/// Who plays the script.
struct Stage {
    dependency: FakeDependency,
    handle: Handle,
    timeline: Timeline,
    endpoint: Endpoint,
}

impl Stage {
    async fn script(self) -> Result<(), Box<dyn Error>> {
        self.timeline.dependency(true, "is up");
        self.timeline.check(self.endpoint).await;
        self.runs().await?;

        self.fails("connection refused");
        self.monitored().await?;
        sleep(GONE).await;
        self.recovers("is back").await;
        self.runs().await?;

        self.timeline
            .dependency(false, "hangs: no error, and no answer either");
        self.dependency.hang();
        self.monitored().await?;
        sleep(GONE).await;
        self.recovers("answers again").await;
        self.runs().await?;

        self.fails("no leader");
        self.monitored().await?;
        for _ in 0..2 {
            self.recovers("flaps: is up, but will not stay").await;
            sleep(FLAP).await;
            self.fails("flaps: no leader again");
            sleep(FLAP).await;
        }
        self.recovers("is back to stay").await;
        self.runs().await?;

        self.handle.shutdown();
        Ok(())
    }

    fn fails(&self, reason: &'static str) {
        self.timeline.dependency(false, format!("fails: {reason}"));
        self.dependency.fail(reason);
    }

    /// Also asks what is awaited now: the hold-off runs from here.
    async fn recovers(&self, what: &str) {
        self.timeline.dependency(true, what);
        self.dependency.recover();
        let _ = self
            .handle
            .wait_for(|status| {
                status
                    .dependency
                    .as_ref()
                    .is_some_and(|sight| sight.alive == Some(true))
            })
            .await;
        self.timeline.check(self.endpoint).await;
    }

    /// Until everything is stopped.
    async fn monitored(&self) -> Result<(), overwatch::RunEnded> {
        let monitoring = |status: &overwatch::Status| status.phase == Phase::Monitoring;
        self.handle.wait_for(monitoring).await.map(drop)
    }

    async fn runs(&self) -> Result<(), overwatch::RunEnded> {
        self.handle.wait_until_ready().await?;
        sleep(RUNS).await;
        Ok(())
    }
}
