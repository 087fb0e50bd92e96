//! What failed lately: why starts failed, and the reason of a run that gives up.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::machine::{Phase, Transition};
use crate::policy::ComponentId;

/// The most components whose last failure is kept.
const KEPT: usize = 8;

/// The failures since the service was last ready, and the last failure of a service that was.
#[derive(Default)]
pub(crate) struct LastFailures {
    /// Why starts failed: the last reason for each component. `None` stands for what no component caused.
    starts: BTreeMap<Option<ComponentId>, Arc<str>>,
    /// The last of these.
    last_start: Option<Arc<str>>,
    trip: Option<Arc<str>>,
    /// Why a component has failed too often.
    limit: Option<Arc<str>>,
}

impl LastFailures {
    /// Notes a transition with its reason. Returns whether a start has failed.
    pub(crate) fn note(&mut self, hop: &Transition, reason: &Arc<str>) -> bool {
        match (hop.from, hop.to) {
            (Phase::Running, _) => self.trip = Some(Arc::clone(reason)),
            (_, Phase::Running) => *self = Self::default(),
            // An operator resumed it.
            (_, Phase::Restarting) => self.limit = None,
            (Phase::Restarting, _) if !hop.cause.is_wanted() => {
                let who = hop.cause.component();
                if self.starts.len() >= KEPT && !self.starts.contains_key(&who) {
                    // The last one is told in any case.
                    self.starts.pop_first();
                }
                self.starts.insert(who, Arc::clone(reason));
                self.last_start = Some(Arc::clone(reason));
                self.trip = Some(Arc::clone(reason));
                return true;
            }
            _ => {}
        }
        false
    }

    /// Why the last start failed, if one has failed since the service was last ready.
    pub(crate) fn last_start(&self) -> Option<&Arc<str>> {
        self.last_start.as_ref()
    }

    /// Why starts have failed since the service was last ready: the last reason for each component.
    pub(crate) fn of_starts(&self) -> Vec<Arc<str>> {
        self.starts.values().map(Arc::clone).collect()
    }

    /// Why a component has failed too often. `limit` is that in words, without its last failure.
    pub(crate) fn too_often(&mut self, limit: &str) -> Arc<str> {
        let reason: Arc<str> = match &self.trip {
            Some(trip) => format!("{limit}, the last time: {trip}").into(),
            None => limit.into(),
        };
        self.limit = Some(Arc::clone(&reason));
        reason
    }

    /// Why the run gives up. `starts` is the limit of starts in words.
    pub(crate) fn gave_up(&self, starts: &str) -> String {
        if let Some(limit) = &self.limit {
            return limit.to_string();
        }
        let reasons: Vec<&str> = self.starts.values().map(|reason| &**reason).collect();
        match reasons.is_empty() {
            true => starts.to_owned(),
            false => format!("{starts}: {}", reasons.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Cause, FailureClass};

    fn hop(from: Phase, to: Phase, component: u32) -> Transition {
        let class = FailureClass::Component;
        let component = ComponentId(component);
        Transition {
            from,
            to,
            cause: Cause::StartFailed { component, class },
            epoch: 1,
        }
    }

    #[test]
    fn the_last_failure_of_each_component_is_told() {
        let mut last = LastFailures::default();
        assert_eq!(last.gave_up("2 starts failed"), "2 starts failed");
        for (id, reason) in [(0, "old"), (1, "other"), (0, "new")] {
            let failed = hop(Phase::Restarting, Phase::ShuttingDown, id);
            last.note(&failed, &reason.into());
        }
        assert_eq!(
            last.gave_up("2 starts failed"),
            "2 starts failed: new; other"
        );
        for id in 2..100 {
            let failed = hop(Phase::Restarting, Phase::ShuttingDown, id);
            last.note(&failed, &"more".into());
        }
        assert_eq!(last.starts.len(), KEPT);
        last.note(&hop(Phase::Restarting, Phase::Running, 0), &"up".into());
        assert_eq!(last.gave_up("2 starts failed"), "2 starts failed");
    }

    #[test]
    fn a_component_that_failed_too_often_is_the_reason() {
        let mut last = LastFailures::default();
        last.note(&hop(Phase::Running, Phase::ShuttingDown, 0), &"full".into());
        assert_eq!(&*last.too_often("often"), "often, the last time: full");
        assert_eq!(
            last.gave_up("2 starts failed"),
            "often, the last time: full"
        );
        // After a drain and a resume it gives up for another reason.
        last.note(&hop(Phase::Monitoring, Phase::Restarting, 0), &"".into());
        last.note(
            &hop(Phase::Restarting, Phase::ShuttingDown, 0),
            &"taken".into(),
        );
        assert_eq!(last.gave_up("2 starts failed"), "2 starts failed: taken");
    }
}
