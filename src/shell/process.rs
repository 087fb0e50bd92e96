//! How the process is left: within bounded time, whatever is blocked.
//!
//! The last words, exit handlers and the flush of stdout may all block for ever, on a full pipe or on a
//! lock that a blocked thread holds. So they run on threads that nothing waits for longer than said
//! here, and then the process ends regardless.

use std::fmt;
use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long the last words are waited for.
pub(crate) const WORDS_WITHIN: Duration = Duration::from_millis(100);
/// How long exit handlers and the flush of stdout are waited for.
const HANDLERS_WITHIN: Duration = Duration::from_millis(500);

/// The exit code of a process whose run was halted.
const HALTED: i32 = 1;

/// Leaves the process because a run was halted: with the error as the last words, and exit code 1.
///
/// Call it before anything of the run is dropped: a drop may run user code, which may block.
pub(crate) fn halted(error: impl fmt::Display + Send + 'static) -> ! {
    exit(HALTED, error)
}

/// Leaves the process with an exit code. Words are said to stderr, for 100 ms at most. Then exit handlers
/// run and stdout is flushed, for 500 ms at most; what takes longer is cut off.
///
/// The words are user code: they are put into text on the thread that says them.
pub(crate) fn exit(code: i32, words: impl fmt::Display + Send + 'static) -> ! {
    attempt("overwatch-words", WORDS_WITHIN, move || say(words));
    attempt("overwatch-exit", HANDLERS_WITHIN, move || {
        std::process::exit(code)
    });
    end(code)
}

/// Aborts the process. Words are said to stderr, for so long at most, and for 100 ms at most.
pub(crate) fn abort(words: &'static str, within: Duration) -> ! {
    attempt("overwatch-words", within.min(WORDS_WITHIN), move || {
        say(words)
    });
    std::process::abort()
}

/// Ends the process without exit handlers, which were given their chance.
#[cfg(unix)]
fn end(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

/// Elsewhere nothing keeps both the exit code and the promise.
#[cfg(not(unix))]
fn end(_: i32) -> ! {
    std::process::abort()
}

/// Written without the log, which may be what is blocked. A reader that has left is no reason to stay.
fn say(words: impl fmt::Display) {
    let _ = std::io::stderr().write_all(format!("{words}\n").as_bytes());
}

/// Does something on another thread, and goes on when it is done or the time is up. Where there is no
/// thread it is left out.
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
