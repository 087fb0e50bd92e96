//! Signals: the first asks for an ordered stop, the second ends the process, and so does one after the
//! last run.

use super::{Signal, play};

/// 128 and the number of the signal.
const TERMINATED: i32 = 143;
const INTERRUPTED: i32 = 130;

#[test]
fn a_signal_stops_in_order() {
    for (signal, said) in [
        (Signal::TERM, "Some(Terminate)"),
        (Signal::INT, "Some(Interrupt)"),
    ] {
        let (status, errors) = play("obedient")
            .until("up")
            .signal(signal)
            .until("stopped")
            // The report names the signal.
            .until(said)
            .end();
        assert!(status.success(), "{status} {errors}");
    }
}

#[test]
fn a_second_signal_leaves_at_once() {
    for (first, second, code) in [
        (Signal::TERM, Signal::TERM, TERMINATED),
        (Signal::INT, Signal::INT, INTERRUPTED),
        (Signal::TERM, Signal::INT, INTERRUPTED),
        (Signal::INT, Signal::TERM, TERMINATED),
    ] {
        let played = play("deaf").until("up").signal(first).until("told");
        let (status, errors) = played.signal(second).end();
        assert_eq!(status.code(), Some(code), "{first:?} {second:?} {errors}");
    }
}

/// No thread of the service is needed for it, nor the one that awaits the run.
#[test]
fn a_second_signal_leaves_while_every_thread_is_blocked() {
    for part in ["blocked in place", "blocked on workers"] {
        for (signal, code) in [(Signal::TERM, TERMINATED), (Signal::INT, INTERRUPTED)] {
            let status = play(part).until("all blocked").signal_until_it_ends(signal);
            assert_eq!(status.code(), Some(code), "{part} {status}");
        }
    }
}

/// Also where nobody reads what is said, and a thread is blocked by that.
#[test]
fn a_second_signal_needs_no_reader() {
    let mut played = play("deaf, stderr full")
        .until("up")
        .signal(Signal::TERM)
        .until("told")
        .signal(Signal::TERM);
    assert_eq!(played.status().code(), Some(TERMINATED));
}

#[test]
fn a_signal_after_the_run_ends_the_process() {
    for over in [
        "over: stopped",
        "over: halted",
        "over: dropped",
        "over: panicked",
    ] {
        for (signal, code) in [(Signal::TERM, TERMINATED), (Signal::INT, INTERRUPTED)] {
            let (status, errors) = play(over).until("over").signal(signal).end();
            assert_eq!(status.code(), Some(code), "{over} {errors}");
        }
    }
}

/// Each run hears a first signal, whatever the one before has heard.
#[test]
fn another_run_listens_again() {
    let (status, errors) = play("one after the other")
        .until("up 1")
        .signal(Signal::TERM)
        .until("stopped 1")
        .until("up 2")
        .signal(Signal::TERM)
        .until("stopped 2")
        .until("up 3")
        .signal(Signal::INT)
        .until("stopped 3")
        .until("over")
        .signal(Signal::TERM)
        .end();
    assert_eq!(status.code(), Some(TERMINATED), "{errors}");
}

#[test]
fn a_signal_stops_all_runs_and_the_next_ends_the_process() {
    let (status, errors) = play("two at once")
        .until("up")
        .until("up")
        .signal(Signal::TERM)
        .until("told")
        .until("told")
        .signal(Signal::TERM)
        .end();
    assert_eq!(status.code(), Some(TERMINATED), "{errors}");
}
