//! What is told of a step, once all is done that it asked for.
//!
//! A transition is told with its reason, and the reason may end with the text of an error of the
//! user's. The supervisor never makes that text: see [`Told`]. So a transition waits until the text is
//! there, which takes some microseconds, and for a moment at most if it does not come. Readiness is off
//! and the components are told long before.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Detail, Supervisor};
use crate::driver::Decision;
use crate::machine::{Cause, Effect, Phase, Record, Timer, Transition};
use crate::shell::Observation;
use crate::shell::describe::describe;
use crate::shell::journal::{Outage, TransitionEvent};
use crate::shell::status::DependencyStatus;
use crate::shell::told::Told;
use crate::shell::trace::{self, News};

/// How long the text of an error is waited for.
const TEXT_WITHIN: Duration = Duration::from_millis(50);
/// What stands for a text that is not there in time.
const UNKNOWN: &str = "(the text of the error is not made yet)";

/// What is to be published of one step.
pub(super) struct Notice {
    /// Whether it only shows what would be done.
    dry: bool,
    hops: [Option<Transition>; 2],
    outage: Option<OutageNews>,
    /// The reason, where it had to be known before the step was carried out.
    early: Option<String>,
    detail: Detail,
    fatal: Option<Arc<Told>>,
    outage_number: u64,
    at: Instant,
}

/// An outage that began, and one that ended.
#[derive(Clone, Copy, Default)]
pub(super) struct OutageNews {
    opened: Option<(u64, Cause)>,
    closed: Option<Record>,
}

/// How far the transitions of a machine are told.
pub(super) struct Trail {
    /// When the present state was entered.
    entered: Instant,
    transitions: u64,
}

impl Trail {
    pub(super) fn new() -> Self {
        Self {
            entered: Instant::now(),
            transitions: 0,
        }
    }
}

impl Notice {
    fn is_known(&self) -> bool {
        let fatal = self.fatal.as_ref().map(|told| told.known_text());
        self.detail.known_text().is_some() && fatal.is_none_or(|text| text.is_some())
    }

    fn due(&self) -> Instant {
        self.at + TEXT_WITHIN
    }
}

impl Supervisor {
    /// Logs what was seen or said.
    pub(super) fn tell(&self, news: Option<News>) {
        if let Some(news) = news {
            trace::news(&self.log, news);
        }
    }

    /// The outages that begin and end with these effects.
    pub(super) fn outage_of(&self, effects: &[Effect]) -> Option<OutageNews> {
        // They are among the first or the last; a large stage has many others.
        let mut news = OutageNews::default();
        let (first, last) = (effects.iter().take(8), effects.iter().rev().take(8));
        for effect in first.chain(last) {
            match *effect {
                Effect::OutageOpened { outage, cause } => news.opened = Some((outage, cause)),
                Effect::OutageClosed(record) => news.closed = Some(record),
                _ => {}
            }
        }
        (news.opened.is_some() || news.closed.is_some()).then_some(news)
    }

    /// Notes what is to be published of a step.
    pub(super) fn announce(
        &mut self,
        decision: Decision,
        hops: [Option<Transition>; 2],
        outage: Option<OutageNews>,
        early: Option<String>,
        detail: Detail,
    ) {
        let dry = decision.carried.is_dry();
        let machine = match dry {
            true => self.decider.observer(),
            false => self.decider.machine(),
        };
        let outage_number = machine.outage();
        let is_fatal = hops.iter().flatten().any(|hop| hop.cause == Cause::Fatal);
        let fatal = self.fatal.as_ref().filter(|_| is_fatal);
        self.notices.push_back(Notice {
            dry,
            hops,
            outage,
            early,
            detail,
            fatal: fatal.map(|(_, told)| Arc::clone(told)),
            outage_number,
            at: Instant::now(),
        });
    }

    /// Publishes what there is to publish, in order, as far as its text is there. Returns when it is
    /// published in any case, if something waits.
    pub(super) fn settle(&mut self) -> Option<Instant> {
        while let Some(notice) = self.notices.front() {
            if self.service.is_none() {
                // In place, where text is made at once.
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
            self.publish_summary();
        }
        None
    }

    fn publish(&mut self, notice: Notice) {
        let text = |detail: &Detail| match detail.known_text() {
            Some(text) => text.map(|text| text.into_owned()),
            None => Some(UNKNOWN.to_owned()),
        };
        let detail = text(&notice.detail);
        let fatal = notice.fatal.map(Detail::Told);
        let fatal = fatal.as_ref().and_then(text).or_else(|| detail.clone());
        self.note_observation(notice.detail);
        for hop in notice.hops.into_iter().flatten() {
            let reason = match (hop.cause, &notice.early) {
                (Cause::StartOverdue, Some(early)) => early.clone(),
                (Cause::Fatal, _) => describe(hop.cause, fatal.as_deref(), &self.shared),
                _ => describe(hop.cause, detail.as_deref(), &self.shared),
            };
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
                reason: reason.into(),
                epoch: hop.epoch,
                outage: notice.outage_number,
                spent: notice.at.saturating_duration_since(trail.entered),
            };
            trail.entered = notice.at;
            trail.transitions += 1;
            trace::transition(&self.log, transitioned.clone(), &self.shared, notice.dry);
            if notice.dry {
                continue;
            }
            let entered = notice.at;
            self.shared.publish(|summary| {
                summary.phase = hop.to;
                summary.entered = Some(entered);
                // That everything is gone is no news to who asks why; why it had to go is.
                if hop.cause != Cause::AllGone {
                    summary.reason = Arc::clone(&transitioned.reason);
                }
            });
            self.shared.journal.push(transitioned);
        }
        let OutageNews { opened, closed } = notice.outage.unwrap_or_default();
        if let Some((number, cause)) = opened {
            self.shared.journal.open_outage(Outage {
                number,
                reason: describe(cause, detail.as_deref(), &self.shared).into(),
                began: notice.at,
                lasted: None,
                record: Record::default(),
            });
        }
        if let Some(record) = closed {
            let lasted = self.shared.journal.close_outage(record, notice.at);
            let lasted_ms = lasted.map(|lasted| lasted.as_millis() as u64);
            trace::outage_closed(&self.log, record, lasted_ms);
        }
    }

    /// Publishes what can be published without a transition.
    fn publish_summary(&mut self) {
        let machine = self.decider.machine();
        let monitoring = machine.phase() == Phase::Monitoring;
        let due = |timer| self.decider.due(timer).map(|due| self.inbox.at(due));
        self.shared.publish(|summary| {
            if self.trail.transitions == 0 {
                summary.reason = describe(Cause::Boot, None, &self.shared).into();
            }
            summary.entered = Some(self.trail.entered);
            summary.epoch = machine.epoch();
            summary.outage = machine.outage();
            summary.outage_open = machine.outage_is_open();
            summary.level = machine.level();
            summary.dependency.clone_from(&self.dependency);
            summary.hold_off_due = due(Timer::HoldOff).filter(|_| monitoring);
            summary.stage_due = due(Timer::Stage);
        });
    }

    /// Notes what was seen of the dependency, and logs it if that is news.
    pub(super) fn note_observation(&mut self, detail: Detail) {
        let sight = match detail {
            Detail::Observed(Observation::Alive { evidence }) => DependencyStatus::alive(&evidence),
            Detail::Observed(Observation::Failing { reason, class, .. }) => {
                DependencyStatus::failing(class, &reason)
            }
            Detail::Silence => {
                let limit = self.shared.plan.policy().silence_limit();
                DependencyStatus::failing(None, &format!("no sign of life for {limit:?}"))
            }
            Detail::Nothing | Detail::Plain(_) | Detail::Told(_) => return,
        };
        let before = self.dependency.as_ref();
        if before.is_none_or(|was| (was.alive, was.class) != (sight.alive, sight.class)) {
            trace::news(&self.log, News::Observed(sight.clone()));
        }
        self.dependency = Some(sight);
        self.is_published = false;
    }
}
