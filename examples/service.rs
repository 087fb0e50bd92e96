//! The service of the `outage` example: one node of a cluster that runs scheduled jobs.
//!
//! | stage | component | what it stands for |
//! | --- | --- | --- |
//! | 0 | `membership` | tells the other nodes that this one is there: it gets its share of the jobs |
//! | 0 | `pool` | connections that the jobs need |
//! | 1 | `scheduler` | runs this node's share of the jobs |

use std::time::Duration;

use overwatch::{BuildError, Context, Failure, Overwatch, Policy, Probe};

use crate::endpoint::Endpoint;
use crate::timeline::{Did, Timeline};

/// How long joining the cluster takes, and leaving it.
const JOIN: Duration = Duration::from_millis(200);
/// How long it takes to connect the pool, and to close it.
const CONNECT: Duration = Duration::from_millis(120);
/// How often a job is due.
const JOB_EVERY: Duration = Duration::from_millis(700);
/// How long the job takes that is at work when the scheduler is told to stop.
const JOB_TAKES: Duration = Duration::from_millis(150);

/// Puts the service together. What its components do is told to the timeline; what `/status/check`
/// answers while they are being stopped is asked at the endpoint.
///
/// # Errors
///
/// If the policy cannot work.
pub fn service(
    probe: impl Probe,
    policy: Policy,
    timeline: &Timeline,
    endpoint: Endpoint,
) -> Result<Overwatch, BuildError> {
    let teller = Teller {
        timeline: timeline.clone(),
        endpoint,
    };
    let (for_membership, for_pool) = (teller.clone(), teller.clone());
    Overwatch::builder(probe)
        .policy(policy)
        .task("membership", |ctx| membership(ctx, for_membership))
        .task("pool", |ctx| pool(ctx, for_pool))
        .next_stage()
        .task("scheduler", |ctx| scheduler(ctx, teller))
        .build()
}

async fn membership(ctx: Context, teller: Teller) -> Result<(), Failure> {
    teller.did(&ctx, Did::Starts("joins the cluster"));
    tokio::time::sleep(JOIN).await;
    ctx.mark_ready();
    teller.did(
        &ctx,
        Did::Up("joined: this node gets its share of the jobs"),
    );
    ctx.stopping().await;
    teller.told_to_stop(&ctx).await;
    tokio::time::sleep(JOIN).await;
    teller.did(
        &ctx,
        Did::Gone("left the cluster: other nodes take over its jobs"),
    );
    Ok(())
}

async fn pool(ctx: Context, teller: Teller) -> Result<(), Failure> {
    teller.did(&ctx, Did::Starts("connects"));
    tokio::time::sleep(CONNECT).await;
    ctx.mark_ready();
    teller.did(&ctx, Did::Up("connected"));
    ctx.stopping().await;
    teller.told_to_stop(&ctx).await;
    tokio::time::sleep(CONNECT).await;
    teller.did(&ctx, Did::Gone("closed its connections"));
    Ok(())
}

async fn scheduler(ctx: Context, teller: Teller) -> Result<(), Failure> {
    teller.did(&ctx, Did::Starts("looks for its share of the jobs"));
    ctx.mark_ready();
    teller.did(&ctx, Did::Up("schedules"));
    // Local, so it begins afresh in every epoch.
    let mut jobs = 0;
    while ctx.sleep(JOB_EVERY).await {
        jobs += 1;
        teller.did(&ctx, Did::Ran { job: jobs });
    }
    teller.told_to_stop(&ctx).await;
    tokio::time::sleep(JOB_TAKES).await;
    teller.did(&ctx, Did::Gone("finished the job at hand, runs no more"));
    Ok(())
}

/// Tells the timeline what components do.
#[derive(Clone)]
struct Teller {
    timeline: Timeline,
    endpoint: Endpoint,
}

impl Teller {
    fn did(&self, ctx: &Context, did: Did) {
        self.timeline.component(ctx.name(), ctx.epoch(), did);
    }

    /// Asks first what the world is told by now: it must be "not ready" before anything stops.
    async fn told_to_stop(&self, ctx: &Context) {
        let code = self.endpoint.check().await.ok().map(|answer| answer.code);
        self.did(ctx, Did::ToldToStop { code });
    }
}
