//! Who is not registered by its own lease any more ends its work.

use super::super::fleet::{Fleet, Setup};
use super::{Question, Side, Taken, reads_below, s};
use crate::etcd::{Condition, Whom};

/// By the copy of the members, long before the next renewal.
#[test]
fn who_follows_the_members_sees_that_its_registration_is_gone() {
    for how in [Taken::Removed, Taken::Overwritten] {
        let mut fleet = Fleet::new(&Setup::slowly_renewed(1));
        fleet.until_spread_over(1);
        fleet.until_renewed(0);
        let renewals = fleet.hold(Side::Before, 0, |question| {
            matches!(question, Question::Renewal)
        });
        fleet.take_registration(0, how);
        fleet.until("the work ends", s(0.5), |fleet| fleet.runs_of(0).is_empty());
        assert_eq!(renewals.came(), 0, "{how:?}");
    }
}

/// By the next renewal, although the watch of the members is deaf, and their copy cannot be read.
#[test]
fn who_renews_its_lease_sees_that_its_registration_is_gone() {
    for how in [Taken::Removed, Taken::Overwritten] {
        let mut fleet = Fleet::new(&Setup::slowly_renewed(1));
        fleet.until_spread_over(1);
        fleet.until_renewed(0);
        fleet.set(Condition {
            deaf: Whom::All,
            ..Condition::GOOD
        });
        let _blind = fleet.hold(Side::Before, usize::MAX, reads_below("nodes/members/"));
        fleet.run_for(s(0.1));
        fleet.take_registration(0, how);
        fleet.run_for(s(0.5));
        assert_eq!(fleet.runs_of(0).len(), 12, "nobody has told it");
        fleet.until("the work ends", s(3.5), |fleet| fleet.runs_of(0).is_empty());
    }
}
