//! Publishes a step, after its effects were carried out.
//!
//! A transition is published with its reason, and the reason may end with the text of an error of the
//! user. The supervisor never makes that text: see [`ReportedFailure`]. So the publication waits until the text
//! exists, which takes some microseconds, and for a moment at most if it does not. Long before that, readiness is off
//! and the components are asked to stop.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::hold_off_log::HoldOffLog;
use super::inbox::Inbox;
use super::lease_log::LeaseLog;
use super::notice::{Notice, OutageNews};
use super::recorded::{Came, Recorded};
use super::step_text::{Detail, Fatal};
use super::stop_log::{Overruns, StopLog};
use crate::driver::{Decider, Decision};
use crate::machine::{Cause, ComponentState, Effect, Input, Machine, Phase, Record, Step, Timer};
use crate::policy::FailureLimit;
use crate::shell::failure::StopSignal;
use crate::shell::log::Log;
use crate::shell::probe::Observation;
use crate::shell::publish::trace::{self, Incident};
use crate::shell::publish::{
    Few, LastFailures, LastSeen, Outage, Summary, TransitionEvent, describe, fence, overdue,
};
use crate::shell::run_state::RunState;

/// Replaces a text that is not made in time.
const UNKNOWN: &str = "(the text of the error is not made yet)";

/// How far the transitions of a machine are published.
struct Trail {
    /// When the current state was entered.
    entered: Instant,
    transitions: u64,
}

impl Trail {
    fn new() -> Self {
        Self {
            entered: Instant::now(),
            transitions: 0,
        }
    }
}

/// Publishes steps, and the last observation of the dependency.
pub(crate) struct Publisher {
    shared: Arc<RunState>,
    log: Log,
    /// Whether texts are made at once: in place, where user code may run on this thread.
    in_place: bool,
    /// What was last published of each machine.
    trail: Trail,
    shown_trail: Trail,
    dependency: Option<LastSeen>,
    last_failures: LastFailures,
    hold_off: HoldOffLog,
    lease: LeaseLog,
    stops: StopLog,
    /// The steps that are not published yet, in order.
    notices: VecDeque<Notice>,
    /// Whether the rest of the published state is up to date.
    is_published: bool,
}

impl Publisher {
    pub(crate) fn new(shared: Arc<RunState>, log: Log, in_place: bool) -> Self {
        Self {
            shared,
            log,
            in_place,
            trail: Trail::new(),
            shown_trail: Trail::new(),
            dependency: None,
            last_failures: LastFailures::default(),
            hold_off: HoldOffLog::default(),
            lease: LeaseLog::default(),
            stops: StopLog::default(),
            notices: VecDeque::new(),
            is_published: false,
        }
    }

    /// Notes and logs that the run begins.
    pub(crate) fn begin(&mut self, observe_only: bool) {
        self.trail = Trail::new();
        self.shown_trail = Trail::new();
        trace::begins(&self.log, &self.shared.plan, observe_only);
    }

    /// Notes that something other than transitions must be published.
    pub(crate) fn mark_outdated(&mut self) {
        self.is_published = false;
    }

    /// Passes a step to the hook, if there is one. Only then the arrivals are known.
    pub(crate) fn record(
        &mut self,
        at: Duration,
        came: Option<Vec<Came>>,
        decision: Option<Decision>,
        effects: &[Effect],
    ) {
        if let Some(came) = came {
            let recorded = Recorded {
                plan: Arc::clone(&self.shared.plan),
                at,
                came,
                decision,
                effects: effects.to_vec(),
            };
            let read = move |missed, hook: &mut _| recorded.read_by(missed, hook);
            self.log.step(effects.len(), read);
        }
    }

    fn describe(&self, cause: Cause, detail: Option<&str>) -> String {
        let (published, plan) = (&self.shared.published, &self.shared.plan);
        let detail = match cause {
            Cause::Shutdown => published.signal().map(StopSignal::as_str),
            _ => detail,
        };
        describe(cause, detail, &published.roster, plan)
    }

    /// The components that are not up.
    pub(crate) fn late(&self) -> Few {
        Few::doing(&self.shared.published.roster, &[ComponentState::Starting])
    }

    /// Why a start is overdue, in words.
    pub(crate) fn overdue(&self, late: Few) -> String {
        overdue(late, &self.shared.published.roster, &self.shared.plan)
    }

    /// Why the fence trips, in words. `left` is what a renewal leaves of the lease, if it was one that tripped.
    pub(crate) fn fence(&self, input: Input) -> String {
        let left = match input {
            Input::LeaseRenewed { remaining, .. } => Some(remaining),
            _ => None,
        };
        fence(self.lease.news(left), &self.shared.plan)
    }

    /// Notes the effects of a step, after they were carried out, and the components that did not stop in time, as far as
    /// the log and the status need them.
    pub(crate) fn follow(&mut self, effects: &[Effect], overruns: Overruns, machine: &Machine) {
        let (plan, roster) = (&self.shared.plan, &self.shared.published.roster);
        for effect in effects {
            match *effect {
                Effect::Arm {
                    timer: Timer::HoldOff,
                    after,
                } => self.hold_off.begins(after, machine, plan.policy()),
                Effect::StartStage { stage, .. } => self.lease.started(stage, plan),
                _ => {}
            }
        }
        self.stops.follow(effects, overruns, &self.log, roster);
    }

    /// Notes a renewal of the lease, which was sent then.
    pub(crate) fn note_renewal(&mut self, sent: Option<Instant>) {
        self.lease.renewed(sent);
    }

    /// Logs a failure or an observation.
    pub(crate) fn log(&self, news: Option<Incident>) {
        if let Some(news) = news {
            trace::news(&self.log, news);
        }
    }

    /// Notes a step that must be published.
    ///
    /// `early` is the reason, if it had to be made before the step was carried out; `fatal` is the failure that ended
    /// the run, if there was one.
    pub(crate) fn announce(
        &mut self,
        decision: Decision,
        decider: &Decider,
        outage: Option<OutageNews>,
        early: Option<String>,
        detail: Detail,
        fatal: Option<&Fatal>,
    ) {
        let dry = decision.carried.is_dry();
        let machine = match dry {
            true => decider.observer(),
            false => decider.machine(),
        };
        let step = decision.told.map(|(_, step)| step);
        let mut hops = step.iter().flat_map(Step::transitions);
        let hops = [hops.next(), hops.next()];
        let is_fatal = hops.iter().flatten().any(|hop| hop.cause == Cause::Fatal);
        let fatal = fatal.filter(|_| is_fatal);
        self.notices.push_back(Notice {
            dry,
            hops,
            outage,
            early,
            detail,
            fatal: fatal.map(|(_, told)| Arc::clone(told)),
            failed_too_often: match decision.input() {
                Some(Input::FailedTooOften { component }) if machine.follows_failure_limit() => {
                    Some(component)
                }
                _ => None,
            },
            outage_number: machine.outage(),
            level: machine.level(),
            hold_off: machine.hold_off(),
            session: decider.observer().session(),
            at: Instant::now(),
        });
    }

    /// Publishes the pending steps, in order, as far as their texts exist.
    ///
    /// If a step still waits, returns when it is published in any case.
    pub(crate) fn settle(&mut self, decider: &Decider, inbox: &Inbox) -> Option<Instant> {
        while let Some(notice) = self.notices.front() {
            if self.in_place {
                for told in [notice.fatal.as_ref(), notice.detail.told()]
                    .into_iter()
                    .flatten()
                {
                    told.text();
                }
            }
            if !notice.is_known() && notice.due() > Instant::now() {
                self.shared.await_text();
                if !notice.is_known() {
                    return Some(notice.due());
                }
            }
            if let Some(notice) = self.notices.pop_front() {
                self.publish(notice);
            }
        }
        if !self.is_published {
            self.is_published = true;
            self.publish_summary(decider, inbox);
        }
        None
    }

    fn publish(&mut self, notice: Notice) {
        let text = |detail: &Detail| match detail.known_text() {
            Some(text) => text.map(|text| text.into_owned()),
            None => Some(UNKNOWN.to_owned()),
        };
        let detail = text(&notice.detail);
        let fatal = notice.fatal.map(Detail::Failure);
        let fatal = fatal.as_ref().and_then(text).or_else(|| detail.clone());
        self.note_observation(notice.detail, notice.session);
        let too_often = notice.failed_too_often.map(|component| {
            let limit = self.describe(Cause::FailedTooOften { component }, None);
            self.last_failures.too_often(&limit)
        });
        if let (Some(reason), false) = (&too_often, notice.dry) {
            // A reader wants to know why it does not go on, also while it still stops.
            let publish = |summary: &mut Summary| summary.reason = Arc::clone(reason);
            self.shared.published.publish(publish);
            let drains = self.shared.plan.policy().failure_limit();
            let drains = drains.is_some_and(FailureLimit::drains);
            trace::failed_too_often(&self.log, Arc::clone(reason), drains);
        }
        let hops = notice.hops;
        for hop in hops.into_iter().flatten() {
            let reason = match (hop.cause, &notice.early) {
                (Cause::StartOverdue | Cause::Fence, Some(early)) => early.clone(),
                (Cause::Fatal, _) => self.describe(hop.cause, fatal.as_deref()),
                (Cause::GaveUp, _) => {
                    let starts = self.describe(hop.cause, None);
                    self.last_failures.gave_up(&starts)
                }
                (Cause::FailedTooOften { .. }, _) if too_often.is_some() => {
                    too_often.as_deref().unwrap_or_default().to_owned()
                }
                _ => self.describe(hop.cause, detail.as_deref()),
            };
            let reason: Arc<str> = reason.into();
            if !notice.dry && self.last_failures.note(&hop, &reason) {
                let reasons = self.last_failures.of_starts();
                self.shared.published.journal.note_failures(reasons);
            }
            if hop.from == Phase::ShuttingDown && !notice.dry {
                self.stops.end(&self.log, &self.shared.published.roster);
            }
            let trail = match notice.dry {
                true => &mut self.shown_trail,
                false => &mut self.trail,
            };
            let transitioned = TransitionEvent {
                number: trail.transitions,
                at: notice.at,
                from: hop.from,
                to: hop.to,
                cause: hop.cause,
                reason,
                epoch: hop.epoch,
                outage: notice.outage_number,
                spent: notice.at.saturating_duration_since(trail.entered),
                level: notice.level,
                hold_off: notice.hold_off.filter(|_| hop.to != Phase::Running),
            };
            trail.entered = notice.at;
            trail.transitions += 1;
            trace::transition(
                &self.log,
                transitioned.clone(),
                &self.shared.published.roster,
                notice.dry,
            );
            if notice.dry {
                continue;
            }
            let entered = notice.at;
            self.shared.published.publish(|summary| {
                summary.phase = hop.to;
                summary.entered = Some(entered);
                summary.failed_start = self.last_failures.last_start().map(Arc::clone);
                // A reader wants to know why everything was stopped, and not that everything is gone.
                if hop.cause != Cause::AllGone {
                    summary.reason = Arc::clone(&transitioned.reason);
                }
            });
            self.shared.published.journal.push(transitioned);
        }
        let OutageNews { opened, closed } = notice.outage.unwrap_or_default();
        if let Some((number, cause)) = opened {
            let reason: Arc<str> = match (cause, notice.early) {
                (Cause::Fence, Some(early)) => early.into(),
                _ => self.describe(cause, detail.as_deref()).into(),
            };
            let began = (cause != Cause::Boot).then(|| Arc::clone(&reason));
            self.shared
                .published
                .publish(|summary| summary.outage_reason = began);
            self.shared.published.journal.open_outage(Outage {
                number,
                reason,
                began: notice.at,
                lasted: None,
                last_failures: Vec::new(),
                record: Record::default(),
            });
        }
        if let Some(record) = closed {
            let mut hops = hops.iter().flatten();
            let is_over = hops.any(|hop| hop.to == Phase::Running);
            let lasted = self
                .shared
                .published
                .journal
                .close_outage(record, notice.at);
            let lasted_ms = lasted.map(|lasted| lasted.as_millis() as u64);
            trace::outage_closed(&self.log, record, lasted_ms, is_over);
        }
    }

    /// Publishes the state that can change without a transition.
    fn publish_summary(&mut self, decider: &Decider, inbox: &Inbox) {
        let (machine, observer) = (decider.machine(), decider.observer());
        let monitoring = machine.phase() == Phase::Monitoring;
        let due = |timer| decider.due(timer).map(|due| inbox.at(due));
        let holds_off = due(Timer::HoldOff).filter(|_| monitoring);
        let holds_off = holds_off.map(|due| self.hold_off.until(due));
        self.shared.published.publish(|summary| {
            if self.trail.transitions == 0 {
                summary.reason = self.describe(Cause::Boot, None).into();
            }
            summary.entered = Some(self.trail.entered);
            summary.epoch = machine.epoch();
            summary.outage = machine.outage();
            summary.outage_open = machine.outage_is_open();
            summary.level = machine.level();
            summary.hold_off = machine.hold_off();
            summary.dependency.clone_from(&self.dependency);
            summary.session = observer.session();
            summary.would_be = decider.is_dry_run().then(|| observer.phase());
            summary.holds_off = holds_off;
            summary.is_proved = machine.is_proved();
            summary.stage_due = due(Timer::Stage);
            summary.is_delaying = machine.is_delaying();
        });
    }

    /// Notes an observation of the dependency, and logs it if it differs from the last one.
    ///
    /// `session` is the session that is open after it.
    pub(crate) fn note_observation(&mut self, detail: Detail, session: Option<u64>) {
        let now = Instant::now();
        let seen = match detail {
            Detail::Observed(Observation::Alive { evidence }) => {
                LastSeen::alive(&evidence, now, session)
            }
            Detail::Observed(Observation::Failing { reason, class, .. }) => {
                LastSeen::failing(class, &reason, now)
            }
            Detail::Silence => {
                let limit = self.shared.plan.policy().silence_limit();
                LastSeen::failing(None, &format!("no sign of life for {limit:?}"), now)
            }
            Detail::Nothing | Detail::Plain(_) | Detail::Failure(_) => return,
        };
        if self
            .dependency
            .as_ref()
            .is_none_or(|before| !before.is_like(&seen))
        {
            trace::news(&self.log, Incident::Observed(seen.clone()));
        }
        self.dependency = Some(seen);
        self.is_published = false;
    }
}
