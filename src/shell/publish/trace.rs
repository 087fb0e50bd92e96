//! The trace: the log events of a run, with stable targets and fields.
//!
//! `at_ms` is when an event happened, in milliseconds since the run began: it may be written later.

use std::sync::Arc;

use tracing::{Level, debug, error, info, warn};

use super::journal::TransitionEvent;
use super::roster::Roster;
use super::status::DependencyStatus;
use crate::machine::{Effect, FailureClass, IgnoreReason, Input, Phase, Record};
use crate::shell::failure::ReportedFailure;
use crate::shell::inbound::Last;
use crate::shell::log::Log;

/// One event for each transition: `error` for Halted, `warn` for leaving Running or Restarting
/// because something failed, else `info`.
macro_rules! transition {
    ($level:ident, $transitioned:expr, $component:expr, $observe_only:expr, $at_ms:expr) => {
        $level!(
            target: "overwatch::transition",
            from = $transitioned.from.as_str(),
            to = $transitioned.to.as_str(),
            cause = $transitioned.cause.as_str(),
            component = $component,
            class = $transitioned.cause.class().map(crate::machine::FailureClass::as_str),
            epoch = $transitioned.epoch,
            outage = $transitioned.outage,
            spent_ms = $transitioned.spent.as_millis() as u64,
            reason = &*$transitioned.reason,
            observe_only = $observe_only,
            at_ms = $at_ms,
            "{} -> {}: {}",
            $transitioned.from,
            $transitioned.to,
            $transitioned.reason
        )
    };
}

/// A failure or an observation, which is logged before the transition that it causes.
pub(crate) enum Incident {
    ComponentFailed {
        name: Arc<str>,
        told: Arc<ReportedFailure>,
        stopping: bool,
    },
    Reported {
        name: Option<Arc<str>>,
        class: FailureClass,
        count: u32,
        first: Arc<ReportedFailure>,
        last: Option<Last>,
    },
    Observed(DependencyStatus),
}

pub(crate) fn transition(
    log: &Log,
    transitioned: TransitionEvent,
    roster: &Roster,
    observe_only: bool,
) {
    let component = transitioned.cause.component();
    let component = component.map(|id| Arc::clone(roster.name(id)));
    let failed = transitioned.to == Phase::ShuttingDown && !transitioned.cause.is_wanted();
    let level = match (transitioned.to, failed) {
        (Phase::Halted, _) => Level::ERROR,
        (_, true) => Level::WARN,
        (_, false) => Level::INFO,
    };
    log.transition(level, move |at_ms| {
        let component = component.as_deref();
        if level == Level::ERROR {
            transition!(error, transitioned, component, observe_only, at_ms);
        } else if level == Level::WARN {
            transition!(warn, transitioned, component, observe_only, at_ms);
        } else {
            transition!(info, transitioned, component, observe_only, at_ms);
        }
    });
}

pub(crate) fn outage_closed(log: &Log, record: Record, lasted_ms: Option<u64>) {
    log.event(Level::INFO, move |at_ms| {
        info!(
            target: "overwatch::outage",
            outage = record.outage,
            lasted_ms,
            reports = record.reports,
            stale_reports = record.stale_reports,
            failed_starts = record.failed_starts,
            at_ms,
            "outage {} is over",
            record.outage
        );
    });
}

pub(crate) fn effects(log: &Log, effects: &[Effect], observe_only: bool) {
    if !log.wants(Level::DEBUG) {
        return;
    }
    for &effect in effects {
        log.event(Level::DEBUG, move |at_ms| {
            debug!(target: "overwatch::effect", observe_only, at_ms, "{effect:?}");
        });
    }
}

pub(crate) fn ignored(log: &Log, input: Input, why: IgnoreReason) {
    log.event(Level::DEBUG, move |at_ms| {
        debug!(target: "overwatch::ignored", why = why.as_str(), at_ms, "{input:?}");
    });
}

pub(crate) fn news(log: &Log, news: Incident) {
    let level = match &news {
        Incident::Observed(sight) if sight.alive => Level::INFO,
        _ => Level::WARN,
    };
    log.event(level, move |at_ms| match news {
        Incident::ComponentFailed {
            name,
            told,
            stopping,
        } => {
            let (name, failure) = (&*name, &**told.text());
            warn!(target: "overwatch::component", component = name, failure, stopping, at_ms, "{name:?} failed: {failure}");
        }
        Incident::Reported {
            name,
            class,
            count,
            first,
            last,
        } => {
            let last = last.map(|last| last.text());
            let (name, class, last) = (name.as_deref(), class.as_str(), last.as_deref());
            let first = &**first.text();
            warn!(target: "overwatch::report", component = name, class, count, first, last, at_ms, "{count} reported: {first}");
        }
        Incident::Observed(DependencyStatus { alive, class, what }) => {
            if alive {
                info!(target: "overwatch::probe", alive, at_ms, "the dependency is alive: {what}");
            } else {
                warn!(target: "overwatch::probe", alive, class, at_ms, "the dependency is failing: {what}");
            }
        }
    });
}
