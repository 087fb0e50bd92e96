//! A dry run shows what would be done, and does nothing of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use overwatch::driver::{
    Arrival, Carried, Command, Decided, Decider, Ended, LastWords, Observed, Renewed, Reported,
    Seen, Silence, Source,
};
use overwatch::law::Monitor;
use overwatch::machine::{
    ComponentState, Effect, Exit, FailureClass, Input, Phase, RunOutcome, Timer,
};
use overwatch::policy::{Blame, ComponentId, Plan};
use proptest::prelude::*;

use crate::world::{any_plan, fenced, ms, plan, small_policy, stops};

/// A service that does what its effects say at once, and all that was asked for.
struct DryRun {
    decider: Decider,
    now: Duration,
    service: Monitor,
    shown: Monitor,
    /// What was shown, and what was to be carried out of it.
    asked: Vec<Effect>,
    sessions: Vec<Effect>,
    /// What the service did.
    did: Vec<Effect>,
    why: Silence,
    /// The timers of both: of what is shown, or not.
    due: BTreeMap<(bool, Timer), Duration>,
    /// Every step: whose it was, and what was told.
    told: Vec<(Carried, Option<Input>)>,
}

impl DryRun {
    fn new(plan: Arc<Plan>) -> Self {
        let mut dry_run = Self {
            decider: Decider::dry_run(Arc::clone(&plan)),
            now: Duration::ZERO,
            service: Monitor::new(Arc::clone(&plan), Some(Duration::ZERO)),
            shown: Monitor::new(plan, None),
            asked: Vec::new(),
            sessions: Vec::new(),
            did: Vec::new(),
            why: Silence::Polled,
            due: BTreeMap::new(),
            told: Vec::new(),
        };
        dry_run.settle();
        dry_run
    }

    /// A service that is up, beside a machine that is up, too.
    fn running(plan: Arc<Plan>) -> Self {
        let mut dry_run = Self::new(plan);
        dry_run.answer_all();
        dry_run.seen(Seen::Alive);
        assert_eq!(dry_run.phases(), (Phase::Running, Phase::Running));
        dry_run
    }

    fn phases(&self) -> (Phase, Phase) {
        let (service, shown) = (self.decider.machine(), self.decider.observer());
        (service.phase(), shown.phase())
    }

    fn arrives(&mut self, arrival: Arrival) {
        assert!(self.decider.arrive(arrival), "no room for {arrival:?}");
        if let Arrival::Late { at, by } = arrival {
            for ((_, timer), due) in &mut self.due {
                match timer {
                    Timer::Silence | Timer::HoldOff => *due += by,
                    Timer::Stage => *due = (*due).max(at + by),
                    _ => {}
                }
            }
        }
        self.settle();
    }

    fn seen(&mut self, seen: Seen) {
        let shown = self.decider.observer();
        let observed = Observed {
            session: shown.session().unwrap_or_default(),
            round: shown.round(),
            at: self.now,
            seen,
        };
        self.arrives(Arrival::Observed(observed));
    }

    fn reported(&mut self, class: FailureClass) {
        self.reported_by(None, class);
    }

    fn reported_by(&mut self, component: Option<ComponentId>, class: FailureClass) {
        let epoch = self.decider.machine().epoch();
        self.arrives(Arrival::Reported(Reported {
            component,
            epoch,
            class,
            count: 1,
            stale: 0,
        }));
    }

    /// What the components of the service were asked for is done.
    fn answer_all(&mut self) {
        loop {
            let machine = self.decider.machine();
            let epoch = machine.epoch();
            let ids = (0..machine.plan().layout().components() as u32).map(ComponentId);
            let answer =
                ids.into_iter()
                    .find_map(|component| match machine.component_state(component) {
                        ComponentState::Starting => Some(Arrival::Up { component, epoch }),
                        ComponentState::Stopping | ComponentState::Aborting => {
                            Some(ended(component, epoch, Exit::Returned))
                        }
                        _ => None,
                    });
            match answer {
                Some(answer) => self.arrives(answer),
                None => return,
            }
        }
    }

    /// Takes all steps that there are.
    fn settle(&mut self) {
        let mut effects = Vec::new();
        for _ in 0..1_000 {
            match self.decider.next(self.now, &mut effects) {
                Decided::Step(step) => {
                    self.told.push((step.carried, step.input()));
                    let monitor = match step.carried.is_dry() {
                        true => &mut self.shown,
                        false => &mut self.service,
                    };
                    let judged = match step.input() {
                        Some(input) => monitor.step(Duration::ZERO, &input, &effects),
                        None => monitor.boot(&effects),
                    };
                    judged.unwrap_or_else(|violation| panic!("{step:?}: {violation}"));
                    if let Some(Input::Fired(timer)) = step.input() {
                        self.due.remove(&(step.carried.is_dry(), timer));
                    }
                    for &effect in &effects {
                        let of = |timer| (step.carried.is_dry(), timer);
                        match effect {
                            Effect::Arm { timer, after } => {
                                self.due.insert(of(timer), self.now + after);
                            }
                            Effect::Disarm { timer } => drop(self.due.remove(&of(timer))),
                            _ => {}
                        }
                        match step.carried {
                            Carried::All => panic!("all is carried out in a dry run"),
                            Carried::Service if step.carried.includes(&effect) => {
                                self.did.push(effect);
                            }
                            Carried::Service => {}
                            Carried::Sessions => {
                                self.asked.push(effect);
                                if step.carried.includes(&effect) {
                                    self.sessions.push(effect);
                                }
                            }
                        }
                    }
                    if self.decider.machine().phase().is_ended() {
                        return;
                    }
                }
                Decided::Drop(_) => {}
                Decided::WhySilent { .. } => {
                    let by = match self.why {
                        Silence::Polled => Duration::ZERO,
                        Silence::Frozen => ms(8),
                        Silence::Thawed(by) => by,
                    };
                    if let Some(due) = self.due.get_mut(&(true, Timer::Silence)) {
                        *due += by;
                    }
                    assert!(self.decider.arrive(Arrival::Silent(self.why)));
                }
                Decided::Wait(until) => {
                    // The fence of the service is not enforced, and so not told.
                    let over = |side: &(bool, Timer), due: &Duration| {
                        *side == (false, Timer::Fence) && *due <= self.now
                    };
                    self.due.retain(|side, due| !over(side, due));
                    // It wakes for whichever of the two is due first.
                    let first = self.due.values().min().copied();
                    assert_eq!(until, first, "{:?}", self.due);
                    return;
                }
            }
        }
        panic!("it never rests");
    }

    fn wait(&mut self, time: u64) {
        for _ in 0..time {
            self.now += ms(1);
            let _ = self.service.wait(ms(1));
            self.settle();
        }
    }
}

fn ended(component: ComponentId, epoch: u64, how: Exit) -> Arrival {
    Arrival::Ended(Ended {
        component,
        epoch,
        how,
        gone: true,
        last_words: LastWords::NONE,
    })
}

#[test]
fn what_would_trip_stops_nothing_and_is_shown() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1, 2]));
    dry_run.asked.clear();
    dry_run.reported(FailureClass::Component);
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Monitoring));
    assert_eq!(
        dry_run.asked.iter().filter(|effect| stops(effect)).count(),
        2
    );
    assert!(!dry_run.did.iter().any(stops));
    // What is shown starts again after the hold-off, in an epoch of its own.
    for _ in 0..12 {
        dry_run.seen(Seen::Alive);
        dry_run.wait(1);
    }
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Running));
    assert_eq!(dry_run.decider.observer().epoch(), 2);
    assert_eq!(dry_run.decider.machine().epoch(), 1);
    // One more observation was asked for, and nothing else of the dependency by the service.
    assert!(dry_run.sessions.contains(&Effect::Ask { round: 1 }));
    assert!(
        !dry_run
            .did
            .iter()
            .any(|effect| Carried::Sessions.includes(effect))
    );
}

#[test]
fn nothing_that_the_probe_says_or_does_not_say_ends_the_run() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    dry_run.seen(Seen::Failing { fatal: true });
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Monitoring));
    // Silence for many times the limit.
    dry_run.wait(100);
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Monitoring));
    assert!(dry_run.decider.observer().session() > Some(2));
}

#[test]
fn a_frozen_runtime_is_shown() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    dry_run.arrives(Arrival::Froze);
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Monitoring));
    assert_eq!(dry_run.decider.observer().blame(), Blame::Component);
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    dry_run.why = Silence::Frozen;
    dry_run.wait(8);
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Monitoring));
}

#[test]
fn a_renewal_is_taken_for_the_epoch_that_is_shown() {
    let mut dry_run = DryRun::running(fenced(small_policy(), &[1, 1]));
    dry_run.asked.clear();
    // What is shown has been through an outage of its own.
    dry_run.seen(Seen::Failing { fatal: false });
    for _ in 0..60 {
        dry_run.seen(Seen::Alive);
        dry_run.wait(1);
    }
    assert_eq!(dry_run.phases().1, Phase::Running);
    assert_eq!(dry_run.decider.machine().epoch(), 1);
    assert_eq!(dry_run.decider.observer().epoch(), 2);
    dry_run.asked.clear();
    let expires = dry_run.now + ms(100);
    dry_run.arrives(Arrival::Renewed(Renewed { epoch: 0, expires }));
    assert_eq!(dry_run.asked, [], "it is stale");
    dry_run.arrives(Arrival::Renewed(Renewed { epoch: 1, expires }));
    let timer = Timer::Fence;
    let after = ms(68);
    assert_eq!(dry_run.asked, [Effect::Arm { timer, after }]);
    // The fence is not enforced, however long nothing is renewed.
    for _ in 0..150 {
        dry_run.seen(Seen::Alive);
        dry_run.wait(1);
    }
    assert_eq!(dry_run.phases().0, Phase::Running);
    assert!(dry_run.asked.iter().any(stops));
}

/// It ends the run, so there is nothing to show.
#[test]
fn a_fatal_report_is_the_services_alone() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    dry_run.told.clear();
    dry_run.reported(FailureClass::Fatal);
    let report =
        |(_, input): &&(Carried, Option<Input>)| matches!(input, Some(Input::Report { .. }));
    let told: Vec<Carried> = dry_run
        .told
        .iter()
        .filter(report)
        .map(|told| told.0)
        .collect();
    assert_eq!(told, [Carried::Service]);
}

/// Each driver sees the machine that it drives. What is shown waits for a clean run, so an observation
/// that was made after the silence was due does not hide the gap; the service runs meanwhile.
#[test]
fn a_gap_in_the_clean_run_that_is_shown_is_seen() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    dry_run.reported(FailureClass::Critical);
    dry_run.seen(Seen::Alive);
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Monitoring));
    let due = dry_run.due[&(true, Timer::Silence)];
    dry_run.now = due + ms(1);
    let shown = dry_run.decider.observer();
    let seen = Observed {
        session: shown.session().expect("it observes"),
        round: shown.round(),
        at: dry_run.now,
        seen: Seen::Alive,
    };
    assert!(dry_run.decider.arrive(Arrival::Observed(seen)));
    let mut effects = Vec::new();
    let asks = (0..10).any(|_| {
        let next = dry_run.decider.next(dry_run.now, &mut effects);
        matches!(next, Decided::WhySilent { .. })
    });
    assert!(asks, "the observation came too late");
}

/// The service's fence is not enforced. Whether somebody looked at the moment in which it was due must not
/// show later: that cannot be replayed.
#[test]
fn the_fence_of_the_service_leaves_no_trace() {
    let mut dry_run = DryRun::running(fenced(small_policy(), &[1]));
    // What is shown has time.
    let expires = dry_run.now + ms(10_000);
    dry_run.arrives(Arrival::Renewed(Renewed { epoch: 1, expires }));
    let fence = dry_run.due[&(false, Timer::Fence)];
    while dry_run.now + ms(1) < fence {
        dry_run.seen(Seen::Alive);
        dry_run.wait(1);
    }
    dry_run.seen(Seen::Alive);
    let (mut awake, mut effects) = (dry_run.decider.clone(), Vec::new());
    assert!(matches!(awake.next(fence, &mut effects), Decided::Wait(_)));
    let now = fence + ms(1);
    let [looked, slept] = [awake, dry_run.decider.clone()].map(|mut decider| {
        let shown = decider.observer();
        let seen = Observed {
            session: shown.session().expect("it observes"),
            round: shown.round(),
            at: now,
            seen: Seen::Alive,
        };
        assert!(decider.arrive(Arrival::Observed(seen)));
        assert!(decider.arrive(ended(ComponentId(0), 1, Exit::Returned)));
        let mut told = Vec::new();
        while let Decided::Step(step) = decider.next(now, &mut effects) {
            told.push((step.carried, step.input()));
        }
        told
    });
    assert!(looked.len() > 2, "{looked:?}");
    assert_eq!(looked, slept);
}

/// Whoever was asked first is asked again when it had nothing to tell but that it hears nothing.
#[test]
fn what_is_settled_inside_costs_nobody_a_turn() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    let due = dry_run.due[&(false, Timer::Silence)];
    while dry_run.now + ms(1) < due {
        dry_run.seen(Seen::Alive);
        dry_run.wait(1);
    }
    // Now it is the service's turn, and it is due.
    dry_run.arrives(Arrival::Command(Command::Reset));
    dry_run.seen(Seen::Alive);
    dry_run.told.clear();
    dry_run.now += ms(1);
    assert_eq!(dry_run.now, due);
    dry_run.seen(Seen::Alive);
    let told: Vec<Carried> = dry_run.told.iter().map(|told| told.0).collect();
    assert_eq!(told, [Carried::Service, Carried::Sessions]);
}

/// Which were sent in an epoch of the service that is over.
#[test]
fn stale_reports_are_stale_for_what_is_shown_too() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    let report = |epoch, stale| {
        Arrival::Reported(Reported {
            component: None,
            epoch,
            class: FailureClass::Critical,
            count: 1 - stale,
            stale,
        })
    };
    dry_run.arrives(report(0, 0));
    dry_run.arrives(report(1, 1));
    assert_eq!(dry_run.phases().1, Phase::Running);
    // Also before the first epoch of what is shown.
    let mut at_boot = DryRun::new(plan(small_policy(), &[1]));
    let stale = Arrival::Reported(Reported {
        component: None,
        epoch: u64::MAX,
        class: FailureClass::Critical,
        count: 1,
        stale: 0,
    });
    at_boot.told.clear();
    at_boot.arrives(stale);
    let epochs = at_boot.told.iter().filter_map(|(_, input)| match input {
        Some(Input::Report { epoch, .. }) => Some(*epoch),
        _ => None,
    });
    assert_eq!(epochs.collect::<Vec<_>>(), [u64::MAX]);
    dry_run.arrives(report(1, 0));
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Monitoring));
}

#[test]
fn what_the_service_does_by_itself_and_what_an_operator_wants_is_done() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    dry_run.arrives(Arrival::Command(Command::Drain));
    dry_run.answer_all();
    assert_eq!(dry_run.phases(), (Phase::Drained, Phase::Drained));
    dry_run.arrives(Arrival::Command(Command::Resume));
    dry_run.answer_all();
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Monitoring));
    // A component that ends is started again, without any observation.
    let epoch = dry_run.decider.machine().epoch();
    dry_run.arrives(ended(ComponentId(0), epoch, Exit::Returned));
    dry_run.wait(5);
    dry_run.answer_all();
    assert_eq!(dry_run.phases().0, Phase::Running);
    assert_eq!(dry_run.decider.machine().epoch(), epoch + 1);
    // What no restart mends ends the run.
    dry_run.reported(FailureClass::Fatal);
    dry_run.answer_all();
    assert_eq!(dry_run.phases().0, Phase::Halted);
}

#[test]
fn a_shutdown_ends_the_service_and_not_what_is_shown() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    dry_run.arrives(Arrival::Shutdown);
    dry_run.answer_all();
    assert_eq!(
        dry_run.did.last(),
        Some(&Effect::Ended(RunOutcome::Stopped))
    );
    assert_eq!(dry_run.phases().1, Phase::Running);
}

/// A process that was stopped saw nothing of the dependency, and its components had no turn.
#[test]
fn lateness_excuses_both() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    dry_run.now += ms(50);
    let at = dry_run.now;
    dry_run.arrives(Arrival::Late { at, by: ms(50) });
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Running));
    dry_run.wait(8);
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Monitoring));

    let mut dry_run = DryRun::new(plan(small_policy(), &[1]));
    dry_run.now += ms(50);
    let at = dry_run.now;
    dry_run.arrives(Arrival::Late { at, by: ms(50) });
    assert_eq!(
        dry_run.phases().0,
        Phase::Restarting,
        "it has a moment more"
    );
}

/// A component that is down there may well be up in the service.
#[test]
fn the_report_of_a_component_counts_though_it_is_down_in_what_is_shown() {
    let mut dry_run = DryRun::running(plan(small_policy().trip_threshold(2), &[1]));
    let id = Some(ComponentId(0));
    dry_run.arrives(Arrival::Froze);
    assert_eq!(dry_run.phases(), (Phase::Running, Phase::Monitoring));
    dry_run.reported_by(id, FailureClass::Dependency);
    assert_eq!(dry_run.decider.observer().blame(), Blame::Dependency);
    assert_eq!(dry_run.decider.observer().record().stale_reports, 0);
}

/// What a component said before it ended is shown, and only its end is the service's.
#[test]
fn last_words_are_shown_and_the_end_is_done() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    let (component, epoch) = (ComponentId(0), 1);
    let said = Reported {
        component: Some(component),
        epoch,
        class: FailureClass::Critical,
        count: 1,
        stale: 0,
    };
    dry_run.told.clear();
    dry_run.arrives(Arrival::Ended(Ended {
        component,
        epoch,
        how: Exit::Returned,
        gone: true,
        last_words: [said].into_iter().collect(),
    }));
    let of = |wanted: fn(&Input) -> bool| {
        let told = dry_run.told.iter();
        let told = told.filter(|(_, input)| input.as_ref().is_some_and(wanted));
        told.map(|(carried, _)| *carried).collect::<Vec<_>>()
    };
    assert_eq!(
        of(|input| matches!(input, Input::Report { .. })),
        [Carried::Sessions]
    );
    let gone = Input::Gone {
        component,
        epoch,
        how: Exit::Returned,
    };
    assert!(dry_run.told.contains(&(Carried::Service, Some(gone))));
}

/// From boot to Running, in this order.
#[test]
fn both_are_told_in_turns() {
    let mut dry_run = DryRun::new(plan(small_policy(), &[1, 2]));
    dry_run.seen(Seen::Alive);
    let (alive, up) = (
        Input::Alive {
            session: 1,
            round: 0,
        },
        |id| Input::Up {
            component: ComponentId(id),
            epoch: 1,
        },
    );
    let (service, shown) = (Carried::Service, Carried::Sessions);
    assert_eq!(
        dry_run.told,
        [
            (service, None),
            (shown, None),
            (service, Some(alive)),
            (shown, Some(alive)),
            (shown, Some(up(0))),
            (shown, Some(up(1))),
            (shown, Some(up(2))),
        ]
    );
    // The timers that are published are those of the service, which still starts.
    assert_eq!(dry_run.decider.due(Timer::Stage), Some(ms(20)));
    assert_eq!(dry_run.decider.observer().phase(), Phase::Running);
}

/// However much the service has to say, what is seen has its turn.
#[test]
fn a_busy_service_does_not_starve_what_is_shown() {
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    let shown = dry_run.decider.observer();
    let observed = Observed {
        session: shown.session().unwrap_or_default(),
        round: shown.round(),
        at: dry_run.now,
        seen: Seen::Failing { fatal: false },
    };
    assert!(dry_run.decider.arrive(Arrival::Observed(observed)));
    let mut effects = Vec::new();
    let reset = Arrival::Command(Command::Reset);
    let steps = (0..6).map(|_| {
        let _ = dry_run.decider.arrive(reset);
        dry_run.decider.next(dry_run.now, &mut effects)
    });
    let seen = |decided: &Decided| matches!(decided, Decided::Step(step) if matches!(step.input(), Some(Input::Failing { .. })));
    assert!(steps.into_iter().any(|decided| seen(&decided)));
}

#[test]
fn what_has_no_room_waits() {
    let mut decider = Decider::dry_run(plan(small_policy(), &[1]));
    let report = |class| {
        Arrival::Reported(Reported {
            component: None,
            epoch: 0,
            class,
            count: 1,
            stale: 0,
        })
    };
    assert!(decider.has_room(Source::Report));
    assert!(decider.arrive(report(FailureClass::Fatal)));
    assert!(!decider.has_room(Source::Report));
    for source in [Source::Runtime, Source::Lease, Source::Observation] {
        assert!(decider.has_room(source), "{source:?}");
    }
    assert!(decider.arrive(Arrival::Froze) && !decider.has_room(Source::Runtime));
    assert!(decider.arrive(Arrival::Shutdown) && !decider.has_room(Source::Shutdown));
}

/// One thing that happens to a service in a dry run.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Seen(u8),
    Reported(u8),
    Answers,
    Ends(u32, u8),
    Renewed(u64),
    Command(Command),
    Froze,
    Waits(u64, u8),
}

fn anything() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (0..4_u8).prop_map(Happens::Seen),
        2 => (0..4_u8).prop_map(Happens::Reported),
        8 => Just(Happens::Answers),
        1 => (0..8_u32, 0..8_u8).prop_map(|(id, how)| Happens::Ends(id, how)),
        1 => (0..120_u64).prop_map(Happens::Renewed),
        1 => prop::sample::select(Command::ALL).prop_map(Happens::Command),
        1 => Just(Happens::Froze),
        8 => (0..9_u64, 0..3_u8).prop_map(|(time, why)| Happens::Waits(time, why)),
    ]
}

proptest! {
    /// Both machines keep their laws, and the service is stopped by what it does itself, or an
    /// operator, and by nothing else.
    #[test]
    fn whatever_happens_only_the_service_stops_itself(
        plan in any_plan(),
        happens in prop::collection::vec(anything(), 1..60),
    ) {
        let mut dry_run = DryRun::new(plan);
        for happens in happens {
            if dry_run.phases().0.is_ended() {
                break;
            }
            let was = dry_run.decider.machine().phase();
            let machine = dry_run.decider.machine();
            let (epoch, components) = (machine.epoch(), machine.plan().layout().components());
            let mut may_stop = false;
            match happens {
                Happens::Seen(seen) => dry_run.seen(match seen {
                    0 => Seen::Failing { fatal: true },
                    1 => Seen::Failing { fatal: false },
                    _ => Seen::Alive,
                }),
                Happens::Reported(class) => {
                    may_stop = class == 3;
                    dry_run.reported(FailureClass::ALL[usize::from(class)]);
                }
                Happens::Answers => dry_run.answer_all(),
                Happens::Ends(id, how) => {
                    may_stop = true;
                    let how = match how {
                        0 => Exit::Returned,
                        1 => Exit::Aborted,
                        how => Exit::Failed(FailureClass::ALL[usize::from(how % 4)]),
                    };
                    if (id as usize) < components {
                        dry_run.arrives(ended(ComponentId(id), epoch, how));
                    }
                }
                Happens::Renewed(left) => {
                    let expires = dry_run.now + ms(left);
                    dry_run.arrives(Arrival::Renewed(Renewed { epoch, expires }));
                }
                Happens::Command(command) => {
                    may_stop = true;
                    dry_run.arrives(Arrival::Command(command));
                }
                Happens::Froze => dry_run.arrives(Arrival::Froze),
                Happens::Waits(time, why) => {
                    let whys = [Silence::Polled, Silence::Frozen, Silence::Thawed(ms(1))];
                    dry_run.why = whys[usize::from(why)];
                    dry_run.wait(time);
                }
            }
            let is = dry_run.decider.machine().phase();
            let left = was == Phase::Running && is != Phase::Running;
            prop_assert!(!left || may_stop, "{:?} stopped it", happens);
        }
    }
}

#[test]
fn a_dry_run_reads_no_inputs_twice() {
    // A command is told to both, each once.
    let mut dry_run = DryRun::running(plan(small_policy(), &[1]));
    assert!(dry_run.decider.arrive(Arrival::Command(Command::Trip)));
    let mut effects = Vec::new();
    let mut told = Vec::new();
    while let Decided::Step(step) = dry_run.decider.next(dry_run.now, &mut effects) {
        if step.input() == Some(Input::Trip) {
            told.push(step.carried);
        }
    }
    assert_eq!(told, [Carried::Sessions, Carried::Service]);
}
