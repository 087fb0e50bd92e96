//! Exits the process within bounded time, whatever is blocked.
//!
//! The last message, exit handlers and the flush of stdout may all block for ever, on a full pipe or on a
//! lock that a blocked thread holds. So they run on separate threads, for which this waits only for a limited time.
//! Then the process ends in any case.

use std::fmt;
use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long to wait for the last message.
pub(crate) const WORDS_WITHIN: Duration = Duration::from_millis(100);
/// How long to wait for exit handlers and the flush of stdout.
const HANDLERS_WITHIN: Duration = Duration::from_millis(500);

/// The exit code of a process whose run was halted, or did not stop well.
const HALTED: i32 = 1;

/// Exits the process because of the error of a run: with the error as the last message, and exit code 1.
///
/// Call it before anything of the run is dropped, because a drop may run user code, which may block.
pub(crate) fn halted(error: impl fmt::Display + Send + 'static) -> ! {
    exit(HALTED, error)
}

/// Exits the process with an exit code.
///
/// The message is written to stderr, for 100 ms at most. Then exit handlers
/// run and stdout is flushed, for 500 ms at most. The `Display` of the message is user code, so it is called on the
/// thread that writes the message.
pub(crate) fn exit(code: i32, words: impl fmt::Display + Send + 'static) -> ! {
    attempt("overwatch-words", WORDS_WITHIN, move || say(words));
    attempt("overwatch-exit", HANDLERS_WITHIN, move || {
        std::process::exit(code)
    });
    end(code)
}

/// Aborts the process. The message is written to stderr, for `within` and 100 ms at most.
pub(crate) fn abort(words: &'static str, within: Duration) -> ! {
    attempt("overwatch-words", within.min(WORDS_WITHIN), move || {
        say(words)
    });
    std::process::abort()
}

/// Ends the process without exit handlers, which had their chance before.
#[cfg(unix)]
fn end(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

/// On other systems nothing ends the process at once with an exit code.
#[cfg(not(unix))]
fn end(_: i32) -> ! {
    std::process::abort()
}

/// Writes without the log, which may be blocked. A closed stderr is ignored.
fn say(words: impl fmt::Display) {
    let _ = std::io::stderr().write_all(format!("{words}\n").as_bytes());
}

/// Runs work on another thread, and returns when it is done or the time is up. Without a thread it does nothing.
pub(crate) fn attempt<T>(name: &str, within: Duration, work: impl FnOnce() -> T + Send + 'static) {
    let (done, is_done) = mpsc::channel::<()>();
    let thread = thread::Builder::new().name(name.into()).spawn(move || {
        work();
        drop(done);
    });
    if thread.is_ok() {
        let _ = is_done.recv_timeout(within);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_blocks_is_not_waited_for() {
        let (_never, told) = mpsc::channel::<()>();
        let began = Instant::now();
        attempt("blocked", Duration::from_millis(20), move || told.recv());
        let waited = began.elapsed();
        assert!(waited >= Duration::from_millis(20), "{waited:?}");
        assert!(waited < Duration::from_secs(30), "{waited:?}");
    }

    #[test]
    fn what_is_done_or_panics_is_waited_for_no_longer() {
        let began = Instant::now();
        let limit = Duration::from_secs(60);
        attempt("done", limit, || ());
        attempt("panics", limit, || panic!("this panic is wanted"));
        assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    }
}
