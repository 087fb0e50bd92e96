//! Counts the failures of components, for the [limit](FailureLimit) of the policy.

use core::time::Duration;
use std::collections::BTreeMap;
use std::collections::VecDeque;

use crate::machine::{Cause, FailureClass, Phase, Step};
use crate::policy::{ComponentId, FailureLimit};

/// When components failed lately. It is empty if the policy has no limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Failures(BTreeMap<ComponentId, VecDeque<Duration>>);

impl Failures {
    /// Notes what a step says about failures. Returns the component that has reached the limit with it, if one has.
    ///
    /// That component then begins anew: an operator who resumes the service accepts what was.
    pub(super) fn note(
        &mut self,
        limit: &FailureLimit,
        step: &Step,
        now: Duration,
    ) -> Option<ComponentId> {
        let component = step
            .transitions()
            .find(|hop| matches!(hop.from, Phase::Running | Phase::Restarting))
            .and_then(|hop| match hop.cause {
                // What is fatal ends the run in any case.
                Cause::Report {
                    component, class, ..
                } => component.filter(|_| class == FailureClass::Component),
                Cause::Exited { component, class } => {
                    (class == FailureClass::Component).then_some(component)
                }
                _ => None,
            })?;
        let failed = self.0.entry(component).or_default();
        while failed
            .front()
            .is_some_and(|&at| now.saturating_sub(at) >= limit.within())
        {
            failed.pop_front();
        }
        failed.push_back(now);
        // No more than the limit are kept.
        let is_reached = failed.len() >= limit.failures() as usize;
        if is_reached {
            self.0.remove(&component);
        }
        is_reached.then_some(component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Effect, Exit, Input, Machine};
    use crate::policy::{Layout, Plan, Policy};

    const SECOND: Duration = Duration::from_secs(1);

    /// The step of a machine that is ready when this component ends, or reports, with a failure of this class.
    fn failing(component: u32, class: FailureClass, ends: bool) -> Step {
        let mut effects: Vec<Effect> = Vec::new();
        let layout = Layout::new(&[2]).expect("valid");
        let plan = Plan::new(Policy::default(), layout).expect("valid");
        let mut machine = Machine::new(plan, &mut effects);
        let (session, round, epoch) = (1, 0, 1);
        let _ = machine.handle(Input::Alive { session, round }, &mut effects);
        for component in [ComponentId(0), ComponentId(1)] {
            let _ = machine.handle(Input::Up { component, epoch }, &mut effects);
        }
        assert!(machine.is_ready());
        let component = ComponentId(component);
        let input = match ends {
            true => Input::Gone {
                component,
                epoch,
                how: Exit::Failed(class),
            },
            false => Input::Report {
                component: Some(component),
                epoch,
                class,
                count: 1,
            },
        };
        machine.handle(input, &mut effects)
    }

    fn own(component: u32) -> Step {
        failing(component, FailureClass::Component, component == 0)
    }

    #[test]
    fn the_last_of_so_many_failures_within_the_time_reaches_the_limit() {
        let limit = FailureLimit::new(3, 10 * SECOND);
        for (last, reached) in [(9, true), (10, false), (11, false)] {
            let mut failures = Failures::default();
            assert_eq!(failures.note(&limit, &own(0), 100 * SECOND), None);
            assert_eq!(failures.note(&limit, &own(0), 105 * SECOND), None);
            let at = (100 + last) * SECOND;
            let told = failures.note(&limit, &own(0), at);
            assert_eq!(told.is_some(), reached, "after {last} s");
        }
    }

    #[test]
    fn each_component_is_counted_by_itself_and_begins_anew() {
        let limit = FailureLimit::new(2, 10 * SECOND);
        let mut failures = Failures::default();
        assert_eq!(failures.note(&limit, &own(0), SECOND), None);
        assert_eq!(failures.note(&limit, &own(1), SECOND), None);
        assert_eq!(failures.note(&limit, &own(0), SECOND), Some(ComponentId(0)));
        assert_eq!(failures.note(&limit, &own(0), SECOND), None, "anew");
        assert_eq!(failures.note(&limit, &own(1), SECOND), Some(ComponentId(1)));
        assert_eq!(
            failures.note(&FailureLimit::new(1, SECOND), &own(1), SECOND),
            Some(ComponentId(1))
        );
    }

    #[test]
    fn what_the_dependency_did_and_what_is_fatal_does_not_count() {
        let limit = FailureLimit::new(1, 10 * SECOND);
        for ends in [false, true] {
            for class in [
                FailureClass::Dependency,
                FailureClass::Critical,
                FailureClass::Fatal,
            ] {
                let step = failing(0, class, ends);
                assert!(step.transitions().next().is_some());
                assert_eq!(Failures::default().note(&limit, &step, SECOND), None);
            }
        }
        assert_eq!(
            Failures::default().note(&limit, &Step::Absorbed, SECOND),
            None
        );
    }
}
