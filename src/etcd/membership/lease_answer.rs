//! What etcd's answers about one lease amount to. Pure: they are given as the numbers in them.

/// What came of asking to keep a lease alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeptAlive {
    Renewed,
    /// That it is not there, which is to be confirmed.
    NotThere,
    /// Nothing: the server ended the stream.
    Unanswered,
}

impl KeptAlive {
    /// By how many seconds the lease lives on, if that was answered. etcd answers 0 for a lease that it does not know.
    pub(super) fn by(seconds: Option<i64>) -> Self {
        match seconds {
            Some(1..) => Self::Renewed,
            Some(_) => Self::NotThere,
            None => Self::Unanswered,
        }
    }
}

/// A lease that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// For how long it lives on.
    pub(super) seconds: i64,
    /// For how long it was granted.
    pub(super) granted: i64,
}

impl Left {
    /// By what etcd says of a lease, if that is there: of one that is not it says that -1 is left. In its last second 0
    /// is.
    pub(super) fn told(seconds: i64, granted: i64) -> Option<Self> {
        (seconds >= 0).then_some(Self { seconds, granted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_kept_alive_only_for_some_time() {
        for (seconds, kept) in [
            (Some(14), KeptAlive::Renewed),
            (Some(1), KeptAlive::Renewed),
            (Some(0), KeptAlive::NotThere),
            (Some(-1), KeptAlive::NotThere),
            (None, KeptAlive::Unanswered),
        ] {
            assert_eq!(KeptAlive::by(seconds), kept, "{seconds:?}");
        }
    }

    #[test]
    fn a_lease_is_there_in_its_last_second_too() {
        for (seconds, is_there) in [(14, true), (1, true), (0, true), (-1, false), (-2, false)] {
            let granted = 14;
            let left = is_there.then_some(Left { seconds, granted });
            assert_eq!(Left::told(seconds, granted), left, "{seconds}");
        }
    }
}
