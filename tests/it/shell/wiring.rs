//! What is wired in the wrong way is refused when the service is built.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overwatch::policy::ComponentId;
use overwatch::{
    BuildError, Builder, Component, Context, Failure, Fence, LeaseHolder, Observation, Overwatch,
    Policy, Probe, StartStop, Wiring, WiringError, all, feed, isolated,
};

const SECOND: Duration = Duration::from_secs(1);

/// What a component saw of its wiring.
type Seen = Arc<Mutex<Vec<String>>>;

/// Notes its wiring, and refuses it if it is named so.
#[derive(Clone, Default)]
struct Checked(Seen);

impl Checked {
    fn note(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
        let owner = wiring.plan().layout().lease_owner();
        let found: Vec<_> = wiring
            .find::<Self>()
            .map(|(id, _)| (id, wiring.name_of(id)))
            .collect();
        self.0.lock().unwrap().push(format!(
            "{} {:?} in {}, leased by {owner:?}, with {found:?}",
            wiring.id(),
            wiring.name(),
            wiring.stage(),
        ));
        match wiring.name() {
            "refused" => Err(WiringError::new("it is not wanted: leave it out")),
            _ => Ok(()),
        }
    }
}

#[overwatch::async_trait]
impl Component for Checked {
    async fn run(&self, _: Context) -> Result<(), Failure> {
        Ok(())
    }

    fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
        self.note(wiring)
    }

    fn as_any(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(self)
    }
}

#[overwatch::async_trait]
impl StartStop for Checked {
    async fn start(&self, _: &Context) -> Result<(), Failure> {
        Ok(())
    }

    async fn stop(&self, _: &Context) -> Result<(), Failure> {
        Ok(())
    }

    fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
        self.note(wiring)
    }

    fn as_any(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(self)
    }
}

/// A lease of 20 s, of which its fence leaves 18 s.
struct Lock(Duration);

#[overwatch::async_trait]
impl Component for Lock {
    async fn run(&self, _: Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl LeaseHolder for Lock {
    fn fence(&self) -> Fence {
        Fence::new(self.0, 4 * SECOND)
    }
}

fn lock() -> Lock {
    Lock(20 * SECOND)
}

/// Stages of four seconds each.
fn policy() -> Policy {
    let policy = Policy::builder().start_deadline(2 * SECOND);
    let policy = policy.stop_deadline(3 * SECOND).abort_deadline(SECOND);
    policy.build().unwrap()
}

fn begin() -> Builder {
    Overwatch::builder(feed().1).policy(policy())
}

async fn idle(_: Context) -> Result<(), Failure> {
    Ok(())
}

fn refused(builder: Builder) -> String {
    builder.build().unwrap_err().to_string()
}

#[test]
fn a_component_sees_its_place_and_who_else_is_there() {
    let (one, other) = (Checked::default(), Checked::default());
    let (boxed, started) = (one.clone(), one.clone());
    let boxed: Box<dyn Component> = Box::new(boxed);
    let shared: Arc<dyn Component> = Arc::new(one.clone());
    let _ = begin()
        .lease_holder("lock", lock())
        .component("boxed", boxed)
        .task("closure", idle)
        .next_stage()
        .component("shared", Box::new(shared))
        .start_stop("started", Arc::new(started))
        .component("other", other.clone())
        .build()
        .unwrap();
    let with = "leased by Some(ComponentId(0)), with [(ComponentId(1), Some(\"boxed\")), (ComponentId(3), Some(\"shared\")), (ComponentId(4), Some(\"started\")), (ComponentId(5), Some(\"other\"))]";
    assert_eq!(
        *one.0.lock().unwrap(),
        [
            format!("#1 \"boxed\" in 1, {with}"),
            format!("#3 \"shared\" in 2, {with}"),
            format!("#4 \"started\" in 2, {with}"),
        ]
    );
    assert_eq!(
        *other.0.lock().unwrap(),
        [format!("#5 \"other\" in 2, {with}")]
    );
    let error = begin().component("refused", one).build().unwrap_err();
    assert!(matches!(&error, BuildError::Wiring { component, .. } if component == "refused"));
    assert_eq!(
        error.to_string(),
        "component \"refused\": it is not wanted: leave it out"
    );
}

/// The layout that a service of these components gets, as the last one of them sees it.
fn stages(builder: Builder) -> (Vec<usize>, Option<ComponentId>) {
    let seen: Arc<Mutex<Option<_>>> = Arc::default();
    type Seen = Option<(Vec<usize>, Option<ComponentId>)>;
    struct Looks(Arc<Mutex<Seen>>);
    #[overwatch::async_trait]
    impl Component for Looks {
        async fn run(&self, _: Context) -> Result<(), Failure> {
            Ok(())
        }

        fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
            let layout = wiring.plan().layout();
            let stages = (0..layout.stages()).map(|stage| layout.stage(stage).len());
            *self.0.lock().unwrap() = Some((stages.collect(), layout.lease_owner()));
            Ok(())
        }
    }
    let looks = Looks(Arc::clone(&seen));
    let _ = builder.component("looks", looks).build().unwrap();
    seen.lock().unwrap().take().unwrap()
}

#[test]
fn a_lease_holder_owns_the_lease_and_what_comes_after_it_is_in_a_later_stage() {
    let owner = |id| Some(ComponentId(id));
    assert_eq!(
        stages(begin().lease_holder("lock", lock())),
        (vec![1, 1], owner(0))
    );
    // Said twice, it is still one stage.
    let builder = begin().lease_holder("lock", lock()).next_stage();
    assert_eq!(stages(builder), (vec![1, 1], owner(0)));
    let builder = begin()
        .task("pool", idle)
        .lease_holder("lock", lock())
        .task("a", idle);
    assert_eq!(stages(builder), (vec![2, 2], owner(1)));
    // The owner and the fence may be said too.
    let fence = Policy::builder().fence(lock().fence());
    let fence = fence.start_deadline(2 * SECOND).stop_deadline(SECOND);
    let builder = begin()
        .policy(fence.build().unwrap())
        .lease_holder("lock", Box::new(lock()))
        .lease_owner("lock");
    assert_eq!(stages(builder), (vec![1, 1], owner(0)));
    // Nothing needs to come after it.
    assert!(
        begin()
            .lease_holder("lock", Arc::new(lock()))
            .build()
            .is_ok()
    );
}

#[test]
fn a_lease_that_is_wired_wrongly_is_refused_with_what_to_do() {
    let fenced = |fence| {
        let policy = Policy::builder().fence(fence).start_deadline(2 * SECOND);
        let policy = policy.stop_deadline(3 * SECOND).abort_deadline(SECOND);
        begin().policy(policy.build().unwrap())
    };
    for (builder, text) in [
        (
            begin().task("lock", idle).lease_owner("lock"),
            "component \"lock\" owns a lease, but the policy has no fence: set the fence, add the \
             component with `lease_holder`, which brings the fence along, or name no owner",
        ),
        (
            fenced(lock().fence()).task("lock", idle),
            "the policy has a fence, but no component owns its lease: add the one that renews it with \
             `lease_holder`, name it with `lease_owner`, or set no fence",
        ),
        (
            begin()
                .lease_holder("a", lock())
                .lease_holder("b", Lock(30 * SECOND)),
            "two components own the lease, \"a\" and \"b\": a service has one lease, so leave one out, \
             or put it into a service of its own",
        ),
        (
            begin()
                .lease_owner("work")
                .lease_holder("lock", lock())
                .task("work", idle),
            "two components own the lease, \"work\" and \"lock\": a service has one lease, so leave \
             one out, or put it into a service of its own",
        ),
        (
            fenced(Fence::new(3_600 * SECOND, SECOND)).lease_holder("lock", lock()),
            "the policy's fence is not that of the lease holder \"lock\" (ttl 3600s, margin 360s, \
             renewal interval 1s instead of ttl 20s, margin 2s, renewal interval 4s): set no fence in \
             the policy, the lease holder brings its own",
        ),
        (
            begin().lease_holder("lock", Lock(Duration::ZERO)),
            "`fence.ttl` is 0ns, but it must lie between 1ms and 86400s",
        ),
    ] {
        assert_eq!(refused(builder), text);
    }
}

/// Alive, and does not report what passes within this time.
#[derive(Clone, Copy)]
struct Forgives(Duration);

#[overwatch::async_trait]
impl Probe for Forgives {
    async fn observe(&self) -> Observation {
        Observation::alive("always")
    }

    fn forgives(&self) -> Duration {
        self.0
    }
}

/// 20 s less the margin of 2 s, the two stages of 4 s and the renewal interval of 4 s leave 6 s.
#[test]
fn what_the_probe_forgives_must_not_trip_the_fence() {
    let build = |probe: Box<dyn Probe>| {
        let builder = Overwatch::builder(probe).policy(policy());
        let builder = builder.lease_holder("lock", lock()).task("work", idle);
        builder.build()
    };
    let (fits, exceeds) = (Forgives(6 * SECOND - SECOND / 1_000), Forgives(6 * SECOND));
    assert!(build(Box::new(fits)).is_ok());
    let error = build(Box::new(exceeds)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`fence.ttl` is 20s, but less the margin of 2s and the stop budget of 2 stages \u{d7} (3s stop \
         + 1s abort) = 8s it leaves 10s for work, which must be more than `fence.renewal_interval` = 4s \
         + what the probe forgives = 6s, together 10s: lengthen the lease or shorten the deadlines"
    );
    // A wrapped probe forgives what the probe inside does.
    let wrapped: [(Box<dyn Probe>, Box<dyn Probe>); 3] = [
        (
            Box::new(Arc::new(Box::new(fits))),
            Box::new(Arc::new(Box::new(exceeds))),
        ),
        (Box::new(isolated(fits)), Box::new(isolated(exceeds))),
        (
            Box::new(all([
                Box::new(fits) as Box<dyn Probe>,
                Box::new(feed().1),
                Box::new(Forgives(SECOND)),
            ])),
            Box::new(all([
                Box::new(feed().1) as Box<dyn Probe>,
                Box::new(exceeds),
                Box::new(fits),
            ])),
        ),
    ];
    for (fits, exceeds) in wrapped {
        assert!(build(fits).is_ok());
        assert!(build(exceeds).is_err());
    }
    // Without a lease it does not matter.
    let builder = Overwatch::builder(Forgives(Duration::MAX)).task("work", idle);
    assert!(builder.build().is_ok());
}

/// Notes the start and stop deadline of each stage.
#[derive(Clone, Default)]
struct Deadlines(Arc<Mutex<Vec<(Duration, Duration)>>>);

#[overwatch::async_trait]
impl Component for Deadlines {
    async fn run(&self, _: Context) -> Result<(), Failure> {
        Ok(())
    }

    fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
        let plan = wiring.plan();
        let stages = 0..plan.layout().stages();
        let deadlines = stages.map(|stage| (plan.start_deadline(stage), plan.stop_deadline(stage)));
        *self.0.lock().unwrap() = deadlines.collect();
        Ok(())
    }
}

/// A deadline is that of the current stage, and a stage with a lease holder is complete.
#[test]
fn a_stage_may_have_deadlines_of_its_own() {
    let plan = |add: fn(Builder) -> Builder| {
        let seen = Deadlines::default();
        let built = add(begin()).component("sees", seen.clone()).build();
        built.map(|_| seen.0.lock().unwrap().clone())
    };
    let (start, stop) = (policy().start_deadline(), policy().stop_deadline());
    let slow = 600 * SECOND;
    assert_eq!(
        plan(|builder| builder
            .task("a", idle)
            .next_stage()
            .task("b", idle)
            .stage_start_deadline(600 * SECOND)
            .stage_stop_deadline(SECOND)
            .next_stage()
            .task("c", idle)),
        Ok(vec![(start, stop), (slow, SECOND), (start, stop)])
    );
    // Above the lease, which is renewed meanwhile, it may be as long as it likes.
    assert_eq!(
        plan(|builder| builder
            .lease_holder("lock", lock())
            .next_stage()
            .stage_start_deadline(600 * SECOND)
            .task("work", idle)),
        Ok(vec![(start, stop), (slow, stop)])
    );
    assert_eq!(
        plan(|builder| builder
            .stage_stop_deadline(SECOND)
            .lease_holder("lock", lock())
            .task("work", idle)),
        Ok(vec![(start, SECOND), (start, stop)])
    );
    let refused = plan(|builder| {
        builder
            .lease_holder("lock", lock())
            .stage_start_deadline(600 * SECOND)
            .task("work", idle)
    });
    assert_eq!(
        refused,
        Err(BuildError::StageIsComplete {
            method: "stage_start_deadline"
        })
    );
}
