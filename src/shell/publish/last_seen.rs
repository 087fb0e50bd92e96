//! The last observation of the dependency, and what it is worth later.

use std::sync::Arc;

use tokio::time::Instant;

use super::status::DependencyStatus;

/// The last observation of the dependency.
#[derive(Clone, Debug)]
pub(crate) struct LastSeen {
    alive: bool,
    class: Option<&'static str>,
    what: Arc<str>,
    at: Instant,
    /// The session that it belongs to, if that was still open after it.
    session: Option<u64>,
}

impl LastSeen {
    pub(crate) fn alive(what: &str, at: Instant, session: Option<u64>) -> Self {
        Self {
            alive: true,
            class: None,
            what: what.into(),
            at,
            session,
        }
    }

    pub(crate) fn failing(class: Option<&'static str>, what: &str, at: Instant) -> Self {
        Self {
            alive: false,
            class,
            what: what.into(),
            at,
            session: None,
        }
    }

    /// Whether another observation is of the same kind, so that it is not logged.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.alive, self.class) == (other.alive, other.class)
    }

    pub(crate) fn is_failing(&self) -> bool {
        !self.alive
    }

    /// Whether it was seen alive in the session that is open.
    pub(crate) fn is_alive(&self, open: Option<u64>) -> bool {
        self.alive && open.is_some() && self.session == open
    }

    pub(crate) fn class(&self) -> Option<&'static str> {
        self.class
    }

    pub(crate) fn what(&self) -> &Arc<str> {
        &self.what
    }

    /// What it says while this session is open. What was alive before the session began may not be so any more.
    pub(crate) fn status(&self, open: Option<u64>) -> DependencyStatus {
        let (alive, what) = match self.alive && !self.is_alive(open) {
            true => {
                let before = &self.what;
                let what = format!("not seen since the stop began; before that: {before}");
                (None, what.into())
            }
            false => (Some(self.alive), Arc::clone(&self.what)),
        };
        DependencyStatus {
            alive,
            class: self.class,
            what,
            seen_ago: self.at.elapsed(),
        }
    }
}
