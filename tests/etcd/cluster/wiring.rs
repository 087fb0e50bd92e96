//! A membership and shards that are wired in the wrong way are refused when the service is built, without an etcd.

use std::time::Duration;

use overwatch::etcd::{EtcdConfig, EtcdProbe, Membership, Shard, Shards};
use overwatch::policy::PolicyBuilder;
use overwatch::{
    Builder, Component, Context, Failure, Fence, Overwatch, Policy, Probe, no_dependency, polled,
};

use super::SECOND;

/// The default time to live.
const TTL: Duration = Duration::from_secs(15);

fn etcd() -> EtcdConfig {
    EtcdConfig::new(["http://127.0.0.1:2379"]).expect("a valid endpoint")
}

fn membership(ttl: Duration) -> Membership {
    let builder = Membership::builder(etcd(), "p", "a").ttl(ttl);
    builder.build().expect("valid")
}

fn shards(membership: &Membership, work: &str) -> Shards {
    let job = |shard: Shard| async move {
        shard.stopping().await;
        Ok(())
    };
    Shards::new(membership, work, 4, job).expect("valid")
}

async fn idle(ctx: Context) -> Result<(), Failure> {
    ctx.mark_ready();
    ctx.stopping().await;
    Ok(())
}

/// The deadlines of the guide.
fn deadlines() -> PolicyBuilder {
    Policy::builder()
        .start_deadline(5 * SECOND)
        .stop_deadline(2 * SECOND)
        .abort_deadline(SECOND / 2)
}

fn begin_with(etcd: EtcdConfig, policy: PolicyBuilder) -> Builder {
    let probe = EtcdProbe::new(etcd).expect("valid");
    Overwatch::builder(probe).policy(policy.build().expect("a valid policy"))
}

fn begin() -> Builder {
    begin_with(etcd(), deadlines())
}

fn right(builder: Builder) {
    if let Err(error) = builder.build() {
        panic!("refused: {error}");
    }
}

fn refused(builder: Builder, text: &str) {
    let error = builder.build().expect_err("refused").to_string();
    assert_eq!(error, text);
}

#[test]
fn the_shortest_wiring_is_right() {
    let node = membership(TTL);
    let (checks, reports) = (shards(&node, "checks"), shards(&node, "reports"));
    let builder = begin()
        .lease_holder("membership", node)
        .component("checks", checks)
        .component("reports", reports);
    right(builder);
    // The long way is right as well.
    let node = membership(TTL);
    let checks = shards(&node, "checks");
    let builder = begin_with(etcd(), deadlines().fence(node.fence()))
        .component("membership", node)
        .lease_owner("membership")
        .next_stage()
        .component("checks", Box::new(checks));
    right(builder);
    // A node without work.
    right(begin().lease_holder("membership", membership(TTL)));
}

/// What is set are the deadlines of the guide, and no others. The default ones are too long for a lease of 15 s.
#[test]
fn the_defaults_build_with_the_deadlines_of_the_guide() {
    let with = |etcd: EtcdConfig, policy: PolicyBuilder| {
        let node = Membership::builder(etcd.clone(), "p", "a").build();
        let node = node.expect("valid");
        let checks = shards(&node, "checks");
        begin_with(etcd, policy)
            .lease_holder("membership", node)
            .component("checks", checks)
    };
    right(with(etcd(), deadlines()));
    right(with(etcd().fast(), deadlines()));
    right(with(
        etcd().gentle(),
        deadlines().silence_limit(20 * SECOND),
    ));
    let error = with(etcd(), Policy::builder())
        .build()
        .expect_err("refused");
    assert!(
        error.to_string().starts_with("`fence.ttl` is 15s"),
        "{error}"
    );
}

#[test]
fn a_membership_without_a_fence_or_without_the_lease_is_refused() {
    let node = membership(TTL);
    refused(
        begin().component("membership", node.clone()),
        "component \"membership\": the service does not stop its work before the lease of this \
         membership expires: add the membership with `Builder::lease_holder`, which brings its fence \
         along",
    );
    refused(
        begin()
            .component("membership", node.clone())
            .lease_owner("membership"),
        "component \"membership\" owns a lease, but the policy has no fence: set the fence, add the \
         component with `lease_holder`, which brings the fence along, or name no owner",
    );
    refused(
        begin_with(etcd(), deadlines().fence(node.fence())).component("membership", node),
        "the policy has a fence, but no component owns its lease: add the one that renews it with \
         `lease_holder`, name it with `lease_owner`, or set no fence",
    );
}

#[test]
fn a_lease_that_the_shards_own_is_refused() {
    let node = membership(TTL);
    let checks = shards(&node, "checks");
    refused(
        begin_with(etcd(), deadlines().fence(node.fence()))
            .component("membership", node)
            .next_stage()
            .component("checks", checks)
            .lease_owner("checks"),
        "component \"membership\": the lease owner is \"checks\", so the service does not follow the \
         lease of this membership: leave out `lease_owner`, and add the membership with \
         `Builder::lease_holder` (a second membership needs a service of its own)",
    );
}

#[test]
fn shards_that_do_not_come_after_their_membership_are_refused() {
    let node = membership(TTL);
    let checks = shards(&node, "checks");
    refused(
        begin()
            .component("w", checks)
            .next_stage()
            .lease_holder("membership", node.clone()),
        "component \"w\": it is in stage 0, but must be in a later one than its membership \
         \"membership\", which is in stage 1: add it after the membership, which `Builder::lease_holder` \
         adds with a stage",
    );
    let checks = shards(&node, "checks");
    refused(
        begin_with(etcd(), deadlines().fence(node.fence()))
            .component("membership", node.clone())
            .lease_owner("membership")
            .component("w", checks),
        "component \"w\": it is in stage 0, but must be in a later one than its membership \
         \"membership\", which is in stage 0: add it after the membership, which `Builder::lease_holder` \
         adds with a stage",
    );
    let without = "component \"w\": its membership is not in this service, so no shard would ever run: \
                   before it, add the membership that these shards were made with, or a clone, with \
                   `Builder::lease_holder`";
    refused(begin().component("w", shards(&node, "checks")), without);
    // Another one with the same name is not the same one.
    refused(
        begin()
            .lease_holder("membership", membership(TTL))
            .component("w", shards(&node, "checks")),
        without,
    );
}

#[test]
fn a_membership_under_the_fence_of_another_lease_is_refused() {
    let node = membership(6 * SECOND);
    let policy = || deadlines().fence(Fence::new(3_600 * SECOND, 60 * SECOND));
    let fences = "(ttl 3600s, margin 360s, renewal interval 60s instead of ttl 6s, grace 1s, margin \
                  500ms, renewal interval 1s)";
    refused(
        begin_with(etcd(), policy())
            .component("membership", node.clone())
            .lease_owner("membership"),
        &format!(
            "component \"membership\": the policy's fence is not that of this membership {fences}: set \
             no fence in the policy, and add the membership with `Builder::lease_holder`, which brings \
             it along"
        ),
    );
    refused(
        begin_with(etcd(), policy()).lease_holder("membership", node),
        &format!(
            "the policy's fence is not that of the lease holder \"membership\" {fences}: set no fence in \
             the policy, the lease holder brings its own"
        ),
    );
}

#[test]
fn what_is_added_twice_is_refused() {
    let node = membership(TTL);
    refused(
        begin()
            .lease_holder("membership", node.clone())
            .component("again", node.clone()),
        "component \"membership\": \"again\" is the same membership, because clones are: add it once",
    );
    refused(
        begin()
            .lease_holder("membership", node.clone())
            .component("one", shards(&node, "checks"))
            .component("other", shards(&node, "checks")),
        "component \"one\": \"other\" does the work \"checks\" under the same membership: give each \
         work a name of its own",
    );
}

/// The lease of 14 s has a margin of 1.4 s and is renewed after 2.8 s. Two stages of 2.5 s leave 4.8 s when a renewal
/// is due, three leave 2.3 s: less than an election may take, which the probe does not report.
#[test]
fn a_fence_that_an_election_would_trip_is_refused() {
    let of_stages = |etcd: EtcdConfig, stages| {
        let membership = Membership::builder(etcd.clone(), "p", "a").build();
        let builder = begin_with(etcd, deadlines().start_deadline(4 * SECOND))
            .lease_holder("membership", membership.expect("valid"));
        (1..stages).fold(builder, |builder, stage| {
            builder.next_stage().task(format!("stage {stage}"), idle)
        })
    };
    for etcd in [etcd(), etcd().fast()] {
        // 4.8 s are enough.
        right(of_stages(etcd.clone(), 2));
        refused(
            of_stages(etcd, 3),
            "`fence.ttl` is 15s, but less the grace of 1s, the margin of 1.4s and the stop budget of 3 \
             stages \u{d7} (2s stop + 500ms abort) = 7.5s it leaves 5.1s for work, which must be more \
             than `fence.renewal_interval` = 2.8s + what the probe forgives = 3s, together 5.8s: \
             lengthen the lease or shorten the deadlines",
        );
    }
    // Shorter elections fit.
    let etcd = etcd().with_election_timeout(Duration::from_millis(700));
    right(of_stages(etcd, 3));
}

/// The lease is renewed at etcd, whatever the service depends on otherwise.
#[test]
fn an_election_must_fit_whatever_the_probe_observes() {
    let error = "component \"membership\": `fence.ttl` is 15s, but less the grace of 1s, the margin of 1.4s \
                 and the stop budget of 3 stages \u{d7} (2s stop + 500ms abort) = 7.5s it leaves 5.1s for \
                 work, which must be more than `fence.renewal_interval` = 2.8s + an election = 3s, together \
                 5.8s: lengthen the lease or shorten the deadlines";
    let of_stages = |probe: Box<dyn Probe>, etcd: EtcdConfig, stages| {
        let membership = Membership::builder(etcd, "p", "a").build().expect("valid");
        let builder = Overwatch::builder(probe)
            .policy(
                deadlines()
                    .start_deadline(4 * SECOND)
                    .build()
                    .expect("valid"),
            )
            .lease_holder("membership", membership);
        (1..stages).fold(builder, |builder, stage| {
            builder.next_stage().task(format!("stage {stage}"), idle)
        })
    };
    let database = || Box::new(polled(SECOND, SECOND, || async { Ok(()) }));
    right(of_stages(database(), etcd(), 2));
    refused(of_stages(database(), etcd(), 3), error);
    let short = || etcd().with_election_timeout(Duration::from_millis(700));
    right(of_stages(database(), short(), 3));
    // The probe expects shorter elections than the membership.
    let probe = EtcdProbe::new(short()).expect("valid");
    refused(of_stages(Box::new(probe), etcd(), 3), error);
}

/// A closure and a type that forwards only `run` hide the membership from the checks of `build`.
#[tokio::test]
async fn a_membership_that_build_cannot_see_ends_the_run_with_the_same_error() {
    struct Forwarding(Membership);

    #[overwatch::async_trait]
    impl Component for Forwarding {
        async fn run(&self, ctx: Context) -> Result<(), Failure> {
            self.0.run(ctx).await
        }
    }

    let closure = |node: Membership| move |ctx: Context| async move { node.run(ctx).await };
    let ends = async |builder: Builder, text: &str| {
        let service = builder.build().expect("nothing is seen");
        let ended = tokio::time::timeout(20 * SECOND, service.run()).await;
        let error = ended.expect("in time").expect_err("refused").to_string();
        assert!(error.contains(text), "{error}");
    };
    let always = || Overwatch::builder(no_dependency());
    let node = membership(TTL);
    let unfenced = "\"m\" failed fatally: the service does not stop its work before the lease of this membership \
                    expires: add the membership with `Builder::lease_holder`, which brings its fence along";
    ends(always().task("m", closure(node.clone())), unfenced).await;
    ends(always().component("m", Forwarding(node.clone())), unfenced).await;
    let fenced = |fence| always().policy(deadlines().fence(fence).build().expect("valid"));
    ends(
        fenced(node.fence())
            .task("other", idle)
            .lease_owner("other")
            .task("m", closure(node.clone())),
        "the lease owner is \"other\", so the service does not follow the lease of this membership",
    )
    .await;
    ends(
        fenced(Fence::new(3_600 * SECOND, 60 * SECOND))
            .task("m", closure(node.clone()))
            .lease_owner("m"),
        "the policy's fence is not that of this membership",
    )
    .await;
}
