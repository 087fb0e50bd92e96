use proptest::prelude::*;

use super::*;
use crate::etcd::basics::Fault;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const LEASE: Lease = Lease { id: 7, cluster: 1 };
const T0: Duration = Duration::from_secs(1_000);

fn times() -> Times {
    Times::new(14 * SECOND, 1_400 * MS, SECOND)
}

/// After so many seconds of which the machine was suspended for some.
fn moment(seconds: u64, suspended: u64) -> Moment {
    Moment {
        at: T0 + Duration::from_secs(seconds - suspended),
        suspended: Duration::from_secs(100 + suspended),
    }
}

#[test]
fn work_is_allowed_from_when_it_was_asked_for_and_not_from_the_answer() {
    let begun = moment(0, 0);
    let allowance = Allowance::after(begun, begun, 5 * SECOND);
    assert_eq!(allowance.left(begun, moment(0, 0)), 5 * SECOND);
    assert_eq!(allowance.left(begun, moment(3, 0)), 2 * SECOND);
    assert_eq!(allowance.left(begun, moment(5, 0)), Duration::ZERO);
    assert_eq!(allowance.left(begun, moment(9, 0)), Duration::ZERO);
    // It runs on while the machine is suspended.
    assert_eq!(allowance.left(begun, moment(4, 3)), SECOND);
    // One that was sent after a suspension counts from then.
    let later = Allowance::after(begun, moment(6, 4), 5 * SECOND);
    assert_eq!(later.left(begun, moment(6, 4)), 5 * SECOND);
    assert_eq!(later.left(begun, moment(8, 5)), 3 * SECOND);
}

#[test]
fn a_suspension_is_told_until_the_lease_is_renewed() {
    let begun = moment(0, 0);
    let allowance = Allowance::after(begun, begun, 5 * SECOND);
    assert_eq!(allowance.suspended_for(moment(4, 0)), None);
    assert_eq!(allowance.suspended_for(moment(4, 3)), Some(3 * SECOND));
    let renewed = Allowance::after(begun, moment(4, 3), 5 * SECOND);
    assert_eq!(renewed.suspended_for(moment(5, 3)), None);
    assert_eq!(renewed.suspended_for(moment(7, 5)), Some(2 * SECOND));
}

#[test]
fn all_work_ends_when_the_lease_allows_none_and_a_suspension_is_told_with_it() {
    let begun = moment(0, 0);
    let allowance = Allowance::after(begun, begun, 5 * SECOND);
    let early = Moment {
        at: moment(5, 0).at - MS,
        ..moment(5, 0)
    };
    let why = "the lease is lost, or was not renewed in time: all work under it is dropped";
    let ends = |over, now| allowance.ends(over, begun, now);
    assert_eq!(ends(false, early), None);
    assert_eq!(ends(true, early).as_deref(), Some(why));
    assert_eq!(ends(false, moment(5, 0)).as_deref(), Some(why));
    assert_eq!(ends(false, moment(4, 3)), None, "a suspension alone");
    let suspended = format!("{why} (the machine was suspended for 3.0s)");
    assert_eq!(ends(false, moment(5, 3)), Some(suspended));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Renewals are sent in order. They are confirmed in any order, or never, and the machine is suspended at times.
    #[test]
    fn work_is_never_allowed_beyond_what_a_confirmed_renewal_promises(
        spans in prop::collection::vec((0_u64..5_000, 0_u64..5_000, any::<bool>()), 1..20),
        order in any::<u64>(),
        asked_after in 0_u64..20_000,
    ) {
        let times = times();
        let (mut at, mut suspended) = (T0, Duration::ZERO);
        let begun = Moment { at, suspended };
        let mut sent = Vec::new();
        for (run, stood_still, confirmed) in spans {
            at += Duration::from_millis(run);
            suspended += Duration::from_millis(stood_still);
            if confirmed {
                sent.push(Moment { at, suspended });
            }
        }
        let last = Moment { at, suspended };
        let mut allowance = Allowance::default();
        let mut in_some_order: Vec<(u64, Moment)> = sent
            .iter()
            .zip(1_u64..)
            .map(|(&sent, number)| ((number ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15), sent))
            .collect();
        in_some_order.sort_by_key(|&(place, _)| place);
        for (_, next) in in_some_order {
            let after = allowance.and(Allowance::after(begun, next, times.allowed()));
            prop_assert!(after.until >= allowance.until, "it was longer before");
            allowance = after;
        }
        let now = Moment { at: last.at + Duration::from_millis(asked_after), ..last };
        let left = allowance.left(begun, now);
        prop_assert_eq!(allowance.allows(false, begun, now), left > Duration::ZERO);
        prop_assert!(!allowance.allows(true, begun, now), "it is over");
        let real = |moment: Moment| moment.at + moment.suspended;
        let runs_out = sent.iter().map(|&sent| real(sent) + times.lease).max();
        let works_until = real(now) + left;
        // What is too short for a suspension is not counted: some milliseconds for each.
        let noise = 10 * MS;
        match runs_out {
            Some(runs_out) if !left.is_zero() => {
                prop_assert!(works_until <= runs_out - times.margin + noise);
                prop_assert!(works_until + noise >= runs_out - times.margin, "it could go on");
            }
            None => prop_assert!(left.is_zero(), "nothing was confirmed"),
            Some(runs_out) => prop_assert!(real(now) + noise >= runs_out - times.margin),
        }
    }
}

const WELL: Confirmation = Confirmation {
    seen: 5,
    revision: 5,
    registered_at: Some(4),
    owner: Some(7),
    renewed_in: 2,
    confirmed_in: 2,
};

fn gone(why: &str) -> Renewal {
    Renewal::Gone(why.to_owned())
}

#[test]
fn a_renewal_counts_only_if_the_store_is_the_same_and_shows_the_registration() {
    let back =
        gone("etcd's revision went back from 5 to 4, so it was wiped, or restored from a backup");
    for (answer, renewal) in [
        (WELL, Renewal::Confirmed),
        (
            Confirmation {
                revision: 4,
                ..WELL
            },
            back,
        ),
        (
            Confirmation {
                owner: None,
                ..WELL
            },
            gone(UNREGISTERED),
        ),
        (
            Confirmation {
                owner: Some(8),
                ..WELL
            },
            gone(UNREGISTERED),
        ),
        (
            Confirmation {
                registered_at: None,
                owner: Some(8),
                ..WELL
            },
            Renewal::Confirmed,
        ),
        // The registration is older than what was read, exactly as old, and newer.
        (
            Confirmation {
                registered_at: Some(5),
                owner: None,
                ..WELL
            },
            gone(UNREGISTERED),
        ),
        (
            Confirmation {
                registered_at: Some(6),
                owner: None,
                ..WELL
            },
            Renewal::Confirmed,
        ),
        (
            Confirmation {
                confirmed_in: 3,
                ..WELL
            },
            Renewal::Unsure,
        ),
        (
            Confirmation {
                renewed_in: 3,
                ..WELL
            },
            Renewal::Unsure,
        ),
        // A lease that is gone is gone in whichever term.
        (
            Confirmation {
                confirmed_in: 3,
                owner: None,
                ..WELL
            },
            gone(UNREGISTERED),
        ),
    ] {
        assert_eq!(LEASE.renewal(&answer), renewal, "{answer:?}");
    }
}

#[test]
fn only_the_cluster_that_granted_it_is_believed() {
    assert_eq!(LEASE.of(), ExpectedCluster::Cluster(1));
    assert_eq!(LEASE.of().believes(2), Err(1));
}

#[test]
fn the_next_renewal_counts_from_when_the_last_was_sent() {
    let times = times();
    let mut renewals = Renewals::new(&times, T0);
    assert_eq!(renewals.at(), T0 + times.renew_every);
    let (sent, now) = (T0 + SECOND, T0 + 2 * SECOND);
    let confirmed = renewals.came(Ok(Renewal::Confirmed), sent, now);
    assert_eq!(confirmed, Renewed::Confirmed);
    assert_eq!(renewals.at(), sent + times.renew_every);
    let unsure = renewals.came(Ok(Renewal::Unsure), sent, now);
    assert_eq!(unsure, Renewed::Again);
    assert_eq!(renewals.at(), now + RETRY_AFTER);
    let lost = renewals.came(Ok(gone("why")), sent, now);
    assert_eq!(lost, Renewed::Lost("why".to_owned()));
}

#[test]
fn a_token_that_expires_is_no_warning_if_the_next_renewal_is_confirmed() {
    let expired = || EtcdError::sure(Fault::Unauthenticated, "invalid auth token");
    let mut renewals = Renewals::new(&times(), T0);
    for _ in 0..2 {
        let first = renewals.came(Err(expired()), T0, T0);
        assert_eq!(first, Renewed::Expired(expired()));
        assert_eq!(renewals.at(), T0 + RETRY_AFTER);
        renewals.came(Ok(Renewal::Confirmed), T0, T0);
    }
    renewals.came(Err(expired()), T0, T0);
    let again = renewals.came(Err(expired()), T0, T0);
    assert_eq!(again, Renewed::Failed(expired()));
}

#[test]
fn that_renewals_fail_is_said_once_until_one_is_confirmed() {
    let silent = || Err(EtcdError::silent());
    let mut renewals = Renewals::new(&times(), T0);
    for _ in 0..2 {
        let first = renewals.came(silent(), T0, T0);
        assert_eq!(first, Renewed::Failed(EtcdError::silent()));
        assert_eq!(renewals.at(), T0 + RETRY_AFTER);
        let now = T0 + SECOND;
        let other = Err(EtcdError::sure(Fault::Permission, "denied"));
        assert_eq!(renewals.came(other, T0, now), Renewed::Again);
        assert_eq!(renewals.at(), now + RETRY_AFTER);
        // No news of how it is.
        renewals.came(Ok(Renewal::Unsure), T0, now);
        assert_eq!(renewals.came(silent(), T0, now), Renewed::Again);
        renewals.came(Ok(Renewal::Confirmed), T0, T0);
    }
}

#[test]
fn a_suspension_costs_the_lease_or_has_it_renewed_at_once() {
    let mut suspensions = Suspensions::default();
    assert!(!suspensions.end_counts());
    let after = suspensions.suspended(3 * SECOND, 2 * SECOND, SECOND);
    let runs_out_in = 3 * SECOND;
    assert_eq!(after, AfterSuspension::Renew { runs_out_in });
    assert!(suspensions.end_counts());
    let why = "it was not renewed in time after the machine was suspended";
    assert_eq!(suspensions.end_came(Duration::ZERO), Some(why));
    assert_eq!(suspensions.end_came(MS), None);
    assert!(!suspensions.end_counts(), "it was renewed");
    let after = suspensions.suspended(3 * SECOND, Duration::ZERO, SECOND);
    let why = "the machine was suspended for 3.0s".to_owned();
    assert_eq!(after, AfterSuspension::Lost(why));
}

#[test]
fn leases_of_earlier_epochs_are_given_back_and_the_oldest_are_forgotten() {
    let lease = |id| Lease { id, cluster: 1 };
    let mut leases = Leases::default();
    assert_eq!(leases.earlier(lease(1)), None);
    for id in 1..=3 {
        leases.remember(lease(id));
    }
    assert_eq!(leases.earlier(lease(3)), Some(lease(1)));
    assert_eq!(leases.earlier(lease(1)), Some(lease(2)));
    leases.forget(lease(2));
    // The same id in another cluster is another lease.
    leases.forget(Lease { id: 1, cluster: 2 });
    assert!(leases.newest_first().eq([lease(3), lease(1)]));
    for id in 4..=12 {
        leases.remember(lease(id));
    }
    assert!(leases.newest_first().eq((5..=12).rev().map(lease)));
}

/// Nobody could give them back here.
#[test]
fn leases_of_another_cluster_are_forgotten_and_not_given_back() {
    let lease = |id, cluster| Lease { id, cluster };
    let mut leases = Leases::default();
    let all = [lease(1, 2), lease(2, 1), lease(3, 2), lease(4, 1)];
    all.into_iter().for_each(|lease| leases.remember(lease));
    assert!(leases.newest_first().eq(all.into_iter().rev()));
    assert_eq!(leases.earlier(lease(4, 1)), Some(lease(2, 1)));
    let left = [lease(4, 1), lease(3, 2), lease(2, 1)];
    assert!(leases.newest_first().eq(left), "older ones first");
    leases.forget(lease(2, 1));
    assert_eq!(leases.earlier(lease(4, 1)), None);
    assert!(leases.newest_first().eq([lease(4, 1)]), "the present one");
}
