//! Which member is asked: one member as long as it answers, then the next one. Pure.

use crate::etcd::basics::EtcdError;

/// Counts the changes of the member, so that a failure of an earlier turn does not end a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    number: usize,
    members: usize,
}

impl Turn {
    /// The first turn, with this number of members.
    pub(crate) fn new(members: usize) -> Self {
        Self { number: 0, members }
    }

    /// The member that is asked in this turn.
    pub(crate) fn member(self) -> usize {
        self.number % self.members
    }

    /// The next turn, if the failure of a request of the turn `asked` ends this turn.
    pub(crate) fn failed(self, asked: Self, cause: &EtcdError) -> Option<Self> {
        // Another member would report the same.
        let is_final = cause.fault.of_every_member();
        self.after(asked).filter(|_| !is_final)
    }

    /// The next turn, if no client could be made in the turn `asked`. Another member may be reachable.
    pub(crate) fn not_reached(self, asked: Self) -> Option<Self> {
        self.after(asked)
    }

    /// Whether a client that was made in the turn `dialed` belongs to this turn.
    pub(crate) fn keeps(self, dialed: Self) -> bool {
        self == dialed
    }

    fn after(self, asked: Self) -> Option<Self> {
        let number = self.number.wrapping_add(1);
        (self == asked).then_some(Self { number, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::basics::Fault;

    #[test]
    fn the_next_member_is_asked_after_a_failure_and_after_the_last_the_first() {
        let mut turn = Turn::new(3);
        for (number, member) in [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1)] {
            assert_eq!((turn.number, turn.member()), (number, member));
            turn = turn
                .failed(turn, &EtcdError::silent())
                .expect("it moves on");
        }
        let alone = Turn::new(1);
        let next = alone.not_reached(alone).expect("it begins afresh");
        assert_eq!((next.number, next.member()), (1, 0));
    }

    /// Several questions are under way at once, and the first failure of them is enough.
    #[test]
    fn a_failure_of_an_earlier_turn_ends_no_later_one() {
        let first = Turn::new(2);
        let second = first
            .failed(first, &EtcdError::silent())
            .expect("it moves on");
        assert_eq!(second.failed(first, &EtcdError::silent()), None);
        assert_eq!(second.not_reached(first), None);
        assert!(second.failed(second, &EtcdError::silent()).is_some());
        // Nor one of a turn that is not known yet.
        assert_eq!(first.failed(second, &EtcdError::silent()), None);
    }

    #[test]
    fn what_every_member_would_say_is_no_reason_to_ask_another_one() {
        let turn = Turn::new(2);
        for fault in Fault::ALL {
            let is_final = [Fault::Permission, Fault::NoSpace, Fault::Corrupt].contains(&fault);
            for cause in [
                EtcdError::passing(fault, "why"),
                EtcdError::sure(fault, "why"),
            ] {
                let next = turn.failed(turn, &cause);
                assert_eq!(next.is_none(), is_final, "{cause:?}");
            }
            assert_eq!(turn.not_reached(turn).map(|next| next.number), Some(1));
        }
    }

    /// While it was made a question may have failed, so that another member is asked by now.
    #[test]
    fn a_client_is_kept_for_the_turn_that_it_was_made_for() {
        let first = Turn::new(1);
        let second = first.not_reached(first).expect("it moves on");
        assert!(first.keeps(first) && second.keeps(second));
        // The same member, and a new connection is wanted.
        assert!(!second.keeps(first));
    }

    #[test]
    fn the_count_may_run_over() {
        let last = Turn {
            number: usize::MAX,
            members: 3,
        };
        assert_eq!(last.not_reached(last), Some(Turn::new(3)));
    }
}
