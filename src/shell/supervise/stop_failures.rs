//! What components said when they did not stop well.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::step_text::Detail;
use crate::driver::UncleanEnd;
use crate::machine::Input;
use crate::policy::ComponentId;
use crate::shell::failure::ReportedFailure;

/// How many failures are kept. Of further components only the class is known.
const KEPT: usize = 64;

/// The last failures with which components ended.
#[derive(Default)]
pub(crate) struct StopFailures(BTreeMap<ComponentId, Arc<ReportedFailure>>);

impl StopFailures {
    /// Keeps the failure of a component that has ended.
    pub(crate) fn note(&mut self, input: &Input, detail: &Detail) {
        if let Input::Gone { component, .. } | Input::Exited { component, .. } = *input
            && let Some(told) = detail.told()
            && (self.0.len() < KEPT || self.0.contains_key(&component))
        {
            self.0.insert(component, Arc::clone(told));
        }
    }

    /// Whether all texts are made.
    pub(crate) fn are_known(&self) -> bool {
        self.0.values().all(|told| told.known_text().is_some())
    }

    /// How a component did not stop well, in words.
    pub(crate) fn words(&self, component: ComponentId, end: UncleanEnd) -> Arc<str> {
        let class = match end {
            UncleanEnd::Aborted => return "was aborted at its stop deadline".into(),
            UncleanEnd::Failed(class) => class,
        };
        let told = self.0.get(&component).and_then(|told| told.known_text());
        match told {
            Some(text) => format!("failed while it stopped: {text}").into(),
            None => format!("failed while it stopped, with a {class} failure").into(),
        }
    }
}
