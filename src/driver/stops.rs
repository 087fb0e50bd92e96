//! Which components did not stop well in the last stop.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::machine::{ComponentState, Effect, Exit, FailureClass, Input, Phase, Step};
use crate::policy::ComponentId;

/// How a component did not stop well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UncleanEnd {
    /// It was not gone at its stop deadline, so it was aborted.
    Aborted,
    /// It returned an error or panicked after it was asked to stop, or one of its sub-tasks did.
    Failed(FailureClass),
}

/// The most components that are kept, so that a step stays short however many there are.
const KEPT: usize = 1_024;

/// The components that did not stop well since everything was last asked to stop.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Stops {
    /// The first [`KEPT`] of them.
    unclean: BTreeMap<ComponentId, UncleanEnd>,
    /// Those whose main task failed before they were asked to stop, until they are gone: at most [`KEPT`].
    ended_before: BTreeSet<ComponentId>,
}

impl Stops {
    /// Notes what a step says about stops. `was` is the state of the component of the input before the step.
    pub(super) fn note(
        &mut self,
        input: &Input,
        was: ComponentState,
        step: &Step,
        effects: &[Effect],
    ) {
        if matches!(step, Step::Ignored(_)) {
            return;
        }
        // Another stop begins, or the run ends without one, because nothing was alive.
        let is_anew = step.transitions().next().is_some_and(|hop| {
            let at_rest = matches!(hop.from, Phase::Monitoring | Phase::Drained);
            hop.to == Phase::ShuttingDown || at_rest
        });
        if is_anew {
            self.unclean.clear();
        }
        for effect in effects {
            if let Effect::Abort { component, .. } = *effect
                && self.has_room(component)
            {
                self.unclean.insert(component, UncleanEnd::Aborted);
            }
        }
        let was_asked = matches!(
            was,
            ComponentState::Stopping | ComponentState::Aborting | ComponentState::Wedged
        );
        let (component, how, was_asked) = match *input {
            // How its main task ended is told again when nothing is left of it.
            Input::Gone { component, how, .. } => {
                let ended_before = self.ended_before.remove(&component);
                (component, how, was_asked && !ended_before)
            }
            Input::Exited { component, how, .. } => {
                let has_failed = matches!(how, Exit::Failed(_));
                if has_failed && !was_asked && self.ended_before.len() < KEPT {
                    self.ended_before.insert(component);
                }
                (component, how, was_asked)
            }
            _ => return,
        };
        // What is fatal is the outcome of the run, which names it.
        if let Exit::Failed(class) = how
            && class != FailureClass::Fatal
            && was_asked
            && self.has_room(component)
        {
            // That it was aborted is the graver news.
            let failed = UncleanEnd::Failed(class);
            self.unclean.entry(component).or_insert(failed);
        }
    }

    fn has_room(&self, component: ComponentId) -> bool {
        self.unclean.len() < KEPT || self.unclean.contains_key(&component)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ComponentId, UncleanEnd)> + '_ {
        self.unclean.iter().map(|(&id, &end)| (id, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Arrival, Decided, Decider, Ended, LastWords, Observed, Seen};
    use crate::machine::{Command, Timer};
    use crate::policy::{Layout, Plan, Policy};
    use core::time::Duration;

    /// A service of two components in one stage, on a clock.
    struct Service {
        decider: Decider,
        now: Duration,
    }

    impl Service {
        fn ready() -> Self {
            let layout = Layout::new(&[2]).expect("valid");
            let plan = Plan::new(Policy::default(), layout).expect("valid");
            let now = Duration::ZERO;
            let decider = Decider::live(plan);
            let mut service = Self { decider, now };
            service.settle();
            service.come_up();
            service
        }

        fn settle(&mut self) {
            let mut effects = Vec::new();
            while !matches!(
                self.decider.next(self.now, &mut effects),
                Decided::Wait(_) | Decided::WhySilent { .. }
            ) {}
        }

        fn bring(&mut self, arrival: Arrival) {
            assert!(self.decider.arrive(arrival));
            self.settle();
        }

        fn come_up(&mut self) {
            let session = self.decider.machine().session().unwrap_or_default();
            let (round, at, seen) = (0, self.now, Seen::Alive);
            self.bring(Arrival::Observed(Observed {
                session,
                round,
                at,
                seen,
            }));
            let epoch = self.decider.machine().epoch();
            for component in [ComponentId(0), ComponentId(1)] {
                self.bring(Arrival::Up { component, epoch });
            }
            assert!(self.decider.machine().is_ready());
        }

        fn end(&mut self, component: u32, how: Exit) {
            self.main_task_ends(component, how, true);
        }

        /// `gone` is whether nothing else is left of it.
        fn main_task_ends(&mut self, component: u32, how: Exit, gone: bool) {
            self.bring(Arrival::Ended(Ended {
                component: ComponentId(component),
                epoch: self.decider.machine().epoch(),
                how,
                gone,
                last_words: LastWords::NONE,
            }));
        }

        fn unclean(&self) -> Vec<(u32, UncleanEnd)> {
            let unclean = self.decider.unclean_ends();
            unclean.map(|(id, end)| (id.0, end)).collect()
        }
    }

    const FAILED: Exit = Exit::Failed(FailureClass::Component);

    #[test]
    fn what_fails_or_is_aborted_when_it_is_asked_to_stop_is_unclean() {
        let mut service = Service::ready();
        service.bring(Arrival::Shutdown);
        service.end(0, FAILED);
        service.now = service.decider.due(Timer::Stage).expect("a deadline");
        service.settle();
        // It fails as well, because it is aborted.
        service.end(1, FAILED);
        assert_eq!(
            service.unclean(),
            [
                (0, UncleanEnd::Failed(FailureClass::Component)),
                (1, UncleanEnd::Aborted)
            ]
        );
    }

    #[test]
    fn a_failure_before_the_stop_and_a_plain_end_are_not() {
        let mut service = Service::ready();
        service.end(0, FAILED);
        assert!(!service.decider.machine().is_ready());
        service.end(1, Exit::Returned);
        assert_eq!(service.unclean(), []);
    }

    /// Its failure is the cause of the stop, and it is told again when its sub-tasks are gone.
    #[test]
    fn who_failed_before_the_stop_and_had_something_left_has_not_failed_in_it() {
        let mut service = Service::ready();
        service.main_task_ends(0, FAILED, false);
        assert!(!service.decider.machine().is_ready());
        service.bring(Arrival::Shutdown);
        service.end(0, FAILED);
        service.end(1, Exit::Returned);
        assert!(service.decider.machine().phase().is_ended());
        assert_eq!(service.unclean(), []);
    }

    /// It is kept only until the component is gone.
    #[test]
    fn who_failed_before_an_earlier_stop_may_fail_in_a_later_one() {
        let (component, epoch, how) = (ComponentId(0), 1, FAILED);
        let exited = Input::Exited {
            component,
            epoch,
            how,
        };
        let gone = Input::Gone {
            component,
            epoch,
            how,
        };
        let mut stops = Stops::default();
        let mut note = |input, was| {
            stops.note(&input, was, &Step::Absorbed, &[]);
            stops.iter().count()
        };
        assert_eq!(note(exited, ComponentState::Up), 0);
        assert_eq!(note(gone, ComponentState::Stopping), 0);
        assert_eq!(note(gone, ComponentState::Stopping), 1);
    }

    /// It may have sub-tasks that fail in the stop.
    #[test]
    fn what_returned_before_the_stop_may_fail_in_it() {
        let (component, epoch) = (ComponentId(0), 1);
        let exited = Input::Exited {
            component,
            epoch,
            how: Exit::Returned,
        };
        let gone = Input::Gone {
            component,
            epoch,
            how: FAILED,
        };
        let mut stops = Stops::default();
        stops.note(&exited, ComponentState::Up, &Step::Absorbed, &[]);
        stops.note(&gone, ComponentState::Stopping, &Step::Absorbed, &[]);
        assert_eq!(stops.iter().count(), 1);
    }

    #[test]
    fn only_the_last_stop_counts() {
        let mut service = Service::ready();
        service.bring(Arrival::Command(Command::Drain));
        service.end(0, FAILED);
        service.end(1, Exit::Returned);
        assert_eq!(service.unclean().len(), 1);
        service.bring(Arrival::Command(Command::Resume));
        assert_eq!(service.unclean(), [], "the next run begins");
        service.come_up();
        service.bring(Arrival::Shutdown);
        assert_eq!(service.unclean(), []);
    }

    /// What was aborted an hour ago, in an outage, is no matter of a shutdown while nothing is alive.
    #[test]
    fn a_run_that_ends_at_rest_has_no_stop() {
        let mut service = Service::ready();
        service.bring(Arrival::Command(Command::Trip));
        service.end(0, FAILED);
        service.end(1, Exit::Returned);
        assert_eq!(service.unclean().len(), 1);
        service.bring(Arrival::Shutdown);
        assert!(service.decider.machine().phase().is_ended());
        assert_eq!(service.unclean(), []);
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut stops = Stops::default();
        let abort = |id| Effect::Abort {
            component: ComponentId(id),
            epoch: 1,
        };
        let effects: Vec<_> = (0..2 * KEPT as u32).map(abort).collect();
        let fired = Input::Fired(Timer::Stage);
        stops.note(&fired, ComponentState::Down, &Step::Absorbed, &effects);
        assert_eq!(stops.iter().count(), KEPT);
    }
}
