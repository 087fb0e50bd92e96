//! What is logged: the transition trace, at targets and with fields that do not change.

use tracing::{debug, error, info, warn};

use super::journal::Transitioned;
use super::shared::Shared;
use super::status::Sight;
use crate::machine::{Effect, Ignored, Input, Phase, Record};

/// One event for each transition: `error` for Halted, `warn` for leaving Running or Restarting
/// because something failed, else `info`.
macro_rules! transition {
    ($level:ident, $transitioned:expr, $component:expr, $observe_only:expr) => {
        $level!(
            target: "overwatch::transition",
            from = $transitioned.from.as_str(),
            to = $transitioned.to.as_str(),
            cause = $transitioned.cause.as_str(),
            component = $component,
            class = $transitioned.cause.class().map(crate::machine::Class::as_str),
            epoch = $transitioned.epoch,
            outage = $transitioned.outage,
            spent_ms = $transitioned.spent.as_millis() as u64,
            reason = &*$transitioned.reason,
            observe_only = $observe_only,
            "{} -> {}: {}",
            $transitioned.from,
            $transitioned.to,
            $transitioned.reason
        )
    };
}

pub(super) fn transition(transitioned: &Transitioned, shared: &Shared, observe_only: bool) {
    use crate::machine::Cause::{Drain, Shutdown};
    let component = transitioned.cause.component().map(|id| &**shared.name(id));
    let failed =
        transitioned.to == Phase::ShuttingDown && !matches!(transitioned.cause, Drain | Shutdown);
    if transitioned.to == Phase::Halted {
        transition!(error, transitioned, component, observe_only);
    } else if failed {
        transition!(warn, transitioned, component, observe_only);
    } else {
        transition!(info, transitioned, component, observe_only);
    }
}

pub(super) fn outage_closed(record: Record, lasted_ms: Option<u64>) {
    info!(
        target: "overwatch::outage",
        outage = record.outage,
        lasted_ms,
        reports = record.reports,
        stale_reports = record.stale_reports,
        failed_starts = record.failed_starts,
        "outage {} is over",
        record.outage
    );
}

pub(super) fn effect(effect: &Effect, observe_only: bool) {
    debug!(target: "overwatch::effect", observe_only, "{effect:?}");
}

pub(super) fn ignored(input: &Input, why: Ignored) {
    debug!(target: "overwatch::ignored", why = why.as_str(), "{input:?}");
}

pub(super) fn component_failed(name: &str, failure: &str, stopping: bool) {
    warn!(target: "overwatch::component", component = name, failure, stopping, "{name:?} failed: {failure}");
}

pub(super) fn reported(
    name: Option<&str>,
    class: &str,
    count: u32,
    first: &str,
    last: Option<&str>,
) {
    warn!(target: "overwatch::report", component = name, class, count, first, last, "{count} reported: {first}");
}

pub(super) fn observed(sight: &Sight) {
    let Sight { alive, class, what } = sight;
    if *alive {
        info!(target: "overwatch::probe", alive, "the dependency is alive: {what}");
    } else {
        warn!(target: "overwatch::probe", alive, class, "the dependency is failing: {what}");
    }
}
