//! A step that waits to be published.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::step_text::Detail;
use crate::machine::{Cause, Effect, Record, Transition};
use crate::policy::ComponentId;
use crate::shell::failure::ReportedFailure;

/// How long to wait for the text of an error.
pub(crate) const TEXT_WITHIN: Duration = Duration::from_millis(50);

/// The part of one step that must be published.
pub(crate) struct Notice {
    /// Whether it is a step of a dry run.
    pub(crate) dry: bool,
    pub(crate) hops: [Option<Transition>; 2],
    pub(crate) outage: Option<OutageNews>,
    /// The reason, if it had to be made before the step was carried out.
    pub(crate) early: Option<String>,
    pub(crate) detail: Detail,
    pub(crate) fatal: Option<Arc<ReportedFailure>>,
    /// The component that has failed too often.
    pub(crate) failed_too_often: Option<ComponentId>,
    pub(crate) outage_number: u64,
    pub(crate) level: u32,
    pub(crate) hold_off: Option<Duration>,
    /// The session with the dependency that was open after the step.
    pub(crate) session: Option<u64>,
    pub(crate) at: Instant,
}

/// An outage that began, and one that ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct OutageNews {
    pub(crate) opened: Option<(u64, Cause)>,
    pub(crate) closed: Option<Record>,
}

impl OutageNews {
    /// The outages that begin and end with these effects.
    pub(crate) fn of(effects: &[Effect]) -> Option<Self> {
        // They are among the first or the last effects; a large stage has many others.
        let mut news = Self::default();
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
}

impl Notice {
    /// Whether its texts are made.
    pub(crate) fn is_known(&self) -> bool {
        let fatal = self.fatal.as_ref().map(|told| told.known_text());
        self.detail.known_text().is_some() && fatal.is_none_or(|text| text.is_some())
    }

    /// When it is published in any case.
    pub(crate) fn due(&self) -> Instant {
        self.at + TEXT_WITHIN
    }
}
