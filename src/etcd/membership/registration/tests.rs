use super::*;

fn left(seconds: i64, granted: i64) -> Option<Left> {
    Some(Left { seconds, granted })
}

/// Whether it is seen after so many seconds that a lease is renewed, which had so much left when
/// it was first seen, and which is renewed so often from then on.
fn seen(granted: f64, left: f64, renewed_after: &[f64], passed: f64) -> bool {
    let at = Duration::from_secs(1_000);
    let other = Other {
        lease: 1,
        left: left as i64,
        at,
    };
    let last = renewed_after.iter().rev().find(|&&after| after <= passed);
    let left = last.map_or(left - passed, |after| granted - (passed - after));
    other.was_renewed(left as i64, at + Duration::from_secs_f64(passed))
}

#[test]
fn a_lease_that_is_renewed_is_told_from_one_that_runs_out() {
    for (granted, every) in [(3.0, 0.6), (5.0, 1.0), (9.0, 1.8), (14.0, 2.8)] {
        for phase in 0..20 {
            let first = every * f64::from(phase) / 20.0;
            let renewals: Vec<f64> = (0..10).map(|n| first + every * f64::from(n)).collect();
            let left = granted - (every - first);
            assert!(
                seen(granted, left, &renewals, first.max(0.0) + 2.5),
                "{granted} {phase}"
            );
            for tenth in 0..(left * 10.0) as u32 {
                let passed = f64::from(tenth) / 10.0;
                assert!(
                    !seen(granted, left, &[], passed),
                    "{granted} {phase} {passed}"
                );
            }
        }
    }
}

#[test]
fn who_is_registered_is_told_by_the_lease() {
    let registered = |found| Registered::instead_of(7, found);
    assert_eq!(registered(Some((7, 3))), Registered::At(3));
    assert_eq!(registered(Some((3, 7))), Registered::Other(3));
    assert_eq!(registered(Some((0, 7))), Registered::NoNode);
    // etcd's leases have positive ids.
    assert_eq!(registered(None), Registered::Other(-1));
}

#[test]
fn one_that_misses_a_renewal_is_waited_for_and_one_that_does_not_lives() {
    let second = Duration::from_secs(1);
    let at = Duration::from_secs(1_000);
    let wait = |newly, missed| Look::Wait { newly, missed };
    let mut waiting = PredecessorWait::default();
    assert_eq!(waiting.looks(1, left(13, 14), at), wait(true, false));
    assert_eq!(
        waiting.looks(1, left(12, 14), at + second),
        wait(false, false)
    );
    // Four fifths of 14, and one for what is rounded down.
    assert_eq!(
        waiting.looks(1, left(11, 14), at + 2 * second),
        wait(false, false)
    );
    assert_eq!(
        waiting.looks(1, left(10, 14), at + 3 * second),
        wait(false, true)
    );
    // An answer that took a second more on its way is no renewal.
    assert_eq!(
        waiting.looks(1, left(12, 14), at + 2 * second),
        wait(false, false)
    );
    // It counts from when it was first seen.
    assert_eq!(waiting.looks(1, left(9, 14), at + 6 * second), Look::Alive);
    // Another node takes its place: it begins anew.
    assert_eq!(
        waiting.looks(2, left(14, 14), at + 7 * second),
        wait(true, false)
    );
    assert_eq!(
        waiting.looks(2, left(13, 14), at + 8 * second),
        wait(false, false)
    );
    assert_eq!(
        waiting.looks(2, left(14, 14), at + 9 * second),
        Look::Alive,
        "just so"
    );
}

/// What is rounded down may make it seem a second older than it is.
#[test]
fn a_renewal_counts_as_missed_only_beyond_doubt() {
    let missed = |seconds| PredecessorWait::default().looks(1, left(seconds, 15), Duration::ZERO);
    for (seconds, expected) in [(11, false), (10, true)] {
        let missed = missed(seconds);
        assert_eq!(
            missed,
            Look::Wait {
                newly: true,
                missed: expected
            }
        );
    }
}

/// Whether it was seen before or not: the next one under the id is another one.
#[test]
fn one_that_is_gone_is_waited_for_no_longer() {
    let mut waiting = PredecessorWait::default();
    assert_eq!(waiting.looks(1, None, Duration::ZERO), Look::Gone);
    let second = Duration::from_secs(1);
    waiting.looks(1, left(0, 14), second);
    assert_eq!(waiting.looks(1, None, 2 * second), Look::Gone);
    let wait = Look::Wait {
        newly: true,
        missed: false,
    };
    assert_eq!(waiting.looks(2, left(13, 14), 2 * second), wait);
}

#[test]
fn a_node_is_registered_by_a_record_with_a_lease_and_all_else_is_strange() {
    let prefix = Prefix::parse("p").expect("valid");
    let mut records = BTreeMap::new();
    let mut put = |key: &[u8], lease: i64| {
        let (value, revision) = (vec![1], 5);
        let entry = Entry {
            value,
            lease,
            revision,
        };
        records.insert(key.to_owned(), entry);
    };
    put(b"p/members/b", 7);
    put(b"p/members/a", -1);
    let junk: [&[u8]; 4] = [
        b"p/members/",
        b"p/members/a/b",
        b"p/members/\xff",
        b"p/work/a",
    ];
    junk.into_iter().for_each(|key| put(key, 7));
    put(b"p/members/c", 0);
    let mut foreign = ForeignKeys::default();
    let nodes = registered(&prefix, &records, &mut foreign);
    let entries = [&records[&b"p/members/a"[..]], &records[&b"p/members/b"[..]]];
    assert_eq!(nodes, [("a", entries[0]), ("b", entries[1])]);
    for key in junk.into_iter().chain([&b"p/members/c"[..]]) {
        assert!(foreign.has(key), "{key:?}");
    }
    assert_eq!(foreign.take_warnings().len(), 5);
}

#[test]
fn what_a_node_tells_of_itself_is_short() {
    assert_eq!(check_metadata(&[]), Ok(()));
    assert_eq!(check_metadata(&[7; 64 * 1024]), Ok(()));
    let refused = check_metadata(&[7; 64 * 1024 + 1]).expect_err("too long");
    assert_eq!(
        refused.to_string(),
        "metadata: has 65537 bytes, but may have 65536: each node holds that of all others, so put \
         a reference there instead"
    );
}
