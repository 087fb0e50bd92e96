//! What is known of the lease, for the reason with which the fence trips.

use tokio::time::Instant;

use crate::policy::Plan;
use crate::shell::publish::LeaseNews;

/// When the lease was taken and last renewed.
#[derive(Default)]
pub(crate) struct LeaseLog {
    /// When the stage of the owner was started.
    started: Option<Instant>,
    /// When the last renewal that arrived was sent.
    sent: Option<Instant>,
}

impl LeaseLog {
    /// Notes the start of a stage, which is that of the lease owner or not.
    pub(crate) fn started(&mut self, stage: u16, plan: &Plan) {
        let layout = plan.layout();
        let owners = layout
            .lease_owner()
            .and_then(|owner| layout.stage_of(owner));
        if owners == Some(usize::from(stage)) {
            self.started = Some(Instant::now());
            self.sent = None;
        }
    }

    pub(crate) fn renewed(&mut self, sent: Option<Instant>) {
        self.sent = sent.or(self.sent);
    }

    /// What is known now. `left` is what a renewal that has just arrived leaves of the lease.
    pub(crate) fn news(&self, left: Option<std::time::Duration>) -> LeaseNews {
        LeaseNews {
            started_ago: self
                .started
                .map(|started| started.elapsed())
                .unwrap_or_default(),
            sent_ago: self.sent.map(|sent| sent.elapsed()),
            left,
        }
    }
}
