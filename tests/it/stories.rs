//! Stories: one after the other what the machine does, each under the eyes of the laws. Those named
//! `d..` tell of a defect of an older supervisor that this one must not share.

use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use overwatch::law::Violation;
use overwatch::machine::{
    ComponentState, Effect, Exit, FailureClass, HaltReason, Input, Machine, Phase, RunOutcome,
    Timer,
};
use overwatch::policy::{
    Blame, ComponentId, FailureLimit, Fence, Layout, Plan, Policy, PolicyBuilder,
};

use crate::world::{Action, World, fenced, ms, plan, small_policy, small_tuning, starts, stops};

type Told = Result<(), Violation>;

fn readies(effect: &Effect) -> bool {
    matches!(effect, Effect::Ready(_))
}

/// What happened so far, transition by transition.
fn check(world: &World, history: Expect) {
    history.assert_eq(&world.history());
}

#[test]
fn the_answers_that_the_present_stage_awaits_are_counted() {
    let mut effects = Vec::new();
    let mut machine = Machine::new(plan(small_policy(), &[2, 1]), &mut effects);
    let mut awaited = vec![machine.awaited()];
    let up = |id| Input::Up {
        component: ComponentId(id),
        epoch: 1,
    };
    let gone = |id| Input::Gone {
        component: ComponentId(id),
        epoch: 1,
        how: Exit::Returned,
    };
    let alive = Input::Alive {
        session: 1,
        round: 0,
    };
    for input in [alive, up(0), up(1), up(2), Input::Trip, gone(2), gone(0)] {
        let _ = machine.handle(input, &mut effects);
        awaited.push(machine.awaited());
    }
    assert_eq!(awaited, [0, 2, 1, 1, 0, 1, 2, 1]);
}

#[test]
fn the_next_hold_off_is_known_as_long_as_a_start_follows() -> Told {
    let told = |world: &World| (world.phase(), world.machine().hold_off());
    let mut world = World::new(plan(small_policy(), &[1, 2]), true)?;
    assert_eq!(told(&world), (Phase::Monitoring, Some(ms(0))));
    world.act(Action::Alive)?;
    assert_eq!(told(&world), (Phase::Restarting, Some(ms(0))));
    world.answer_all()?;
    assert_eq!(told(&world), (Phase::Running, None));
    world.gone(1, Exit::Failed(FailureClass::Component))?;
    assert_eq!(told(&world), (Phase::ShuttingDown, Some(ms(4))));
    world.answer_all()?;
    assert_eq!(told(&world), (Phase::Monitoring, Some(ms(4))));
    assert_eq!(world.recover()?, Some(ms(4)));
    assert_eq!(told(&world), (Phase::Running, None));
    world.input(Input::Drain)?;
    assert_eq!(told(&world), (Phase::ShuttingDown, Some(ms(4))));
    world.answer_all()?;
    assert_eq!(told(&world), (Phase::Drained, Some(ms(4))));
    world.input(Input::Shutdown)?;
    assert_eq!(told(&world), (Phase::Stopped, None));
    // A stop that ends the run has no start after it.
    let mut world = World::running(plan(small_policy(), &[1]))?;
    world.input(Input::Shutdown)?;
    assert_eq!(told(&world), (Phase::ShuttingDown, None));
    Ok(())
}

/// What the failure limit wants may be outdone by something graver.
#[test]
fn what_follows_a_failure_limit_is_known() -> Told {
    let hour = Duration::from_secs(3600);
    let fatal = (FailureClass::Fatal, 1);
    let too_often = Input::FailedTooOften {
        component: ComponentId(0),
    };
    for drains in [false, true] {
        let limit = FailureLimit::new(1, hour).with_drain(drains);
        let failed = || {
            let policy = small_policy().failure_limit(limit).give_up_after(1);
            let mut world = World::running(plan(policy, &[2]))?;
            world.gone(0, Exit::Failed(FailureClass::Component))?;
            assert!(!world.machine().follows_failure_limit());
            Ok(world)
        };
        let follows = |world: &World| world.machine().follows_failure_limit();
        let mut world = failed()?;
        world.input(too_often)?;
        assert!(follows(&world));
        world.answer_all()?;
        let end = if drains {
            Phase::Drained
        } else {
            Phase::Halted
        };
        assert_eq!((world.phase(), follows(&world)), (end, true));

        let mut world = failed()?;
        world.input(too_often)?;
        world.report(fatal.0, fatal.1)?;
        assert_eq!(
            (world.phase(), follows(&world)),
            (Phase::ShuttingDown, false)
        );
        world.answer_all()?;
        assert_eq!((world.phase(), follows(&world)), (Phase::Halted, false));

        // An operator's drain is as good as that of the limit.
        let mut world = failed()?;
        world.input(Input::Drain)?;
        assert_eq!(follows(&world), drains);
        world.answer_all()?;
        assert_eq!((world.phase(), follows(&world)), (Phase::Drained, drains));
        world.input(Input::Resume)?;
        assert_eq!((world.phase(), follows(&world)), (Phase::Monitoring, false));
    }
    // There is none.
    let mut world = World::running(plan(small_policy(), &[1]))?;
    world.input(Input::Drain)?;
    assert!(!world.machine().follows_failure_limit());
    world.answer_all()?;
    assert!(!world.machine().follows_failure_limit());
    Ok(())
}

// Boot.

#[test]
fn the_boot_gate_opens_on_one_observation() -> Told {
    let mut world = World::new(plan(small_policy(), &[1, 2]), true)?;
    world.wait(Some(5))?;
    assert!(!world.machine().is_ready());
    world.act(Action::Alive)?;
    assert_eq!(world.phase(), Phase::Restarting);
    world.answer_all()?;
    assert!(world.machine().is_ready());
    check(
        &world,
        expect![[r#"
        5ms Restarting (recovered)
        5ms Running (all_up)
    "#]],
    );
    Ok(())
}

#[test]
fn a_dependency_that_fails_at_boot_starts_nothing() -> Told {
    let mut world = World::new(plan(small_policy(), &[1]), true)?;
    for _ in 0..1_000 {
        world.act(Action::Fail)?;
        world.wait(Some(3))?;
    }
    assert_eq!(world.phase(), Phase::Monitoring);
    assert_eq!(world.how_often(starts), 0);
    // It never relapsed: one observation is enough even now.
    assert_eq!(world.recover()?, Some(ms(0)));
    Ok(())
}

#[test]
fn d19_a_dependency_that_is_down_at_boot_is_not_fatal_and_never_ready() -> Told {
    let mut world = World::new(plan(small_policy(), &[1]), true)?;
    world.wait(Some(5_000))?;
    assert_eq!(world.phase(), Phase::Monitoring);
    assert_eq!(world.how_often(readies), 0);
    assert!(world.recover()?.is_some());
    Ok(())
}

#[test]
fn nothing_to_start_is_a_service_too() -> Told {
    let mut world = World::running(plan(small_policy(), &[]))?;
    world.wait(None)?;
    assert_eq!(world.recover()?, Some(ms(30)));
    world.input(Input::Shutdown)?;
    check(
        &world,
        expect![[r#"
        0ns Restarting (recovered)
        0ns Running (all_up)
        8ms ShuttingDown (silence)
        8ms Monitoring (all_gone)
        38ms Restarting (recovered)
        38ms Running (all_up)
        38ms ShuttingDown (shutdown)
        38ms Stopped (all_gone)
    "#]],
    );
    Ok(())
}

// Evidence, hold-off, level.

#[test]
fn after_a_component_failed_it_waits_for_the_backoff_only() -> Told {
    let mut world = World::running(plan(small_policy(), &[1, 2]))?;
    world.gone(1, Exit::Failed(FailureClass::Component))?;
    assert_eq!(world.machine().session(), Some(1), "evidence is kept");
    assert_eq!(world.recover()?, Some(ms(4)));
    check(
        &world,
        expect![[r#"
        0ns Restarting (recovered)
        0ns Running (all_up)
        0ns ShuttingDown (exited)
        0ns Monitoring (all_gone)
        4ms Restarting (recovered)
        4ms Running (all_up)
    "#]],
    );
    Ok(())
}

#[test]
fn after_the_dependency_failed_it_waits_for_the_window() -> Told {
    let mut world = World::running(plan(small_policy(), &[1, 2]))?;
    world.act(Action::Fail)?;
    assert_eq!(world.machine().session(), None);
    assert_eq!(world.recover()?, Some(ms(30)));
    check(
        &world,
        expect![[r#"
        0ns Restarting (recovered)
        0ns Running (all_up)
        0ns ShuttingDown (failing)
        0ns Monitoring (all_gone)
        30ms Restarting (recovered)
        30ms Running (all_up)
    "#]],
    );
    Ok(())
}

#[test]
fn a_failing_observation_while_stopping_turns_the_blame() -> Told {
    let mut world = World::running(plan(small_policy(), &[1]))?;
    world.report(FailureClass::Component, 1)?;
    assert_eq!(world.machine().blame(), Blame::Component);
    world.act(Action::Fail)?;
    assert_eq!(world.machine().blame(), Blame::Dependency);
    assert_eq!(world.recover()?, Some(ms(30)));
    Ok(())
}

#[test]
fn after_the_window_it_still_waits_for_enough_evidence() -> Told {
    let policy = small_policy()
        .silence_limit(ms(100))
        .tuning(small_tuning().with_min_evidence(3));
    let mut world = World::running(plan(policy, &[1]))?;
    world.act(Action::Fail)?;
    world.answer_all()?;
    world.act(Action::Alive)?;
    assert!(!world.machine().is_proved());
    world.wait(Some(60))?;
    world.act(Action::Alive)?;
    assert_eq!(
        world.phase(),
        Phase::Monitoring,
        "the window has passed, but this is the second"
    );
    assert!(world.machine().is_proved());
    world.act(Action::Alive)?;
    assert_eq!(world.phase(), Phase::Restarting);
    Ok(())
}

#[test]
fn d01_failing_observations_void_the_hold_off() -> Told {
    let mut world = World::running(plan(small_policy(), &[1]))?;
    world.act(Action::Fail)?;
    world.answer_all()?;
    for _ in 0..50 {
        // 28 ms of health, then a failure: the window of 30 ms never fills.
        world.stay_alive(28)?;
        world.act(Action::Fail)?;
    }
    assert_eq!(
        (world.phase(), world.machine().epoch()),
        (Phase::Monitoring, 1)
    );
    assert_eq!(world.recover()?, Some(ms(30)));
    Ok(())
}

#[test]
fn d02_silence_never_counts_as_health() -> Told {
    let mut world = World::running(plan(small_policy(), &[1]))?;
    world.wait(Some(7))?;
    assert!(world.machine().is_ready());
    world.wait(Some(1))?;
    assert!(!world.machine().is_ready(), "the silence limit is 8 ms");
    world.answer_all()?;
    // One sign of life, then silence for as long as you like: the hold-off passes, and decides nothing.
    world.act(Action::Alive)?;
    world.wait(Some(10_000))?;
    assert_eq!(
        (world.phase(), world.machine().epoch()),
        (Phase::Monitoring, 1)
    );
    Ok(())
}

#[test]
fn d03_a_hung_probe_is_replaced_and_its_late_word_is_stale() -> Told {
    let mut world = World::new(plan(small_policy(), &[1]), true)?;
    world.wait(Some(8))?;
    assert_eq!(world.machine().session(), Some(2));
    world.input(Input::Alive {
        session: 1,
        round: 0,
    })?;
    assert_eq!(world.phase(), Phase::Monitoring);
    world.input(Input::Alive {
        session: 2,
        round: 0,
    })?;
    assert_eq!(world.phase(), Phase::Restarting);
    Ok(())
}

#[test]
fn the_level_lengthens_the_hold_off_and_sinks_while_stable() -> Told {
    let mut world = World::running(plan(small_policy(), &[1]))?;
    for (level, hold_off) in [(1, 30), (2, 60), (3, 100), (4, 100), (4, 100)] {
        world.act(Action::Fail)?;
        assert_eq!(world.machine().level(), level);
        assert_eq!(world.recover()?, Some(ms(hold_off)));
    }
    for level in [3, 2, 1, 0] {
        assert!(world.machine().is_armed(Timer::Stable));
        world.stay_alive(26)?;
        assert_eq!(world.machine().level(), level);
    }
    assert!(!world.machine().is_armed(Timer::Stable));
    Ok(())
}

#[test]
fn each_hold_off_is_lengthened_by_a_jitter_of_its_own() -> Told {
    let tuning = small_tuning().with_jitter(ms(3)).with_jitter_seed(7);
    let mut world = World::running(plan(small_policy().tuning(tuning.clone()), &[1]))?;
    let mut hold_offs = Vec::new();
    for _ in 0..4 {
        world.act(Action::Fail)?;
        world.answer_all()?;
        world.act(Action::Alive)?;
        hold_offs.extend(world.effects.iter().filter_map(|effect| match *effect {
            Effect::Arm {
                timer: Timer::HoldOff,
                after,
            } => Some(after),
            _ => None,
        }));
        assert!(world.recover()?.is_some());
    }
    let expected = (0..).zip([30, 60, 100, 100]);
    let expected: Vec<_> = expected
        .map(|(number, hold_off)| ms(hold_off) + tuning.jitter_of(number))
        .collect();
    assert_eq!(hold_offs, expected);
    Ok(())
}

#[test]
fn suspicion_is_forgotten_one_by_one() -> Told {
    let mut world = World::running(plan(small_policy().trip_threshold(3), &[1]))?;
    for _ in 0..20 {
        // Two in each 30 ms, and 15 ms to forget one: it never gets to three.
        world.report(FailureClass::Component, 2)?;
        world.stay_alive(30)?;
    }
    assert!(world.machine().is_ready());
    world.report(FailureClass::Component, 2)?;
    world.stay_alive(14)?;
    world.report(FailureClass::Component, 1)?;
    assert!(!world.machine().is_ready());
    Ok(())
}

#[test]
fn a_dependency_that_keeps_failing_below_the_threshold_does_not_stay_ready() -> Told {
    let tuning = small_tuning().with_decay(ms(1));
    let mut world = World::running(plan(small_policy().trip_threshold(3).tuning(tuning), &[1]))?;
    for _ in 0..8 {
        assert!(world.machine().is_ready());
        world.act(Action::Fail)?;
        world.wait(Some(1))?;
    }
    check(
        &world,
        expect![[r#"
        0ns Restarting (recovered)
        0ns Running (all_up)
        8ms ShuttingDown (silence)
    "#]],
    );
    Ok(())
}

// Outages.

#[test]
fn d04_a_failure_while_starting_unwinds_what_was_started_and_is_never_ready() -> Told {
    let mut world = World::new(plan(small_policy(), &[1, 1]), true)?;
    world.act(Action::Alive)?;
    world.act(Action::Answer)?;
    assert_eq!(
        world.machine().component_state(ComponentId(1)),
        ComponentState::Starting
    );
    world.report(FailureClass::Dependency, 1)?;
    world.report(FailureClass::Dependency, 1)?;
    world.answer_all()?;
    assert_eq!(world.how_often(stops), 2, "each is stopped once");
    assert_eq!(world.how_often(readies), 0);
    assert_eq!(world.phase(), Phase::Monitoring);
    Ok(())
}

#[test]
fn d05_a_failed_start_unwinds_and_is_tried_again() -> Told {
    let mut world = World::new(plan(small_policy(), &[1, 2]), true)?;
    world.act(Action::Alive)?;
    world.act(Action::Answer)?;
    world.gone(2, Exit::Failed(FailureClass::Component))?;
    assert_eq!(world.machine().record().failed_starts, 1);
    assert_eq!(world.recover()?, Some(ms(4)));
    check(
        &world,
        expect![[r#"
        0ns Restarting (recovered)
        0ns ShuttingDown (start_failed)
        0ns Monitoring (all_gone)
        4ms Restarting (recovered)
        4ms Running (all_up)
    "#]],
    );
    Ok(())
}

#[test]
fn d05_a_start_that_hangs_is_tried_again() -> Told {
    let mut world = World::new(plan(small_policy(), &[1]), true)?;
    world.act(Action::Alive)?;
    world.stay_alive(20)?;
    assert_eq!(world.phase(), Phase::ShuttingDown);
    assert_eq!(world.recover()?, Some(ms(4)));
    Ok(())
}

#[test]
fn d06_a_dependency_that_flaps_during_starts_never_ends_the_run() -> Told {
    let mut world = World::new(plan(small_policy(), &[1]), true)?;
    for _ in 0..200 {
        while world.phase() != Phase::Restarting {
            world.act(Action::Alive)?;
            world.wait(Some(1))?;
        }
        world.act(Action::Fail)?;
        world.answer_all()?;
    }
    assert_eq!(world.recover()?, Some(ms(100)), "at the capped hold-off");
    Ok(())
}

#[test]
fn d07_what_survives_its_abort_is_never_started_again() -> Told {
    let mut world = World::running(plan(small_policy(), &[1, 2]))?;
    world.report(FailureClass::Critical, 1)?;
    world.gone(1, Exit::Returned)?;
    // #2 stays, through its stop and its abort; #0 below it is stopped all the same.
    world.wait(Some(15))?;
    assert_eq!(
        world.machine().component_state(ComponentId(2)),
        ComponentState::Wedged
    );
    world.gone(0, Exit::Returned)?;
    check(
        &world,
        expect![[r#"
        0ns Restarting (recovered)
        0ns Running (all_up)
        0ns ShuttingDown (report)
        15ms Halted (wedged)
    "#]],
    );
    assert_eq!(world.how_often(starts), 2, "each stage was started once");
    Ok(())
}

#[test]
fn a_late_gone_unwedges() -> Told {
    let mut world = World::running(plan(small_policy(), &[1, 2]))?;
    world.report(FailureClass::Critical, 1)?;
    world.gone(1, Exit::Returned)?;
    world.wait(Some(15))?;
    world.gone(2, Exit::Aborted)?;
    world.gone(0, Exit::Returned)?;
    assert_eq!(world.recover()?, Some(ms(30)));
    Ok(())
}

#[test]
fn d08_health_flips_before_the_first_stop() -> Told {
    let mut world = World::running(plan(small_policy(), &[1, 2]))?;
    world.report(FailureClass::Critical, 1)?;
    assert_eq!(world.effects[0], Effect::Ready(false));
    assert!(world.effects[1..].iter().any(stops));
    Ok(())
}

#[test]
fn d08_one_hung_stop_keeps_nothing_else_from_being_stopped() -> Told {
    let mut world = World::running(plan(small_policy(), &[1, 1, 1]))?;
    world.input(Input::Shutdown)?;
    world.wait(Some(45))?;
    check(
        &world,
        expect![[r#"
        0ns Restarting (recovered)
        0ns Running (all_up)
        0ns ShuttingDown (shutdown)
        45ms Halted (wedged)
    "#]],
    );
    assert_eq!(world.how_often(stops), 3);
    Ok(())
}

#[test]
fn d09_the_tenth_outage_is_like_the_first() -> Told {
    let mut world = World::running(plan(small_policy(), &[1, 2]))?;
    for outage in 1..=10 {
        world.act(Action::Fail)?;
        assert_eq!(world.machine().outage(), outage);
        assert!(world.recover()?.is_some());
        assert_eq!(world.machine().epoch(), outage + 1);
        world.stay_alive(26)?;
    }
    let outages: Vec<u64> = world.records().iter().map(|record| record.outage).collect();
    assert_eq!(outages, (0..=10).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn d10_no_class_of_failure_is_left_unanswered() -> Told {
    for class in [
        FailureClass::Component,
        FailureClass::Dependency,
        FailureClass::Critical,
    ] {
        let mut world = World::running(plan(small_policy(), &[1]))?;
        world.report(class, 1)?;
        world.answer_all()?;
        assert!(world.machine().session().is_some(), "{class}: it is probed");
        world.report(class, 2)?;
        assert_eq!(
            world.machine().record().reports,
            3,
            "{class}: later reports count"
        );
        assert!(world.recover()?.is_some(), "{class}");
    }
    Ok(())
}

#[test]
fn d14_stages_stop_in_reverse_and_one_after_the_other() -> Told {
    let mut world = World::running(plan(small_policy(), &[2, 1, 2]))?;
    let stages = |effects: &[Effect]| -> Vec<u16> {
        let stopped = |effect: &Effect| match *effect {
            Effect::StopStage { stage, .. } => Some(stage),
            _ => None,
        };
        effects.iter().filter_map(stopped).collect()
    };
    world.input(Input::Drain)?;
    assert_eq!(stages(&world.effects), [2]);
    world.gone(4, Exit::Returned)?;
    assert!(stages(&world.effects).is_empty());
    world.gone(3, Exit::Returned)?;
    assert_eq!(stages(&world.effects), [1]);
    world.gone(2, Exit::Returned)?;
    assert_eq!(stages(&world.effects), [0]);
    Ok(())
}

#[test]
fn d15_one_error_does_not_stop_the_world_below_the_threshold() -> Told {
    let mut world = World::running(plan(small_policy().trip_threshold(3), &[1]))?;
    world.report(FailureClass::Component, 1)?;
    world.report(FailureClass::Dependency, 1)?;
    assert!(world.machine().is_ready());
    world.report(FailureClass::Component, 1)?;
    assert!(!world.machine().is_ready());
    Ok(())
}

#[test]
fn a_critical_report_trips_below_the_threshold() -> Told {
    let mut world = World::running(plan(small_policy().trip_threshold(1_000), &[1]))?;
    world.report(FailureClass::Critical, 1)?;
    assert!(!world.machine().is_ready());
    Ok(())
}

#[test]
fn d16_every_component_can_report_at_any_time() -> Told {
    let mut world = World::running(plan(small_policy(), &[2, 2]))?;
    for component in 0..4 {
        world.input(Input::Report {
            component: Some(ComponentId(component)),
            epoch: 1,
            class: FailureClass::Component,
            count: 1,
        })?;
    }
    assert_eq!(world.machine().record().reports, 4);
    world.answer_all()?;
    // Gone by now, and so is its word; but it is not forgotten.
    world.input(Input::Report {
        component: Some(ComponentId(3)),
        epoch: 1,
        class: FailureClass::Component,
        count: 1,
    })?;
    assert_eq!(world.machine().record().stale_reports, 1);
    Ok(())
}

#[test]
fn report_storms_are_counted_exactly() -> Told {
    let mut world = World::running(plan(small_policy(), &[1]))?;
    let storm = u64::from(u32::MAX);
    world.report(FailureClass::Component, u32::MAX)?;
    world.report(FailureClass::Dependency, u32::MAX)?;
    // No reports at all are one: somebody did report.
    world.report(FailureClass::Component, 0)?;
    let epoch = 0;
    world.input(Input::Report {
        component: None,
        epoch,
        class: FailureClass::Critical,
        count: u32::MAX,
    })?;
    assert!(world.recover()?.is_some());
    let record = world.records()[1];
    assert_eq!(
        (record.reports, record.stale_reports),
        (2 * storm + 1, storm)
    );
    Ok(())
}

#[test]
fn d17_the_window_is_what_the_policy_says() -> Told {
    assert_eq!(Policy::default().window(), Duration::from_secs(30));
    for window in [9, 31, 77] {
        let mut world = World::running(plan(small_policy().window(ms(window)), &[1]))?;
        world.act(Action::Fail)?;
        assert_eq!(world.recover()?, Some(ms(window)));
    }
    Ok(())
}

// Commands.

#[test]
fn a_drain_waits_for_its_resume() -> Told {
    let mut world = World::running(plan(small_policy(), &[1]))?;
    world.input(Input::Drain)?;
    world.answer_all()?;
    world.wait(Some(10_000))?;
    world.input(Input::Resume)?;
    assert_eq!(world.recover()?, Some(ms(0)), "nothing had failed");
    check(
        &world,
        expect![[r#"
        0ns Restarting (recovered)
        0ns Running (all_up)
        0ns ShuttingDown (drain)
        0ns Drained (all_gone)
        10s Monitoring (resume)
        10s Restarting (recovered)
        10s Running (all_up)
    "#]],
    );
    Ok(())
}

#[test]
fn the_strongest_wish_wins_and_resume_takes_back_a_drain_only() -> Told {
    let ends_in = |commands: &[Input]| -> Result<Phase, Violation> {
        let mut world = World::running(plan(small_policy(), &[1]))?;
        for &command in commands {
            world.input(command)?;
        }
        world.answer_all()?;
        Ok(world.phase())
    };
    use Input::{Drain, Resume, Shutdown, Trip};
    assert_eq!(ends_in(&[Trip])?, Phase::Monitoring);
    assert_eq!(ends_in(&[Trip, Drain])?, Phase::Drained);
    assert_eq!(ends_in(&[Drain, Trip])?, Phase::Drained);
    assert_eq!(ends_in(&[Drain, Resume])?, Phase::Monitoring);
    assert_eq!(ends_in(&[Drain, Shutdown])?, Phase::Stopped);
    assert_eq!(ends_in(&[Shutdown, Drain, Resume])?, Phase::Stopped);
    Ok(())
}

#[test]
fn a_trip_by_hand_waits_for_the_window() -> Told {
    let mut world = World::running(plan(small_policy(), &[1]))?;
    world.input(Input::Trip)?;
    assert_eq!(world.recover()?, Some(ms(30)));
    Ok(())
}

#[test]
fn a_reset_pardons_and_does_not_open_the_gate() -> Told {
    let mut world = World::running(plan(small_policy().trip_threshold(2), &[1]))?;
    for _ in 0..3 {
        world.input(Input::Trip)?;
        assert!(world.recover()?.is_some());
    }
    world.report(FailureClass::Dependency, 1)?;
    world.input(Input::Reset)?;
    assert_eq!(
        (world.machine().level(), world.machine().blame()),
        (0, Blame::Component)
    );
    world.report(FailureClass::Component, 1)?;
    assert!(
        world.machine().is_ready(),
        "the first suspicion is forgotten"
    );
    for _ in 0..2 {
        world.input(Input::Trip)?;
        world.recover()?;
    }
    world.input(Input::Trip)?;
    world.input(Input::Reset)?;
    assert_eq!(world.machine().level(), 1);
    assert_eq!(world.recover()?, Some(ms(30)));
    Ok(())
}

#[test]
fn a_wanted_stop_is_delayed_and_a_shutdown_does_not_delay_it_again() -> Told {
    let mut world = World::running(plan(
        small_policy().tuning(small_tuning().with_unready_delay(ms(6))),
        &[1],
    ))?;
    world.input(Input::Drain)?;
    assert_eq!(world.effects[0], Effect::Ready(false));
    world.wait(Some(5))?;
    world.input(Input::Shutdown)?;
    assert_eq!(
        world.machine().component_state(ComponentId(0)),
        ComponentState::Up
    );
    world.wait(Some(1))?;
    assert_eq!(
        world.machine().component_state(ComponentId(0)),
        ComponentState::Stopping
    );
    world.answer_all()?;
    check(
        &world,
        expect![[r#"
        0ns Restarting (recovered)
        0ns Running (all_up)
        0ns ShuttingDown (drain)
        6ms Stopped (all_gone)
    "#]],
    );
    Ok(())
}

#[test]
fn what_would_have_tripped_cuts_the_delay_short() -> Told {
    let delayed = || {
        plan(
            small_policy().tuning(small_tuning().with_unready_delay(ms(6))),
            &[1, 1],
        )
    };
    let epoch = 1;
    let report = |class| Input::Report {
        component: None,
        epoch,
        class,
        count: 1,
    };
    let (component, how) = (ComponentId(0), Exit::Returned);
    for cut in [
        report(FailureClass::Component),
        report(FailureClass::Critical),
        report(FailureClass::Fatal),
        Input::Trip,
        Input::Frozen,
        Input::Gone {
            component,
            epoch,
            how,
        },
        Input::Exited {
            component,
            epoch,
            how,
        },
    ] {
        let mut world = World::running(delayed())?;
        world.input(Input::Shutdown)?;
        world.input(cut)?;
        assert_eq!(
            world.machine().component_state(ComponentId(1)),
            ComponentState::Stopping,
            "{cut:?}"
        );
    }
    Ok(())
}

#[test]
fn a_trip_allows_no_delay() -> Told {
    let mut world = World::running(plan(delay_of_6(), &[1]))?;
    world.input(Input::Trip)?;
    assert_eq!(
        world.machine().component_state(ComponentId(0)),
        ComponentState::Stopping
    );
    Ok(())
}

fn delay_of_6() -> PolicyBuilder {
    small_policy().tuning(small_tuning().with_unready_delay(ms(6)))
}

/// Of 120 ms 2 are the margin, and two stages take 15 each to stop: 88 are left for work.
#[test]
fn under_a_lease_a_stop_waits_for_the_delay_as_long_as_the_lease_allows() -> Told {
    let renewed = |remaining| Input::LeaseRenewed {
        epoch: 1,
        remaining: ms(remaining),
    };
    let top = ComponentId(1);
    let delayed = || -> Result<World, Violation> {
        let mut world = World::running(fenced(delay_of_6(), &[1, 1]))?;
        world.input(Input::Shutdown)?;
        assert_eq!(world.effects[0], Effect::Ready(false));
        assert_eq!(world.machine().component_state(top), ComponentState::Up);
        Ok(world)
    };
    // It is over by itself.
    let mut world = delayed()?;
    world.wait(Some(5))?;
    assert_eq!(world.machine().component_state(top), ComponentState::Up);
    world.wait(Some(1))?;
    assert_eq!(
        world.machine().component_state(top),
        ComponentState::Stopping
    );
    assert!(!world.machine().is_armed(Timer::Fence));
    // The last renewal leaves 3 ms, and the next one is good again.
    let mut world = delayed()?;
    world.input(renewed(32 + 3))?;
    world.wait(Some(2))?;
    world.input(renewed(32 + 5))?;
    world.wait(Some(3))?;
    assert_eq!(world.machine().component_state(top), ComponentState::Up);
    // The fence ends it after 3 ms.
    let mut world = delayed()?;
    world.input(renewed(32 + 3))?;
    world.wait(Some(3))?;
    assert_eq!(
        world.machine().component_state(top),
        ComponentState::Stopping
    );
    // A renewal that leaves no time ends it at once.
    let mut world = delayed()?;
    world.input(renewed(32))?;
    assert_eq!(
        world.machine().component_state(top),
        ComponentState::Stopping
    );
    world.answer_all()?;
    assert_eq!(world.machine().phase(), Phase::Stopped);
    Ok(())
}

/// The lease has 8 ms for the start of its owner's stage; the stage above may take 50.
#[test]
fn a_slow_stage_above_the_lease_has_its_own_deadlines() -> Told {
    let fence = Fence::new(ms(50), ms(4)).with_margin(ms(2));
    let policy = small_policy().start_deadline(ms(8)).fence(fence).build();
    let layout = Layout::new(&[1, 1]).expect("no gaps");
    let layout = layout
        .with_lease_owner(ComponentId(0))
        .with_start_deadline(1, ms(50))
        .with_stop_deadline(1, ms(12));
    let plan = Plan::new(policy.expect("works"), layout).expect("works");
    assert_eq!(plan.stop_budget(), ms(12 + 5 + 10 + 5));
    let mut world = World::new(Arc::new(plan), true)?;
    world.act(Action::Alive)?;
    let arms = |world: &World| {
        let stage = world.effects.iter().find_map(|effect| match effect {
            Effect::Arm {
                timer: Timer::Stage,
                after,
            } => Some(*after),
            _ => None,
        });
        stage.unwrap_or_default()
    };
    assert_eq!(arms(&world), ms(8));
    world.act(Action::Answer)?;
    assert_eq!(arms(&world), ms(50));
    for _ in 0..11 {
        world.act(Action::Alive)?;
        world.input(Input::LeaseRenewed {
            epoch: 1,
            remaining: ms(50),
        })?;
        world.wait(Some(4))?;
    }
    assert_eq!(world.machine().phase(), Phase::Restarting);
    world.act(Action::Answer)?;
    assert!(world.machine().is_ready());
    world.input(Input::Shutdown)?;
    assert_eq!(arms(&world), ms(12));
    world.act(Action::Answer)?;
    assert_eq!(arms(&world), ms(10));
    Ok(())
}

// A frozen runtime.

/// The runtime of the components freezes twice, and the dependency is fine all along.
#[test]
fn a_frozen_runtime_stops_the_world_and_blames_nobody() -> Told {
    let mut world = World::running(plan(small_policy().trip_threshold(3), &[1]))?;
    world.stay_alive(4)?;
    world.input(Input::Frozen)?;
    assert_eq!(world.effects[0], Effect::Ready(false));
    assert_eq!(
        world.machine().component_state(ComponentId(0)),
        ComponentState::Stopping
    );
    // It thaws within the stop deadline.
    world.wait(Some(3))?;
    world.answer_all()?;
    assert_eq!(world.machine().session(), Some(1), "the evidence stands");
    world.act(Action::Alive)?;
    world.wait(Some(3))?;
    world.input(Input::Frozen)?;
    let timer = Timer::HoldOff;
    assert_eq!(world.effects, [Effect::Disarm { timer }]);
    let silence = world.checked.monitor().left(Timer::Silence);
    assert_eq!(silence, Some(ms(5)), "a freeze is no sign of life");
    // The backoff, counted from the second freeze, and not the window.
    assert_eq!(world.recover()?, Some(ms(4)));
    check(
        &world,
        expect![[r#"
        0ns Restarting (recovered)
        0ns Running (all_up)
        4ms ShuttingDown (frozen)
        7ms Monitoring (all_gone)
        14ms Restarting (recovered)
        14ms Running (all_up)
    "#]],
    );
    Ok(())
}

/// A start that a freeze undid is a failed one, and what does not thaw in time is wedged.
#[test]
fn a_runtime_that_freezes_during_starts_ends_the_run() -> Told {
    let starting = |limit| -> Result<World, Violation> {
        let policy = small_policy().give_up_after(limit);
        let mut world = World::new(plan(policy, &[1]), true)?;
        world.act(Action::Alive)?;
        world.input(Input::Frozen)?;
        assert_eq!(world.phase(), Phase::ShuttingDown);
        Ok(world)
    };
    let mut gives_up = starting(1)?;
    gives_up.answer_all()?;
    let halted = |why| Some(Effect::Ended(RunOutcome::Halted(why)));
    assert_eq!(gives_up.effects.last().copied(), halted(HaltReason::GaveUp));
    assert_eq!(gives_up.records()[0].failed_starts, 1);
    let mut wedged = starting(2)?;
    wedged.wait(Some(15))?;
    assert_eq!(wedged.effects.last().copied(), halted(HaltReason::Wedged));
    Ok(())
}

/// A freeze that comes while everything is stopped is not forgotten when a drain is taken back.
#[test]
fn a_freeze_during_a_drain_is_held_off_when_the_drain_is_taken_back() -> Told {
    for drained in [true, false] {
        let mut world = World::running(plan(small_policy(), &[1]))?;
        world.input(Input::Drain)?;
        if drained {
            world.answer_all()?;
            assert_eq!(world.phase(), Phase::Drained);
        }
        world.input(Input::Frozen)?;
        assert_eq!(world.effects, []);
        world.answer_all()?;
        world.input(Input::Resume)?;
        assert_eq!(world.recover()?, Some(ms(4)));
    }
    Ok(())
}

// Ends.

#[test]
fn it_gives_up_after_so_many_failed_starts_in_a_row() -> Told {
    let mut world = World::new(plan(small_policy().give_up_after(2), &[1]), true)?;
    let fail_to_start = |world: &mut World| -> Told {
        while world.phase() != Phase::Restarting {
            world.act(Action::Alive)?;
            world.wait(Some(1))?;
        }
        world.gone(0, Exit::Failed(FailureClass::Component))
    };
    fail_to_start(&mut world)?;
    assert!(
        world.recover()?.is_some(),
        "a start that succeeds begins the count anew"
    );
    world.report(FailureClass::Component, 1)?;
    world.answer_all()?;
    fail_to_start(&mut world)?;
    fail_to_start(&mut world)?;
    check(
        &world,
        expect![[r#"
            0ns Restarting (recovered)
            1ms ShuttingDown (start_failed)
            1ms Monitoring (all_gone)
            5ms Restarting (recovered)
            5ms Running (all_up)
            5ms ShuttingDown (report)
            5ms Monitoring (all_gone)
            13ms Restarting (recovered)
            14ms ShuttingDown (start_failed)
            14ms Monitoring (all_gone)
            30ms Restarting (recovered)
            31ms ShuttingDown (start_failed)
            31ms Halted (gave_up)
        "#]],
    );
    Ok(())
}

#[test]
fn a_fatal_report_halts_from_every_state() -> Told {
    let shared = plan(small_policy(), &[1, 1]);
    let alive = |world: &mut World| world.act(Action::Alive);
    let running = || World::running(shared.clone());
    let booting = || World::new(shared.clone(), true);
    let prepare = |world: Result<World, Violation>, inputs: &[Input]| {
        let mut world = world?;
        for &input in inputs {
            world.input(input)?;
        }
        Ok::<World, Violation>(world)
    };
    let mut restarting = booting()?;
    alive(&mut restarting)?;
    let mut drained = prepare(running(), &[Input::Drain])?;
    drained.answer_all()?;
    let worlds = [
        (Phase::Monitoring, booting()?),
        (Phase::Restarting, restarting),
        (Phase::Running, running()?),
        (Phase::ShuttingDown, prepare(running(), &[Input::Trip])?),
        (Phase::ShuttingDown, prepare(running(), &[Input::Shutdown])?),
        (Phase::Drained, drained),
    ];
    for (phase, mut world) in worlds {
        assert_eq!(world.phase(), phase);
        world.report(FailureClass::Fatal, 1)?;
        world.answer_all()?;
        let halted = Effect::Ended(RunOutcome::Halted(HaltReason::Fatal));
        assert_eq!(world.effects.last(), Some(&halted), "from {phase}");
    }
    Ok(())
}

#[test]
fn a_component_that_dies_of_something_fatal_halts_after_an_ordered_stop() -> Told {
    let mut world = World::running(plan(small_policy(), &[1, 1]))?;
    world.gone(0, Exit::Failed(FailureClass::Fatal))?;
    assert_eq!(
        world.machine().component_state(ComponentId(1)),
        ComponentState::Stopping
    );
    world.answer_all()?;
    check(
        &world,
        expect![[r#"
            0ns Restarting (recovered)
            0ns Running (all_up)
            0ns ShuttingDown (exited)
            0ns Halted (fatal)
        "#]],
    );
    Ok(())
}

// The fence.

#[test]
fn the_fence_leaves_margin_and_stop_budget() -> Told {
    let plan = fenced(small_policy(), &[1, 1]);
    // 120 ms, less a margin of 2 and 2 stages x (10 stop + 5 abort).
    assert_eq!(plan.fence_after(ms(120)), Some(ms(88)));
    assert_eq!(plan.fence_after(ms(33)), Some(ms(1)));
    assert_eq!(plan.fence_after(ms(32)), None);
    assert_eq!(plan.fence_after(ms(0)), None);
    Ok(())
}

#[test]
fn a_lease_that_is_not_renewed_stops_the_world_before_it_runs_out() -> Told {
    let mut world = World::running(fenced(small_policy(), &[1, 1]))?;
    world.stay_alive(88)?;
    check(
        &world,
        expect![[r#"
        0ns Restarting (recovered)
        0ns Running (all_up)
        88ms ShuttingDown (fence)
    "#]],
    );
    // Nobody answers: it halts 2 ms before the lease of 120 ms is over.
    world.wait(Some(30))?;
    assert_eq!((world.phase(), world.now), (Phase::Halted, ms(118)));
    Ok(())
}

#[test]
fn a_renewal_moves_the_fence_by_what_remains() -> Told {
    let mut world = World::running(fenced(small_policy(), &[1, 1]))?;
    let renewed = |remaining| Input::LeaseRenewed {
        epoch: 1,
        remaining: ms(remaining),
    };
    for _ in 0..20 {
        world.stay_alive(10)?;
        world.input(renewed(100))?;
        assert_eq!(
            world.effects,
            [Effect::Arm {
                timer: Timer::Fence,
                after: ms(68)
            }]
        );
    }
    world.input(renewed(32))?;
    assert!(!world.machine().is_ready(), "not a moment is left for work");
    Ok(())
}

#[test]
fn the_fence_stands_from_the_moment_the_owner_is_told_to_start() -> Told {
    let layout = Layout::new(&[1, 1])
        .expect("no gaps")
        .with_lease_owner(ComponentId(1));
    let policy = fenced(small_policy(), &[1, 1]).policy().clone();
    let plan = Plan::new(policy, layout).expect("a plan that works");
    let mut world = World::new(plan.into(), true)?;
    world.act(Action::Alive)?;
    assert!(
        !world.machine().is_armed(Timer::Fence),
        "the owner is in the second stage"
    );
    world.act(Action::Answer)?;
    assert!(world.machine().is_armed(Timer::Fence));
    Ok(())
}

// Who is to blame, and for what.

/// A program that goes on reporting from outside of any component must not keep its service down.
#[test]
fn reports_while_monitoring_prolong_nothing_twice() -> Told {
    let mut world = World::running(plan(small_policy(), &[1]))?;
    world.act(Action::Fail)?;
    world.answer_all()?;
    let mut waited = 0;
    while world.machine().epoch() == 1 && waited < 200 {
        world.act(Action::Alive)?;
        world.input(Input::Report {
            component: None,
            epoch: world.machine().epoch(),
            class: FailureClass::Dependency,
            count: 1,
        })?;
        world.wait(Some(1))?;
        waited += 1;
    }
    assert_eq!(
        world.machine().epoch(),
        2,
        "started again, after {waited} ms"
    );
    Ok(())
}

/// Starts that the dependency or an operator undid are no failures of the service's own.
#[test]
fn a_dependency_that_flaps_uses_up_no_starts() -> Told {
    let mut world = World::new(plan(small_policy().give_up_after(2), &[1]), true)?;
    for undone in [
        Input::Failing {
            session: 1,
            fatal: false,
        },
        Input::Trip,
        Input::Fired(Timer::Silence),
    ] {
        while world.phase() != Phase::Restarting {
            world.act(Action::Alive)?;
            world.wait(Some(1))?;
        }
        match undone {
            Input::Failing { .. } => world.act(Action::Fail)?,
            Input::Trip => world.input(Input::Trip)?,
            _ => world.wait(Some(8))?,
        }
        world.answer_all()?;
        assert_eq!(world.phase(), Phase::Monitoring, "{undone:?}");
    }
    assert!(world.recover()?.is_some());
    Ok(())
}

/// An error after a stop was asked for counts as stopped, and blames nobody.
#[test]
fn an_error_after_a_stop_does_not_demand_the_window() -> Told {
    let mut world = World::running(plan(small_policy(), &[1, 1]))?;
    world.gone(1, Exit::Failed(FailureClass::Component))?;
    assert_eq!(world.machine().blame(), Blame::Component);
    world.gone(0, Exit::Failed(FailureClass::Dependency))?;
    assert_eq!(world.machine().blame(), Blame::Component);
    assert_eq!(world.recover()?, Some(ms(4)));
    Ok(())
}

#[test]
fn what_dies_during_a_drain_is_held_off_when_the_drain_is_taken_back() -> Told {
    let mut world = World::running(plan(small_policy(), &[1, 1]))?;
    world.input(Input::Drain)?;
    world.gone(0, Exit::Failed(FailureClass::Critical))?;
    world.input(Input::Resume)?;
    world.gone(1, Exit::Returned)?;
    assert_eq!(world.phase(), Phase::Monitoring);
    assert_eq!(world.recover()?, Some(ms(30)));
    Ok(())
}

#[test]
fn a_start_that_ends_the_run_is_counted_as_a_failed_start() -> Told {
    let mut world = World::new(plan(small_policy(), &[1]), true)?;
    world.act(Action::Alive)?;
    world.gone(0, Exit::Failed(FailureClass::Fatal))?;
    assert_eq!(world.phase(), Phase::Halted);
    assert_eq!(world.records()[0].failed_starts, 1);
    Ok(())
}
