//! Time in which the process did not run.

use super::*;

#[test]
fn time_in_which_the_process_did_not_run_is_no_silence() {
    let mut case = Case::new(config(["http://a"]));
    case.ask(0);
    case.probe_loop.model.excuse(ms(10_000), case.at(10_500));
    assert_eq!(case.next(13_349), None);
    let (class, text) = case.fails(13_350);
    assert_eq!(class, "unreachable");
    assert!(text.contains("http://a:2379: no answer"), "{text}");
}

#[test]
fn a_freeze_buys_no_time_for_what_comes_after_it() {
    let mut case = Case::alive(config(["http://a"]));
    case.ask(59_900);
    case.probe_loop.model.excuse(ms(59_000), case.at(60_000));
    assert_eq!(case.next(63_349), None);
    case.fails(63_350);

    let mut case = Case::alive(config(["http://a"]));
    case.probe_loop.model.excuse(ms(59_000), case.at(59_000));
    case.ask(60_000);
    assert_eq!(case.next(63_349), None);
    case.fails(63_350);
}

/// Another one of the same check was answered before the freeze, so that nothing was owed when it was over.
#[test]
fn what_fails_after_a_freeze_is_owed_for_as_long_as_somebody_could_listen() {
    for (excused, failed_at, told_at) in [
        (0, 1_410, 4_750),
        (3_000, 4_410, 7_750),
        // Never from later on than it failed.
        (9_000, 4_410, 7_760),
    ] {
        let mut case = Case::alive(config(["http://a"]));
        let asked = case.asked(CheckKind::Read, 1_400);
        case.probe_loop.model.asked(CheckKind::Read, case.at(1_400));
        case.read(0, 7, 1_399);
        case.lives(1_401);
        let failed = case.at(failed_at);
        case.probe_loop.model.excuse(ms(excused), failed);
        case.event(
            0,
            SubchannelEvent::Failed(asked, EtcdError::silent()),
            failed,
        );
        assert_eq!(case.next(told_at - 1), None, "{excused}");
        assert_eq!(case.fails(told_at).0, "unreachable", "{excused}");
    }
}
