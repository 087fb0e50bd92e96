//! The result of the write check, from the lists of alarms. Pure: the caller requests each list.

use super::answer::Answer;
use crate::etcd::basics::{EtcdError, Fault};

/// The kind of alarms that is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlarmKind {
    Any,
    Corrupt,
    NoSpace,
}

/// The next step after a list of alarms.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// Request the next list.
    Ask(Alarms),
    /// The result is known.
    Known(Result<Answer, EtcdError>),
}

/// Requests the alarms, list by list.
///
/// Each kind is requested separately rather than read from the list of all alarms: the client library converts the
/// kind that the server sent without checking that it knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarms(usize);

/// The last request asks again whether any alarm is raised: one may have been disarmed in the meantime.
const ASKED: [AlarmKind; 4] = [
    AlarmKind::Any,
    AlarmKind::Corrupt,
    AlarmKind::NoSpace,
    AlarmKind::Any,
];

impl Alarms {
    pub(crate) const FIRST: Self = Self(0);

    /// The kind of alarms to request now.
    pub(crate) fn kind(self) -> AlarmKind {
        ASKED[self.0]
    }

    /// Takes the members that have raised an alarm of the requested kind.
    pub(crate) fn raised(self, members: &[u64]) -> Next {
        let known = match (self.kind(), members.is_empty()) {
            (AlarmKind::Any, true) => Some(Ok(Answer::Write)),
            (AlarmKind::Corrupt, false) => Some(Err(EtcdError::alarm(Fault::Corrupt, members))),
            (AlarmKind::NoSpace, false) => Some(Err(EtcdError::alarm(Fault::NoSpace, members))),
            (AlarmKind::Any, false) | (AlarmKind::Corrupt | AlarmKind::NoSpace, true) => None,
        };
        match known {
            Some(known) => Next::Known(known),
            None if self.0 + 1 < ASKED.len() => Next::Ask(Self(self.0 + 1)),
            None => {
                let text = "an unknown alarm is raised";
                Next::Known(Err(EtcdError::passing(Fault::WritePath, text)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which were asked for, and what it amounted to: `Ok` or the fault.
    fn asked(raised: &[&[u64]]) -> (Vec<AlarmKind>, Result<Answer, (Fault, String)>) {
        let (mut alarms, mut kinds) = (Alarms::FIRST, Vec::new());
        for members in raised {
            kinds.push(alarms.kind());
            match alarms.raised(members) {
                Next::Ask(next) => alarms = next,
                Next::Known(known) => {
                    assert_eq!(kinds.len(), raised.len(), "it is asked for no more");
                    return (kinds, known.map_err(|cause| (cause.fault, cause.text)));
                }
            }
        }
        panic!("nothing is known after {kinds:?}");
    }

    #[test]
    fn where_no_alarm_is_raised_the_write_is_proved() {
        assert_eq!(asked(&[&[]]), (vec![AlarmKind::Any], Ok(Answer::Write)));
    }

    #[test]
    fn the_kind_is_asked_for_and_corruption_goes_first() {
        use AlarmKind::{Any, Corrupt, NoSpace};
        let (kinds, known) = asked(&[&[1, 2], &[2]]);
        assert_eq!(kinds, [Any, Corrupt]);
        let (fault, text) = known.expect_err("it is raised");
        assert_eq!(fault, Fault::Corrupt);
        assert_eq!(text, "alarm raised by member 2");
        let (kinds, known) = asked(&[&[1, 2], &[], &[1]]);
        assert_eq!(kinds, [Any, Corrupt, NoSpace]);
        let (fault, text) = known.expect_err("it is raised");
        assert_eq!(fault, Fault::NoSpace);
        assert_eq!(text, "alarm raised by member 1");
    }

    #[test]
    fn one_that_is_of_no_known_kind_was_disarmed_or_is_unknown() {
        use AlarmKind::{Any, Corrupt, NoSpace};
        let all = vec![Any, Corrupt, NoSpace, Any];
        let disarmed = asked(&[&[7], &[], &[], &[]]);
        assert_eq!(disarmed, (all.clone(), Ok(Answer::Write)));
        let (kinds, known) = asked(&[&[7], &[], &[], &[7]]);
        assert_eq!(kinds, all);
        assert_eq!(known.expect_err("it is raised").0, Fault::WritePath);
    }
}
