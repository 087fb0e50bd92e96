//! The laws, on random interleavings of everything that can reach the machine.

use overwatch::law::Violation;
use overwatch::machine::{Input, Machine};
use proptest::prelude::*;

use crate::world::{Action, World, any_action, any_plan, ms, walk_length};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn laws_hold_whenever_timers_fire(plan in any_plan(), actions in prop::collection::vec(any_action(), walk_length())) {
        run(World::new(plan, false), &actions)?;
    }

    #[test]
    fn laws_hold_on_a_clock(plan in any_plan(), actions in prop::collection::vec(any_action(), walk_length())) {
        run(World::new(plan, true), &actions)?;
    }

    /// From wherever random events lead, a healthy world brings the service back.
    #[test]
    fn recovery_is_reached(plan in any_plan(), actions in prop::collection::vec(any_action(), 1..100)) {
        let mut world = run(World::new(plan, true), &actions)?;
        if world.phase().is_ended() {
            return Ok(());
        }
        act(&mut world, Action::Command(12))?;
        let recovered = world.recover().map_err(|violation| fail(&world, &violation))?;
        let over = recovered.is_some() || world.phase().is_ended();
        prop_assert!(over, "stuck in {:?}\n{}", world.machine().state(), world.trace());
    }

    /// From wherever random events lead, a shutdown ends, though nothing ever answers.
    #[test]
    fn shutdown_ends_in_silence(plan in any_plan(), actions in prop::collection::vec(any_action(), 1..100)) {
        let mut world = run(World::new(plan.clone(), true), &actions)?;
        let delay = plan.policy().tuning().unready_delay();
        tell(&mut world, Input::Shutdown)?;
        let longest = (plan.stop_budget() + delay).as_millis() as u64;
        act(&mut world, Action::Wait(Some(longest)))?;
        prop_assert!(world.phase().is_ended(), "{:?} after {:?}", world.machine().state(), ms(longest));
    }

    /// Every machine that can be reached can be written down and resumed.
    #[test]
    fn every_state_can_be_resumed(plan in any_plan(), actions in prop::collection::vec(any_action(), 1..80)) {
        let mut world = World::new(plan.clone(), false).expect("boot obeys the laws");
        for &action in &actions {
            act(&mut world, action)?;
            let resumed = Machine::resume(plan.clone(), world.machine().snapshot());
            prop_assert_eq!(resumed.as_ref(), Ok(world.machine()), "{}", world.trace());
        }
    }
}

fn run(world: Result<World, Violation>, actions: &[Action]) -> Result<World, TestCaseError> {
    let mut world = world.map_err(|violation| TestCaseError::fail(violation.to_string()))?;
    for &action in actions {
        act(&mut world, action)?;
    }
    Ok(world)
}

fn act(world: &mut World, action: Action) -> Result<(), TestCaseError> {
    world
        .act(action)
        .map_err(|violation| fail(world, &violation))
}

fn tell(world: &mut World, input: Input) -> Result<(), TestCaseError> {
    world
        .input(input)
        .map_err(|violation| fail(world, &violation))
}

fn fail(world: &World, violation: &Violation) -> TestCaseError {
    TestCaseError::fail(format!("{violation}\n{}", world.trace()))
}
