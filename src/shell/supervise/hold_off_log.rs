//! What is known of the hold-off, for the status.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::machine::Machine;
use crate::policy::Policy;
use crate::shell::publish::{HoldOff, grown};

/// The hold-off that began last. A reset or a further failure changes the next one, and not this one.
#[derive(Default)]
pub(crate) struct HoldOffLog {
    lasts: Duration,
    /// Why it is longer than at the first failure, if it is.
    grown: Option<Arc<str>>,
}

impl HoldOffLog {
    pub(crate) fn begins(&mut self, lasts: Duration, machine: &Machine, policy: &Policy) {
        self.lasts = lasts;
        self.grown = grown(machine.level(), machine.blame(), policy).map(Arc::from);
    }

    /// The hold-off, which runs until then.
    pub(crate) fn until(&self, due: Instant) -> HoldOff {
        HoldOff {
            due,
            lasts: self.lasts,
            grown: self.grown.clone(),
        }
    }
}
