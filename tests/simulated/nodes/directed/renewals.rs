//! What a renewal is worth, and from when.

use super::super::fleet::{Fleet, Setup};
use super::{Question, Side, reads, s};
use crate::etcd::{Condition, Whom};

/// Cuts the first node off, and sees its work end. The law of leases says when.
fn ends_in_time(fleet: &mut Fleet) {
    fleet.cut_off(0);
    fleet.until("the work ends", s(18.0), |fleet| {
        fleet.runs_of(0).is_empty()
    });
    fleet.run_for(s(1.0));
    assert!(fleet.runs_of(0).is_empty());
}

/// The time that an answer takes is no time that the lease lives.
#[test]
fn a_renewal_counts_from_when_it_was_sent() {
    let mut fleet = Fleet::new(&Setup::slowly_renewed(1));
    fleet.until_spread_over(1);
    fleet.until_renewed(0);
    let slow = fleet.hold(Side::After, 1, reads(fleet.nodes[0].registration()));
    fleet.until("the next renewal", s(4.0), |_| slow.came() == 1);
    fleet.run_for(s(1.3));
    slow.let_go();
    fleet.run_for(s(0.1));
    ends_in_time(&mut fleet);
}

#[test]
fn a_grant_counts_from_when_it_was_asked_for() {
    let mut fleet = Fleet::new(&Setup::slowly_renewed(1));
    let renewals = fleet.count(|question| matches!(question, Question::Renewal));
    let slow = fleet.hold(Side::After, 1, |question| {
        matches!(question, Question::Grant)
    });
    fleet.until("a grant", s(4.0), |_| slow.came() == 1);
    fleet.run_for(s(1.4));
    slow.let_go();
    fleet.until_spread_over(1);
    assert_eq!(
        renewals.came(),
        0,
        "it has what it was granted, and no more"
    );
    ends_in_time(&mut fleet);
}

/// The old leader renews the lease, and does not know that the new one lets it run out. By the time that
/// it is asked for the confirming read it knows.
#[test]
fn a_renewal_by_the_leader_of_another_term_is_none() {
    let mut fleet = Fleet::new(&Setup {
        members: 3,
        ..Setup::slowly_renewed(1)
    });
    fleet.until_spread_over(1);
    fleet.until_renewed(0);
    fleet.set(Condition {
        deposed: Whom::One(0),
        ..Condition::GOOD
    });
    let renewals = fleet.count(|question| matches!(question, Question::Renewal));
    let reads = fleet.count(reads(fleet.nodes[0].registration()));
    // The client asks twice each time.
    fleet.until("the next renewal", s(4.0), |_| renewals.came() == 2);
    fleet.run_for(s(0.1));
    assert_eq!(reads.came(), 0, "no quorum confirms what it says");
    fleet.set(Condition::GOOD);
    fleet.until("the read", s(0.5), |_| reads.came() == 1);
    fleet.run_for(s(0.03));
    assert_eq!(renewals.came(), 2, "it was not asked again yet");
    ends_in_time(&mut fleet);
}

/// What a quorum has confirmed before the renewal says nothing of it.
#[test]
fn the_confirming_read_is_asked_after_the_renewal_was_answered() {
    let mut fleet = Fleet::new(&Setup::slowly_renewed(1));
    fleet.until_spread_over(1);
    fleet.until_renewed(0);
    let reads = fleet.hold(Side::Before, 0, reads(fleet.nodes[0].registration()));
    // The client asks twice each time, and takes the second answer.
    for answer in 1..=2 {
        let slow = fleet.hold(Side::After, 1, |question| {
            matches!(question, Question::Renewal)
        });
        fleet.until("a renewal", s(4.0), |_| slow.came() == 1);
        fleet.run_for(s(0.4));
        assert_eq!(reads.came(), 0, "answer {answer}");
        slow.let_go();
    }
    fleet.until("the read", s(0.5), |_| reads.came() == 1);
}

/// The other one has all of the work a second after the time to live at the latest.
fn is_replaced(cut: impl FnOnce(&mut Fleet)) {
    let mut fleet = Fleet::new(&Setup::of(2));
    fleet.until_spread_over(2);
    cut(&mut fleet);
    fleet.until("its work is another's", s(7.0), |fleet| {
        fleet.record.running().get("node-1") == Some(&12)
    });
}

#[test]
fn a_renewal_that_failed_is_none() {
    is_replaced(|fleet| fleet.cut_off(0));
    is_replaced(|fleet| fleet.sim.partition_oneway("node-0", "etcd-0"));
}

/// The answers to renewals are lost, which are carried out.
#[test]
fn a_renewal_that_is_not_answered_is_none() {
    let mut fleet = Fleet::new(&Setup::of(1));
    fleet.until_spread_over(1);
    fleet.sim.partition_oneway("etcd-0", "node-0");
    fleet.until("the work ends", s(5.0), |fleet| fleet.runs_of(0).is_empty());
}
