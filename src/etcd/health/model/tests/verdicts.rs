//! What each verdict makes of each class of fault.

use super::*;

/// Each class in the situation of the table at [`Fault`], with each verdict: when it is told, counted
/// from when it is seen, and that only [`Verdict::Fatal`] ends the run.
#[test]
fn each_class_is_told_as_its_verdict_says() {
    const AT_ONCE: Option<u64> = Some(0);
    const PATIENCE: Option<u64> = Some(3_350);
    let table = [
        (Fault::Unreachable, PATIENCE, AT_ONCE),
        (Fault::NoLeader, PATIENCE, PATIENCE),
        (Fault::WritePath, PATIENCE, PATIENCE),
        (Fault::NoSpace, PATIENCE, AT_ONCE),
        (Fault::Corrupt, PATIENCE, AT_ONCE),
        (Fault::StoreReset, None, AT_ONCE),
        (Fault::Unauthenticated, PATIENCE, AT_ONCE),
        (Fault::Permission, PATIENCE, AT_ONCE),
        // Three slow answers have taken their time already.
        (Fault::TooSlow, AT_ONCE, AT_ONCE),
        (Fault::Tls, PATIENCE, AT_ONCE),
        (Fault::Misdirected, PATIENCE, AT_ONCE),
    ];
    assert_eq!(table.map(|(fault, ..)| fault), Fault::ALL);
    for (fault, transient, certain) in table {
        for (verdict, told_after) in [
            (Verdict::Transient, transient),
            (Verdict::Certain, certain),
            (Verdict::Fatal, certain),
        ] {
            let what = format!("{fault:?} as {verdict:?}");
            let config = config(["http://a", "http://b"]).with_verdict(fault, verdict);
            let mut case = Case::alive(config);
            let since = case.strike(fault);
            let mut at = since;
            let told = loop {
                match case.next(at) {
                    Some(Conclusion::Failing {
                        fault: told,
                        fatal,
                        reason,
                    }) => {
                        assert_eq!(told, fault, "{what}: {reason}");
                        assert_eq!(fatal, verdict == Verdict::Fatal, "{what}");
                        assert!(reason.starts_with(&fault.to_string()), "{what}: {reason}");
                        assert!(reason.ends_with(fault.advice()), "{what}: {reason}");
                        break Some(at - since);
                    }
                    _ if at > since + 20_000 => break None,
                    _ => at += 10,
                }
                case.ask(at);
                // All but proposals is answered.
                let only_writes = [Fault::WritePath, Fault::NoSpace, Fault::Corrupt];
                if only_writes.contains(&fault) {
                    case.read(0, 7, at);
                    case.progress(0, at);
                }
                if fault == Fault::StoreReset {
                    case.all_of_the_new_store(at);
                }
            };
            assert_eq!(told, told_after, "{what}");
        }
    }
}

#[test]
fn an_alarm_is_told_by_whichever_member_says_it_and_until_it_is_disarmed() {
    let mut case = Case::alive(config(["http://a", "http://b"]));
    case.ask(8_000);
    case.read(0, 7, 8_000);
    case.progress(0, 8_000);
    case.fail(
        1,
        CheckKind::Write,
        EtcdError::alarm(Fault::NoSpace, &[26]),
        8_000,
        8_010,
    );
    let (class, text) = case.fails(8_010);
    assert_eq!(class, "no_space");
    assert!(text.contains("alarm raised by member 1a"), "{text}");
    assert!(
        case.probe_loop.model.endpoints()[1].usable(),
        "the member serves reads"
    );
    assert_eq!(case.next(9_409), None);
    case.read(0, 7, 9_409);
    case.progress(0, 9_409);
    case.fails(9_410);
    case.write(0, 9_500);
    case.lives(9_500);
}

impl Case {
    /// Brings about what the table at [`Fault`] says of a class, and tells when it could be seen
    /// first.
    fn strike(&mut self, fault: Fault) -> u64 {
        let since = 20_000;
        self.all_from(0, since);
        self.all_from(1, since);
        self.lives(since);
        for kind in CheckKind::ALL {
            self.probe_loop.model.asked(kind, self.at(since));
        }
        match fault {
            Fault::Unreachable | Fault::Unauthenticated | Fault::Tls | Fault::Misdirected => {
                for index in [0, 1, 0] {
                    let cause = EtcdError::sure(fault, "beyond doubt");
                    self.lost(index, cause, self.at(since));
                }
            }
            Fault::Permission => {
                // The first is looked at again, since the second worked until then.
                for index in [0, 1, 0] {
                    let cause = EtcdError::sure(fault, "permission denied");
                    self.fail(index, CheckKind::Read, cause, since, since);
                }
            }
            Fault::NoLeader => {
                for index in [0, 1] {
                    self.fail(index, CheckKind::Read, no_leader(), since, since);
                }
            }
            Fault::WritePath => {
                self.read(0, 7, since);
                self.progress(0, since);
            }
            Fault::NoSpace | Fault::Corrupt => {
                self.read(0, 7, since);
                self.progress(0, since);
                self.fail(
                    0,
                    CheckKind::Write,
                    EtcdError::alarm(fault, &[1]),
                    since,
                    since,
                );
            }
            Fault::StoreReset => {
                self.all_of_the_new_store(since);
            }
            Fault::TooSlow => {
                let until = since + 3_300;
                for asked_at in (since..until).step_by(1_100) {
                    self.slow_read(asked_at, asked_at + 1_100);
                }
                self.progress(0, until);
                self.write(0, until);
                return until;
            }
        }
        since
    }
}
