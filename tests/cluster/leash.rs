//! Processes that do not outlive the one that started them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, getppid, kill_process};

/// The word by which this program is told to put itself on a leash, and to become another program.
pub(crate) const LEASHED: &str = "leashed";

/// Becomes the program that the arguments name. The first argument is the process that holds the
/// leash: when that ends, in whatever way, this one is killed, even if it is stopped.
pub(crate) fn become_leashed(mut arguments: impl Iterator<Item = OsString>) -> io::Error {
    let (holder, program) = (arguments.next(), arguments.next());
    let (Some(holder), Some(program)) = (holder, program) else {
        return io::Error::other("nothing to run");
    };
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // It may have ended before the leash was on.
    let parent = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if holder.to_str() != Some(&parent.to_string()) {
        return io::Error::other("the process that started this one is gone");
    }
    Command::new(program).args(arguments).exec()
}

/// A process that is killed, by its own id, when this is dropped.
pub(crate) struct Leashed(Child);

impl Leashed {
    /// Starts a program. Whatever it complains of goes to `log`, and what it says to whoever reads
    /// [`said`](Self::said), or to `log` as well.
    ///
    /// On Linux the leash is held by the calling *thread*, which must not end before the process.
    pub(crate) fn start(
        program: &OsStr,
        arguments: &[OsString],
        log: &File,
        listen: bool,
    ) -> io::Result<Self> {
        let said = if listen {
            Stdio::piped()
        } else {
            log.try_clone()?.into()
        };
        let child = Command::new(std::env::current_exe()?)
            .args([LEASHED, &std::process::id().to_string()])
            .arg(program)
            .args(arguments)
            // Ctrl-c is for the one who started it, and who then ends it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(said)
            .stderr(log.try_clone()?)
            .spawn()?;
        Ok(Self(child))
    }

    /// What it says, once.
    pub(crate) fn said(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// Writes a line to its standard input.
    pub(crate) fn tell(&mut self, line: &str) -> io::Result<()> {
        let input = self.0.stdin.as_mut();
        let input = input.ok_or_else(|| io::Error::other("it cannot be told anything"))?;
        input.write_all(format!("{line}\n").as_bytes())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Sends a signal. One that has ended takes none.
    pub(crate) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        // Until it is waited for, its id is nobody else's.
        match self.0.try_wait()? {
            None => Ok(kill_process(Pid::from_child(&self.0), signal)?),
            Some(status) => Err(io::Error::other(format!("it has ended with {status}"))),
        }
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process, too. One that was waited for is left alone by `kill`.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
