//! A disk that hangs.
//!
//! What was found to work without a file system of one's own: `strace` holds each `fsync` and
//! `fdatasync` of the running etcd back on its way into the kernel, and lets all else go on. Ended by
//! SIGINT, it lets go of what it holds within some 20 ms. (A stopped thread does not do: SIGSTOP stops
//! the whole process.)

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// While it lives, no sync of that process comes to an end.
pub(crate) struct Stall(Child);

impl Stall {
    /// Returns when the disk hangs.
    pub(crate) fn of(pid: u32) -> Self {
        let child = Command::new("strace")
            .args([
                "-f",
                "-qqq",
                "-e",
                "trace=fsync,fdatasync",
                "-e",
                "signal=none",
            ])
            // Microseconds: for longer than any test takes.
            .args(["-e", "inject=fsync,fdatasync:delay_enter=600000000"])
            .args(["-o", "/dev/stdout", "-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("cannot run strace ({error}): install it (apt-get install strace)")
        });
        let stall = Self(child);
        stall.wait_until_attached(pid);
        stall
    }

    /// The kernel tells who traces each thread.
    fn wait_until_attached(&self, pid: u32) {
        let tracer = format!("TracerPid:\t{}", self.0.id());
        for _ in 0..500 {
            let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("etcd runs");
            let mut states = threads.flatten().map(|thread| {
                std::fs::read_to_string(thread.path().join("status")).unwrap_or_default()
            });
            if states.all(|status| status.is_empty() || status.contains(&tracer)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("strace does not trace etcd: is ptrace permitted here?");
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::INT);
        if let Some(stderr) = self.0.stderr.take() {
            // Said only if something went wrong.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                println!("strace: {line}");
            }
        }
        let _ = self.0.wait();
    }
}
