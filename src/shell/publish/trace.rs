//! The trace: the log events of a run, with stable targets and fields.
//!
//! `at_ms` is when an event happened, in milliseconds since the run began: it may be written later. What differs
//! is in the fields of an event: nothing is said twice in a line.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Level, debug, error, info, warn};

use super::journal::TransitionEvent;
use super::last_seen::LastSeen;
use super::roster::Roster;
use crate::machine::{Effect, FailureClass, IgnoreReason, Input, Phase, Record};
use crate::policy::{Fence, Plan};
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
            spent_ms = ms($transitioned.spent),
            relapse_level = $transitioned.level,
            hold_off_ms = $transitioned.hold_off.map(ms),
            reason = &*$transitioned.reason,
            observe_only = $observe_only,
            at_ms = $at_ms,
            "{}",
            if $observe_only { "it would be in another state" } else { words($transitioned.to) }
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
    Observed(LastSeen),
}

/// Some components that did not stop in time.
pub(crate) struct Overrun {
    /// The first few names.
    pub(crate) components: String,
    pub(crate) count: usize,
    /// What keeps the first few of them from being gone.
    pub(crate) left: Option<String>,
    pub(crate) stage: u16,
    /// Since the stage was asked to stop.
    pub(crate) took: Duration,
    pub(crate) epoch: u64,
    pub(crate) how: Overran,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overran {
    /// They missed the stop deadline.
    Aborted,
    /// They were gone after the abort.
    Gone,
    /// They survived the abort.
    Wedged,
}

/// The first event of a run: what runs, and under which policy.
pub(crate) fn begins(log: &Log, plan: &Plan, observe_only: bool) {
    let (policy, layout) = (plan.policy(), plan.layout());
    let stages: Vec<String> = (0..layout.stages())
        .map(|stage| {
            let count = layout.stage(stage).len();
            let (start, stop) = (plan.start_deadline(stage), plan.stop_deadline(stage));
            match (start, stop) == (policy.start_deadline(), policy.stop_deadline()) {
                true => count.to_string(),
                false => format!("{count} (start {start:?}, stop {stop:?})"),
            }
        })
        .collect();
    let stages = stages.join(", ");
    let budget = plan.stop_budget();
    let components = layout.components();
    let fence = policy.fence();
    let (ttl, renewals) = (fence.map(Fence::ttl), fence.map(Fence::renewal_interval));
    let slack = fence.map(|fence| plan.fence_after(fence.lease()).unwrap_or_default());
    let (window, silence) = (policy.window(), policy.silence_limit());
    let (start, stop, abort) = (
        policy.start_deadline(),
        policy.stop_deadline(),
        policy.abort_deadline(),
    );
    let (threshold, delay) = (policy.trip_threshold(), policy.tuning().unready_delay());
    let longest = policy.longest_hold_off();
    let (backoff, stable_after) = (policy.tuning().backoff(), policy.tuning().stable_after());
    let (give_up_after, limit) = (policy.give_up_after(), policy.failure_limit());
    let limit = limit.map(|limit| format!("{} within {:?}", limit.failures(), limit.within()));
    log.event(Level::INFO, move |at_ms| {
        info!(
            target: "overwatch::run",
            version = env!("CARGO_PKG_VERSION"),
            components,
            stages,
            observe_only,
            window_ms = ms(window),
            silence_limit_ms = ms(silence),
            trip_threshold = threshold,
            max_hold_off_ms = ms(longest),
            backoff_ms = ms(backoff),
            stable_after_ms = ms(stable_after),
            give_up_after,
            failure_limit = limit,
            start_deadline_ms = ms(start),
            stop_deadline_ms = ms(stop),
            abort_deadline_ms = ms(abort),
            stop_budget_ms = ms(budget),
            unready_delay_ms = ms(delay),
            fence_ttl_ms = ttl.map(ms),
            fence_renewal_ms = renewals.map(ms),
            fence_slack_ms = slack.map(ms),
            at_ms,
            "the run begins"
        );
    });
}

/// Components that did not stop in time: one event, however many there are.
pub(crate) fn overrun(log: &Log, overrun: Overrun) {
    let level = match overrun.how {
        Overran::Gone => Level::INFO,
        Overran::Aborted | Overran::Wedged => Level::WARN,
    };
    log.event(level, move |at_ms| {
        let Overrun { components, count, left, stage, took, epoch, how } = overrun;
        let took_ms = ms(took);
        match how {
            Overran::Aborted => {
                warn!(target: "overwatch::stop", names = components, count, left, stage, took_ms, epoch, at_ms, "not stopped within the stop deadline, so they are aborted");
            }
            Overran::Gone => {
                info!(target: "overwatch::stop", names = components, count, stage, took_ms, epoch, at_ms, "gone after the abort");
            }
            Overran::Wedged => {
                warn!(target: "overwatch::stop", names = components, count, left, stage, took_ms, epoch, at_ms, "wedged: not gone within the abort deadline, so only the end of the process ends them");
            }
        }
    });
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a state means, in words.
fn words(to: Phase) -> &'static str {
    match to {
        Phase::Running => "the service is ready",
        Phase::ShuttingDown => "the service is not ready, and is being stopped",
        Phase::Monitoring => {
            "everything is stopped, and the dependency must first stay alive for a while"
        }
        Phase::Restarting => "components are being started",
        Phase::Drained => "the service is drained",
        Phase::Stopped => "the run is over",
        Phase::Halted => "the run cannot go on",
    }
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

/// A component has failed too often, so the run ends, or it drains.
pub(crate) fn failed_too_often(log: &Log, reason: Arc<str>, drains: bool) {
    log.event(Level::WARN, move |at_ms| {
        warn!(
            target: "overwatch::limit",
            reason = &*reason,
            drains,
            at_ms,
            "a component has failed too often"
        );
    });
}

/// An outage is over, or the run ends in the middle of it. The first start has the number 0.
pub(crate) fn outage_closed(log: &Log, record: Record, lasted_ms: Option<u64>, is_over: bool) {
    let words = match (record.outage, is_over) {
        (0, true) => "the service is up for the first time",
        (0, false) => "the run ended before the service was up",
        (_, true) => "the outage is over",
        (_, false) => "the outage ended with the run",
    };
    log.event(Level::INFO, move |at_ms| {
        info!(
            target: "overwatch::outage",
            outage = record.outage,
            lasted_ms,
            reports = record.reports,
            stale_reports = record.stale_reports,
            failed_starts = record.failed_starts,
            at_ms,
            "{words}"
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
        Incident::Observed(seen) if !seen.is_failing() => Level::INFO,
        _ => Level::WARN,
    };
    log.event(level, move |at_ms| match news {
        Incident::ComponentFailed {
            name,
            told,
            stopping,
        } => {
            let (name, class, failure) = (&*name, told.class().as_str(), &**told.text());
            warn!(target: "overwatch::component", component = name, class, failure, stopping, at_ms, "a component failed");
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
            warn!(target: "overwatch::report", component = name, class, count, first, last, at_ms, "a failure was reported");
        }
        Incident::Observed(seen) => {
            let (alive, class, what) = (!seen.is_failing(), seen.class(), &**seen.what());
            if alive {
                info!(target: "overwatch::probe", alive, what, at_ms, "the dependency is alive");
            } else {
                warn!(target: "overwatch::probe", alive, class, what, at_ms, "the dependency is failing");
            }
        }
    });
}
