//! The meaning of etcd's answers about leases. Pure: the numbers of the answers are parameters.

use core::time::Duration;

use crate::etcd::basics::EtcdError;

/// The result of a keep-alive request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptAlive {
    Renewed,
    /// The lease does not exist. This must be confirmed.
    NotThere,
    /// The server ended the stream without an answer.
    Unanswered,
}

impl KeptAlive {
    /// The result of an answer with these seconds to live. etcd answers 0 for a lease that it does not know.
    pub(crate) fn by(seconds: Option<i64>) -> Self {
        match seconds {
            Some(1..) => Self::Renewed,
            Some(_) => Self::NotThere,
            None => Self::Unanswered,
        }
    }
}

/// The times of an existing lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// How long it still lives.
    pub(crate) seconds: i64,
    /// How long it was granted for.
    pub(crate) granted: i64,
}

impl Left {
    /// The times of a lease from etcd's answer; `None` if the lease does not exist.
    ///
    /// For a lease that does not exist etcd answers -1. In the last second of a lease it answers 0.
    pub(crate) fn told(seconds: i64, granted: i64) -> Option<Self> {
        (seconds >= 0).then_some(Self { seconds, granted })
    }

    /// The seconds that it lives at most: etcd rounds down.
    pub(crate) fn at_most(self) -> i64 {
        self.seconds.saturating_add(1)
    }
}

/// The result of the revocation of several leases.
#[derive(Debug, Default)]
pub(crate) enum GivenBack {
    #[default]
    All,
    /// Some were refused for good, and none needs another attempt. They run out.
    Refused(EtcdError),
    /// Some must be tried again, after this pause.
    Again(Duration, EtcdError),
}

impl GivenBack {
    /// The result with one more lease that was not revoked.
    pub(crate) fn but_for(self, cause: EtcdError) -> Self {
        match (cause.again_in(), self) {
            (Some(pause), _) => Self::Again(pause, cause),
            (None, again @ Self::Again(..)) => again,
            (None, Self::All | Self::Refused(_)) => Self::Refused(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::basics::Fault;

    /// A lease that is refused for good, e.g. by another cluster, does not keep others from being given back.
    #[test]
    fn leases_are_tried_again_as_long_as_one_of_them_may_be_taken() {
        let refused = || EtcdError::sure(Fault::Permission, "not yours");
        let silent = EtcdError::silent;
        let came = |causes: Vec<EtcdError>| {
            let all = causes.into_iter();
            all.fold(GivenBack::default(), GivenBack::but_for)
        };
        assert!(matches!(came(vec![]), GivenBack::All));
        assert!(
            matches!(came(vec![refused(), refused()]), GivenBack::Refused(it) if it == refused())
        );
        for causes in [
            vec![silent()],
            vec![silent(), refused()],
            vec![refused(), silent()],
        ] {
            let pause = silent().again_in().expect("silence passes");
            match came(causes) {
                GivenBack::Again(after, it) => assert_eq!((after, it), (pause, silent())),
                other => panic!("{other:?}"),
            }
        }
    }

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

    #[test]
    fn the_part_of_a_second_that_etcd_does_not_tell_counts_as_a_second() {
        for (seconds, at_most) in [(0, 1), (14, 15), (i64::MAX, i64::MAX)] {
            let left = Left::told(seconds, 14).expect("it is there");
            assert_eq!(left.at_most(), at_most);
        }
    }
}
