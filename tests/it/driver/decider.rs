//! What a decider says of itself, and what its driver sees of the machine.

use std::sync::Arc;
use std::time::Duration;

use overwatch::driver::{
    Arrival, Carried, Command, Decided, Decider, Decision, Ended, Observed, Reported, Seen, Tell,
};
use overwatch::machine::{ComponentState, Effect, Exit, FailureClass, Input, Phase, Step, Timer};
use overwatch::policy::{ComponentId, Plan};

use crate::world::{ms, plan, small_policy, small_tuning};

fn deciders(plan: &Arc<Plan>) -> [Decider; 2] {
    [
        Decider::live(Arc::clone(plan)),
        Decider::dry_run(Arc::clone(plan)),
    ]
}

/// The steps that there are now.
fn steps(decider: &mut Decider, now: Duration) -> Vec<(Decision, Vec<Effect>)> {
    let (mut steps, mut effects) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        match decider.next(now, &mut effects) {
            Decided::Step(step) => steps.push((step, effects.clone())),
            Decided::Wait(_) => return steps,
            other => panic!("{other:?}"),
        }
    }
    panic!("it never rests");
}

fn arrives(decider: &mut Decider, arrival: Arrival, now: Duration) -> Vec<Input> {
    assert!(decider.arrive(arrival), "no room for {arrival:?}");
    let inputs = steps(decider, now).into_iter();
    inputs.filter_map(|(step, _)| step.input()).collect()
}

fn seen(decider: &mut Decider, now: Duration) {
    let observed = Observed {
        session: decider.observer().session().unwrap_or_default(),
        round: decider.observer().round(),
        at: now,
        seen: Seen::Alive,
    };
    let _ = arrives(decider, Arrival::Observed(observed), now);
}

fn up(decider: &mut Decider, components: u32, now: Duration) {
    let epoch = decider.machine().epoch();
    for component in (0..components).map(ComponentId) {
        let _ = arrives(decider, Arrival::Up { component, epoch }, now);
    }
}

/// One component above another, both up.
fn running_two() -> Decider {
    let mut live = Decider::live(plan(small_policy(), &[1, 1]));
    let _ = steps(&mut live, ms(0));
    seen(&mut live, ms(0));
    up(&mut live, 2, ms(0));
    assert_eq!(live.machine().phase(), Phase::Running);
    live
}

/// One that has ended, and has left a report that is milder than its end.
fn ended(epoch: u64) -> Ended {
    ended_of(0, epoch)
}

fn ended_of(id: u32, epoch: u64) -> Ended {
    let component = ComponentId(id);
    let said = Reported {
        component: Some(component),
        epoch,
        class: FailureClass::Component,
        count: 1,
        stale: 0,
    };
    Ended {
        component,
        epoch,
        how: Exit::Failed(FailureClass::Critical),
        gone: true,
        last_words: [said].into_iter().collect(),
    }
}

#[test]
fn the_first_step_is_the_boot() {
    let mut live = Decider::live(plan(small_policy(), &[1]));
    let first = steps(&mut live, ms(3));
    let [(boot, effects)] = &first[..] else {
        panic!("{first:?}");
    };
    assert_eq!((boot.told, boot.input(), boot.step()), (None, None, None));
    assert_eq!(boot.carried, Carried::All);
    assert!(effects.contains(&Effect::OpenSession { session: 1 }));
    // The timers count from then.
    assert_eq!(live.due(Timer::Silence), Some(ms(3 + 8)));
    assert_eq!(live.due(Timer::HoldOff), None);

    let mut dry_run = Decider::dry_run(plan(small_policy(), &[1]));
    let first = steps(&mut dry_run, ms(3));
    let boots: Vec<_> = first
        .iter()
        .filter(|(step, _)| step.told.is_none())
        .collect();
    let carried: Vec<Carried> = boots.iter().map(|(step, _)| step.carried).collect();
    assert_eq!(carried, [Carried::Service, Carried::Sessions]);
    // Those of the service: it starts as if all were well, and what is shown waits.
    assert_eq!(dry_run.machine().phase(), Phase::Restarting);
    assert_eq!(dry_run.observer().phase(), Phase::Monitoring);
    assert_eq!(dry_run.due(Timer::Stage), Some(ms(3 + 20)));
}

#[test]
fn a_step_says_what_was_told_and_what_became_of_it() {
    let mut live = Decider::live(plan(small_policy(), &[1]));
    let _ = steps(&mut live, ms(0));
    assert!(live.arrive(Arrival::Command(Command::Reset)));
    let taken = steps(&mut live, ms(0));
    let [(step, effects)] = &taken[..] else {
        panic!("{taken:?}");
    };
    let Some((Tell { input, is_all, .. }, became)) = step.told else {
        panic!("{step:?}");
    };
    assert!((input, became, is_all) == (Input::Reset, Step::Absorbed, true));
    assert_eq!(step.input(), Some(Input::Reset));
    assert_eq!(step.step(), Some(Step::Absorbed));
    assert!(effects.is_empty());
}

#[test]
fn what_is_carried_out_is_all_or_what_is_the_services_or_its_sessions() {
    let of_sessions = [
        Effect::OpenSession { session: 1 },
        Effect::CloseSession { session: 1 },
        Effect::Ask { round: 1 },
    ];
    let of_service = [
        Effect::Ready(true),
        Effect::StartStage { stage: 0, epoch: 1 },
        Effect::StopStage { stage: 0, epoch: 1 },
        Effect::Disarm {
            timer: Timer::Stage,
        },
    ];
    for effect in of_sessions {
        assert!(Carried::All.includes(&effect) && Carried::Sessions.includes(&effect));
        assert!(!Carried::Service.includes(&effect));
    }
    for effect in of_service {
        assert!(Carried::All.includes(&effect) && Carried::Service.includes(&effect));
        assert!(!Carried::Sessions.includes(&effect));
    }
    assert!(Carried::Sessions.is_dry());
    assert!(!Carried::All.is_dry() && !Carried::Service.is_dry());
}

#[test]
fn a_report_is_urgent_where_it_brings_a_trip_nearer() {
    let plan = plan(small_policy(), &[1]);
    for mut decider in deciders(&plan) {
        let _ = steps(&mut decider, ms(0));
        assert!(!decider.reports_are_urgent(), "it monitors");
        seen(&mut decider, ms(0));
        assert!(decider.reports_are_urgent(), "it starts");
        up(&mut decider, 1, ms(0));
        assert!(decider.reports_are_urgent(), "it runs");
        let _ = arrives(&mut decider, Arrival::Command(Command::Drain), ms(0));
        assert!(!decider.reports_are_urgent(), "it stops");
    }
    // Where the service runs, and what is shown does not.
    let [_, mut dry_run] = deciders(&plan);
    let _ = steps(&mut dry_run, ms(0));
    seen(&mut dry_run, ms(0));
    up(&mut dry_run, 1, ms(0));
    let _ = arrives(&mut dry_run, Arrival::Froze, ms(0));
    assert_eq!(dry_run.machine().phase(), Phase::Running);
    assert!(!dry_run.reports_are_urgent());
}

/// Nothing is told to stop yet in the delay before a drain, so an end goes before what is milder.
#[test]
fn an_end_in_the_delay_before_a_stop_is_unasked() {
    let tuning = small_tuning().with_unready_delay(ms(5));
    let mut live = Decider::live(plan(small_policy().tuning(tuning), &[1]));
    let _ = steps(&mut live, ms(0));
    seen(&mut live, ms(0));
    up(&mut live, 1, ms(0));
    let _ = arrives(&mut live, Arrival::Command(Command::Drain), ms(0));
    assert_eq!(
        live.machine().component_state(ComponentId(0)),
        ComponentState::Up
    );
    let told = arrives(&mut live, Arrival::Ended(ended_of(0, 1)), ms(1));
    let exit = |input: &Input| matches!(input, Input::Exited { .. });
    let report = |input: &Input| matches!(input, Input::Report { .. });
    let place = |wanted: &dyn Fn(&Input) -> bool| told.iter().position(wanted);
    assert!(place(&exit).is_some(), "{told:?}");
    assert!(place(&exit) < place(&report), "{told:?}");
}

#[test]
fn the_end_of_one_that_was_asked_to_stop_comes_after_its_words() {
    let exited = |epoch| Input::Exited {
        component: ComponentId(0),
        epoch,
        how: Exit::Failed(FailureClass::Critical),
    };
    let running = || {
        let mut live = Decider::live(plan(small_policy(), &[1]));
        let _ = steps(&mut live, ms(0));
        seen(&mut live, ms(0));
        up(&mut live, 1, ms(0));
        assert_eq!(live.machine().phase(), Phase::Running);
        live
    };
    // Unasked: the end is graver, and goes first.
    let inputs = arrives(&mut running(), Arrival::Ended(ended(1)), ms(0));
    assert_eq!(inputs[0], exited(1));
    assert_eq!(inputs.len(), 3);
    // Asked: it comes last.
    let mut live = running();
    let _ = arrives(&mut live, Arrival::Command(Command::Drain), ms(0));
    let inputs = arrives(&mut live, Arrival::Ended(ended(1)), ms(0));
    assert!(matches!(inputs[0], Input::Report { .. }), "{inputs:?}");
    assert_eq!(inputs.len(), 2);
    // So it does where it was given up as wedged.
    let mut live = running_two();
    let _ = arrives(&mut live, Arrival::Command(Command::Drain), ms(0));
    let mut now = ms(0);
    while live.machine().component_state(ComponentId(1)) != ComponentState::Wedged {
        now += ms(1);
        let _ = steps(&mut live, now);
        assert!(now < ms(100), "it is wedged by now");
    }
    let inputs = arrives(&mut live, Arrival::Ended(ended_of(1, 1)), now);
    assert!(matches!(inputs[0], Input::Report { .. }), "{inputs:?}");
    // It was another one that was asked: one of another epoch.
    let mut live = running();
    let _ = arrives(&mut live, Arrival::Command(Command::Drain), ms(0));
    let inputs = arrives(&mut live, Arrival::Ended(ended(2)), ms(0));
    assert_eq!(inputs[0], exited(2));
}
