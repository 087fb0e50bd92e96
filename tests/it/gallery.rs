//! A gallery of broken machines: each has one defect that an engineer could really make, and is
//! explored until a law catches it.
//!
//! A defect decides in the place of `Machine::handle`: it lets the real machine do its work and
//! spoils what it is told, what it asks for, or what it knows.
//!
//! Most are caught by a single step. That a world which is well may never recover shows only in the
//! whole graph, and no step looks wrong. The other three laws that are proved on the whole graph
//! have no exhibit that is caught only there, because none can be: they follow from what every step
//! must obey.
//!
//! - L7 and L12: a deadline is armed in every state in which something starts, waits for the end of
//!   the delay, or stops (L12, L16), and the silence limit in every one that is ready (L19); only an
//!   observation puts that off (L19), and nothing the others (L15). What fires leaves starting, the
//!   delay or readiness in that step (L16). While stopping, a deadline is
//!   armed only for components that are told to stop or aborted (L15), each is told so once (L8,
//!   L17), and none is started (L4): so there are only so many deadlines to the end.
//! - L13: whatever stops a service that was started, unless it is wanted, raises the level to one at
//!   least, only stability lowers it to less, and nothing is started at such a level unless a
//!   hold-off of some length has passed since the last start (L4).

mod ancestor;
mod finished;
mod frozen;
mod messages;
mod restart;
mod stop;
mod trip;

use std::collections::BTreeSet;
use std::sync::Arc;

use expect_test::expect;
use overwatch::explore::{Counterexample, ExploreError, Explorer, HandleFn};
use overwatch::law::Law;
use overwatch::machine::{AfterStop, Effect, Machine, Snapshot, State, Step, StopStep, Timer};
use overwatch::policy::{ComponentId, FailureLimit, Fence, Layout, Plan, PolicyBuilder, Tuning};

use crate::world::{fenced_by, ms, plan, tiny_policy, tiny_tuning};

/// A defect, and what becomes of it.
struct Exhibit {
    defect: &'static str,
    handle: HandleFn,
    plan: fn() -> Arc<Plan>,
    with_clock: bool,
    caught_by: Law,
    /// Whether it takes the whole graph to see it.
    only_in_the_long_run: bool,
}

impl Exhibit {
    /// One that shows with one component and no times, in a single step.
    const fn new(defect: &'static str, handle: HandleFn, caught_by: Law) -> Self {
        Self {
            defect,
            handle,
            plan: one,
            with_clock: false,
            caught_by,
            only_in_the_long_run: false,
        }
    }

    const fn on(mut self, plan: fn() -> Arc<Plan>) -> Self {
        self.plan = plan;
        self
    }

    const fn with_clock(mut self) -> Self {
        self.with_clock = true;
        self
    }

    const fn in_the_long_run(mut self) -> Self {
        self.only_in_the_long_run = true;
        self
    }

    fn explored(&self) -> Result<(), ExploreError> {
        explorer(self.plan, self.with_clock)
            .with_handle(self.handle)
            .run()
            .map(|_| ())
    }

    #[track_caller]
    fn refuted(&self) -> Counterexample {
        match self.explored() {
            Err(ExploreError::Counterexample(refuted)) => *refuted,
            other => panic!("{}: {other:?}", self.defect),
        }
    }
}

fn explorer(plan: fn() -> Arc<Plan>, with_clock: bool) -> Explorer {
    let explorer = Explorer::new(plan()).expect("small numbers");
    if with_clock {
        explorer.with_clock()
    } else {
        explorer
    }
}

/// Whether no single step broke the law.
fn took_the_graph(refuted: &Counterexample) -> bool {
    let last = refuted.path.last();
    !refuted.cycle.is_empty() || last.is_some_and(|turn| turn.step.is_some())
}

// The plans. What is told apart by none of their exhibits has one value only.

fn one() -> Arc<Plan> {
    plan(tiny_policy(), &[1])
}

/// Two components in one stage.
fn pair() -> Arc<Plan> {
    plan(one_level(tiny_tuning()), &[2])
}

/// One component above another.
fn tower() -> Arc<Plan> {
    plan(one_level(tiny_tuning()), &[1, 1])
}

/// The second report trips.
fn patient() -> Arc<Plan> {
    plan(one_level(tiny_tuning()).trip_threshold(2), &[1])
}

/// Three observations are needed to trust the dependency again.
fn demanding() -> Arc<Plan> {
    plan(one_level(tiny_tuning().with_min_evidence(3)), &[1])
}

/// Stays up for a while after readiness went off.
fn lingering() -> Arc<Plan> {
    plan(one_level(tiny_tuning().with_unready_delay(ms(1))), &[1])
}

/// Has few times to tell apart.
fn brief() -> Arc<Plan> {
    plan(one_level(tiny_tuning()), &[1])
}

/// Gives up with the first start that fails.
fn hasty() -> Arc<Plan> {
    plan(one_level(tiny_tuning()).give_up_after(1), &[1])
}

/// Works under a lease.
fn leased() -> Arc<Plan> {
    leased_with(tiny_tuning())
}

/// The same, and it stays up for a while after readiness went off.
fn lingering_leased() -> Arc<Plan> {
    leased_with(tiny_tuning().with_unready_delay(ms(1)))
}

fn leased_with(tuning: Tuning) -> Arc<Plan> {
    let fence = Fence::new(ms(6), ms(1)).with_margin(ms(1));
    fenced_by(one_level(tuning), fence, &[1])
}

/// The second stage has more time to start and to stop.
fn slow_second_stage() -> Arc<Plan> {
    let policy = one_level(tiny_tuning())
        .build()
        .expect("a policy that works");
    let layout = Layout::new(&[1, 1]).expect("a layout without gaps");
    let layout = layout
        .with_start_deadline(1, ms(3))
        .with_stop_deadline(1, ms(2));
    Arc::new(Plan::new(policy, layout).expect("a plan that works"))
}

/// Gives up on a component that fails too often.
fn limited() -> Arc<Plan> {
    let limit = FailureLimit::new(2, ms(5));
    plan(one_level(tiny_tuning()).failure_limit(limit), &[1])
}

/// Drains if a component fails too often.
fn limited_to_drain() -> Arc<Plan> {
    let limit = FailureLimit::new(2, ms(5)).with_drain(true);
    plan(one_level(tiny_tuning()).failure_limit(limit), &[1])
}

/// The first of two components may finish.
fn with_one_shot() -> Arc<Plan> {
    plan_of_one_shots(one_level(tiny_tuning()), &[0])
}

/// Both components may finish, and then the run ends.
fn batch() -> Arc<Plan> {
    plan_of_one_shots(one_level(tiny_tuning()).end_when_finished(true), &[0, 1])
}

fn plan_of_one_shots(policy: PolicyBuilder, one_shots: &[u32]) -> Arc<Plan> {
    let layout = Layout::new(&[1, 1]).expect("a layout without gaps");
    let layout = one_shots
        .iter()
        .fold(layout, |layout, &id| layout.with_one_shot(ComponentId(id)));
    let policy = policy.build().expect("a policy that works");
    Arc::new(Plan::new(policy, layout).expect("a plan that works"))
}

fn one_level(tuning: Tuning) -> PolicyBuilder {
    tiny_policy().tuning(tuning.with_max_level(1))
}

// How machines are broken.

/// Changes what the machine knows, into something that it could know.
fn surgery(machine: &mut Machine, change: impl FnOnce(&mut Snapshot)) {
    let mut snapshot = machine.snapshot();
    change(&mut snapshot);
    let plan = Arc::clone(machine.plan());
    *machine = Machine::resume(plan, snapshot).expect("a machine of this plan can be there");
}

/// Changes what follows the stop that is under way.
fn wish(machine: &mut Machine, wanted: AfterStop) {
    surgery(machine, |snapshot| {
        if let State::ShuttingDown { then, .. } = &mut snapshot.state {
            *then = wanted;
        }
    });
}

/// The input comes to nothing, and the machine stays what it was.
fn swallow(machine: &mut Machine, before: Machine, effects: &mut Vec<Effect>) -> Step {
    *machine = before;
    effects.clear();
    Step::Absorbed
}

fn is_starting(machine: &Machine) -> bool {
    matches!(machine.state(), State::Restarting { .. })
}

fn is_delaying(machine: &Machine) -> bool {
    let step = match machine.state() {
        State::ShuttingDown { step, .. } => Some(step),
        _ => None,
    };
    step == Some(&StopStep::Delaying)
}

fn is_stopping(machine: &Machine) -> bool {
    matches!(machine.state(), State::ShuttingDown { .. })
}

fn is_at_rest(machine: &Machine) -> bool {
    matches!(machine.state(), State::Monitoring { .. })
}

fn arms(effect: &Effect, wanted: Timer) -> bool {
    matches!(*effect, Effect::Arm { timer, .. } if timer == wanted)
}

fn exhibits() -> impl Iterator<Item = &'static Exhibit> {
    [
        trip::EXHIBITS,
        finished::EXHIBITS,
        stop::EXHIBITS,
        restart::EXHIBITS,
        messages::EXHIBITS,
        frozen::EXHIBITS,
        ancestor::EXHIBITS,
    ]
    .into_iter()
    .flatten()
}

fn exhibit(defect: &str) -> &'static Exhibit {
    let mut exhibits = exhibits();
    exhibits
        .find(|exhibit| exhibit.defect == defect)
        .expect("such an exhibit")
}

#[test]
fn every_broken_machine_is_caught() {
    let mut wrong = Vec::new();
    for exhibit in exhibits() {
        let caught = match exhibit.explored() {
            Err(ExploreError::Counterexample(refuted)) => {
                let long = took_the_graph(&refuted);
                if refuted.violation.law == exhibit.caught_by
                    && long == exhibit.only_in_the_long_run
                {
                    continue;
                }
                refuted.to_string()
            }
            other => format!("{other:?}"),
        };
        wrong.push(format!(
            "{}: not {}, but {caught}",
            exhibit.defect, exhibit.caught_by
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each is the law that catches some broken machine, as the test above has seen.
#[test]
fn every_law_is_needed() {
    let needed: BTreeSet<Law> = exhibits().map(|exhibit| exhibit.caught_by).collect();
    let laws = Law::ALL.iter().copied();
    let needless: Vec<Law> = laws.filter(|law| !needed.contains(law)).collect();
    assert!(needless.is_empty(), "no broken machine needs {needless:?}");
}

/// So it is the defect that is caught, and not the plan.
#[test]
fn the_real_machine_passes_on_every_plan_of_the_gallery() {
    let mut passed: Vec<(Arc<Plan>, bool)> = Vec::new();
    for exhibit in exhibits() {
        let asked = ((exhibit.plan)(), exhibit.with_clock);
        if passed.contains(&asked) {
            continue;
        }
        match explorer(exhibit.plan, exhibit.with_clock).run() {
            Ok(proof) => println!("{proof}"),
            Err(unproved) => panic!("{:?}: {unproved}", asked.0),
        }
        passed.push(asked);
    }
}

/// The path is a shortest one: nothing else of as many turns gets there.
#[test]
fn a_law_is_seen_to_break_as_soon_as_it_can() {
    for (defect, turns, cycle) in [
        // Seen alive, and the one component of the lower stage is started, and the upper with it.
        ("all stages are started at once", 1, 0),
        // Seen alive, up, and a trip.
        ("never trips", 3, 0),
        // The same, and gone.
        ("halts after any trip", 4, 0),
        // A report at boot, seen alive, the hold-off passes; then seen alive again and again.
        ("a hold-off that has passed is forgotten", 3, 1),
        // Two outages, each with its hold-off, until the level is at its cap; and the third.
        (
            "d09 after repeated outages it does not stop any more",
            10,
            0,
        ),
    ] {
        let refuted = exhibit(defect).refuted();
        let counted = (refuted.path.len(), refuted.cycle.len());
        assert_eq!(counted, (turns, cycle), "{defect}: {refuted}");
    }
}

#[test]
fn how_a_step_breaks_a_law_is_told() {
    let refuted = exhibit("halts after any trip").refuted();
    expect![[r#"
        L18 (honest end): Halted(Fatal), but what was wanted is Monitor
        after boot (the present epoch, session and round have the number 1):
          Alive { session: 1, round: 1 }
              Arm { timer: Silence, after: 2ms }
              StartStage { stage: 0, epoch: 2 }
              Arm { timer: Stage, after: 2ms }
            -> Restarting (recovered)
            in Restarting { stage: 0, waiting: 1 }
          Up { component: ComponentId(0), epoch: 1 }
              Disarm { timer: Stage }
              Ready(true)
              OutageClosed(Record { outage: 1, reports: 0, stale_reports: 0, failed_starts: 0 })
            -> Running (all_up)
            in Running { suspicion: 0 }
          Report { component: Some(ComponentId(0)), epoch: 1, class: Component, count: 1 }
              Ready(false)
              OutageOpened { outage: 2, cause: Report { component: Some(ComponentId(0)), class: Component } }
              StopStage { stage: 0, epoch: 1 }
              Arm { timer: Stage, after: 1ms }
            -> ShuttingDown (report)
            in ShuttingDown { stage: 0, step: Stopping, then: Halt(Fatal) }
          Gone { component: ComponentId(0), epoch: 1, how: Returned }
              CloseSession { session: 1 }
              Disarm { timer: Stage }
              Disarm { timer: Silence }
              OutageClosed(Record { outage: 1, reports: 0, stale_reports: 0, failed_starts: 0 })
              Ended(Halted(Fatal))
            in Ended(Halted(Fatal))
    "#]].assert_eq(&refuted.to_string());
}

#[test]
fn how_a_world_that_is_well_never_recovers_is_told() {
    let refuted = exhibit("each observation that is one too many voids the run").refuted();
    expect![[r#"
        L6 (recovery is inevitable): the world is well, and yet it may never recover
        after boot (the present epoch, session and round have the number 1):
          Report { component: None, epoch: 1, class: Component, count: 1 }
            in Monitoring { evidence: 0, done: false }
          Alive { session: 1, round: 1 }
              Arm { timer: Silence, after: 2ms }
              Arm { timer: HoldOff, after: 1ms }
            in Monitoring { evidence: 1, done: false }
        and then, over and over:
          Alive { session: 1, round: 1 }
              Arm { timer: Silence, after: 2ms }
              Disarm { timer: HoldOff }
            in Monitoring { evidence: 0, done: false }
          Alive { session: 1, round: 1 }
              Arm { timer: Silence, after: 2ms }
              Arm { timer: HoldOff, after: 1ms }
            in Monitoring { evidence: 1, done: false }
    "#]]
    .assert_eq(&refuted.to_string());
}
