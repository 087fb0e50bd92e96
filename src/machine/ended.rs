//! Ended: no timer is armed, no session or outage is open, and inputs no longer have any effect.

use super::core::{Core, Cx};
use super::{Effect, RunOutcome};

pub(super) fn enter(end: RunOutcome, core: &mut Core, cx: &mut Cx<'_>) {
    core.close_session(cx);
    core.disarm_all_but(&[], cx);
    // Reports that came after the last outage was closed must not be lost.
    if core.outage_open || !core.ledger.record.is_empty() {
        core.close_outage(cx);
    }
    cx.emit(Effect::Ended(end));
}
