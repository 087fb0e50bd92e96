//! What etcd's answers about leases amount to. Pure: they are given as the numbers in them.

use core::time::Duration;

use crate::etcd::basics::EtcdError;

/// What came of asking to keep a lease alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptAlive {
    Renewed,
    /// That it is not there, which is to be confirmed.
    NotThere,
    /// Nothing: the server ended the stream.
    Unanswered,
}

impl KeptAlive {
    /// By how many seconds the lease lives on, if that was answered. etcd answers 0 for a lease that it does not know.
    pub(crate) fn by(seconds: Option<i64>) -> Self {
        match seconds {
            Some(1..) => Self::Renewed,
            Some(_) => Self::NotThere,
            None => Self::Unanswered,
        }
    }
}

/// A lease that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// For how long it lives on.
    pub(crate) seconds: i64,
    /// For how long it was granted.
    pub(crate) granted: i64,
}

impl Left {
    /// By what etcd says of a lease, if that is there: of one that is not it says that -1 is left. In its last second 0
    /// is.
    pub(crate) fn told(seconds: i64, granted: i64) -> Option<Self> {
        (seconds >= 0).then_some(Self { seconds, granted })
    }
}

/// What came of giving several leases back.
#[derive(Debug, Default)]
pub(crate) enum GivenBack {
    #[default]
    All,
    /// Some were refused for good, and none is to be tried again. They run out.
    Refused(EtcdError),
    /// Some are to be tried again, after this pause.
    Again(Duration, EtcdError),
}

impl GivenBack {
    /// With one more that was not given back.
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

    /// One that is refused for good, of another cluster for one, is in the way of no other.
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
}
