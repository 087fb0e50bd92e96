//! Renewals of a lease by a component that is not its owner.

use std::time::Duration;

use overwatch::policy::{ComponentId, Layout, Plan};
use overwatch::test_util::TestContext;
use overwatch::{Context, Fence};
use tokio::time::Instant;
use tracing::Level;

use super::support::{policy, start_by};
use super::trace::{Captured, Fields};

const TTL: Duration = Duration::from_secs(60);
const SAYS: &str = "a renewal of the lease has no effect, because this component is not the lease owner: add it with \
                    `lease_holder`, or name it with `lease_owner`";

async fn renews(ctx: Context) -> Result<(), overwatch::Failure> {
    ctx.mark_ready();
    while ctx.sleep(TTL / 10).await {
        ctx.lease_renewed(Instant::now(), TTL);
    }
    Ok(())
}

/// What is said of useless renewals.
fn said(captured: &Captured) -> Vec<(Level, Fields)> {
    let mut said = captured.at("overwatch::component");
    said.retain(|(_, fields)| fields["message"].contains("renewal"));
    said
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_another_than_the_owner_is_one_warning_for_each_incarnation() {
    let (captured, _guard) = Captured::begin();
    let fence = Fence::new(TTL, TTL / 10);
    let policy = policy().fence(fence).build().unwrap();
    let layout = Layout::new(&[2]).unwrap().with_lease_owner(ComponentId(0));
    let running = start_by(Plan::new(policy, layout).unwrap(), |builder, _| {
        builder
            .task("owner", renews)
            .task("other", renews)
            .lease_owner("owner")
    });
    running.until_ready(1).await;
    tokio::time::sleep(TTL).await;
    running.handle.trip().unwrap();
    running.until_ready(2).await;
    tokio::time::sleep(TTL).await;
    let said = said(&captured);
    assert_eq!(said.len(), 2, "{said:?}");
    for (level, mut fields) in said {
        assert_eq!(level, Level::WARN);
        assert!(fields.remove("at_ms").unwrap().parse::<u64>().unwrap() >= 6_000);
        let expected = [("component", "other"), ("message", SAYS)];
        assert!(
            fields
                .iter()
                .map(|(name, text)| (*name, &**text))
                .eq(expected),
            "{fields:?}"
        );
    }
    running.shut_down().await;
}

/// The test does what the lease owner's supervisor would do.
#[tokio::test(start_paused = true)]
async fn a_component_that_is_tested_alone_may_renew_its_lease() {
    let (captured, _guard) = Captured::begin();
    let test = TestContext::new("lock");
    let run = tokio::spawn(renews(test.context()));
    tokio::time::sleep(TTL).await;
    test.stop();
    run.await.unwrap().unwrap();
    assert!(said(&captured).is_empty());
    assert!(test.reports().is_empty());
}
