//! `run_or_exit`: how the process of a run that was halted is left.

use super::{Signal, play, says};

#[test]
fn run_or_exit_leaves_a_process_that_a_wedged_thread_would_keep() {
    let (status, errors) = play("wedged").until("up").signal(Signal::TERM).end();
    assert_eq!(status.code(), Some(1), "{errors}");
}

#[test]
fn run_or_exit_says_why_it_leaves() {
    says("halted: aborted and still not gone: stuck", || {
        play("wedged").until("up").signal(Signal::TERM).end().1
    });
}

/// Also where nobody reads what it says at last.
#[test]
fn run_or_exit_needs_no_reader() {
    let mut played = play("wedged").until("up");
    drop(played.stderr.take());
    let mut played = played.signal(Signal::TERM);
    assert_eq!(played.status().code(), Some(1));
}

#[test]
fn run_or_exit_leaves_though_its_last_words_block() {
    let mut played = play("wedged, stderr full").until("up").signal(Signal::TERM);
    assert_eq!(played.status().code(), Some(1));
}

/// What is left in a buffer is flushed when a process ends in the usual way.
#[test]
fn run_or_exit_leaves_though_stdout_blocks() {
    let mut played = play("wedged, stdout full")
        .until_complains("up")
        .signal(Signal::TERM);
    assert_eq!(played.status().code(), Some(1));
}

#[test]
fn run_or_exit_flushes_what_can_be_flushed() {
    let played = play("wedged, stdout buffered")
        .until_complains("up")
        .signal(Signal::TERM)
        .until("no end of line");
    assert_eq!(played.end().0.code(), Some(1));
}

/// The process is left before anything of the user's is dropped: that may block.
#[test]
fn run_or_exit_leaves_before_the_service_is_dropped() {
    let (status, errors) = play("sticky").end();
    assert_eq!(status.code(), Some(1), "{errors}");
}

/// Whoever awaits the run may never have its turn again.
#[test]
fn run_or_exit_leaves_though_nobody_polls_it_again() {
    let (status, errors) = play("never polled again").end();
    assert_eq!(status.code(), Some(1), "{errors}");
}

#[test]
fn run_or_exit_returns_after_an_ordered_stop() {
    let (status, errors) = play("obedient or exit")
        .until("up")
        .signal(Signal::TERM)
        .until("returned")
        .end();
    assert!(status.success(), "{status} {errors}");
}

/// An orchestrator must not take it for a stop that went well.
#[test]
fn run_or_exit_leaves_with_an_error_after_an_unclean_stop() {
    let (status, errors) = play("unclean or exit")
        .until("up")
        .signal(Signal::TERM)
        .until("stopped")
        .end();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("the file was not flushed"), "{errors}");
}
