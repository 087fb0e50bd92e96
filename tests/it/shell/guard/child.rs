//! Services that run in a child process, for what a signal does to them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::support::within;
use super::{ends, freeze, log, threads};

/// Says which of the services below a child runs.
const PART: &str = "OVERWATCH_GUARD_TEST_PART";

#[test]
#[ignore = "the body of the child processes, which other tests run"]
fn child() {
    let part = std::env::var(PART).expect("run by its parent");
    match part.split_once(' ').unwrap_or((&part, "")) {
        ("blocked", how) => freeze::blocked_child(how),
        ("paused", _) => freeze::paused_child(),
        ("mute", how) => log::mute_child(how),
        ("two", _) => threads::two_runs_child(),
        ("dropped", _) => ends::dropped_child(),
        other => panic!("no such part: {other:?}"),
    }
}

/// A child process. It is killed when this is dropped.
pub(super) struct Played {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

/// Runs a part.
pub(super) fn play(part: &str) -> Played {
    played(part, Stdio::inherit())
}

/// The same where nobody reads what it writes to stderr: after 64 KiB a writer blocks.
pub(super) fn play_unread(part: &str) -> Played {
    played(part, Stdio::piped())
}

fn played(part: &str, errors: Stdio) -> Played {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "shell::guard::child::child",
            "--nocapture",
        ])
        .env(PART, part)
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (tell, lines) = channel();
    thread::spawn(move || {
        let mut lines = out.lines().map_while(Result::ok);
        lines.try_for_each(|line| tell.send(line))
    });
    Played {
        child,
        lines,
        said: Vec::new(),
    }
}

impl Played {
    /// Reads on until the child says this, and returns the line.
    pub(super) fn until(&mut self, limit: Duration, what: &str) -> String {
        let began = Instant::now();
        loop {
            let left = limit.saturating_sub(began.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(what) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("not within {limit:?}: {what:?}, but {:#?}", self.said)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it never said {what:?}, but {:#?}", self.said)
                }
            }
        }
    }

    /// All that it has said up to now.
    pub(super) fn said(&mut self) -> &[String] {
        self.said.extend(self.lines.try_iter());
        &self.said
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the process has ended.
    pub(super) fn end(&mut self, limit: Duration) -> ExitStatus {
        let mut ended = None;
        within(limit, "the process has ended", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.expect("just seen")
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        // It has ended in a test that passed. A process that was stopped is killed all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
