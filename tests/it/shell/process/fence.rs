//! The fence watchdog: what it ends, and what it leaves alone.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use super::{Played, Signal, play, says};

fn is_aborted(played: Played) {
    let (status, errors) = played.end();
    let by = status.signal();
    assert_eq!(by, Some(Signal::ABORT.as_raw()), "{status} {errors}");
}

#[test]
fn the_watchdog_says_why_it_aborts() {
    says("the fence has passed", || play("frozen").end().1);
}

/// The deadline of an epoch that is over, and renewals that are told too late, abort nobody.
#[test]
fn the_watchdog_leaves_a_healthy_process_alone() {
    let played = play("renewed").until("still up").signal(Signal::TERM);
    let (status, errors) = played.end();
    assert!(status.success(), "{status} {errors}");
}

#[test]
fn the_watchdog_aborts_a_frozen_process_before_its_lease_runs_out() {
    let played = play("frozen").until("up");
    let up = Instant::now();
    is_aborted(played);
    assert!(
        up.elapsed() >= Duration::from_millis(500),
        "not before it must: {:?}",
        up.elapsed()
    );
}

/// With a fence it is on: nobody has to think of it.
#[test]
fn the_watchdog_is_on_where_workers_can_block() {
    is_aborted(play("fenced on workers").until("all blocked"));
}

#[test]
fn the_watchdog_can_be_switched_off() {
    play("fenced on workers, off")
        .until("all blocked")
        .until("past the fence");
}

/// In place the clock may be a paused one.
#[test]
fn the_watchdog_is_off_in_place_unless_it_is_asked_for() {
    play("fenced in place")
        .until("all blocked")
        .until("past the fence");
}

#[test]
fn the_watchdog_is_off_where_nothing_is_done() {
    play("fenced on workers, observed")
        .until("all blocked")
        .until("past the fence");
}

/// Nobody reads what it says, and a thread is blocked by that.
#[test]
fn the_watchdog_aborts_though_its_last_words_block() {
    let status = play("frozen, stderr full").until("up").status();
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
}

/// The run is over, and what survived it is not.
#[test]
fn the_watchdog_outlives_the_run() {
    is_aborted(
        play("fenced and wedged")
            .until("up")
            .signal(Signal::TERM)
            .until("over"),
    );
}

/// A process that stood still beyond its lease has work that others may do by now.
#[test]
fn the_watchdog_aborts_a_process_that_stood_still() {
    let played = play("fenced and well").until("still up");
    let played = played.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(4));
    is_aborted(played.signal(Signal::CONT));
}
