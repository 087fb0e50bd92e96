//! What ends a process: signals, a wedged thread, a fence that has passed. Each runs in a child.

mod fence;
mod halted;
mod parts;
mod signals;

use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Tells a child what to play.
const PART: &str = "OVERWATCH_TEST_CHILD_PART";
/// How long is waited for a child that must end. Where it does not it would stay for ever.
const LIMIT: Duration = Duration::from_secs(30);

/// The body of every child: a service in which something goes wrong.
#[test]
#[ignore = "the body of the child processes of this file's tests, which run it"]
fn child() {
    parts::play(&std::env::var(PART).expect("run by its parent"));
}

/// A child that plays its part, and what it says.
struct Played {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Option<BufReader<ChildStderr>>,
}

fn play(part: &str) -> Played {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "shell::process::child",
            "--nocapture",
        ])
        .env(PART, part)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Played {
        stdout: BufReader::new(child.stdout.take().unwrap()).lines(),
        stderr: child.stderr.take().map(BufReader::new),
        child,
    }
}

impl Played {
    /// Reads on until the child says this.
    fn until(mut self, what: &str) -> Self {
        let said = self
            .stdout
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains(what));
        assert!(said, "the child never said {what:?}");
        self
    }

    /// The same for what it says to stderr. Nothing is read of what it says elsewhere.
    fn until_complains(mut self, what: &str) -> Self {
        let stderr = self.stderr.as_mut().unwrap();
        let mut lines = stderr.by_ref().lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line.contains(what)),
            "the child never complained of {what:?}"
        );
        self
    }

    fn signal(self, signal: Signal) -> Self {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self
    }

    /// Waits for its end, and reads nothing before that.
    fn status(&mut self) -> ExitStatus {
        self.ended_within(LIMIT)
            .unwrap_or_else(|| panic!("it has not ended within {LIMIT:?}"))
    }

    fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end, and returns what it said to stderr. That must fit into the pipe.
    fn end(mut self) -> (ExitStatus, String) {
        let status = self.status();
        let mut errors = String::new();
        let mut stderr = self.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        (status, errors)
    }

    /// Sends a signal again and again until it has ended: where nothing says that the first was
    /// heard, and two at once count as one.
    fn signal_until_it_ends(mut self, signal: Signal) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            kill_process(Pid::from_child(&self.child), signal).unwrap();
            if let Some(status) = self.ended_within(Duration::from_millis(100)) {
                return status;
            }
            assert!(Instant::now() < deadline, "{signal:?} does not end it");
        }
    }
}

/// Whether a child says this at last, to stderr. It does so within 100 ms or not at all: on a busy machine
/// that may be missed, but not each time.
fn says(words: &str, end: impl Fn() -> String) {
    let said: Vec<String> = (0..10).map(|_| end()).collect();
    assert!(said.iter().any(|said| said.contains(words)), "{said:?}");
}

impl Drop for Played {
    fn drop(&mut self) {
        // It has ended in a test that passed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
