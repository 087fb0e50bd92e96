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
