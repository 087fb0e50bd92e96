//! Whether the values below a prefix are current, and when it is a failure that they are not. Pure.

use core::time::Duration;

use crate::etcd::records::NotCurrent;

/// Follows how old the values are.
#[derive(Debug)]
pub(crate) struct Freshness {
    prefix: String,
    max_age: Option<Duration>,
    /// When it began to follow the values.
    begun: Duration,
    /// The values that this process read in an earlier epoch contain all changes up to this moment.
    known: Option<Duration>,
    /// The values in use contain all changes up to this moment. `None` until there are some in this epoch.
    as_of: Option<Duration>,
    /// Why the last attempt failed, if it failed.
    cause: Option<NotCurrent>,
}

impl Freshness {
    /// `known` is the moment up to which the values that an earlier epoch has read contain all changes.
    pub(crate) fn new(
        prefix: String,
        max_age: Option<Duration>,
        known: Option<Duration>,
        now: Duration,
    ) -> Self {
        Self {
            prefix,
            max_age,
            begun: now,
            known,
            as_of: None,
            cause: None,
        }
    }

    /// Notes that the values contain all changes up to this moment.
    pub(crate) fn confirmed(&mut self, as_of: Option<Duration>) {
        // A change alone confirms nothing.
        if as_of > self.as_of {
            self.as_of = as_of;
            self.cause = None;
        }
    }

    /// Notes that an attempt failed. Returns why the component must end, if it must.
    ///
    /// If the process has not read any values yet, a failure that does not pass by itself is an error of its
    /// configuration. Later the values that are there are better than none, also in a later epoch: otherwise something
    /// that was written below the prefix would make each restart of each node fail.
    ///
    /// A later epoch still tries to read first. It waits for what passes by itself.
    pub(crate) fn failed(&mut self, cause: NotCurrent) -> Option<String> {
        if !cause.passes() {
            self.as_of = self.as_of.or(self.known);
        }
        let ends = self.as_of.is_none() && !cause.passes();
        let text = ends.then(|| format!("cannot read what is below {}: {cause}", self.prefix));
        self.cause = Some(cause);
        text
    }

    /// What is known of the values now.
    pub(crate) fn standing(&self, now: Duration) -> Standing {
        let are_known = self.as_of.is_some() && self.as_of == self.known;
        Standing {
            trouble: self.trouble(),
            uses_known: are_known && self.overdue(now).is_none(),
        }
    }

    /// Why the values are not confirmed at the moment, if an attempt has failed.
    fn trouble(&self) -> Option<String> {
        self.cause.as_ref().map(NotCurrent::to_string)
    }

    /// When the values are too old if nothing confirms them. An epoch without values has as long to read them.
    pub(crate) fn overdue_at(&self) -> Option<Duration> {
        Some(self.as_of.unwrap_or(self.begun) + self.max_age?)
    }

    /// Why the component must end, if the values are too old.
    pub(crate) fn overdue(&self, now: Duration) -> Option<String> {
        let max_age = self.max_age?;
        if now < self.overdue_at()? {
            return None;
        }
        let since = match self.as_of {
            Some(as_of) => format!("was last confirmed {:.1?} ago", now.saturating_sub(as_of)),
            None => format!("was never read in {:.1?}", now.saturating_sub(self.begun)),
        };
        let cause = self.trouble();
        let cause = cause.unwrap_or_else(|| "nothing confirms it".to_owned());
        Some(format!(
            "what is below {} {since}, and max_age is {max_age:?}: {cause}",
            self.prefix
        ))
    }
}

/// What the component is told of the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Why they are not confirmed at the moment.
    pub(crate) trouble: Option<String>,
    /// Whether the component is up with the values that an earlier epoch has read.
    pub(crate) uses_known: bool,
}

/// How old values are that contain all changes up to this moment.
pub(crate) fn age(as_of: Option<Duration>, now: Duration) -> Option<Duration> {
    as_of.map(|as_of| now.saturating_sub(as_of))
}

/// Whether values of this age count as current.
pub(crate) fn is_current(age: Option<Duration>, max_age: Option<Duration>) -> bool {
    age.is_some_and(|age| age <= max_age.unwrap_or(CURRENT))
}

/// When the next changes may be published, after some were published now.
pub(crate) fn rest_until(now: Duration) -> Duration {
    now + REST
}

/// If no other age is set. An election, or a member that dies, takes less.
pub(crate) const CURRENT: Duration = Duration::from_secs(10);
/// Each publication copies the list of all values, so there are 20 a second at most.
const REST: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::basics::{EtcdError, Fault};

    const T0: Duration = Duration::from_secs(1_000);
    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn cause(text: &str, passes: bool) -> NotCurrent {
        match passes {
            true => EtcdError::passing(Fault::Unreachable, text).into(),
            false => EtcdError::sure(Fault::Permission, text).into(),
        }
    }

    fn too_large() -> NotCurrent {
        NotCurrent::TooLarge("too many keys".into())
    }

    fn followed(max_age: Option<Duration>) -> Freshness {
        Freshness::new("c/".into(), max_age, None, T0)
    }

    /// One of a later epoch, with values that were confirmed a minute before it began.
    fn followed_again(max_age: Option<Duration>) -> Freshness {
        Freshness::new("c/".into(), max_age, Some(KNOWN), T0)
    }

    const KNOWN: Duration = Duration::from_secs(1_000 - 60);

    #[test]
    fn by_default_no_age_is_a_failure() {
        let mut fresh = followed(None);
        fresh.confirmed(Some(T0));
        assert_eq!(fresh.failed(cause("no answer", true)), None);
        assert_eq!(fresh.overdue_at(), None);
        assert_eq!(fresh.overdue(T0 + 86_400 * SECOND), None);
    }

    #[test]
    fn what_was_not_confirmed_for_so_long_is_a_failure_with_its_last_cause() {
        let mut fresh = followed(Some(10 * SECOND));
        assert_eq!(fresh.overdue_at(), Some(T0 + 10 * SECOND));
        assert_eq!(fresh.overdue(T0 + 10 * SECOND - MS), None);
        assert_eq!(
            fresh.overdue(T0 + 10 * SECOND).as_deref(),
            Some(
                "what is below c/ was never read in 10.0s, and max_age is 10s: nothing confirms it"
            )
        );
        fresh.failed(cause("no answer", true));
        fresh.confirmed(Some(T0 + 5 * SECOND));
        assert_eq!(fresh.overdue_at(), Some(T0 + 15 * SECOND));
        assert_eq!(fresh.overdue(T0 + 15 * SECOND - MS), None);
        fresh.failed(cause("refused", true));
        fresh.failed(cause("no leader", true));
        assert_eq!(
            fresh.overdue(T0 + 16 * SECOND).as_deref(),
            Some(
                "what is below c/ was last confirmed 11.0s ago, and max_age is 10s: etcd is unreachable: no leader"
            )
        );
    }

    /// Else changes could hide for ever that no quorum confirms them.
    #[test]
    fn a_change_alone_confirms_nothing() {
        let mut fresh = followed(Some(10 * SECOND));
        fresh.confirmed(Some(T0));
        fresh.failed(cause("no answer", true));
        fresh.confirmed(Some(T0));
        assert_eq!(
            fresh.trouble().as_deref(),
            Some("etcd is unreachable: no answer")
        );
        assert_eq!(fresh.overdue_at(), Some(T0 + 10 * SECOND));
        fresh.confirmed(Some(T0 + MS));
        assert_eq!(fresh.trouble(), None);
        fresh.confirmed(None);
        assert_eq!(fresh.overdue_at(), Some(T0 + MS + 10 * SECOND));
    }

    #[test]
    fn only_a_first_start_ends_with_what_does_not_pass_by_itself() {
        let mut fresh = followed(None);
        assert_eq!(fresh.failed(cause("an election", true)), None);
        assert_eq!(
            fresh.failed(cause("permission denied", false)).as_deref(),
            Some("cannot read what is below c/: etcd denies permission: permission denied")
        );
        assert_eq!(
            fresh.failed(too_large()).as_deref(),
            Some("cannot read what is below c/: too many keys")
        );
        fresh.confirmed(Some(T0));
        assert_eq!(fresh.failed(too_large()), None);
        let standing = Standing {
            trouble: Some("too many keys".into()),
            uses_known: false,
        };
        assert_eq!(fresh.standing(T0), standing);
    }

    /// Otherwise one write below the prefix would let no node come up again, whatever it was stopped for.
    #[test]
    fn a_later_epoch_is_up_with_the_values_that_the_process_has_if_no_others_can_be_read() {
        for cause in [too_large(), cause("permission denied", false)] {
            let mut fresh = followed_again(None);
            assert!(!fresh.standing(T0).uses_known, "first it tries to read");
            assert_eq!(fresh.failed(self::cause("an election", true)), None);
            assert!(!fresh.standing(T0).uses_known, "that passes");
            assert_eq!(fresh.failed(cause.clone()), None);
            let standing = Standing {
                trouble: Some(cause.to_string()),
                uses_known: true,
            };
            assert_eq!(fresh.standing(T0), standing);
            fresh.confirmed(Some(T0 + MS));
            assert_eq!(fresh.standing(T0), Standing::default());
            assert_eq!(fresh.failed(cause), None);
            assert!(!fresh.standing(T0).uses_known, "it has newer ones");
        }
    }

    #[test]
    fn known_values_that_are_too_old_are_a_failure_as_all_others() {
        let mut fresh = followed_again(Some(61 * SECOND));
        assert_eq!(fresh.overdue_at(), Some(T0 + 61 * SECOND), "to read them");
        assert_eq!(fresh.failed(too_large()), None);
        assert_eq!(fresh.overdue_at(), Some(KNOWN + 61 * SECOND));
        assert!(fresh.standing(T0).uses_known);
        assert!(!fresh.standing(T0 + SECOND).uses_known);
        assert_eq!(
            fresh.overdue(T0 + SECOND).as_deref(),
            Some(
                "what is below c/ was last confirmed 61.0s ago, and max_age is 61s: too many keys"
            )
        );
        // They were already too old before the start.
        let mut fresh = followed_again(Some(10 * SECOND));
        assert_eq!(fresh.overdue(T0), None);
        fresh.failed(too_large());
        assert!(!fresh.standing(T0).uses_known);
        assert!(fresh.overdue(T0).is_some());
    }

    #[test]
    fn current_is_what_was_confirmed_lately() {
        assert_eq!(age(Some(T0), T0 + SECOND), Some(SECOND));
        assert_eq!(age(Some(T0 + MS), T0), Some(Duration::ZERO));
        assert_eq!(age(None, T0), None);
        assert!(!is_current(None, None));
        assert!(!is_current(None, Some(60 * SECOND)));
        for (max_age, limit) in [(None, 10 * SECOND), (Some(60 * SECOND), 60 * SECOND)] {
            assert!(is_current(Some(limit), max_age));
            assert!(!is_current(Some(limit + MS), max_age));
        }
    }

    #[test]
    fn between_two_publications_there_is_a_pause() {
        assert_eq!(rest_until(T0), T0 + 50 * MS);
    }
}
